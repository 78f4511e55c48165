//! A store on a server that follows the protocol, and on one that fails.

use std::sync::atomic::Ordering;

use super::*;
use crate::id::PackId;
use crate::net::testing::fake::Fake;
use crate::net::testing::{NOW, Scripted, World};
use crate::store::conformance;

const VAULT: VaultId = VaultId::new([5; 32]);

/// A vault that has begun, on a server of its own.
fn vault() -> (Arc<Fake>, Scripted, RemoteStore) {
    let (fake, server) = Fake::start();
    fake.begin(VAULT);
    let store = RemoteStore::open(fake.client(&server, &World::default()), VAULT).unwrap();
    (fake, server, store)
}

fn append(store: &dyn Store, seq: u64) {
    let bytes = format!("statement {seq}");
    assert_eq!(store.put_new(&ObjectKey::Statement(Seq(seq)), bytes.as_bytes()).unwrap(), Put::Created);
}

#[test]
fn it_is_a_store() {
    conformance::served::suite(&|| Box::new(vault().2));
}

#[test]
fn it_is_a_store_when_every_seventh_answer_is_lost() {
    let (fake, _server, store) = vault();
    fake.loses.store(7, Ordering::Relaxed);

    for byte in 0..30 {
        let bytes = [byte; 1000];
        let key = ObjectKey::Pack(PackId::new(crate::crypto::hash::object_hash(&bytes)));
        let _ = store.put_new(&key, &bytes).unwrap();
        assert_eq!(store.get(&key, 1000).unwrap(), bytes);
    }
    for seq in 1..30 {
        let key = ObjectKey::Statement(Seq(seq));
        let _ = store.put_new(&key, b"statement").unwrap();
        assert_eq!(store.get(&key, 1000).unwrap(), b"statement");
    }
}

#[test]
fn following_the_log_takes_one_request_for_many_statements() {
    let (fake, server, store) = vault();
    (1..=50).for_each(|seq| append(&store, seq));
    let other = RemoteStore::open(fake.client(&server, &World::default()), VAULT).unwrap();
    let before = server.seen().len();

    for seq in 1..=50 {
        let statement = other.get(&ObjectKey::Statement(Seq(seq)), 100).unwrap();
        assert_eq!(statement, format!("statement {seq}").into_bytes());
    }
    let end = other.get(&ObjectKey::Statement(Seq(51)), 100).unwrap_err();

    assert!(matches!(end, StoreError::NotFound { .. }));
    assert_eq!(server.seen().len() - before, 1, "where the log ends was said when it was opened");
    assert_eq!(other.last_statement().unwrap(), Some(Seq(50)));
    append(&store, 51);
    assert_eq!(other.get(&ObjectKey::Statement(Seq(51)), 100).unwrap(), b"statement 51");
    assert_eq!(other.stored_at(&ObjectKey::Statement(Seq(3))).unwrap(), NOW);
}

#[test]
fn of_two_writers_one_gets_the_number() {
    let (fake, server, store) = vault();
    let other = RemoteStore::open(fake.client(&server, &World::default()), VAULT).unwrap();
    let key = ObjectKey::Statement(Seq(1));

    assert_eq!(store.put_new(&key, b"mine").unwrap(), Put::Created);
    assert_eq!(other.put_new(&key, b"theirs").unwrap(), Put::AlreadyThere);
    assert_eq!(other.get(&key, 10).unwrap(), b"mine");
}

#[test]
fn statements_have_ranges_limits_and_a_list() {
    let (_fake, _server, store) = vault();
    append(&store, 1);
    let key = ObjectKey::Statement(Seq(1));

    assert_eq!(store.get_range(&key, 2, 3).unwrap(), b"ate");
    assert!(matches!(store.get_range(&key, 2, 30), Err(StoreError::Truncated { size: 11, .. })));
    assert!(matches!(store.get(&key, 10), Err(StoreError::TooLarge { size: 11, .. })));
    let mut listed = Vec::new();
    let collect = &mut |key, size| {
        listed.push((key, size));
        ControlFlow::Continue(())
    };
    store.list(ObjectKind::Statement, collect).unwrap();
    assert_eq!(listed, [(ObjectKey::Statement(Seq(0)), 7), (key, 11)]);
}

#[test]
fn a_vault_that_is_not_there_is_none() {
    let (fake, server) = Fake::start();

    let error = RemoteStore::open(fake.client(&server, &World::default()), VAULT).unwrap_err();

    assert!(matches!(error, StoreError::NoSuchVault { .. }), "{error:?}");
    assert!(error.to_string().contains(&VAULT.to_hex()));
}

#[test]
fn another_object_under_a_hash_is_damage() {
    let (fake, _server, store) = vault();
    let key = ObjectKey::Pack(PackId::new(crate::crypto::hash::object_hash(b"bytes")));
    assert_eq!(store.put_new(&key, b"bytes").unwrap(), Put::Created);
    fake.objects(|objects| drop(objects.insert(key, b"byte".to_vec())));

    assert!(matches!(store.put_new(&key, b"bytes"), Err(StoreError::Damaged { expected: 5, size: 4, .. })));
}

#[test]
fn what_is_put_before_the_genesis_waits_for_it() {
    let (fake, server) = Fake::start();
    let client = fake.client(&server, &World::default());
    let envelope = ObjectKey::envelope(crate::id::Epoch(1), [1; 16]);

    let new = RemoteStore::create(Arc::clone(&client), VAULT);
    assert_eq!(new.put_new(&envelope, b"sealed").unwrap(), Put::Created);
    assert!(server.seen().is_empty());
    assert_eq!(new.put_new(&ObjectKey::Statement(Seq(0)), b"genesis").unwrap(), Put::Created);
    let half = RemoteStore::create(client, VAULT);
    assert!(matches!(half.publish(), Err(StoreError::NotFound { .. })));
    append(&new, 1);
    let store = new.publish().unwrap();

    assert_eq!(store.get(&envelope, 100).unwrap(), b"sealed");
}
