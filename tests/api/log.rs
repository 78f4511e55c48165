//! The log: what the server takes, what it refuses, and who is told.

use std::time::{Duration, Instant};

use vault_core::id::Seq;
use vault_core::log::testing::{commit, members};
use vault_core::log::{Body, Commit, Role};
use vault_core::wire::audit::{AuditHead, AuditPage};
use vault_core::wire::entries::Entries;
use vault_core::wire::v1::paths;

use crate::world::World;

#[test]
fn the_log_is_read_as_it_was_put() {
    let world = World::new();
    let list = |query: &str| world.laptop().get(&(paths::log(&world.vault()) + query));

    let all = list("");
    let read: Vec<Vec<u8>> =
        Entries::new(&all.body, 1 << 20).map(|entry| entry.unwrap().bytes.to_vec()).collect();
    assert_eq!(read, world.log.stored);
    assert_eq!(Entries::new(&list("?from=1&limit=1").body, 1 << 20).count(), 1);
    assert!(list("?from=2").body.is_empty());
    let one = world.laptop().get(&paths::statement(&world.vault(), Seq(1)));
    assert_eq!(one.body, world.log.stored[1]);
    assert!(one.header("vault-receipt").is_some());
    assert_eq!(world.laptop().get(&paths::statement(&world.vault(), Seq(2))).status, 404);
}

#[test]
fn a_number_is_taken_once() {
    let mut world = World::new();
    let index = world.put_index(b"index");
    world.log.push_commit(&world.people.laptop, Commit { indexes: vec![index], ..commit(1, 1) });
    assert_eq!(world.send_last(&world.laptop()), 201);
    assert_eq!(world.send_last(&world.laptop()), 200);

    world.log.stored.pop();
    world.log.push_commit(&world.people.laptop, Commit { indexes: vec![index], ..commit(1, 2) });
    let taken = world.laptop().put(&paths::statement(&world.vault(), Seq(2)), &world.log.stored[2]);
    assert_eq!(taken.problem(), (409, "taken".to_owned()));
    assert_eq!(taken.json()["head"]["seq"], 2);
    let gap = world.laptop().put(&paths::statement(&world.vault(), Seq(4)), &world.log.stored[2]);
    assert_eq!(gap.problem(), (409, "taken".to_owned()));
}

#[test]
fn statements_that_the_log_does_not_allow_are_refused_in_its_words() {
    let mut world = World::new();
    let index = world.put_index(b"index");
    world.log.push_commit(&world.people.tablet, Commit { indexes: vec![index], ..commit(1, 1) });
    let path = paths::statement(&world.vault(), Seq(2));

    let by_reader = world.server.client(&world.people.tablet).put(&path, &world.log.stored[2]);
    assert_eq!(by_reader.problem(), (422, "statement_refused".to_owned()));
    assert!(by_reader.json()["reason"].as_str().unwrap().contains("a reader's device may not commit"));
    let garbage = world.laptop().put(&path, b"garbage");
    assert_eq!(garbage.problem(), (422, "statement_refused".to_owned()));

    world.log.stored.pop();
    world.log.push_commit(&world.people.laptop, Commit { indexes: vec![index], ..commit(1, 1) });
    let by_another = world.phone().put(&path, &world.log.stored[2]);
    assert_eq!(by_another.problem(), (403, "forbidden".to_owned()));
    assert_eq!(world.send_last(&world.laptop()), 201);
}

#[test]
fn who_is_removed_is_a_stranger_at_the_next_request() {
    let mut world = World::new();
    let people = &world.people;
    let mut after = members(2, vec![people.alice.user(Role::Owner, &[&people.laptop, &people.nas])]);
    after.final_heads = {
        let mut heads: Vec<_> = [&people.phone, &people.tablet]
            .map(|machine| vault_core::log::FinalHead { device: machine.id(), seq: Seq(1) })
            .into();
        heads.sort_by_key(|head| head.device);
        heads
    };
    assert_eq!(world.phone().get(&paths::vault(&world.vault())).status, 200);
    world.log.push(&world.log.draft(people.alice.id(), Body::Members(after)), &world.people.alice.root);
    assert_eq!(world.send_last(&world.laptop()), 201);

    assert_eq!(world.phone().get(&paths::vault(&world.vault())).status, 404);
    assert_eq!(world.laptop().get(&paths::vault(&world.vault())).status, 200);
}

#[test]
fn who_waits_for_the_head_is_told_at_once() {
    let mut world = World::new();
    let index = world.put_index(b"index");
    world.log.push_commit(&world.people.laptop, Commit { indexes: vec![index], ..commit(1, 1) });
    let path = paths::head(&world.vault());
    assert_eq!(world.laptop().get(&format!("{path}?after=1&wait=0")).json()["seq"], 1);

    let (waited, took) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let start = Instant::now();
            (world.phone().get(&format!("{path}?after=1&wait=50")), start.elapsed())
        });
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(world.send_last(&world.laptop()), 201);
        waiting.join().unwrap()
    });

    assert_eq!(waited.json()["seq"], 2);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn the_audit_is_one_chain_that_names_who_did_what() {
    let world = World::new();
    world.put_pack(b"a pack");

    let page: AuditPage = world.laptop().get(&paths::audit(&world.vault())).parse();

    let actions: Vec<&str> = page.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["create_vault", "members", "put"]);
    assert!(page.entries.iter().all(|entry| entry.device == Some(world.people.laptop.id())));
    assert!(page.entries.iter().all(|entry| entry.address == "127.0.0.0/24"));
    let head = AuditHead::start(&world.vault()).follow(&page.entries).unwrap();
    assert_eq!(head.seq, 3);
}

#[test]
fn appends_of_many_at_once_are_one_log() {
    let mut world = World::new();
    let index = world.put_index(b"index");
    world.log.push_commit(&world.people.laptop, Commit { indexes: vec![index], ..commit(1, 1) });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| world.send_last(&world.laptop()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7, "{statuses:?}");
}
