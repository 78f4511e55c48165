//! The suite that every store passes, except those on servers, which have [one of their own](served).
//!
//! It says what [`Store`] promises, in code; it looks only through the trait. What a promise is worth after a power cut cannot
//! be seen from here.

pub mod served;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError, StoreErrorKind};
use crate::id::{Epoch, IndexId, PackId, Seq, UserId};

/// More than any object of the suite has.
const LIMIT: u64 = 1 << 24;

/// Runs all checks, each on a fresh store from `make`. Panics at the first broken promise.
pub fn suite(make: &dyn Fn() -> Box<dyn Store>) {
    what_was_put_is_there(&*make());
    nothing_is_replaced(&*make());
    another_length_under_a_hash_is_damage(&*make());
    one_of_many_writers_wins(&*make());
    writers_of_different_objects_do_not_disturb_each_other(&*make());
    ranges_are_exact(&*make());
    limits_hold(&*make());
    what_is_not_there_is_not_found(&*make());
    listing_shows_each_kind_in_order(&*make());
    listing_stops_when_told(&*make());
    a_listing_may_use_the_store(&*make());
    removed_objects_are_gone(&*make());
    objects_keep_the_time_at_which_they_were_stored(&*make());
    many_objects_are_kept(&*make());
    assert!(!make().description().is_empty(), "a store says where it is");
}

/// One key of each kind.
fn one_of_each() -> [ObjectKey; 5] {
    [
        pack(0xa1),
        ObjectKey::Index(IndexId::new([0xa2; 32])),
        ObjectKey::Statement(Seq::GENESIS),
        ObjectKey::envelope(Epoch(1), [0xa4; 16]),
        ObjectKey::Identity(UserId::new([0xa5; 16])),
    ]
}

fn pack(byte: u8) -> ObjectKey {
    ObjectKey::Pack(PackId::new([byte; 32]))
}

fn create(store: &dyn Store, key: &ObjectKey, bytes: &[u8]) {
    let put = store.put_new(key, bytes).expect("putting works");
    assert_eq!(put, Put::Created, "{key} is new");
}

fn listed(store: &dyn Store, kind: ObjectKind) -> Vec<(ObjectKey, u64)> {
    let mut all = Vec::new();
    let collect = &mut |key, size| {
        all.push((key, size));
        ControlFlow::Continue(())
    };
    store.list(kind, collect).expect("listing works");
    all
}

fn what_was_put_is_there(store: &dyn Store) {
    for (n, key) in one_of_each().iter().enumerate() {
        // The first is empty, which is a fine object.
        let bytes = vec![n as u8; n * 100_000];
        create(store, key, &bytes);

        assert_eq!(store.get(key, LIMIT).expect("it is there"), bytes, "{key}");
        assert_eq!(store.size(key).expect("it is there"), bytes.len() as u64, "{key}");
        assert_eq!(listed(store, key.kind()), [(*key, bytes.len() as u64)]);
    }
}

fn nothing_is_replaced(store: &dyn Store) {
    for key in &one_of_each() {
        create(store, key, b"first");
        let put = store.put_new(key, b"other").expect("putting again works");

        assert_eq!(put, Put::AlreadyThere, "{key}");
        assert_eq!(store.get(key, LIMIT).expect("it is there"), b"first", "{key}");
    }
}

fn another_length_under_a_hash_is_damage(store: &dyn Store) {
    for key in &one_of_each() {
        create(store, key, b"shor");
        let put = store.put_new(key, b"short");

        if key.kind().is_content_addressed() {
            assert!(matches!(put, Err(StoreError::Damaged { expected: 5, size: 4, .. })), "{put:?}");
        } else {
            assert_eq!(put.expect("any bytes may stand there"), Put::AlreadyThere);
        }
        assert_eq!(store.get(key, LIMIT).expect("it is there"), b"shor", "{key}");
    }
}

fn one_of_many_writers_wins(store: &dyn Store) {
    for seq in 0..16 {
        let key = ObjectKey::Statement(Seq(seq));
        let attempt = |writer: u8| (writer, store.put_new(&key, &[writer; 4096]).expect("putting works"));

        let puts = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || attempt(writer))).collect();
            writers.into_iter().map(|writer| writer.join().expect("no panic")).collect::<Vec<_>>()
        });

        let winners: Vec<u8> =
            puts.iter().filter(|(_, put)| *put == Put::Created).map(|(writer, _)| *writer).collect();
        assert_eq!(winners.len(), 1, "{key} is created once: {puts:?}");
        assert_eq!(store.get(&key, LIMIT).expect("it is there"), [winners[0]; 4096], "{key}");
    }
}

fn writers_of_different_objects_do_not_disturb_each_other(store: &dyn Store) {
    std::thread::scope(|scope| {
        for writer in 0..8_u8 {
            scope.spawn(move || {
                for n in 0..8_u8 {
                    let key = pack(writer * 8 + n);
                    create(store, &key, &[writer; 1000]);
                    assert_eq!(store.get(&key, LIMIT).expect("it is there"), [writer; 1000]);
                }
            });
        }
    });
    assert_eq!(listed(store, ObjectKind::Pack).len(), 64);
}

fn ranges_are_exact(store: &dyn Store) {
    let key = pack(1);
    let bytes: Vec<u8> = (0..=255).collect();
    create(store, &key, &bytes);

    for (offset, length) in [(0, 256), (0, 1), (255, 1), (17, 100), (0, 0), (256, 0)] {
        let range = store.get_range(&key, offset, length).expect("the range is inside");
        assert_eq!(range, bytes[offset as usize..][..length as usize]);
    }
    for (offset, length) in [(0, 257), (256, 1), (257, 0), (1 << 40, 1), (u64::MAX, u32::MAX), (0, u32::MAX)]
    {
        let range = store.get_range(&key, offset, length);
        let expected_end = offset.saturating_add(u64::from(length));
        assert!(
            matches!(range, Err(StoreError::Truncated { wanted_end, size: 256, .. }) if wanted_end == expected_end),
            "{offset}+{length}: {range:?}"
        );
    }
}

fn limits_hold(store: &dyn Store) {
    let key = ObjectKey::Statement(Seq(7));
    create(store, &key, &[7; 1000]);

    assert_eq!(store.get(&key, 1000).expect("it fits exactly").len(), 1000);
    let error = store.get(&key, 999).expect_err("it is too large");
    assert!(matches!(error, StoreError::TooLarge { size: 1000, limit: 999, .. }), "{error:?}");
    assert_eq!(store.get(&key, u64::MAX).expect("no limit is a limit too").len(), 1000);
}

fn what_is_not_there_is_not_found(store: &dyn Store) {
    for key in &one_of_each() {
        let errors = [
            store.get(key, LIMIT).err(),
            store.get_range(key, 0, 0).err(),
            store.size(key).err(),
            store.stored_at(key).err(),
            store.remove(key).err(),
        ];
        for error in errors {
            let error = error.expect("nothing is there");
            assert_eq!(error.kind(), StoreErrorKind::Missing, "{key}: {error:?}");
            assert!(error.to_string().contains(&key.path()), "{error}");
        }
        assert!(listed(store, key.kind()).is_empty(), "{key}");
    }
}

fn listing_shows_each_kind_in_order(store: &dyn Store) {
    let mut keys: Vec<ObjectKey> = one_of_each().to_vec();
    keys.extend([0xff, 0x00, 0x7f].map(pack));
    keys.extend([10, 2, 9_999_999_999].map(|seq| ObjectKey::Statement(Seq(seq))));
    keys.extend([10, 9, 100].map(|n| ObjectKey::envelope(Epoch(n), [n as u8; 16])));
    for key in &keys {
        create(store, key, key.path().as_bytes());
    }

    keys.sort_unstable();
    for kind in ObjectKind::ALL {
        let expected: Vec<_> =
            keys.iter().filter(|key| key.kind() == kind).map(|key| (*key, key.path().len() as u64)).collect();
        assert_eq!(listed(store, kind), expected);
    }
}

fn listing_stops_when_told(store: &dyn Store) {
    for byte in 0..10 {
        create(store, &pack(byte), b"");
    }
    let mut seen = 0;
    let three = &mut |_, _| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.list(ObjectKind::Pack, three).expect("listing works");

    assert_eq!(seen, 3);
}

fn a_listing_may_use_the_store(store: &dyn Store) {
    for byte in 0..10 {
        create(store, &pack(byte), &[byte]);
    }
    let empty = &mut |key, _| {
        store.get(&key, LIMIT).expect("it was just shown");
        assert_eq!(store.remove(&key).expect("it was just shown"), Removal::Done);
        ControlFlow::Continue(())
    };
    store.list(ObjectKind::Pack, empty).expect("listing works");

    assert!(listed(store, ObjectKind::Pack).is_empty());
}

fn removed_objects_are_gone(store: &dyn Store) {
    for key in &one_of_each() {
        create(store, key, b"first");
        assert_eq!(store.remove(key).expect("it is there"), Removal::Done);

        let error = store.get(key, LIMIT).expect_err("it was removed");
        assert_eq!(error.kind(), StoreErrorKind::Missing, "{error:?}");
        create(store, key, b"second time");
        assert_eq!(store.get(key, LIMIT).expect("it is there again"), b"second time");
    }
}

fn objects_keep_the_time_at_which_they_were_stored(store: &dyn Store) {
    let keys = one_of_each();
    let first = keys.map(|key| {
        create(store, &key, b"first");
        store.stored_at(&key).expect("it is there")
    });

    assert!(first.is_sorted(), "what was stored later is not older: {first:?}");
    for (key, time) in keys.iter().zip(first) {
        let _ = store.put_new(key, b"other").expect("putting again works");
        store.get(key, LIMIT).expect("it is there");
        assert_eq!(store.stored_at(key).expect("it is there"), time, "{key}");
    }
}

fn many_objects_are_kept(store: &dyn Store) {
    let keys: BTreeSet<ObjectKey> = (0..300_u16)
        .map(|n| ObjectKey::Index(IndexId::new(*blake3::hash(&n.to_le_bytes()).as_bytes())))
        .collect();
    for key in &keys {
        create(store, key, key.path().as_bytes());
    }

    let listed: Vec<ObjectKey> = listed(store, ObjectKind::Index).into_iter().map(|(key, _)| key).collect();
    assert_eq!(listed, keys.iter().copied().collect::<Vec<_>>());
    for key in &keys {
        assert_eq!(store.get(key, LIMIT).expect("it is there"), key.path().as_bytes());
    }
}
