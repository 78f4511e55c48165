//! Behind a proxy: under which name requests are signed, and whose word on the client's address is taken.

use vault_core::crypto::hash;
use vault_core::id::PackId;
use vault_core::object::ObjectKey;
use vault_core::wire::audit::AuditPage;
use vault_core::wire::signing::Signer;
use vault_core::wire::v1::paths;
use vault_server::config::Tls;
use vault_server::proxies::Proxies;
use vault_tests::{Answer, Request, TestServer};

use crate::world::World;

/// A request for the laptop's account that was signed for a server of that name.
fn ask_as(world: &World, host: &str) -> Answer {
    let laptop = &world.people.laptop;
    let by = Signer { key: &laptop.key, device: laptop.id() };
    let now = world.server.clock.now_ms() / 1000;
    world.server.send(&Request::signed(&by, now, host, ("GET", paths::ME, None)))
}

#[test]
fn the_name_that_the_operator_gave_is_the_one_that_is_signed() {
    // A proxy on the same machine has TLS, and leaves the name as the client said it.
    let world = World::with(|config| {
        config.tls = Tls::Off;
        config.public_url = Some("https://vault.example.org".to_owned());
    });

    assert_eq!(world.server.authority(), "vault.example.org");
    for host in ["vault.example.org", "VAULT.example.org", "vault.example.org:443"] {
        assert_eq!(ask_as(&world, host).status, 200, "{host}");
    }
    let refused = |answer: &Answer| {
        let mut json = answer.json();
        json.as_object_mut().unwrap().remove("request_id");
        (answer.problem(), json.to_string())
    };
    let unsigned = refused(&world.server.get(paths::ME));
    assert_eq!(unsigned.0, (401, "unauthorized".to_owned()));
    for host in [
        world.server.addr().to_string().as_str(),
        "vault.example.org:8443",
        "example.org",
        "vault.example.org.",
        "other.example.org",
    ] {
        assert_eq!(refused(&ask_as(&world, host)), unsigned, "{host}");
    }
}

#[test]
fn without_a_name_from_the_operator_the_one_that_was_signed_must_be_the_one_in_the_request() {
    let world = World::new();
    let laptop = &world.people.laptop;
    let by = Signer { key: &laptop.key, device: laptop.id() };
    let now = world.server.clock.now_ms() / 1000;
    let request = Request::signed(&by, now, "other.example.org", ("GET", paths::ME, None));

    assert_eq!(world.server.send(&request).status, 200);
    let moved = request.changing("host", |_| world.server.authority());
    assert_eq!(world.server.send(&moved).problem(), (401, "unauthorized".to_owned()));
}

/// Answers to requests without a signature, each from another address by what its header says.
fn statuses(server: &TestServer, requests: u8) -> Vec<u16> {
    let ask = |number: u8| {
        let open = Request::open("GET", paths::ME, &server.authority(), None);
        server.send(&open.with("x-forwarded-for", &format!("203.0.113.{number}"))).status
    };
    (0..requests).map(ask).collect()
}

#[test]
fn only_proxies_that_the_operator_named_say_who_the_client_is() {
    let with = |proxies: &str| {
        let proxies = Proxies::parse(proxies).unwrap();
        TestServer::with(|config| (config.limits.open_rate, config.proxies) = (20, proxies))
    };

    let (unnamed, other, named) = (with(""), with("192.0.2.7"), with("127.0.0.1"));

    assert_eq!(statuses(&unnamed, 40)[39], 429, "all of them are the one that connects");
    assert_eq!(statuses(&other, 40)[39], 429);
    assert!(statuses(&named, 40).iter().all(|status| *status == 401));
}

#[test]
fn the_audit_names_the_network_of_the_client_and_not_of_the_proxy() {
    let world = World::with(|config| config.proxies = Proxies::parse("127.0.0.0/8, 10.0.0.0/8").unwrap());
    let bytes = b"a pack";
    let path = world.path(ObjectKey::Pack(PackId::new(hash::object_hash(bytes))));
    let put = world.laptop().request("PUT", &path, Some(bytes));

    // The first is the client's own invention, the last the nearer of two proxies.
    let put = put.with("x-forwarded-for", "192.0.2.1, 203.0.113.77, 10.0.0.3");
    assert_eq!(world.server.send(&put).status, 201);

    let page: AuditPage = world.laptop().get(&paths::audit(&world.vault())).parse();
    let last = page.entries.last().unwrap();
    assert_eq!((last.action.as_str(), last.address.as_str()), ("put", "203.0.113.0/24"));
}
