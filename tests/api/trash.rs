//! What is condemned: out of sight at once, off the disk late, and back again if an owner says so.

use vault_core::id::PackId;
use vault_core::log::testing::commit;
use vault_core::log::{Body, Commit, Condemn};
use vault_core::object::ObjectKey;
use vault_core::time::Timestamp;
use vault_core::wire::v1::paths;

use crate::world::World;

const DAY_SECONDS: i64 = 24 * 60 * 60;
const DAY_MS: u64 = 1000 * DAY_SECONDS as u64;

/// What condemns packs of Alice's.
fn condemned(world: &World, packs: &[PackId]) -> Body {
    let mut packs = packs.to_vec();
    packs.sort();
    let domain = world.people.alice.id().into();
    Body::Condemn(Condemn { domain, packs, replaced: Vec::new(), replacements: Vec::new() })
}

/// Condemns packs by a statement of the laptop.
fn condemn(world: &mut World, packs: &[PackId]) {
    let body = condemned(world, packs);
    world.log.push_body(&world.people.laptop, body);
    assert_eq!(world.send_last(&world.laptop()), 201);
}

/// Takes packs out of the trash; how many were in it.
fn undelete(world: &World, packs: &[PackId]) -> u64 {
    let of = |pack: &PackId| ObjectKey::Pack(*pack).path();
    let asked = serde_json::json!({ "paths": packs.iter().map(of).collect::<Vec<_>>() });
    let undeleted = world.laptop().post(&paths::undelete(&world.vault()), &asked);
    undeleted.json()["objects"].as_u64().unwrap_or_else(|| panic!("{}", undeleted.text()))
}

#[test]
fn what_is_condemned_is_not_served_and_can_be_taken_back() {
    let mut world = World::new();
    let (one, other) = (world.put_pack(&[1; 1000]), world.put_pack(&[2; 5000]));
    let path = world.path(ObjectKey::Pack(one));
    condemn(&mut world, &[one]);

    assert_eq!(world.laptop().get(&path).status, 404);
    assert_eq!(world.laptop().send("HEAD", &path, None).status, 404);
    assert_eq!(world.used(), 6000);
    let trash = world.laptop().get(&paths::trash(&world.vault())).json();
    assert_eq!(trash["objects"][0]["path"], ObjectKey::Pack(one).path());
    assert_eq!(undelete(&world, &[one, other]), 1);
    assert_eq!(world.laptop().get(&path).body, [1; 1000]);
}

#[test]
fn what_is_condemned_leaves_by_the_servers_times_whatever_the_statement_says() {
    let mut world = World::with(|config| {
        config.keeping.grace_days = 2;
        config.keeping.min_age_days = 30;
    });
    let (one, other) = (world.put_pack(&[1; 1000]), world.put_pack(&[2; 5000]));
    let (path, begun) = (world.path(ObjectKey::Pack(one)), world.server.clock.now_ms());
    // Dated as a thief of the laptop would, so that all times would be over.
    let mut payload = world.log.draft(world.people.laptop.id(), condemned(&world, &[one]));
    payload.time = Timestamp::new(1, 0);
    world.log.push(&payload, &world.people.laptop.key);
    assert_eq!(world.send_last(&world.laptop()), 201);

    let trash = world.laptop().get(&paths::trash(&world.vault())).json();
    let at = |key: &str| trash["objects"][0][key].as_u64().unwrap();
    assert!(at("condemned_at") >= begun && at("condemned_at") < begun + 60_000);
    assert!(at("leaves_at") > begun + 29 * DAY_MS && at("leaves_at") <= begun + 30 * DAY_MS + 60_000);
    let info = world.laptop().get(&paths::vault(&world.vault())).json();
    assert_eq!((info["grace_days"].as_u64(), info["min_age_days"].as_u64()), (Some(2), Some(30)));

    // The grace time is over, the minimum age is not.
    world.server.clock.add_seconds(29 * DAY_SECONDS);
    assert_eq!(world.server.empty_trash(), 0);
    assert_eq!(undelete(&world, &[one]), 1);
    assert_eq!(world.laptop().get(&path).body, [1; 1000]);
    condemn(&mut world, &[other]);
    world.server.clock.add_seconds(DAY_SECONDS + 60);
    assert_eq!(world.server.empty_trash(), 0, "condemned yesterday");
    world.server.clock.add_seconds(DAY_SECONDS);
    assert_eq!(world.server.empty_trash(), 1);
    assert_eq!(undelete(&world, &[other]), 0, "too late");
    assert_eq!((world.used(), world.files()), (1000, 1));
}

#[test]
fn who_stores_an_object_again_takes_it_out_of_the_trash() {
    let mut world = World::with(|config| {
        config.keeping.grace_days = 0;
        config.keeping.min_age_days = 30;
    });
    let (one, _other) = (world.put_pack(&[1; 1000]), world.put_pack(&[2; 5000]));
    condemn(&mut world, &[one]);
    world.server.clock.add_seconds(20 * DAY_SECONDS);
    world.put_pack(&[1; 1000]);

    world.server.clock.add_seconds(40 * DAY_SECONDS);

    assert_eq!(world.server.empty_trash(), 0);
    assert_eq!(world.laptop().get(&world.path(ObjectKey::Pack(one))).body, [1; 1000]);
}

#[test]
fn index_objects_that_no_statement_names_go_after_a_week() {
    let mut world = World::with(|config| config.keeping.grace_days = 1);
    let (named, unnamed) = (world.put_index(b"named"), world.put_index(b"unnamed"));
    world.log.push_commit(&world.people.laptop, Commit { indexes: vec![named], ..commit(1, 1) });
    assert_eq!(world.send_last(&world.laptop()), 201);
    let is_there = |world: &World, id| world.laptop().get(&world.path(ObjectKey::Index(id))).status == 200;
    let sweep = |world: &World| {
        let now_ms = world.server.clock.now_ms();
        world.server.with_jobs(async |jobs| vault_server::jobs::sweep(jobs, now_ms).await.unwrap().unnamed)
    };

    world.server.clock.add_seconds(6 * DAY_SECONDS);
    let young = world.put_index(b"young");
    assert_eq!(sweep(&world), 0);
    world.server.clock.add_seconds(DAY_SECONDS + 60);
    assert_eq!(sweep(&world), 1);

    assert!(is_there(&world, named) && is_there(&world, young) && !is_there(&world, unnamed));
    let trash = world.laptop().get(&paths::trash(&world.vault())).json();
    assert_eq!(trash["objects"][0]["path"], ObjectKey::Index(unnamed).path());
    world.server.clock.add_seconds(DAY_SECONDS + 60);
    assert_eq!(world.server.empty_trash(), 1);
    assert_eq!(world.used(), 10);
}

#[test]
fn much_at_once_sets_the_trash_on_hold_until_the_operator_releases_it() {
    let mut world = World::with(|config| {
        config.keeping.grace_days = 0;
        config.keeping.hold_from = 4000;
    });
    let packs: Vec<PackId> = (1..=4).map(|number| world.put_pack(&[number; 1000])).collect();
    let held =
        |world: &World| world.laptop().get(&paths::vault(&world.vault())).json()["held"].as_bool().unwrap();

    condemn(&mut world, &packs[..2]);
    assert!(!held(&world));
    condemn(&mut world, &packs[2..3]);
    assert!(held(&world));
    assert_eq!(world.server.empty_trash(), 0);
    let vault = world.vault();
    world.server.with_db(async |db| db.set_held(vault, false).await.unwrap());
    assert!(!held(&world));
    assert_eq!(world.server.empty_trash(), 3);
}

#[test]
fn a_small_vault_may_be_emptied() {
    let mut world = World::with(|config| config.keeping.grace_days = 0);
    let packs: Vec<PackId> = (1..=4).map(|number| world.put_pack(&[number; 1000])).collect();

    condemn(&mut world, &packs);

    assert_eq!(world.laptop().get(&paths::vault(&world.vault())).json()["held"], false);
    assert_eq!(world.server.empty_trash(), 4);
}
