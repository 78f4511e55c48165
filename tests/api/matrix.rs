//! Who may do what: every route, asked by everyone. The routes are those that the server registers.

use vault_core::crypto::hash;
use vault_core::id::{GrantId, PackId, RequestId};
use vault_core::log::testing::Machine;
use vault_core::object::ObjectKey;
use vault_core::wire::v1::devices::RequestMade;
use vault_core::wire::v1::paths;
use vault_server::routes::ROUTES;
use vault_tests::{Answer, Request};

use crate::grants::Given;
use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Owner,
    Editor,
    Reader,
    AppendOnly,
    Stranger,
    Revoked,
    Unsigned,
}

const EVERYONE: [Who; 7] =
    [Who::Owner, Who::Editor, Who::Reader, Who::AppendOnly, Who::Stranger, Who::Revoked, Who::Unsigned];

/// What who asks gets: 0 stands for an answer that is neither 401, 403 nor 404.
fn expected(who: Who, method: &str, pattern: &str) -> u16 {
    use Who::{AppendOnly, Editor, Reader, Stranger};
    let is_open = matches!(
        pattern,
        paths::HEALTHZ
            | paths::READYZ
            | paths::SERVER
            | paths::JOIN
            | paths::DEVICE_REQUESTS
            | paths::LINK_PAGE
    );
    if is_open {
        return 0;
    }
    // A token is asked for, and a signature is none.
    if matches!(pattern, paths::LINK | paths::LINK_OPEN | paths::LINK_OBJECT) {
        return 404;
    }
    if matches!(who, Who::Revoked | Who::Unsigned) {
        return 401;
    }
    match (method, pattern, who) {
        // Only the device that waits; none of these.
        ("GET", paths::DEVICE_ANSWER, _) | ("PUT", paths::DEVICE_CONSENT, _) => 401,
        (_, paths::CARD_ENTRY, Editor | Reader | Stranger) => 404,
        ("PUT", paths::DEVICE_ANSWER | paths::CARD_ENTRY | paths::VAULT, AppendOnly)
        | ("PUT", paths::VAULT, Editor | Reader | Stranger)
        | (_, paths::UNDELETE | paths::TRASH | paths::AUDIT, Editor | Reader | AppendOnly)
        | ("PUT", paths::OBJECT, Reader)
        | (_, paths::DIRECTORY | paths::INBOX, AppendOnly)
        | (_, paths::VAULT_GRANTS, Reader | AppendOnly)
        | ("GET" | "HEAD", paths::OBJECT, AppendOnly) => 403,
        (_, _, Stranger) if pattern.contains("{vault}") => 404,
        // It was given to the reader.
        (_, paths::GRANT | paths::GRANT_OPEN | paths::GRANT_OBJECT, Reader) => 0,
        (_, paths::GRANT | paths::GRANT_OPEN | paths::GRANT_OBJECT, _)
        | ("GET", paths::DEVICE_CONSENT, _) => 404,
        _ => 0,
    }
}

struct Asked {
    pack: PackId,
    request: RequestId,
    grant: GrantId,
}

fn target(world: &World, asked: &Asked, pattern: &str) -> String {
    let path = pattern
        .replace("{vault}", &world.vault().to_hex())
        .replace("{user}", &world.people.alice.id().to_hex())
        .replace("{seq}", "1")
        .replace("{name}", "test")
        .replace("{request}", &asked.request.to_hex())
        .replace("{grant}", &asked.grant.to_hex())
        .replace("{path:.*}", &ObjectKey::Pack(asked.pack).path());
    if pattern == paths::OBJECTS { path + "?kind=packs" } else { path }
}

fn body(world: &World, method: &str, pattern: &str) -> Option<Vec<u8>> {
    let pack = crate::grants::pack(1, 1);
    match (method, pattern) {
        ("PUT", paths::CARD_ENTRY) => Some(world.second_card.clone()),
        ("PUT", paths::VAULT) => Some(world.log.stored[0].clone()),
        ("PUT", paths::STATEMENT) => Some(world.log.stored[1].clone()),
        ("PUT", paths::OBJECT) => Some(pack),
        ("POST", paths::GRANT_OPEN | paths::LINK_OPEN) => None,
        ("PUT" | "POST", _) => Some(b"{\"since\":9000000000000000}".to_vec()),
        _ => None,
    }
}

fn ask(world: &World, who: Who, method: &str, (target, body): (&str, Option<Vec<u8>>)) -> Answer {
    let people = &world.people;
    let machine = match who {
        Who::Owner => &people.laptop,
        Who::Editor => &people.phone,
        Who::Reader => &people.tablet,
        Who::AppendOnly => &people.nas,
        Who::Stranger => &world.desk,
        Who::Revoked => &world.lost,
        Who::Unsigned => {
            return world.server.send(&Request::open(method, target, &world.server.authority(), body));
        }
    };
    world.server.send(&world.server.client(machine).request(method, target, body.as_deref()))
}

#[test]
fn every_route_answers_everyone_as_the_protocol_says() {
    let mut world = World::new();
    let carol = world.people.carol.id();
    let given = Given::prepare(&world, 1).to(&[carol]).give(&mut world, &Machine::new(11));
    assert_eq!(given.whole, PackId::new(hash::object_hash(&crate::grants::pack(1, 1))));
    let waiting = Request::open(
        "POST",
        paths::DEVICE_REQUESTS,
        &world.server.authority(),
        Some(format!("{{\"signing_key\":\"{}\",\"recipient\":\"age1x\"}}", "A".repeat(43)).into_bytes()),
    );
    let made = world.server.send(&waiting.json());
    assert_eq!(made.status, 201, "{}", made.text());
    let request = made.parse::<RequestMade>().request;
    let asked = Asked { pack: given.whole, request, grant: given.grant.id };
    let mut wrong = Vec::new();

    for (method, pattern) in ROUTES {
        for who in EVERYONE {
            let answer =
                ask(&world, who, method, (&target(&world, &asked, pattern), body(&world, method, pattern)));
            let expected = expected(who, method, pattern);
            let is_as_expected = match expected {
                0 => !matches!(answer.status, 401 | 403 | 404) && answer.status < 500,
                status => answer.status == status,
            };
            if !is_as_expected {
                wrong.push(format!(
                    "{who:?} {method} {pattern}: {} for {expected}: {}",
                    answer.status,
                    answer.text()
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_vault_of_others_looks_like_one_that_is_not_there() {
    let world = World::new();
    let desk = world.server.client(&world.desk);
    let nobodys = vault_core::id::VaultId::new([7; 32]);
    let blank = |answer: Answer| {
        let mut json = answer.json();
        json.as_object_mut().unwrap().remove("request_id");
        (answer.status, json.to_string())
    };

    for (method, pattern) in ROUTES.iter().filter(|(_, pattern)| pattern.contains("{vault}/")) {
        let path = pattern.replace("{seq}", "1").replace("{path:.*}", "index/none");
        let of = |vault: vault_core::id::VaultId| {
            let body = (*method == "PUT" || *method == "POST").then_some(&b"{}"[..]);
            desk.send(method, &path.replace("{vault}", &vault.to_hex()), body)
        };
        if *method == "HEAD" {
            assert_eq!(of(world.vault()).status, of(nobodys).status);
            continue;
        }
        assert_eq!(blank(of(world.vault())), blank(of(nobodys)), "{method} {pattern}");
    }
    assert_eq!(world.mallory.id(), vault_core::log::testing::Person::new(9).id());
}
