//! Links: counted downloads, tickets, and tokens that nobody keeps.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use aho_corasick::AhoCorasick;
use vault_core::crypto::hash;
use vault_core::id::{GrantId, IndexId, Seq};
use vault_core::log::testing::{Machine, Person, TestLog, grant, members};
use vault_core::log::{Body, Grant, LinkTerms, PqPolicy, Role};
use vault_core::object::ObjectKey;
use vault_core::wire::encoding::to_base64url;
use vault_core::wire::link::LinkToken;
use vault_core::wire::ranges::Ranges;
use vault_core::wire::signing::Signer;
use vault_core::wire::v1::grants::{Given as GivenPage, LinkOpened};
use vault_core::wire::v1::join::JoinRequest;
use vault_core::wire::v1::paths;
use vault_core::wire::{Binary, ByteText};
use vault_tests::damage::files_below;
use vault_tests::server::{card, connect};
use vault_tests::{Answer, Request, ServerProcess, TestServer};

use super::{Given, laptop, with_token};
use crate::world::World;

#[test]
fn sixty_four_openings_at_once_never_exceed_the_number_of_downloads() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.mallory.id()]).with_link(Some(10));
    let given = given.give(&mut world, &laptop());
    let open = paths::grant_open(given.id());
    assert_eq!(world.server.client(&world.desk).send("POST", &open, None).status, 204);

    let all: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64).map(|_| scope.spawn(|| given.open(&world))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    let (opened, refused): (Vec<_>, Vec<_>) = all.iter().partition(|answer| answer.status == 201);
    let opened: Vec<LinkOpened> = opened.iter().map(|answer| answer.parse()).collect();
    assert_eq!(opened.iter().map(|opened| opened.ticket).collect::<BTreeSet<_>>().len(), 10);
    let left: BTreeSet<_> = opened.iter().map(|opened| opened.left.unwrap()).collect();
    assert_eq!(left, (0..10).collect::<BTreeSet<_>>(), "what addressees fetch does not count to it");
    assert!(refused.iter().all(|answer| answer.problem() == (410, "link_used_up".to_owned())));
    let listed: GivenPage = world.laptop().get(&paths::vault_grants(&world.vault())).parse();
    assert_eq!(listed.grants[0].fetched, 11);

    // Who has a ticket goes on, and everyone who has the link still sees what it is of.
    let key = ObjectKey::Pack(given.whole);
    assert!(
        opened.iter().all(|opened| given.object_by_link(&world, &opened.ticket.to_hex(), key).status == 200)
    );
    assert_eq!(given.get_by_link(&world).status, 200);
}

#[test]
fn a_ticket_is_good_for_a_day_and_for_its_grant() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).with_link(None).give(&mut world, &laptop());
    let other = Given::prepare(&world, 2).with_link(None).give(&mut world, &laptop());
    let opened: LinkOpened = given.open(&world).parse();
    let (ticket, key) = (opened.ticket.to_hex(), ObjectKey::Pack(given.whole));
    let now_ms = world.server.clock.now_ms();
    assert!(opened.until.0.abs_diff(now_ms + 86_400_000) < 60_000);
    assert_eq!(opened.left, None);

    assert_eq!(given.object_by_link(&world, &ticket, key).status, 200);
    assert_eq!(other.object_by_link(&world, &ticket, ObjectKey::Pack(other.whole)).status, 404);
    for bad in ["", "x", &"0".repeat(32), &ticket.to_uppercase(), &ticket[1..]] {
        if bad != ticket {
            assert_eq!(given.object_by_link(&world, bad, key).status, 404, "{bad}");
        }
    }
    world.server.clock.add_seconds(86_400 - 120);
    assert_eq!(given.object_by_link(&world, &ticket, key).status, 200);
    world.server.clock.add_seconds(121);
    assert_eq!(given.object_by_link(&world, &ticket, key).status, 404);
    let now_ms = world.server.clock.now_ms();
    let swept = world.server.with_jobs(async |jobs| vault_server::jobs::sweep(jobs, now_ms).await.unwrap());
    assert_eq!(swept.tickets, 1);
    assert_eq!(given.object_by_link(&world, &given.ticket(&world), key).status, 200);
}

#[test]
fn a_token_stands_behind_bearer_and_nowhere_else() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).with_link(None).give(&mut world, &laptop());
    let text = given.token.text();
    let link = paths::link(given.id());
    let open = |target: &str| Request::open("GET", target, &world.server.authority(), None);
    let status = |request: Request| world.server.send(&request).status;

    assert_eq!(status(open(&link).with("authorization", &format!("Bearer {text}"))), 200);
    for wrong in [
        text.clone(),
        format!("Basic {text}"),
        format!("Bearer  {text}"),
        format!("Bearer {text}="),
        format!("Bearer {}", &text[1..]),
        format!("Bearer {}", hex::encode([1_u8; 32])),
        "Bearer ".to_owned(),
    ] {
        assert_eq!(status(open(&link).with("authorization", &wrong)), 404, "{wrong}");
    }
    assert_eq!(status(open(&format!("{link}?token={text}"))), 404);
    let right = open(&format!("{link}?x=1")).with("authorization", &format!("Bearer {text}"));
    assert_eq!(status(right), 400);
    let body =
        Request::open("POST", &paths::link_open(given.id()), &world.server.authority(), Some(b"{}".into()));
    assert_eq!(status(with_token(body, &given.token)), 400);
    let empty =
        Request::open("POST", &paths::link_open(given.id()), &world.server.authority(), Some(Vec::new()));
    assert_eq!(status(with_token(empty, &given.token)), 201);
}

#[test]
fn who_guesses_tokens_is_slowed_down() {
    let server = TestServer::with(|config| config.limits.open_rate = 20);
    let link = paths::link(&GrantId::new([1; 16]));
    let guess = |number: u8| {
        let token = LinkToken::parse(&to_base64url(&[number; 32])).unwrap();
        let request = Request::open("GET", &link, &server.authority(), None);
        server.send(&with_token(request, &token)).status
    };

    let statuses: Vec<u16> = (0..40).map(guess).collect();

    assert_eq!((statuses[0], statuses[39]), (404, 429));
}

#[test]
fn the_page_of_a_link_is_the_same_for_all_and_runs_nothing() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).with_link(None).give(&mut world, &laptop());
    let there = world.server.get(&paths::link_page(given.id()));
    let nowhere = world.server.get(&paths::link_page(&GrantId::new([99; 16])));

    assert_eq!((there.status, &there.body), (200, &nowhere.body));
    assert_eq!(there.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = there.header("content-security-policy").unwrap();
    assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'");
    let text = there.text();
    assert!(text.contains("vault get 'THE WHOLE ADDRESS' --target DIR"));
    assert!(["<script", "<style", "http:", "https:", "src="].iter().all(|word| !text.contains(word)));
    assert!(!text.contains(&given.id().to_hex()));
}

/// Sends a request to the program.
fn send(server: &ServerProcess, request: &Request) -> Answer {
    let mut stream = connect(server.addr()).unwrap();
    std::io::Write::write_all(&mut stream, &request.to_bytes()).unwrap();
    Answer::read(&mut stream, false).unwrap()
}

/// A link of a vault with nothing in it, on the program that an operator runs.
fn link_on(server: &ServerProcess, token: &LinkToken) -> GrantId {
    let (alice, laptop, host) = (Person::new(1), Machine::new(11), server.addr().to_string());
    let (invite, entry) = (server.invite(), card(&alice, &[&laptop]));
    let mac = Binary(invite.auth().join_mac(&entry));
    let join = JoinRequest { invite: invite.invite, entry: ByteText(entry), mac, name: None };
    let body = serde_json::to_vec(&join).unwrap();
    assert_eq!(send(server, &Request::open("POST", paths::JOIN, &host, Some(body)).json()).status, 200);

    let put = |target: &str, body: &[u8]| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let by = Signer { key: &laptop.key, device: laptop.id() };
        let answer = send(server, &Request::signed(&by, now, &host, ("PUT", target, Some(body))));
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    let mut log = TestLog::founded(&alice, PqPolicy::Required);
    let (vault, id) = (log.vault, GrantId::new([7; 16]));
    log.push_members(&alice, members(1, vec![alice.user(Role::Owner, &[&laptop])]));
    let list = Ranges { vault, grant: id, packs: Vec::new() }.encode();
    let ranges = IndexId::new(hash::object_hash(&list));
    let link = LinkTerms { token_hash: token.hash(), downloads: Some(3), envelope: b"sealed".to_vec() };
    let said = Grant { id, indexes: Vec::new(), ranges, to: Vec::new(), link: Some(link), ..grant(1, 7) };
    log.push_body(&laptop, Body::Grant(said));
    put(&paths::vault(&vault), &log.stored[0]);
    put(&paths::object(&vault, &ObjectKey::Index(ranges)), &list);
    for seq in 1..=2 {
        put(&paths::statement(&vault, Seq(seq)), &log.stored[seq as usize]);
    }
    id
}

#[test]
fn no_token_is_kept_in_database_objects_or_log() {
    let server = ServerProcess::start();
    let [right, wrong] = [0x5a, 0xa5].map(|number: u8| {
        let bytes: [u8; 32] = std::array::from_fn(|at| number ^ at as u8);
        (bytes, LinkToken::parse(&to_base64url(&bytes)).unwrap())
    });
    let id = link_on(&server, &right.1);
    let host = server.addr().to_string();
    let ask = |method: &str, target: &str, token: &LinkToken| {
        send(&server, &with_token(Request::open(method, target, &host, None), token)).status
    };

    assert_eq!(ask("GET", &paths::link(&id), &right.1), 200);
    assert_eq!(ask("POST", &paths::link_open(&id), &right.1), 201);
    assert_eq!(ask("GET", &paths::link(&id), &wrong.1), 404);
    assert_eq!(ask("GET", &format!("{}?{}", paths::link(&id), wrong.1.text()), &wrong.1), 404);
    server.wait_for_log("authentication failed address=127.0.0.0/24 reason=bad_link");

    let secrets = [&right, &wrong]
        .map(|(bytes, token)| [bytes.to_vec(), token.text().into_bytes(), hex::encode(bytes).into_bytes()]);
    let hash = right.1.hash();
    let search =
        AhoCorasick::new(secrets.as_flattened().iter().map(Vec::as_slice).chain([&hash[..]])).unwrap();
    let mut has_hash = false;
    for file in files_below(server.everything()) {
        let contents = std::fs::read(&file).unwrap();
        for found in search.find_overlapping_iter(&contents) {
            assert_eq!(found.pattern().as_usize(), 6, "a token in {}", file.display());
            has_hash = true;
        }
    }
    assert!(has_hash, "the search finds what is there");
}
