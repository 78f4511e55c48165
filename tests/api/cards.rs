//! Cards, and how a new device gets onto one.

use vault_core::card::{Chain, Consent, ListedDevice};
use vault_core::log::testing::Machine;
use vault_core::wire::entries::Entries;
use vault_core::wire::v1::devices::{RequestMade, RequestedDevice};
use vault_core::wire::v1::paths;
use vault_tests::Request;
use vault_tests::server::{card, listed};

use crate::world::World;

#[test]
fn a_card_is_read_by_others_and_changed_by_its_user() {
    let world = World::new();
    let user = world.people.alice.id();

    let read = world.phone().get(&paths::card(&user));
    let entries: Vec<_> =
        Entries::new(&read.body, 1 << 20).map(|entry| entry.unwrap().bytes.to_vec()).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1], world.second_card);
    assert!(world.phone().get(&format!("{}?from=2", paths::card(&user))).body.is_empty());
    assert_eq!(world.laptop().put(&paths::card_entry(&user, 1), &world.second_card).status, 200);
    let taken = world.laptop().put(&paths::card_entry(&user, 1), b"other");
    assert_eq!(taken.problem(), (409, "taken".to_owned()));
    let refused = world.laptop().put(&paths::card_entry(&user, 2), b"other");
    assert_eq!(refused.problem(), (422, "entry_refused".to_owned()));
    assert_eq!(world.phone().put(&paths::card_entry(&user, 2), b"other").status, 404);
}

#[test]
fn nobody_lists_a_device_that_has_not_agreed() {
    let world = World::new();
    let alice = &world.people.alice;
    let newest =
        Chain::begin(&alice.id(), &card(alice, &[&world.people.laptop, &world.people.nas, &world.lost]));
    let mut chain = newest.unwrap();
    chain.append(&world.second_card).unwrap();
    let new = Machine::new(33);
    let put = |device: &ListedDevice| {
        let mut devices = chain.card().devices.clone();
        devices.push(device.clone());
        let entry = chain.card().next(chain.hash(), devices, 3).sign(&alice.root).unwrap();
        world.laptop().put(&paths::card_entry(&alice.id(), 2), &entry)
    };
    let [mine, others] = [alice, &world.mallory].map(|person| listed(person, &[&new]).remove(0));

    for stolen in [others, ListedDevice { consent: Consent([0; 64]), ..mine.clone() }] {
        let refused = put(&stolen);
        assert_eq!(refused.problem(), (422, "entry_refused".to_owned()));
        assert!(refused.text().contains("does not say itself"), "{}", refused.text());
    }
    assert_eq!(put(&mine).status, 201);
}

#[test]
fn a_new_device_asks_is_answered_and_reads_the_answer_alone() {
    let world = World::new();
    let new = Machine::new(33);
    let asked = serde_json::json!({ "signing_key": new.key.verifying_key(), "recipient": "age1pq1new" });
    let body = serde_json::to_vec(&asked).unwrap();
    let open = Request::open("POST", paths::DEVICE_REQUESTS, &world.server.authority(), Some(body)).json();
    let made = world.server.send(&open);
    assert_eq!(made.status, 201, "{}", made.text());
    let request = made.parse::<RequestMade>().request;
    let answer = paths::device_answer(&request);

    let shown: RequestedDevice = world.laptop().get(&paths::device_request(&request)).parse();
    assert_eq!(shown.signing_key, new.key.verifying_key());
    assert_eq!(world.server.client(&new).get(&answer).status, 404);
    assert_eq!(world.laptop().put(&answer, b"sealed").status, 201);
    assert_eq!(world.laptop().put(&answer, b"sealed").status, 200);
    assert_eq!(world.phone().put(&answer, b"other").problem(), (409, "taken".to_owned()));
    assert_eq!(world.server.client(&new).get(&answer).body, b"sealed");
    assert_eq!(world.laptop().get(&answer).status, 401);

    let consent = paths::device_consent(&request);
    assert_eq!(world.laptop().get(&consent).status, 404);
    assert_eq!(world.laptop().put(&consent, &[1; 64]).status, 401);
    assert_eq!(world.server.client(&new).put(&consent, &[1; 63]).status, 400);
    assert_eq!(world.server.client(&new).put(&consent, &[1; 64]).status, 201);
    assert_eq!(world.server.client(&new).put(&consent, &[1; 64]).status, 200);
    assert_eq!(world.server.client(&new).put(&consent, &[2; 64]).problem(), (409, "taken".to_owned()));
    assert_eq!(world.laptop().get(&consent).body, [1; 64]);
    world.server.clock.add_seconds(16 * 60);
    assert_eq!(world.server.client(&new).get(&answer).status, 401);
    assert_eq!(world.laptop().get(&paths::device_request(&request)).status, 404);
}
