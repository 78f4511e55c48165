//! Which grants the server takes: those that are whole, and of which there is no other.

use vault_core::id::{GrantId, PackId, Seq, VaultId};
use vault_core::log::testing::{Machine, TestLog, members};
use vault_core::log::{Body, Grant, PqPolicy, Role, certify_device};
use vault_core::object::ObjectKey;
use vault_core::wire::ranges::{PackRanges, RANGES_BYTES, Ranges};
use vault_core::wire::v1::paths;

use super::{Given, index_of, laptop, phone, say};
use crate::world::World;

/// Refuses the grant with that word among the reasons, and changes nothing.
#[track_caller]
fn assert_refused(world: &mut World, given: &Given, reason: &str) {
    let head = |world: &World| world.laptop().get(&paths::vault(&world.vault())).json()["head"].to_string();
    let before = head(world);

    let answer = say(world, &laptop(), Body::Grant(given.grant.clone()));

    assert_eq!(answer.problem(), (422, "statement_refused".to_owned()));
    let said = answer.json()["reason"].as_str().unwrap().to_owned();
    assert!(said.contains(reason), "{said}");
    assert_eq!(head(world), before);
    assert_eq!(given.get_as(world, &world.desk).status, 404);
    let list = world.laptop().get(&paths::vault_grants(&world.vault())).json();
    assert_eq!(list["grants"].as_array().unwrap().len(), 0);
}

#[test]
fn a_grant_needs_its_list_its_index_objects_and_all_packs() {
    let mut world = World::new();
    let mut given = Given::prepare(&world, 1).to(&[world.mallory.id()]);
    let (index, list) = (given.grant.indexes.clone(), given.grant.ranges);
    given.grant.ranges = index_of(b"a list that nobody stored");
    assert_refused(&mut world, &given, "is not there");
    given.grant.ranges = list;
    given.grant.indexes = vec![index_of(b"an index object that nobody stored")];
    assert_refused(&mut world, &given, "is not there");
    given.grant.indexes = index;

    let absent = PackId::new([0xff; 32]);
    let mut with_absent = given.ranges(&world);
    with_absent.packs.push(PackRanges { pack: absent, parts: vec![(0, 1)] });
    given.grant.ranges = world.put_index(&with_absent.encode());
    assert_refused(&mut world, &given, &format!("{} is not there", ObjectKey::Pack(absent)));

    given.grant.ranges = list;
    let given = given.give(&mut world, &laptop());
    assert_eq!(given.get_as(&world, &world.desk).status, 200);
}

#[test]
fn a_list_that_is_none_or_anothers_is_refused() {
    let mut world = World::new();
    let mut given = Given::prepare(&world, 1).to(&[world.mallory.id()]);
    let list = given.ranges(&world);

    given.grant.ranges = world.put_index(b"no list of ranges");
    assert_refused(&mut world, &given, "not the list of ranges of a grant");
    let of_another_grant = Ranges { grant: GrantId::new([2; 16]), ..list.clone() };
    given.grant.ranges = world.put_index(&of_another_grant.encode());
    assert_refused(&mut world, &given, "another vault or grant");
    let of_another_vault = Ranges { vault: VaultId::new([2; 32]), ..list };
    given.grant.ranges = world.put_index(&of_another_vault.encode());
    assert_refused(&mut world, &given, "another vault or grant");
    given.grant.ranges = world.put_index(&vec![0; RANGES_BYTES as usize + 1]);
    assert_refused(&mut world, &given, "bytes");
}

#[test]
fn who_may_not_give_is_refused_and_so_is_who_brings_anothers_word() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.mallory.id()]);
    let body = || Body::Grant(given.grant.clone());

    let by_reader = say(&mut world, &Machine::new(13), body());
    assert_eq!(by_reader.problem(), (422, "statement_refused".to_owned()));
    let by_append_only = say(&mut world, &Machine::append_only(14), body());
    assert_eq!(by_append_only.problem(), (422, "statement_refused".to_owned()));
    world.log.push_body(&laptop(), body());
    assert_eq!(world.send_last(&world.phone()), 403);
    world.log.stored.pop();
    assert_eq!(say(&mut world, &phone(), body()).status, 201);
}

#[test]
fn an_id_has_one_grant_in_all_vaults() {
    let mut world = World::new();
    let given = Given::prepare(&world, 1).to(&[world.people.carol.id()]).give(&mut world, &laptop());
    // Mallory founds a vault, and gives something under the same id.
    let (mallory, desk) = (&world.mallory, &world.desk);
    let client = world.server.client(desk);
    let mut log = TestLog::founded(mallory, PqPolicy::Required);
    let vault = log.vault;
    let mut owner = mallory.user(Role::Owner, &[desk]);
    let device = &mut owner.devices[0];
    let key = (&desk.key.verifying_key(), desk.kind);
    device.certificate = certify_device(&mallory.root, &vault, key, &device.recipient);
    log.push_members(mallory, members(1, vec![owner]));
    assert_eq!(client.put(&paths::vault(&vault), &log.stored[0]).status, 201);
    assert_eq!(client.put(&paths::statement(&vault, Seq(1)), &log.stored[1]).status, 201);
    let list = Ranges { vault, grant: given.grant.id, packs: Vec::new() }.encode();
    let store = |bytes: &[u8]| {
        let key = ObjectKey::Index(index_of(bytes));
        assert_eq!(client.put(&paths::object(&vault, &key), bytes).status, 201);
    };
    store(&list);
    store(b"an index object of Mallory's");
    let stolen = Grant {
        ranges: index_of(&list),
        indexes: vec![index_of(b"an index object of Mallory's")],
        ..given.clone().to(&[mallory.id()]).grant
    };
    log.push_body(desk, Body::Grant(stolen));

    let answer = client.put(&paths::statement(&vault, Seq(2)), &log.stored[2]);

    assert_eq!(answer.problem(), (422, "statement_refused".to_owned()));
    assert!(answer.json()["reason"].as_str().unwrap().contains("there is a grant"), "{}", answer.text());
    assert_eq!(given.get_as(&world, desk).status, 404, "it is not Mallory's now");
    assert_eq!(given.get_as(&world, &world.people.tablet).body, *world.log.stored.last().unwrap());
}
