//! The chunk index against a map, through merging, hiding, damage, and several processes.

use std::collections::BTreeMap;
use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::format::table::{ChunkRow as TableRow, Table};
use crate::format::table::{SegmentKind, SegmentRow};
use crate::vault::run::{FOOTER_BYTES, HEADER_BYTES, PACK_BYTES, head_checksum};

/// A pack of one segment for each list of chunks; a chunk is a number and its length.
fn pack(number: u8, segments: &[Vec<(u16, u32)>]) -> IndexedPack {
    let mut table = Table::new(100).unwrap();
    for chunks in segments {
        let rows: Vec<_> = chunks.iter().map(|&(n, length)| TableRow { id: id(n), length }).collect();
        let row = SegmentRow {
            stored_bytes: 200,
            raw_bytes: rows.iter().map(|row| row.length).sum(),
            kind: SegmentKind::Data,
            chunk_count: rows.len() as u32,
        };
        table.push(row, &rows).unwrap();
    }
    IndexedPack {
        id: PackId::new([number; 32]),
        bytes: 1000 + u32::from(number),
        session: SessionId::new([number; 16]),
        pack_number: number.into(),
        epoch: Epoch(1),
        table,
    }
}

fn id(n: u16) -> ChunkId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(&n.to_le_bytes()).as_bytes()[..16]);
    // Many share their first eight bytes: the sparse table cannot tell these apart.
    let shared = bytes[0] % 4;
    bytes[..8].fill(shared);
    ChunkId::new(bytes)
}

fn object(number: u8) -> IndexId {
    IndexId::new([number; 32])
}

fn open(directory: &TempDir, live: impl IntoIterator<Item = u8>) -> ChunkIndex {
    ChunkIndex::open(directory.path(), &live.into_iter().map(object).collect()).unwrap()
}

fn run_files(directory: &TempDir) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn model(packs: &[IndexedPack]) -> BTreeMap<ChunkId, Place> {
    let places = packs.iter().flat_map(|pack| {
        let place = PackPlace {
            id: pack.id,
            bytes: pack.bytes,
            session: pack.session,
            number: pack.pack_number,
            epoch: pack.epoch,
        };
        pack.table.chunks().map(move |chunk| {
            let (segment, offset, length) = (chunk.segment, chunk.offset_in_segment, chunk.length);
            (chunk.id, Place { pack: place, segment, offset, length })
        })
    });
    places.collect()
}

fn agrees(index: &ChunkIndex, model: &BTreeMap<ChunkId, Place>) {
    for n in 0..1000 {
        let found = index.find(&id(n)).unwrap();
        // Of two places in one segment either will do: the bytes are the same.
        let expected = model.get(&id(n));
        assert_eq!(found.map(|f| (f.pack, f.segment)), expected.map(|e| (e.pack, e.segment)), "{n}");
        assert_eq!(index.contains(&id(n)).unwrap(), expected.is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn look_ups_agree_with_a_map_through_merging_and_reopening(
        packs in vec(vec(vec((0..1000_u16, 1..100_u32), 1..60), 1..5), 1..20),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let packs: Vec<_> = (0..).zip(&packs).map(|(n, segments)| pack(n, segments)).collect();
        let live = 0..packs.len() as u8;
        let mut index = open(&directory, live.clone());
        for (n, pack) in (0..).zip(&packs) {
            index.add(&[object(n)], std::slice::from_ref(pack)).unwrap();
        }
        let model = model(&packs);

        agrees(&index, &model);
        prop_assert!(run_files(&directory).len() <= MOST_RUNS);
        let again = open(&directory, live.clone());
        agrees(&again, &model);
        prop_assert_eq!(again.covered(), live.map(object).collect());
        prop_assert_eq!(again.packs().count(), packs.len());
    }
}

#[test]
fn a_look_up_goes_on_to_the_next_place_when_a_pack_counts_as_absent() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = open(&directory, []);
    // Two places in one run, two in runs of their own, and enough others for a merge.
    let both = [pack(1, &[vec![(1, 10), (2, 10)]]), pack(2, &[vec![(1, 10)]])];
    index.add(&[object(1)], &both).unwrap();
    for number in 3..=MOST_RUNS as u8 + 2 {
        let chunks = if number < 5 { vec![(1, 10)] } else { vec![(u16::from(number), 10)] };
        index.add(&[object(number)], &[pack(number, &[chunks])]).unwrap();
    }
    let found = |index: &ChunkIndex, n| index.find(&id(n)).unwrap().map(|found| found.pack.id.as_bytes()[0]);
    let hide = |index: &mut ChunkIndex, number| index.hide(&[PackId::new([number; 32])].into());

    let mut again = open(&directory, 0..100);
    for (absent, left) in [(99, Some(4)), (4, Some(3)), (2, Some(3)), (3, Some(1)), (1, None)] {
        hide(&mut again, absent);
        assert_eq!(found(&again, 1), left);
        assert_eq!(again.contains(&id(1)).unwrap(), left.is_some());
    }
    assert_eq!(found(&again, 2), None);
    assert_eq!(again.rows(&id(1)).unwrap().len(), 0);
    assert_eq!(again.packs().count(), MOST_RUNS + 2 - 4);
    assert_eq!(again.named().count(), MOST_RUNS + 2);
}

#[test]
fn what_is_condemned_is_named_without_its_chunks_and_stays_so_through_merging() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = open(&directory, []);
    let condemned: BTreeSet<PackId> = [PackId::new([1; 32])].into();
    let packs = [pack(1, &[vec![(1, 10)]]), pack(2, &[vec![(1, 10), (2, 10)]])];

    index.add_all(&[(object(1), &packs)], &condemned).unwrap();
    for number in 3..=MOST_RUNS as u8 + 3 {
        index.add(&[object(number)], &[pack(number, &[vec![(u16::from(number), 10)]])]).unwrap();
    }

    assert_eq!(run_files(&directory).len(), 2, "they were merged");
    assert_eq!(index.rows(&id(1)).unwrap().len(), 1);
    assert_eq!(index.packs().filter(|pack| condemned.contains(&pack.id)).count(), 0);
    let named = index.named().find(|(_, pack, _)| condemned.contains(&pack.id));
    assert_eq!(named.map(|(index, _, hidden)| (index, hidden)), Some((object(1), true)));
}

#[test]
fn a_pack_that_two_index_objects_name_has_its_chunks_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = open(&directory, []);
    let same = pack(1, &[vec![(1, 10), (2, 20)]]);

    let named = std::slice::from_ref(&same);
    index.add_all(&[(object(1), named), (object(2), named)], &BTreeSet::new()).unwrap();

    assert_eq!(index.rows(&id(1)).unwrap().len(), 1);
    assert_eq!(index.row_count(), 2);
    let tally = index.tally(&|row| row == 0).unwrap();
    assert_eq!(tally.len(), 1);
    assert_eq!((tally[0].index, tally[0].chunks, tally[0].raw_bytes), (object(2), 2, 30));
    assert!([10, 20].contains(&tally[0].marked_bytes));
}

#[test]
fn runs_of_index_objects_that_are_not_live_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = open(&directory, []);
    index.add(&[object(1)], &[pack(1, &[vec![(1, 10)]])]).unwrap();
    index.add(&[object(2), object(3)], &[pack(2, &[vec![(2, 10)]])]).unwrap();

    let index = open(&directory, [1, 2]);

    assert_eq!(index.covered(), [object(1)].into());
    assert!(index.contains(&id(1)).unwrap() && !index.contains(&id(2)).unwrap());
    assert_eq!(run_files(&directory).len(), 1);
}

#[test]
fn a_run_that_is_cut_off_or_damaged_at_its_ends_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = open(&directory, []);
    index.add(&[object(1)], &[pack(1, &[vec![(1, 10), (2, 20)], vec![(3, 5)]])]).unwrap();
    let path = run_files(&directory).remove(0);
    let good = fs::read(&path).unwrap();
    let head = (HEADER_BYTES + 32 + PACK_BYTES) as usize;

    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(open(&directory, [1]).covered().is_empty(), "cut off at {length}");
        assert!(!path.exists());
    }
    for at in (0..head).chain(good.len() - FOOTER_BYTES as usize..good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        assert!(open(&directory, [1]).covered().is_empty(), "byte {at}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(open(&directory, [1]).covered(), [object(1)].into());
}

#[test]
fn a_run_with_a_pack_that_no_index_object_names_is_deleted() {
    let directory = TempDir::new().unwrap();
    open(&directory, []).add(&[object(1)], &[pack(1, &[vec![(1, 10)]])]).unwrap();
    let file = &run_files(&directory)[0];
    let mut bytes = fs::read(file).unwrap();
    let head_bytes = (HEADER_BYTES + 32 + PACK_BYTES) as usize;
    let checksum_at = bytes.len() - FOOTER_BYTES as usize;
    let cover = head_bytes - 8..head_bytes - 4;
    assert_eq!(bytes[cover.clone()], [0; 4]);

    bytes[cover].fill(0xff);
    let checksum = head_checksum(&bytes[..head_bytes]);
    bytes[checksum_at..checksum_at + 8].copy_from_slice(&checksum);
    fs::write(file, bytes).unwrap();

    assert!(open(&directory, [1]).covered().is_empty());
    assert!(!file.exists());
}

#[test]
fn two_processes_share_a_directory_without_harm() {
    let directory = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (open(&directory, []), open(&directory, []));
    for n in 0..=MOST_RUNS as u8 {
        one.add(&[object(n)], &[pack(n, &[vec![(n.into(), 10)]])]).unwrap();
        other.add(&[object(100 + n)], &[pack(100 + n, &[vec![(100 + u16::from(n), 10)]])]).unwrap();
        // A third, with an older log, deletes what it does not know.
        drop(open(&directory, []));
    }

    for n in 0..=MOST_RUNS as u16 {
        assert!(one.contains(&id(n)).unwrap() && !one.contains(&id(100 + n)).unwrap());
        assert!(other.contains(&id(100 + n)).unwrap() && !other.contains(&id(n)).unwrap());
    }
}

#[test]
fn a_long_run_is_left_alone_while_little_is_newer() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = open(&directory, []);
    index.add(&[object(1)], &[pack(1, &[(0..500).map(|n| (n, 10)).collect()])]).unwrap();
    let long = run_files(&directory).remove(0);

    for number in 2..=MOST_RUNS as u8 + 1 {
        index.add(&[object(number)], &[pack(number, &[vec![(600 + u16::from(number), 10)]])]).unwrap();
    }

    assert!(long.exists());
    assert_eq!(run_files(&directory).len(), 2, "the others were merged");
    assert_eq!((0..1000).filter(|&n| index.contains(&id(n)).unwrap()).count(), 500 + MOST_RUNS);
}

/// An index of one run too many, each of one pack with a chunk of the same number.
fn index_to_merge(directory: &TempDir) -> ChunkIndex {
    let mut index = open(directory, []);
    for number in 0..=MOST_RUNS as u8 {
        let packs = [pack(number, &[vec![(number.into(), 10)]])];
        index.add_all(&[(object(number), &packs)], &BTreeSet::new()).unwrap();
    }
    index
}

#[test]
fn what_is_hidden_or_added_while_runs_are_merged_stays_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = index_to_merge(&directory);

    let merged = index.prepare_merge().unwrap().unwrap();
    index.hide(&[PackId::new([3; 32])].into());
    let added = index.prepare(&[object(50)], &[pack(50, &[vec![(3, 10), (50, 10)]])]).unwrap();
    index.put(added).unwrap();
    assert!(index.contains(&id(2)).unwrap());
    index.put(merged).unwrap();

    assert_eq!(run_files(&directory).len(), 2);
    assert_eq!(index.find(&id(3)).unwrap().unwrap().pack.id, PackId::new([50; 32]));
    assert!(index.contains(&id(2)).unwrap() && index.contains(&id(50)).unwrap());
}

#[test]
fn a_merged_run_that_comes_too_late_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mut index = index_to_merge(&directory);

    let late = index.prepare_merge().unwrap().unwrap();
    index.merge_if_many().unwrap();
    index.hide(&[PackId::new([3; 32])].into());
    index.put(late).unwrap();

    assert_eq!(run_files(&directory).len(), 1);
    assert!(index.contains(&id(2)).unwrap() && !index.contains(&id(3)).unwrap());
}
