//! Who is shown what: every route of grants and links, asked by everyone.

use vault_core::id::GrantId;
use vault_core::log::testing::Machine;
use vault_core::object::ObjectKey;
use vault_core::wire::encoding::to_base64url;
use vault_core::wire::link::LinkToken;
use vault_core::wire::v1::grants::TICKET_HEADER;
use vault_core::wire::v1::paths;
use vault_server::routes::ROUTES;
use vault_tests::{Answer, Request};

use super::{Given, blank, laptop, phone, with_token};
use crate::world::World;

/// Who asks about a grant of Bob's to Mallory, who is no member, and to Alice, who owns the vault. It has a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Addressee,
    OwnerAndAddressee,
    AppendOnlyOfAddressee,
    RevokedOfAddressee,
    SenderAndEditor,
    Reader,
    Unsigned,
    Token,
    WrongToken,
    TokenAndTicket,
    TokenAndOldTicket,
    TokenAndTicketOfAnotherGrant,
    TicketAlone,
}

use Who::{
    Addressee, AppendOnlyOfAddressee, OwnerAndAddressee, Reader, RevokedOfAddressee, SenderAndEditor,
    TicketAlone, Token, TokenAndOldTicket, TokenAndTicket, TokenAndTicketOfAnotherGrant, Unsigned,
    WrongToken,
};

const EVERYONE: [Who; 13] = [
    Addressee,
    OwnerAndAddressee,
    AppendOnlyOfAddressee,
    RevokedOfAddressee,
    SenderAndEditor,
    Reader,
    Unsigned,
    Token,
    WrongToken,
    TokenAndTicket,
    TokenAndOldTicket,
    TokenAndTicketOfAnotherGrant,
    TicketAlone,
];

impl Who {
    fn signs(self) -> bool {
        matches!(self, Addressee | OwnerAndAddressee | AppendOnlyOfAddressee | SenderAndEditor | Reader)
    }

    fn has_token(self) -> bool {
        matches!(self, Token | TokenAndTicket | TokenAndOldTicket | TokenAndTicketOfAnotherGrant)
    }
}

/// The status of the answer.
fn expected(who: Who, pattern: &str) -> u16 {
    match pattern {
        paths::LINK_PAGE => 200,
        paths::LINK if who.has_token() => 200,
        paths::LINK_OPEN if who.has_token() => 201,
        paths::LINK_OBJECT if who == TokenAndTicket => 200,
        paths::LINK | paths::LINK_OPEN | paths::LINK_OBJECT => 404,
        _ if !who.signs() => 401,
        paths::GRANT_OPEN if matches!(who, Addressee | OwnerAndAddressee) => 204,
        paths::GRANT | paths::GRANT_OBJECT if matches!(who, Addressee | OwnerAndAddressee) => 200,
        paths::GRANT | paths::GRANT_OPEN | paths::GRANT_OBJECT => 404,
        paths::INBOX if who == AppendOnlyOfAddressee => 403,
        paths::VAULT_GRANTS if matches!(who, AppendOnlyOfAddressee | Reader) => 403,
        paths::VAULT_GRANTS if who == Addressee => 404,
        _ => 200,
    }
}

/// The tickets that somebody may have.
struct Tickets {
    good: String,
    old: String,
    of_another: String,
}

fn request(
    world: &World,
    given: &Given,
    tickets: &Tickets,
    (who, method, target): (Who, &str, &str),
) -> Request {
    let people = &world.people;
    let signed = |machine: &Machine| world.server.client(machine).request(method, target, None);
    let open = || Request::open(method, target, &world.server.authority(), None);
    let with_ticket = |ticket: &str| given.by_link(world, method, target).with(TICKET_HEADER, ticket);
    match who {
        Addressee => signed(&world.desk),
        OwnerAndAddressee => signed(&people.laptop),
        AppendOnlyOfAddressee => signed(&people.nas),
        RevokedOfAddressee => signed(&world.lost),
        SenderAndEditor => signed(&people.phone),
        Reader => signed(&people.tablet),
        Unsigned => open(),
        Token => given.by_link(world, method, target),
        WrongToken => with_token(open(), &LinkToken::parse(&to_base64url(&[99; 32])).unwrap())
            .with(TICKET_HEADER, &tickets.good),
        TokenAndTicket => with_ticket(&tickets.good),
        TokenAndOldTicket => with_ticket(&tickets.old),
        TokenAndTicketOfAnotherGrant => with_ticket(&tickets.of_another),
        TicketAlone => open().with(TICKET_HEADER, &tickets.good),
    }
}

#[test]
fn every_route_shows_a_grant_to_those_it_was_given_to_and_to_nobody_else() {
    let mut world = World::new();
    let to = [world.mallory.id(), world.people.alice.id()];
    let given = Given::prepare(&world, 1).to(&to).with_link(None).give(&mut world, &phone());
    let another = Given::prepare(&world, 2).with_link(None).give(&mut world, &phone());
    let old = given.ticket(&world);
    world.server.clock.add_seconds(24 * 60 * 60 + 1);
    let tickets = Tickets { good: given.ticket(&world), old, of_another: another.ticket(&world) };
    let routes = ROUTES.iter().filter(|(_, pattern)| {
        pattern.contains("{grant}") || [paths::INBOX, paths::VAULT_GRANTS].contains(pattern)
    });
    let (mut wrong, mut asked) = (Vec::new(), 0);

    for (method, pattern) in routes {
        let target = pattern
            .replace("{vault}", &world.vault().to_hex())
            .replace("{grant}", &given.id().to_hex())
            .replace("{path:.*}", &ObjectKey::Pack(given.whole).path());
        for who in EVERYONE {
            let answer = world.server.send(&request(&world, &given, &tickets, (who, method, &target)));
            asked += 1;
            if answer.status != expected(who, pattern) {
                wrong.push(format!("{who:?} {method} {pattern}: {}: {}", answer.status, answer.text()));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(asked, 11 * EVERYONE.len());
}

#[test]
fn a_member_who_was_not_given_it_is_not_shown_it_and_neither_is_who_gave_it() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.mallory.id()]).give(&mut world, &laptop());
    let desk = given.get_as(&world, &world.desk);

    assert_eq!((desk.status, &desk.body), (200, world.log.stored.last().unwrap()));
    let of_log = paths::statement(&world.vault(), vault_core::id::Seq(2));
    assert_eq!(desk.header("vault-receipt"), world.laptop().get(&of_log).header("vault-receipt"));
    for machine in [&world.people.laptop, &world.people.phone, &world.people.tablet, &world.people.nas] {
        assert_eq!(given.get_as(&world, machine).status, 404);
    }
    assert_eq!(given.get_by_link(&world).status, 404, "it has no link");
    let zeros = with_token(
        Request::open("GET", &paths::link(given.id()), &world.server.authority(), None),
        &LinkToken::parse(&to_base64url(&[0; 32])).unwrap(),
    );
    assert_eq!(world.server.send(&zeros).status, 404);
}

#[test]
fn what_is_over_or_not_ones_own_looks_like_what_never_was() {
    let mut world = World::new();
    let mallory = [world.mallory.id()];
    let anothers =
        Given::prepare(&world, 1).to(&[world.people.carol.id()]).with_link(None).give(&mut world, &laptop());
    let revoked = Given::prepare(&world, 2).to(&mallory).with_link(None).give(&mut world, &laptop());
    revoked.revoke(&mut world, &laptop());
    let expired = Given::prepare(&world, 3).to(&mallory).with_link(None).expiring_in(&world, 10);
    let expired = expired.give(&mut world, &laptop());
    world.server.clock.add_seconds(11);
    let nobodys = Given {
        grant: vault_core::log::Grant { id: GrantId::new([77; 16]), ..anothers.grant.clone() },
        ..anothers.clone()
    };
    let desk = world.server.client(&world.desk);
    let by_device = |given: &Given| {
        let object = paths::grant_object(given.id(), &ObjectKey::Pack(given.whole));
        let opened = desk.send("POST", &paths::grant_open(given.id()), None);
        [given.get_as(&world, &world.desk), desk.get(&object), opened].map(|answer| blank(&answer))
    };
    let by_link = |given: &Given| {
        let wrong = LinkToken::parse(&to_base64url(&[99; 32])).unwrap();
        let link = paths::link(given.id());
        let asked = with_token(Request::open("GET", &link, &world.server.authority(), None), &wrong);
        let bare = world.server.get(&link);
        [world.server.send(&asked), bare].map(|answer| blank(&answer))
    };

    let never = by_device(&nobodys);
    assert_eq!(never[0].0, 404);
    for given in [&anothers, &revoked, &expired] {
        assert_eq!(by_device(given), never);
    }
    let never = by_link(&nobodys);
    for given in [&anothers, &revoked, &expired] {
        assert_eq!(by_link(given), never);
    }
    let with_right_token = |given: &Given| blank(&given.get_by_link(&world));
    assert_eq!(anothers.get_by_link(&world).status, 200);
    assert_eq!([&revoked, &expired].map(with_right_token), [never[0].clone(), never[0].clone()]);
    for id in ["0", "xyz", &"A".repeat(32)] {
        assert_eq!(desk.get(&format!("/v1/grants/{id}")).status, 404);
        assert_eq!(world.server.get(&format!("/v1/links/{id}")).status, 404);
    }
}

#[test]
fn the_inbox_has_what_was_given_to_the_user_page_by_page() {
    let mut world = World::new();
    let (mallory, carol) = (world.mallory.id(), world.people.carol.id());
    let first = Given::prepare(&world, 1).to(&[mallory]).give(&mut world, &laptop());
    let second = Given::prepare(&world, 2).to(&[mallory, carol]).expiring_in(&world, 1000);
    let second = second.give(&mut world, &phone());
    Given::prepare(&world, 3).to(&[carol]).give(&mut world, &phone());
    let page =
        |query: &str| -> Answer { world.server.client(&world.desk).get(&format!("{}{query}", paths::INBOX)) };

    let all = page("").json();
    let listed = all["grants"].as_array().unwrap();
    assert_eq!((listed.len(), all["more"].as_bool()), (2, Some(false)));
    assert_eq!(listed[0]["grant"], first.id().to_hex());
    assert_eq!(listed[0]["from"], world.people.alice.id().to_hex());
    assert_eq!(listed[0]["vault"], world.vault().to_hex());
    assert!(listed[0].get("expires_at").is_none());
    assert_eq!(listed[1]["from"], world.people.bob.id().to_hex());
    assert_eq!(listed[1]["expires_at"], second.grant.expires.unwrap() * 1000);
    assert!(listed[1]["given_at"].as_u64().unwrap().abs_diff(world.server.clock.now_ms()) < 60_000);
    let rest = page(&format!("?after={}", first.id())).json();
    assert_eq!(rest["grants"].as_array().unwrap().len(), 1);
    for bad in ["?after=x", "?limit=1"] {
        assert_eq!(page(bad).status, 400, "{bad}");
    }
}
