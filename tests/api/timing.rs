//! How long refusals take: what is there and not for the one who asks takes as long as what is not there.
//!
//! Medians of requests that take turns on one connection, so that whatever else the machine does befalls both alike. The bound is
//! generous: it is to find another path through the code, such as one more look into the database, and not a cache line.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use vault_core::id::{GrantId, PackId, VaultId};
use vault_core::log::testing::Machine;
use vault_core::object::ObjectKey;
use vault_core::wire::v1::paths;
use vault_tests::{Answer, Request};

use crate::grants::Given;
use crate::world::World;

/// Requests of each kind.
const SAMPLES: usize = 300;

/// What is too much of a difference.
const MOST: f64 = 1.5;

/// How often a run may be disturbed.
const RUNS: usize = 5;

type Connection = StreamOwned<ClientConnection, TcpStream>;

fn time(connection: &mut Connection, request: &Request, status: u16) -> Duration {
    let bytes = request.to_bytes();
    let begun = Instant::now();
    connection.write_all(&bytes).and_then(|()| connection.flush()).unwrap();
    let answer = Answer::read(connection, false).unwrap();
    let took = begun.elapsed();
    assert_eq!(answer.status, status, "{}", answer.text());
    took
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

/// How many times as long the slower of two kinds of refusals takes.
fn ratio(world: &World, status: u16, one: &dyn Fn() -> Request, other: &dyn Fn() -> Request) -> f64 {
    let mut connection = world.server.connect();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        first.push(time(&mut connection, &one(), status));
        second.push(time(&mut connection, &other(), status));
    }
    let (first, second) = (median(first), median(second));
    (first / second).max(second / first)
}

#[track_caller]
fn assert_alike(world: &World, status: u16, one: &dyn Fn() -> Request, other: &dyn Fn() -> Request) {
    let ratios: Vec<_> =
        (0..RUNS).map(|_| ratio(world, status, one, other)).take_while(|ratio| *ratio >= MOST).collect();
    assert!(ratios.len() < RUNS, "refusals can be told apart by their time: {ratios:?}");
}

#[test]
fn what_is_anothers_is_refused_as_quickly_as_what_is_not_there() {
    let world = World::with(|config| config.limits.device_rate = 1_000_000);
    let key = ObjectKey::Pack(world.put_pack(&[1; 1000]));
    let absent = ObjectKey::Pack(PackId::new([8; 32]));
    let (theirs, nobodys) = (world.vault(), VaultId::new([7; 32]));
    let desk = world.server.client(&world.desk);
    let get = |path: &str| desk.request("GET", path, None);

    assert_alike(&world, 404, &|| get(&paths::vault(&theirs)), &|| get(&paths::vault(&nobodys)));
    assert_alike(&world, 404, &|| get(&paths::object(&theirs, &key)), &|| {
        get(&paths::object(&nobodys, &key))
    });
    assert_alike(&world, 404, &|| get(&paths::object(&theirs, &key)), &|| {
        get(&paths::object(&theirs, &absent))
    });
}

#[test]
fn a_wrong_signature_of_a_known_device_is_refused_as_quickly_as_one_of_a_device_that_is_not_known() {
    let world = World::new();
    let stranger = Machine::new(77);
    let forged = |machine: &Machine| {
        let request = world.server.client(machine).request("GET", paths::ME, None);
        request.changing("signature", |_| format!("vault=:{}==:", "A".repeat(86)))
    };

    assert_alike(&world, 401, &|| forged(&world.people.laptop), &|| forged(&stranger));
    assert_alike(&world, 401, &|| forged(&world.lost), &|| forged(&stranger));
}

#[test]
fn a_grant_of_others_is_refused_as_quickly_as_one_that_is_not_there() {
    let mut world = World::with(|config| config.limits.device_rate = 1_000_000);
    let carol = world.people.carol.id();
    let given = Given::prepare(&world, 1).to(&[carol]).with_link(None).give(&mut world, &Machine::new(11));
    let (theirs, nobodys) = (given.grant.id, GrantId::new([99; 16]));
    // It is in memory, as it is while somebody reads it.
    let keep = || {
        given.get_by_link(&world);
        world.server.client(&world.people.tablet).get(&paths::grant(&theirs));
    };
    let desk = world.server.client(&world.desk);
    let wrong = format!("Bearer {}", "A".repeat(43));
    let by_link = |grant: &GrantId| {
        let request = Request::open("GET", &paths::link(grant), &world.server.authority(), None);
        request.with("authorization", &wrong)
    };
    keep();

    assert_alike(&world, 404, &|| desk.request("GET", &paths::grant(&theirs), None), &|| {
        desk.request("GET", &paths::grant(&nobodys), None)
    });
    keep();
    assert_alike(&world, 404, &|| by_link(&theirs), &|| by_link(&nobodys));
}
