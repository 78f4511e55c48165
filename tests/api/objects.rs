//! Storing and reading objects: what is announced is what is kept, and nothing else is.

use std::io::Write as _;
use std::time::{Duration, Instant};

use vault_core::crypto::hash;
use vault_core::id::{Epoch, PackId};
use vault_core::object::ObjectKey;
use vault_core::wire::v1::paths;
use vault_tests::server::Answer;

use crate::world::World;

fn pack(bytes: &[u8]) -> ObjectKey {
    ObjectKey::Pack(PackId::new(hash::object_hash(bytes)))
}

#[test]
fn a_range_is_answered_with_its_bytes_alone() {
    let world = World::new();
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 251) as u8).collect();
    let path = world.path(ObjectKey::Pack(world.put_pack(&bytes)));
    let range =
        |text: &str| world.server.send(&world.laptop().request("GET", &path, None).with("range", text));

    let part = range("bytes=1000-1500000");
    assert_eq!((part.status, part.header("content-range")), (206, Some("bytes 1000-1500000/2000000")));
    assert_eq!(part.body, bytes[1000..=1_500_000]);
    assert_eq!(range("bytes=1999999-1999999").body, bytes[1_999_999..]);
    for refused in ["bytes=0-2000000", "bytes=5-", "bytes=-5", "bytes=0-1,3-4", "bytes=2-1"] {
        assert_eq!(range(refused).status, 400, "{refused}");
    }
}

#[test]
fn another_body_than_announced_leaves_nothing() {
    let world = World::new();
    let announced = vec![1; 700_000];
    let mut request = world.laptop().request("PUT", &world.path(pack(&announced)), Some(&announced));
    request.body[600_000] = 2;

    let answer = world.server.send(&request);

    assert_eq!(answer.problem(), (400, "digest_mismatch".to_owned()));
    assert_eq!((world.used(), world.files()), (0, 0));
    assert_eq!(world.laptop().put(&world.path(pack(&announced)), &announced).status, 201);
}

#[test]
fn a_pack_under_another_name_is_refused_before_its_body_comes() {
    let world = World::new();
    let request = world.laptop().request("PUT", &world.path(pack(b"one")), Some(b"two"));

    let answer = world.server.send_bytes(&request.head());

    assert_eq!(answer.problem(), (400, "digest_mismatch".to_owned()));
}

#[test]
fn an_object_too_large_is_refused_before_its_body_comes() {
    let world = World::new();
    // Signed for a length that is never sent: only the head is.
    let client = world.laptop();
    let key = ObjectKey::envelope(Epoch(1), *world.people.laptop.id().as_bytes());
    let body = vec![0; (1 << 20) + 1];
    let request = client.request("PUT", &world.path(key), Some(&body));

    assert_eq!(world.server.send_bytes(&request.head()).problem(), (413, "too_large".to_owned()));
    assert_eq!(world.used(), 0);
}

#[test]
fn an_envelope_is_never_replaced() {
    let world = World::new();
    let key = ObjectKey::envelope(Epoch(1), *world.people.laptop.id().as_bytes());
    let path = world.path(key);

    assert_eq!(world.laptop().put(&path, b"first").status, 201);
    assert_eq!(world.laptop().put(&path, b"first").status, 200);
    assert_eq!(world.laptop().put(&path, b"other").problem(), (409, "differs".to_owned()));
    assert_eq!(world.laptop().get(&path).body, b"first");
}

#[test]
fn editors_store_envelopes_of_their_own_only() {
    let world = World::new();
    let envelope = |addressee: [u8; 16]| world.path(ObjectKey::envelope(Epoch(2), addressee));

    let others = world.phone().put(&envelope(*world.people.alice.id().as_bytes()), b"x");
    assert_eq!(others.problem(), (403, "forbidden".to_owned()));
    assert_eq!(world.phone().put(&envelope(*world.people.bob.id().as_bytes()), b"x").status, 201);
    assert_eq!(world.phone().put(&envelope(*world.people.phone.id().as_bytes()), b"x").status, 201);
}

#[test]
fn an_upload_that_stalls_is_cut_off_and_leaves_nothing() {
    let world = World::with(|config| config.limits.body_pause = Duration::from_secs(1));
    let bytes = vec![3; 2_000_000];
    let request = world.laptop().request("PUT", &world.path(pack(&bytes)), Some(&bytes)).to_bytes();
    let start = Instant::now();

    let answer = world.server.send_bytes(&request[..request.len() - 5]);

    assert_eq!(answer.problem(), (408, "too_slow".to_owned()));
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!((world.used(), world.files()), (0, 0));
}

#[test]
fn an_upload_that_dawdles_is_cut_off() {
    let world = World::with(|config| {
        config.limits.body_grace = Duration::from_secs(1);
        config.limits.body_rate = 100_000;
    });
    let bytes = vec![4; 2_000_000];
    let request = world.laptop().request("PUT", &world.path(pack(&bytes)), Some(&bytes));
    let mut stream = world.server.connect();
    stream.write_all(&request.head()).unwrap();
    let start = Instant::now();
    // A byte now and then is no pause, and much too slow.
    while start.elapsed() < Duration::from_secs(3) {
        if stream.write_all(&[4]).and_then(|()| stream.flush()).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }

    assert_eq!(Answer::read(&mut stream, false).unwrap().problem(), (408, "too_slow".to_owned()));
    assert_eq!(world.used(), 0);
}

#[test]
fn a_connection_that_ends_within_an_upload_leaves_nothing() {
    let world = World::new();
    let bytes = vec![5; 2_000_000];
    let request = world.laptop().request("PUT", &world.path(pack(&bytes)), Some(&bytes)).to_bytes();
    let mut stream = world.server.connect();
    stream.write_all(&request[..1_500_000]).unwrap();
    stream.flush().unwrap();
    let wait_until = |is_so: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !is_so() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(is_so(), "{} bytes, {} files", world.used(), world.files());
    };
    // It has begun, and can only end by the connection.
    wait_until(&|| world.used() > 0 && world.files() > 0);
    drop(stream);

    wait_until(&|| world.used() == 0 && world.files() == 0);
}

#[test]
fn sixty_four_uploads_at_once_never_exceed_the_quota() {
    let world = World::with(|config| config.limits.device_uploads = 64);
    let quota = 10 * 100_000 + 50_000;
    let user = world.people.alice.id();
    world.server.with_db(async |db| db.set_user_quota(user, quota).await.unwrap());

    let all: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64_u8)
            .map(|number| {
                let world = &world;
                scope.spawn(move || {
                    let bytes = vec![number; 100_000];
                    world.laptop().put(&world.path(pack(&bytes)), &bytes)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    let stored = all.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(stored, 10, "{:?}", all.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert!(all.iter().filter(|answer| answer.status != 201).all(|answer| {
        answer.problem() == (507, "quota_exceeded".to_owned()) && answer.json()["quota"] == quota
    }));
    assert_eq!(world.used(), 1_000_000);
    let vault = world.vault();
    let drift = world.server.with_db(async |db| db.recount(vault).await.unwrap());
    assert_eq!(drift, vault_server::db::Recount::default());
}

#[test]
fn objects_are_listed_by_kind_and_found_by_name() {
    let world = World::new();
    let packs: Vec<PackId> = (0..5_u8).map(|number| world.put_pack(&[number; 10])).collect();
    world.put_index(b"index");
    let page = |query: &str| world.laptop().get(&(paths::objects(&world.vault()) + query)).json();

    let first = page("?kind=packs&limit=3");
    assert_eq!((first["objects"].as_array().unwrap().len(), first["more"].as_bool()), (3, Some(true)));
    let last = first["objects"][2]["path"].as_str().unwrap().to_owned();
    let rest = page(&format!("?kind=packs&after={last}"));
    assert_eq!((rest["objects"].as_array().unwrap().len(), rest["more"].as_bool()), (2, Some(false)));
    assert_eq!(page("?kind=index")["objects"].as_array().unwrap().len(), 1);

    let known = ObjectKey::Pack(packs[0]).path();
    let absent = pack(b"absent").path();
    let asked = serde_json::json!({ "paths": [absent, known] });
    let found = world.laptop().post(&paths::object_query(&world.vault()), &asked).json();
    assert_eq!(found["objects"].as_array().unwrap().len(), 1);
    assert_eq!(found["objects"][0]["path"], known);
    for bad in ["", "?kind=log", "?kind=packs&x=1", "?kind=packs&after=../x"] {
        assert_eq!(world.laptop().get(&(paths::objects(&world.vault()) + bad)).status, 400, "{bad}");
    }
}

#[test]
fn what_is_stored_is_there_after_a_restart() {
    let mut world = World::new();
    let id = world.put_pack(b"kept");

    world.server.restart();

    assert_eq!(world.laptop().get(&world.path(ObjectKey::Pack(id))).body, b"kept");
    world.put_pack(b"more");
}
