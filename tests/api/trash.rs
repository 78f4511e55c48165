//! What is condemned: out of sight at once, off the disk late, and back again if an owner says so.

use vault_core::id::PackId;
use vault_core::log::{Body, Condemn};
use vault_core::object::ObjectKey;
use vault_core::wire::v1::paths;

use crate::world::World;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Condemns packs by a statement of the laptop.
fn condemn(world: &mut World, packs: &[PackId]) {
    let mut packs = packs.to_vec();
    packs.sort();
    let domain = world.people.alice.id().into();
    let body = Body::Condemn(Condemn { domain, packs, replaced: Vec::new(), replacements: Vec::new() });
    world.log.push_body(&world.people.laptop, body);
    assert_eq!(world.send_last(&world.laptop()), 201);
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
    let asked = serde_json::json!({ "paths": [ObjectKey::Pack(one).path(), ObjectKey::Pack(other).path()] });
    let undeleted = world.laptop().post(&paths::undelete(&world.vault()), &asked);
    assert_eq!(undeleted.json()["objects"], 1, "{}", undeleted.text());
    assert_eq!(world.laptop().get(&path).body, [1; 1000]);
}

#[test]
fn the_times_at_which_things_leave_are_the_servers() {
    let mut world = World::with(|config| {
        config.keeping.grace_days = 2;
        config.keeping.min_age_days = 30;
    });
    let (one, _other) = (world.put_pack(&[1; 1000]), world.put_pack(&[2; 5000]));
    condemn(&mut world, &[one]);

    let trash = world.laptop().get(&paths::trash(&world.vault())).json();
    let (condemned, leaves) = (
        trash["objects"][0]["condemned_at"].as_u64().unwrap(),
        trash["objects"][0]["leaves_at"].as_u64().unwrap(),
    );
    assert!(leaves > condemned + 29 * DAY_MS && leaves <= condemned + 30 * DAY_MS);
    let info = world.laptop().get(&paths::vault(&world.vault())).json();
    assert_eq!((info["grace_days"].as_u64(), info["min_age_days"].as_u64()), (Some(2), Some(30)));
}

#[test]
fn much_at_once_sets_the_trash_on_hold_until_the_operator_releases_it() {
    let mut world = World::new();
    let packs: Vec<PackId> = (1..=4).map(|number| world.put_pack(&[number; 1000])).collect();
    let held =
        |world: &World| world.laptop().get(&paths::vault(&world.vault())).json()["held"].as_bool().unwrap();

    condemn(&mut world, &packs[..2]);
    assert!(!held(&world));
    condemn(&mut world, &packs[2..3]);
    assert!(held(&world));
    let vault = world.vault();
    world.server.with_db(async |db| db.set_held(vault, false).await.unwrap());
    assert!(!held(&world));
}
