//! The directory of objects, and uploads to it, whatever fails.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use rustix::io::Errno;
use vault_core::crypto::hash::object_hash;
use vault_core::id::{Epoch, PackId, VaultId};
use vault_core::object::ObjectKey;

use super::files::testing::Faulty;
use super::*;
use crate::db::testing::{NOW, sqlite, with_vault};
use crate::db::{Database, ObjectState, Recount, Reserved};

const VAULT: VaultId = VaultId::new([1; 32]);
const BYTES: &[u8] = b"the bytes of an object";

fn pack(bytes: &[u8]) -> ObjectKey {
    ObjectKey::Pack(PackId::new(object_hash(bytes)))
}

fn envelope() -> ObjectKey {
    ObjectKey::envelope(Epoch(1), [2; 16])
}

fn open(root: &Path) -> DiskObjects {
    DiskObjects::open(&root.join("objects"), Floor::Bytes(0)).unwrap()
}

fn incoming(store: &dyn Objects, bytes: &[u8]) -> Incoming {
    let mut incoming = store.incoming(bytes.len() as u64).unwrap();
    incoming.write(bytes).unwrap();
    incoming
}

fn read(store: &dyn Objects, key: &ObjectKey, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.open(&VAULT, key, range).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn found(store: &dyn Objects) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    store
        .visit(&mut |found| {
            keys.push(found.key);
            true
        })
        .unwrap();
    keys
}

#[test]
fn an_object_is_read_back_whole_and_in_ranges() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let key = pack(BYTES);

    store.put(&VAULT, &key, incoming(&store, BYTES), false).unwrap();

    assert_eq!(read(&store, &key, 0..22), BYTES);
    assert_eq!(read(&store, &key, 4..9), b"bytes");
    assert_eq!(read(&store, &key, 22..22), b"");
    assert!(matches!(store.open(&VAULT, &key, 4..23), Err(ObjectsError::TooShort { size: 22 })));
    assert!(matches!(store.open(&VAULT, &envelope(), 0..1), Err(ObjectsError::NotThere)));
    assert_eq!(store.size(&VAULT, &key).unwrap(), Some(22));
    assert_eq!(store.size(&VAULT, &envelope()).unwrap(), None);
    assert_eq!(found(&store), [key]);
    store.remove(&VAULT, &key).unwrap();
    store.remove(&VAULT, &key).unwrap();
    assert_eq!(store.size(&VAULT, &key).unwrap(), None);
}

#[test]
fn files_are_for_the_owner_only_and_incoming_ones_go() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.put(&VAULT, &envelope(), incoming(&store, BYTES), false).unwrap();
    drop(incoming(&store, BYTES));

    let mut paths = vec![root.path().join("objects")];
    let mut files = 0;
    while let Some(path) = paths.pop() {
        let metadata = path.metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            paths.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 1);
}

#[test]
fn a_name_is_taken_once_and_only_damaged_bytes_are_replaced() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.put(&VAULT, &envelope(), incoming(&store, BYTES), false).unwrap();

    store.put(&VAULT, &envelope(), incoming(&store, BYTES), false).unwrap();
    for other in [&BYTES[1..], b"The bytes of an object"] {
        let result = store.put(&VAULT, &envelope(), incoming(&store, other), false);
        assert!(matches!(result, Err(ObjectsError::Exists)), "{result:?}");
    }
    assert_eq!(read(&store, &envelope(), 0..22), BYTES);
    store.put(&VAULT, &envelope(), incoming(&store, b"other"), true).unwrap();

    assert_eq!(read(&store, &envelope(), 0..5), b"other");
    assert_eq!(root.path().join("objects/incoming").read_dir().unwrap().count(), 0);
}

#[test]
fn below_the_floor_nothing_is_taken_and_all_is_read() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.put(&VAULT, &envelope(), incoming(&store, BYTES), false).unwrap();
    drop(store);

    let full = DiskObjects::open(&root.path().join("objects"), Floor::Bytes(u64::MAX / 2)).unwrap();

    assert!(matches!(full.incoming(1), Err(ObjectsError::StorageFull)));
    assert!(matches!(full.probe(), Err(ObjectsError::StorageFull)));
    assert_eq!(read(&full, &envelope(), 0..22), BYTES);
    full.remove(&VAULT, &envelope()).unwrap();
    let usual = DiskObjects::open(&root.path().join("objects"), Floor::Usual).unwrap().space().unwrap();
    assert_eq!(usual.floor, (usual.total / 50).max(2 << 30));
}

#[test]
fn uploads_on_their_way_count_as_taken() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let free = store.space().unwrap().free;

    let first = store.incoming(free / 4 * 3).unwrap();
    assert!(matches!(store.incoming(free / 2), Err(ObjectsError::StorageFull)));
    drop(first);
    assert!(store.incoming(free / 2).is_ok());
}

#[test]
fn what_is_left_of_uploads_goes_once_it_is_old() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    std::mem::forget(incoming(&store, BYTES));

    assert_eq!(store.remove_incoming(Duration::from_secs(3600)).unwrap(), 0);
    let file = root.path().join("objects/incoming").read_dir().unwrap().next().unwrap().unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(3601);
    std::fs::File::options().write(true).open(file.path()).unwrap().set_modified(old).unwrap();
    assert_eq!(store.remove_incoming(Duration::from_secs(3600)).unwrap(), 1);
}

/// A store whose n-th operation from now on fails.
fn faulty(root: &Path, error: Errno) -> (Arc<DiskObjects>, Arc<AtomicI64>) {
    let left = Arc::new(AtomicI64::new(0));
    let files = Arc::new(Faulty { left: left.clone(), error });
    let store = DiskObjects::with_files(&root.join("objects"), Floor::Bytes(0), files).unwrap();
    (Arc::new(store), left)
}

async fn upload(db: &Database, objects: &Arc<dyn Objects>, key: ObjectKey) -> Result<Finished, UploadError> {
    let size = BYTES.len() as u64;
    match Upload::begin(db, objects, (VAULT, key, size), NOW).await? {
        Begun::New(upload, mut incoming) => {
            let written = blocking(move || incoming.write(BYTES).map(|()| incoming)).await;
            match written {
                Ok(incoming) => upload.finish(incoming, NOW, None).await,
                Err(error) => {
                    upload.abandon().await?;
                    Err(error)
                }
            }
        }
        Begun::Not(other) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_failing_operation_leaves_a_row_without_its_file() {
    for error in [Errno::IO, Errno::NOSPC] {
        for nth in 1.. {
            let test = sqlite().await;
            with_vault(&test.db, 1, 1000).await;
            let (store, left) = faulty(test.directory.path(), error);
            let objects: Arc<dyn Objects> = store.clone();
            left.store(nth, Ordering::SeqCst);

            let result = upload(&test.db, &objects, envelope()).await;
            if left.load(Ordering::SeqCst) > 0 {
                assert_eq!(result.unwrap(), Finished::Done);
                assert!(nth > 8, "there is that much to fail: {nth}");
                break;
            }

            let row = test.db.object_record(&VAULT, &envelope()).await.unwrap();
            let file = store.size(&VAULT, &envelope()).unwrap();
            match result {
                Ok(done) => panic!("operation {nth} failed, and yet {done:?}"),
                Err(UploadError::Objects(ObjectsError::StorageFull)) => assert_eq!(error, Errno::NOSPC),
                Err(UploadError::Objects(_)) => assert_eq!(error, Errno::IO),
                Err(other) => panic!("{other}"),
            }
            assert_eq!(row, None, "operation {nth}");
            assert_eq!(file, None, "operation {nth}");
            assert_eq!(test.db.vault(&VAULT).await.unwrap().unwrap().used, 0);
            assert_eq!(test.db.recount(VAULT).await.unwrap(), Recount::default());
            if store.is_degraded() {
                assert_eq!(error, Errno::IO, "a full disk is only full");
                assert!(matches!(store.incoming(1), Err(ObjectsError::Degraded)));
            } else {
                assert_eq!(upload(&test.db, &objects, envelope()).await.unwrap(), Finished::Done);
            }
        }
    }
}

#[tokio::test]
async fn a_failed_flush_ends_all_writing() {
    let test = sqlite().await;
    with_vault(&test.db, 1, 1000).await;
    let (store, left) = faulty(test.directory.path(), Errno::IO);
    store.put(&VAULT, &envelope(), incoming(&*store, BYTES), false).unwrap();
    left.store(3, Ordering::SeqCst);

    let objects: Arc<dyn Objects> = store.clone();
    let result = upload(&test.db, &objects, pack(BYTES)).await;

    assert!(
        matches!(result, Err(UploadError::Objects(ObjectsError::Io { what: "flush", .. }))),
        "{result:?}"
    );
    assert!(store.is_degraded());
    assert!(matches!(store.probe(), Err(ObjectsError::Degraded)));
    assert_eq!(read(&*store, &envelope(), 0..22), BYTES, "reading goes on");
}

#[tokio::test]
async fn a_dropped_upload_gives_back_its_place() {
    let test = sqlite().await;
    with_vault(&test.db, 1, 1000).await;
    let objects: Arc<dyn Objects> = Arc::new(open(test.directory.path()));
    let begun = Upload::begin(&test.db, &objects, (VAULT, envelope(), 400), NOW).await.unwrap();
    assert_eq!(test.db.vault(&VAULT).await.unwrap().unwrap().used, 400);

    drop(begun);

    while test.db.object_record(&VAULT, &envelope()).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.db.vault(&VAULT).await.unwrap().unwrap().used, 0);
}

#[tokio::test]
async fn an_upload_is_given_up_even_if_nobody_waits_for_it() {
    let test = sqlite().await;
    with_vault(&test.db, 1, 1000).await;
    let objects: Arc<dyn Objects> = Arc::new(open(test.directory.path()));
    let begun = Upload::begin(&test.db, &objects, (VAULT, envelope(), 400), NOW).await.unwrap();
    let Begun::New(upload, incoming) = begun else { panic!("it is new") };
    drop(incoming);

    // A handler that goes with its connection, just when it had begun to give the upload up.
    assert!(upload.abandon().now_or_never().is_none());

    while test.db.object_record(&VAULT, &envelope()).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.db.vault(&VAULT).await.unwrap().unwrap().used, 0);
}

#[tokio::test]
async fn who_lost_the_place_does_not_take_the_file_away() {
    let test = sqlite().await;
    with_vault(&test.db, 1, 1000).await;
    let objects: Arc<dyn Objects> = Arc::new(open(test.directory.path()));
    let size = BYTES.len() as u64;
    let begin =
        async || match Upload::begin(&test.db, &objects, (VAULT, envelope(), size), NOW).await.unwrap() {
            Begun::New(upload, mut incoming) => {
                incoming.write(BYTES).unwrap();
                (upload, incoming)
            }
            Begun::Not(other) => panic!("{other:?}"),
        };
    let (first, of_first) = begin().await;
    let (second, of_second) = begin().await;

    assert_eq!(first.finish(of_first, NOW, None).await.unwrap(), Finished::Lost);
    assert_eq!(second.finish(of_second, NOW, None).await.unwrap(), Finished::Done);

    assert_eq!(read(&*objects, &envelope(), 0..size), BYTES);
    let row = test.db.object_record(&VAULT, &envelope()).await.unwrap().unwrap();
    assert_eq!(row.state, ObjectState::Stored);
    let there = Upload::begin(&test.db, &objects, (VAULT, envelope(), size), NOW).await.unwrap();
    assert!(matches!(there, Begun::Not(Reserved::There { .. })));
}

#[tokio::test]
async fn other_bytes_without_a_row_make_way() {
    let test = sqlite().await;
    with_vault(&test.db, 1, 1000).await;
    let objects: Arc<dyn Objects> = Arc::new(open(test.directory.path()));
    objects.put(&VAULT, &envelope(), incoming(&*objects, b"left by a crash"), false).unwrap();

    assert_eq!(upload(&test.db, &objects, envelope()).await.unwrap(), Finished::InTheWay);
    assert_eq!(upload(&test.db, &objects, envelope()).await.unwrap(), Finished::Done);

    assert_eq!(read(&*objects, &envelope(), 0..22), BYTES);
}
