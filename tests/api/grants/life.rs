//! How long a grant lasts, what is counted of it, and what becomes of its objects.

use vault_core::id::{Seq, StatementHash};
use vault_core::log::testing::{Machine, members};
use vault_core::log::{Body, FinalHead, Role};
use vault_core::object::ObjectKey;
use vault_core::wire::audit::AuditPage;
use vault_core::wire::v1::grants::{Given as GivenPage, Inbox};
use vault_core::wire::v1::paths;
use vault_server::db::{Appended, Effects, NewStatement, Receipt};

use super::{Given, laptop, phone};
use crate::world::World;

const DAY_SECONDS: i64 = 24 * 60 * 60;

fn desk() -> Machine {
    Machine::new(19)
}

/// How many grants stand in the inbox of the user with that machine.
fn in_inbox(world: &World, machine: &Machine) -> usize {
    world.server.client(machine).get(paths::INBOX).parse::<Inbox>().grants.len()
}

fn listed(world: &World, machine: &Machine) -> GivenPage {
    world.server.client(machine).get(&paths::vault_grants(&world.vault())).parse()
}

#[test]
fn a_grant_expires_by_the_servers_clock() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.mallory.id()]).with_link(None);
    let given = given.expiring_in(&world, 3600).give(&mut world, &laptop());
    let ticket = given.ticket(&world);
    let key = ObjectKey::Pack(given.whole);
    let object = paths::grant_object(given.id(), &key);
    let statuses = |world: &World| {
        let client = world.server.client(&world.desk);
        [
            given.get_as(world, &world.desk).status,
            client.get(&object).status,
            given.get_by_link(world).status,
            given.object_by_link(world, &ticket, key).status,
        ]
    };
    assert_eq!((statuses(&world), in_inbox(&world, &desk())), ([200; 4], 1));

    world.server.clock.add_seconds(3601);
    assert_eq!((statuses(&world), in_inbox(&world, &desk())), ([404; 4], 0));
    assert_eq!(given.open(&world).status, 404);
    assert_eq!(listed(&world, &laptop()).grants.len(), 1, "who gave it may still see it");
    world.server.clock.add_seconds(-3600);
    assert_eq!((statuses(&world), in_inbox(&world, &desk())), ([200; 4], 1), "no other clock is asked");
}

#[test]
fn a_grant_that_expired_before_it_was_given_is_never_shown() {
    let mut world = World::new();
    let mut given = Given::prepare(&world, 1).to(&[world.mallory.id()]).with_link(None);
    given.grant.expires = Some(0);
    let given = given.give(&mut world, &laptop());
    assert_eq!((given.get_as(&world, &desk()).status, given.get_by_link(&world).status), (404, 404));

    let mut for_ever = Given::prepare(&world, 2).to(&[world.mallory.id()]);
    for_ever.grant.expires = Some(u64::MAX);
    let for_ever = for_ever.give(&mut world, &laptop());
    assert_eq!(for_ever.get_as(&world, &desk()).status, 200);
}

#[test]
fn what_is_taken_back_is_gone_at_the_next_request() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.mallory.id()]).with_link(None);
    let given = given.give(&mut world, &phone());
    let (ticket, key) = (given.ticket(&world), ObjectKey::Pack(given.whole));
    let object = paths::grant_object(given.id(), &key);
    for _ in 0..3 {
        assert_eq!(world.server.client(&desk()).get(&object).status, 200);
        assert_eq!(given.object_by_link(&world, &ticket, key).status, 200);
    }

    given.revoke(&mut world, &laptop());

    assert_eq!(world.server.client(&desk()).get(&object).status, 404);
    assert_eq!(given.object_by_link(&world, &ticket, key).status, 404);
    assert_eq!(given.get_as(&world, &desk()).status, 404);
    assert_eq!((given.get_by_link(&world).status, given.open(&world).status), (404, 404));
    assert_eq!((in_inbox(&world, &desk()), listed(&world, &laptop()).grants.len()), (0, 0));
    world.server.restart();
    assert_eq!(world.server.client(&desk()).get(&object).status, 404);
}

#[test]
fn what_another_server_on_the_same_database_takes_back_is_gone_within_a_second() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.mallory.id()]).with_link(None);
    let given = given.give(&mut world, &laptop());
    let (ticket, key) = (given.ticket(&world), ObjectKey::Pack(given.whole));
    let statuses = |world: &World| {
        let by_link = given.object_by_link(world, &ticket, key).status;
        [given.get_as(world, &desk()).status, given.get_by_link(world).status, by_link]
    };
    assert_eq!(statuses(&world), [200; 3]);
    // Its statement is of no matter here.
    let revoke = NewStatement {
        vault: world.vault(),
        seq: Seq(3),
        statement: b"statement".to_vec(),
        hash: StatementHash::new([1; 32]),
        receipt: Receipt { time_ms: world.server.clock.now_ms(), signature: [0; 64] },
        effects: Effects { revoke: Some(*given.id()), ..Effects::default() },
        hold_from: 0,
        audit: None,
    };

    let appended = world.server.with_db(async |db| db.append(revoke).await.unwrap());

    assert_eq!(appended, Appended::Done { held: false });
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(statuses(&world), [404; 3]);
}

#[test]
fn what_somebody_gave_who_is_removed_stays_until_an_owner_takes_it_back() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.mallory.id()]).give(&mut world, &phone());
    let people = &world.people;
    let mut after = members(2, vec![people.alice.user(Role::Owner, &[&people.laptop, &people.nas])]);
    let mut heads =
        [&people.phone, &people.tablet].map(|machine| FinalHead { device: machine.id(), seq: Seq(2) });
    heads.sort_by_key(|head| head.device);
    after.final_heads = heads.to_vec();
    world.log.push(&world.log.draft(people.alice.id(), Body::Members(after)), &world.people.alice.root);
    assert_eq!(world.send_last(&world.laptop()), 201);

    assert_eq!(given.get_as(&world, &desk()).status, 200);
    assert_eq!(world.phone().get(&paths::vault_grants(&world.vault())).status, 404);
    given.revoke(&mut world, &laptop());
    assert_eq!(given.get_as(&world, &desk()).status, 404);
}

#[test]
fn a_suspended_addressee_is_shown_nothing_until_accepted_again() {
    let mut world = World::new();
    let mallory = world.mallory.id();
    let given = Given::prepare(&world, 1).to(&[mallory]).give(&mut world, &laptop());
    let suspend = |is_suspended: bool| {
        world.server.with_db(async |db| db.set_suspended(mallory, is_suspended).await.unwrap());
        // Another process did it: what is in memory counts for a second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    };

    suspend(true);
    assert_eq!(given.get_as(&world, &desk()).status, 401);
    suspend(false);
    assert_eq!(given.get_as(&world, &desk()).status, 200);
}

#[test]
fn who_fetches_is_counted_and_stands_in_the_audit() {
    let mut world = World::new();
    let mallory = [world.mallory.id()];
    let of_alice = Given::prepare(&world, 1).to(&mallory).with_link(None).give(&mut world, &laptop());
    let of_bob = Given::prepare(&world, 2).to(&mallory).give(&mut world, &phone());
    assert_eq!(listed(&world, &laptop()).grants.iter().map(|grant| grant.fetched).sum::<u64>(), 0);

    let open = paths::grant_open(of_alice.id());
    assert_eq!(world.server.client(&desk()).send("POST", &open, None).status, 204);
    assert_eq!(world.server.client(&desk()).send("POST", &open, None).status, 204);
    assert_eq!(of_alice.open(&world).status, 201);
    let with_body = world.server.client(&desk()).send("POST", &open, Some(b"{}"));
    assert_eq!(with_body.problem(), (400, "bad_request".to_owned()));

    let all = listed(&world, &laptop());
    assert!(!all.more);
    let counted: Vec<_> = all.grants.iter().map(|grant| (grant.grant, grant.seq, grant.fetched)).collect();
    assert_eq!(counted, [(*of_alice.id(), Seq(2), 3), (*of_bob.id(), Seq(3), 0)]);
    let last = all.grants[0].last_at.unwrap().0;
    assert!(last.abs_diff(world.server.clock.now_ms()) < 60_000);
    assert_eq!(all.grants[1].last_at, None);
    let of_editor = listed(&world, &phone());
    assert_eq!(of_editor.grants.iter().map(|grant| grant.grant).collect::<Vec<_>>(), [*of_bob.id()]);

    let audit: AuditPage = world.laptop().get(&paths::audit(&world.vault())).parse();
    let fetched: Vec<_> = audit.entries.iter().filter(|entry| entry.action.starts_with("fetch")).collect();
    let id = of_alice.id().to_hex();
    assert!(fetched.iter().all(|entry| entry.object == id && entry.address == "127.0.0.0/24"));
    let words: Vec<_> = fetched.iter().map(|entry| (entry.device, entry.action.as_str())).collect();
    let of_desk = (Some(desk().id()), "fetch");
    assert_eq!(words, [of_desk, of_desk, (None, "fetch_link")]);
    let given: Vec<_> = audit.entries.iter().filter(|entry| entry.action == "grant").collect();
    assert_eq!(given.len(), 2);
}

#[test]
fn index_objects_of_grants_go_a_week_after_they_have_ended_and_not_before() {
    let mut world = World::new();
    let mallory = [world.mallory.id()];
    let living = Given::prepare(&world, 1).to(&mallory).give(&mut world, &laptop());
    let revoked = Given::prepare(&world, 2).to(&mallory).give(&mut world, &laptop());
    let expiring = Given::prepare(&world, 3).to(&mallory).expiring_in(&world, DAY_SECONDS as u64);
    let expiring = expiring.give(&mut world, &laptop());
    let sweep = |world: &World| {
        let now_ms = world.server.clock.now_ms();
        let report =
            world.server.with_jobs(async |jobs| vault_server::jobs::sweep(jobs, now_ms).await.unwrap());
        (report.grants, report.unnamed)
    };
    let are_there = |world: &World, given: &Given| {
        let is_there = |key| world.laptop().get(&world.path(key)).status == 200;
        let both = [given.index(), ObjectKey::Index(given.grant.ranges)].map(is_there);
        assert_eq!(both[0], both[1]);
        assert!(is_there(ObjectKey::Pack(given.whole)), "packs are the owner's to condemn");
        both[0]
    };

    world.server.clock.add_seconds(2 * DAY_SECONDS);
    revoked.revoke(&mut world, &laptop());
    assert_eq!(sweep(&world), (0, 0), "too young");
    world.server.clock.add_seconds(5 * DAY_SECONDS + 60);
    assert_eq!(sweep(&world), (0, 2), "those that were revoked");
    assert!(!are_there(&world, &revoked) && are_there(&world, &expiring) && are_there(&world, &living));
    world.server.clock.add_seconds(DAY_SECONDS);
    assert_eq!(sweep(&world), (1, 2), "expired a week ago");
    assert!(!are_there(&world, &expiring));
    world.server.clock.add_seconds(300 * DAY_SECONDS);
    assert_eq!(sweep(&world), (0, 0));
    assert!(are_there(&world, &living));
    assert_eq!(living.get_as(&world, &desk()).status, 200);
    assert_eq!(expiring.get_as(&world, &desk()).status, 404);
    let trash = world.laptop().get(&paths::trash(&world.vault())).json();
    assert_eq!(trash["objects"].as_array().unwrap().len(), 4);
}
