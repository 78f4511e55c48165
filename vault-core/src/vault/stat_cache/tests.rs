//! The stat cache: what is written is read again, and damage costs only what it hits.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::cbor::Encoder;

const SNAPSHOT: SnapshotId = SnapshotId::new([9; 32]);
const TOTALS: Totals = Totals { entries: 2, bytes: 300 };

fn entry(name: &str) -> Vec<u8> {
    let mut encoder = Encoder::with_capacity(64);
    encoder.map(2).uint(0).bytes(name.as_bytes()).uint(1).uint(0);
    encoder.finish()
}

fn stamp(n: u64) -> Stamp {
    Stamp { inode: n, ctime: Timestamp::new(-5, 7), mtime: Timestamp::new(6, 999_999_999), size: n << 40 }
}

fn hash(n: u8) -> ChunkHash {
    ChunkHash::new([n; 32])
}

/// A cache of two directories, of which the second is empty.
fn written() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache/stat");
    let writer = StatCacheWriter::create(&path).unwrap();
    let entries = [(stamp(1), entry("a")), (stamp(2), entry("bb"))];
    let rows = entries.iter().map(|(stamp, encoded)| (*stamp, &encoded[..]));
    writer.add(DirectoryKey::new(b"/full"), hash(1), rows).unwrap();
    writer.add(DirectoryKey::new(b"/empty"), hash(2), [].into_iter()).unwrap();
    assert!(!path.exists(), "nothing is visible before the end");
    writer.finish(&path, SNAPSHOT, TOTALS).unwrap();
    (directory, path)
}

/// What a cache says, as far as it says anything.
fn contents(path: &Path) -> Option<(SnapshotId, Totals, Vec<Option<String>>)> {
    let cache = StatCache::open(path)?;
    let keys = [&b"/full"[..], b"/empty", b"/other"];
    let said = keys.iter().map(|key| cache.directory(DirectoryKey::new(key)).map(|d| format!("{d:?}")));
    Some((cache.snapshot(), cache.totals(), said.collect()))
}

#[test]
fn what_was_written_is_read_again() {
    let (_directory, path) = written();

    let cache = StatCache::open(&path).unwrap();
    let full = cache.directory(DirectoryKey::new(b"/full")).unwrap();
    let empty = cache.directory(DirectoryKey::new(b"/empty")).unwrap();

    assert_eq!((cache.snapshot(), cache.totals()), (SNAPSHOT, TOTALS));
    assert_eq!((full.node(), full.len(), full.is_empty()), (hash(1), 2, false));
    assert_eq!((full.position(b"a"), full.position(b"bb")), (Some(0), Some(1)));
    assert_eq!((full.position(b"b"), full.position(b"")), (None, None));
    assert_eq!((full.stamp(1), full.encoded(1)), (stamp(2), &entry("bb")[..]));
    assert_eq!((empty.node(), empty.len()), (hash(2), 0));
    assert!(cache.directory(DirectoryKey::new(b"/other")).is_none());
}

#[test]
fn every_flipped_byte_loses_what_it_is_part_of_and_changes_nothing_else() {
    let (_directory, path) = written();
    let good = fs::read(&path).unwrap();
    let (snapshot, totals, expected) = contents(&path).unwrap();

    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&path, bad).unwrap();

        let Some(found) = contents(&path) else { continue };
        assert_eq!((found.0, found.1), (snapshot, totals), "byte {at}");
        let lost = found.2.iter().zip(&expected).filter(|(found, expected)| found != expected).count();
        assert_eq!(lost, 1, "byte {at}");
        assert!(found.2.iter().zip(&expected).all(|(f, e)| f.is_none() || f == e), "byte {at}");
    }
}

#[test]
fn a_cache_that_is_cut_off_extended_or_absent_is_none() {
    let (_directory, path) = written();
    let good = fs::read(&path).unwrap();

    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(StatCache::open(&path).is_none(), "{length} bytes");
    }
    fs::write(&path, [&good[..], &[0]].concat()).unwrap();
    assert!(StatCache::open(&path).is_none());
    fs::remove_file(&path).unwrap();
    assert!(StatCache::open(&path).is_none());
}

#[test]
fn a_record_that_ends_outside_of_the_records_is_refused_before_it_is_read() {
    let (_directory, path) = written();
    let mut bytes = fs::read(&path).unwrap();
    let rows_at = bytes.len() - FOOTER_BYTES - 2 * ROW_BYTES;

    bytes[rows_at + 24..rows_at + 28].fill(0xff);
    let (rows, footer) = bytes[rows_at..].split_at_mut(2 * ROW_BYTES);
    let checksum = footer_checksum(rows, footer);
    footer[64..96].copy_from_slice(&checksum);
    fs::write(&path, bytes).unwrap();

    assert!(StatCache::open(&path).is_none());
}

#[test]
fn a_file_touched_just_now_fits_no_stamp() {
    let touched = Stamp { ctime: Timestamp::new(100, 0), ..stamp(1) };

    assert_eq!(touched.settled(Timestamp::new(102, 999)), Stamp::default());
    assert_eq!(touched.settled(Timestamp::new(50, 0)), Stamp::default());
    assert_eq!(touched.settled(Timestamp::new(103, 0)), touched);
}
