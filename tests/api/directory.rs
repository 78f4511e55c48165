//! Names: who has which, and who may ask.

use vault_core::log::testing::{Machine, Person};
use vault_core::wire::v1::directory::DirectoryEntry;
use vault_core::wire::v1::me::Me;
use vault_core::wire::v1::paths;
use vault_server::invites::NO_LIMIT;
use vault_tests::TestServer;
use vault_tests::server::card;

use crate::world::World;

#[test]
fn a_name_leads_to_its_user_and_every_other_text_to_nobody() {
    let world = World::new();
    // The first invite's label was free; everyone after that has the same.
    let found: DirectoryEntry = world.phone().get("/v1/directory/test").parse();
    assert_eq!(found.user, world.people.alice.id());
    let me: Me = world.laptop().get(paths::ME).parse();
    assert_eq!(me.name.unwrap().as_str(), "test");
    assert_eq!(world.phone().get(paths::ME).parse::<Me>().name, None);

    for other in ["nobody", "TEST", "Test", "te%73t", "-test", "test%20", &"x".repeat(65)] {
        let answer = world.phone().get(&format!("/v1/directory/{other}"));
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{other}");
    }
    let queried = world.phone().get("/v1/directory/test?all=1");
    assert_eq!(queried.problem(), (400, "bad_request".to_owned()));
}

#[test]
fn a_name_that_another_has_is_refused_and_the_invite_may_be_used_again() {
    let server = TestServer::start();
    let (alice, laptop, bob, phone) = (Person::new(1), Machine::new(11), Person::new(2), Machine::new(12));
    let as_alice = server.try_join_as(&server.invite(NO_LIMIT), &card(&alice, &[&laptop]), Some("alice"));
    assert_eq!(as_alice.status, 200, "{}", as_alice.text());
    let (invite, entry) = (server.invite(NO_LIMIT), card(&bob, &[&phone]));

    let taken = server.try_join_as(&invite, &entry, Some("alice"));
    assert_eq!(taken.problem(), (409, "name_taken".to_owned()));
    assert_eq!(server.client(&phone).get(paths::ME).status, 401);
    assert_eq!(server.try_join_as(&invite, &entry, Some("bob")).status, 200);
    assert_eq!(server.try_join_as(&invite, &entry, Some("bob")).status, 200, "asked again");

    let found: DirectoryEntry = server.client(&laptop).get("/v1/directory/bob").parse();
    assert_eq!(found.user, bob.id());
}
