//! The suite that a store on a server passes.
//!
//! A server takes a pack or an index object only under the hash of its bytes, and a statement only if the log allows it; and it removes
//! nothing because it is told to. Beyond that it is a store like any other. Statements are left to whoever has keys to sign them.

use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use super::{LIMIT, create, listed};
use crate::id::{Epoch, IndexId, PackId, UserId};
use crate::store::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError, StoreErrorKind};

/// Runs all checks, each on a store from `make` that has no packs, no index objects, and no envelopes of epoch 7 and beyond. Panics at the
/// first broken promise.
pub fn suite(make: &dyn Fn() -> Box<dyn Store>) {
    what_was_put_is_there(&*make());
    an_envelope_is_not_replaced(&*make());
    writers_do_not_disturb_each_other(&*make());
    ranges_are_exact(&*make());
    limits_hold(&*make());
    what_is_not_there_is_not_found(&*make());
    listing_shows_objects_in_order_and_stops_when_told(&*make());
    many_objects_are_kept(&*make());
    nothing_is_removed_but_by_the_log(&*make());
    assert!(!make().description().is_empty(), "a store says where it is");
}

fn pack(bytes: &[u8]) -> ObjectKey {
    ObjectKey::Pack(PackId::new(Sha256::digest(bytes).into()))
}

fn index(bytes: &[u8]) -> ObjectKey {
    ObjectKey::Index(IndexId::new(Sha256::digest(bytes).into()))
}

fn envelope(epoch: u32) -> ObjectKey {
    ObjectKey::envelope(Epoch(epoch), [epoch as u8; 16])
}

fn what_was_put_is_there(store: &dyn Store) {
    let (small, large) = (vec![1; 100], vec![2; 3_000_000]);
    for (key, bytes) in [(pack(&large), &large), (index(&small), &small), (envelope(7), &small)] {
        create(store, &key, bytes);
        let first = store.stored_at(&key).expect("it is there");

        assert_eq!(store.put_new(&key, bytes).expect("putting again works"), Put::AlreadyThere, "{key}");
        assert_eq!(&store.get(&key, LIMIT).expect("it is there"), bytes, "{key}");
        assert_eq!(store.size(&key).expect("it is there"), bytes.len() as u64, "{key}");
        assert_eq!(store.stored_at(&key).expect("it is there"), first, "{key}");
        assert!(listed(store, key.kind()).contains(&(key, bytes.len() as u64)), "{key}");
    }
}

fn an_envelope_is_not_replaced(store: &dyn Store) {
    let key = envelope(7);
    create(store, &key, b"first");

    assert_eq!(store.put_new(&key, b"other").expect("putting again works"), Put::AlreadyThere);
    assert_eq!(store.get(&key, LIMIT).expect("it is there"), b"first");
}

fn writers_do_not_disturb_each_other(store: &dyn Store) {
    let created = std::thread::scope(|scope| {
        let write = |writer: u8| {
            // Every object is put by two writers.
            let put = |n: u8| {
                let bytes = [[writer / 2, n]; 500].concat();
                let put = store.put_new(&pack(&bytes), &bytes).expect("putting works");
                assert_eq!(store.get(&pack(&bytes), LIMIT).expect("it is there"), bytes);
                usize::from(put == Put::Created)
            };
            (0..8).map(put).sum::<usize>()
        };
        let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().map(|writer| writer.join().expect("no panic")).sum::<usize>()
    });

    assert_eq!(created, 32, "each object is created once");
    assert_eq!(listed(store, ObjectKind::Pack).len(), 32);
}

fn ranges_are_exact(store: &dyn Store) {
    let bytes: Vec<u8> = (0..=255).collect();
    let key = pack(&bytes);
    create(store, &key, &bytes);

    for (offset, length) in [(0, 256), (0, 1), (255, 1), (17, 100), (0, 0), (256, 0)] {
        let range = store.get_range(&key, offset, length).expect("the range is inside");
        assert_eq!(range, bytes[offset as usize..][..length as usize]);
    }
    for (offset, length) in [(0, 257), (256, 1), (257, 0), (1 << 40, 1), (u64::MAX, u32::MAX), (0, u32::MAX)]
    {
        let range = store.get_range(&key, offset, length);
        assert!(
            matches!(range, Err(StoreError::Truncated { size: 256, .. })),
            "{offset}+{length}: {range:?}"
        );
    }
}

fn limits_hold(store: &dyn Store) {
    let bytes = [7; 1000];
    create(store, &pack(&bytes), &bytes);

    assert_eq!(store.get(&pack(&bytes), 1000).expect("it fits exactly").len(), 1000);
    let error = store.get(&pack(&bytes), 999).expect_err("it is too large");
    assert!(matches!(error, StoreError::TooLarge { size: 1000, limit: 999, .. }), "{error:?}");
    assert_eq!(store.get(&pack(&bytes), u64::MAX).expect("no limit is a limit too").len(), 1000);
}

fn what_is_not_there_is_not_found(store: &dyn Store) {
    let identity = ObjectKey::Identity(UserId::new([0xee; 16]));
    for key in &[pack(b"nothing"), index(b"nothing"), envelope(7), identity] {
        let errors = [
            store.get(key, LIMIT).err(),
            store.get_range(key, 0, 0).err(),
            store.get_range(key, 0, 1).err(),
            store.size(key).err(),
            store.stored_at(key).err(),
        ];
        for error in errors {
            let error = error.expect("nothing is there");
            assert_eq!(error.kind(), StoreErrorKind::Missing, "{key}: {error:?}");
            assert!(error.to_string().contains(&key.path()), "{error}");
        }
        assert!(listed(store, key.kind()).iter().all(|(there, _)| there != key), "{key}");
    }
}

fn listing_shows_objects_in_order_and_stops_when_told(store: &dyn Store) {
    for epoch in [10, 9, 100] {
        create(store, &envelope(epoch), b"envelope");
    }
    for byte in 0..10 {
        create(store, &pack(&[byte]), &[byte]);
    }

    let late = |(key, _): &(ObjectKey, u64)| [9, 10, 100].iter().any(|epoch| *key == envelope(*epoch));
    let epochs: Vec<_> = listed(store, ObjectKind::Envelope).into_iter().filter(late).collect();
    assert_eq!(epochs, [9, 10, 100].map(|epoch| (envelope(epoch), 8)));
    assert!(listed(store, ObjectKind::Pack).is_sorted());
    let mut seen = 0;
    let three = &mut |key, _| {
        seen += 1;
        store.get(&key, LIMIT).expect("a listing may use the store");
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.list(ObjectKind::Pack, three).expect("listing works");
    assert_eq!(seen, 3);
}

fn many_objects_are_kept(store: &dyn Store) {
    // More than one page of a list.
    let objects: Vec<[u8; 2]> = (0..1100_u16).map(u16::to_le_bytes).collect();
    std::thread::scope(|scope| {
        for part in objects.chunks(200) {
            scope.spawn(move || part.iter().for_each(|bytes| create(store, &index(bytes), bytes)));
        }
    });

    let mut expected: Vec<_> = objects.iter().map(|bytes| (index(bytes), 2)).collect();
    expected.sort_unstable();
    assert_eq!(listed(store, ObjectKind::Index), expected);
}

fn nothing_is_removed_but_by_the_log(store: &dyn Store) {
    let key = pack(b"bytes");
    create(store, &key, b"bytes");

    for key in [key, pack(b"nothing")] {
        assert_eq!(store.remove(&key).expect("it is for the log to say"), Removal::ByTheLog);
    }
    assert_eq!(store.get(&key, LIMIT).expect("it is there"), b"bytes");
}
