//! What `stats` adds up, against sets of chunks made in the plainest way.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vault_core::format::tree::EntryKind;
use vault_core::id::{ChunkHash, SnapshotId};
use vault_core::ops::stats::{Profile, ProfileOptions, StatsSummary, profile, stats};
use vault_core::vault::{Reader, Vault};
use vault_tests::{TestVault, TreeFixture, noise};

fn sums(vault: &TestVault, chosen: &[SnapshotId]) -> StatsSummary {
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    stats(&open, &reader, chosen, &vault.around()).unwrap()
}

fn by_path(vault: &TestVault, snapshot: SnapshotId, depth: usize) -> Profile {
    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    profile(&open, &reader, &ProfileOptions { snapshot, depth, top: 100 }, &vault.around()).unwrap()
}

/// The chunks of files, and the nodes of directories, of one snapshot.
fn chunks(vault: &Vault, reader: &Reader, id: SnapshotId) -> (BTreeSet<ChunkHash>, BTreeSet<ChunkHash>) {
    let record = vault.state().snapshot_by_id(&id).unwrap();
    let domain = reader.domain(record).unwrap();
    let (mut data, mut trees) = (BTreeSet::new(), BTreeSet::new());
    let mut waiting = vec![reader.body(record).unwrap().root];
    while let Some(entry) = waiting.pop() {
        match entry.kind {
            EntryKind::Directory { subtree } => {
                trees.insert(subtree);
                waiting.extend(domain.entries(&subtree).map(Result::unwrap));
            }
            EntryKind::File { contents, .. } => {
                data.extend(domain.chunks(contents).map(|chunk| chunk.unwrap().h));
            }
            _ => {}
        }
    }
    (data, trees)
}

#[test]
fn sums_agree_with_sets_of_chunks() {
    let (vault, tree) = (TestVault::with_small_chunks(), TreeFixture::new());
    let mut ids = Vec::new();
    for round in 0..5_u64 {
        for file in 0..6 {
            if round == 0 || (round + file) % 3 == 0 {
                tree.file(format!("d{}/e{}/f{file}", file % 2, file % 3), noise(round * 10 + file, 9_000));
            }
        }
        tree.file("same/a", noise(99, 20_000))
            .file("same/b", noise(99, 20_000))
            .file("z", format!("{}", round % 2));
        ids.push(vault.backup(&tree.path()).snapshot);
    }

    let open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let sets: Vec<_> = ids.iter().map(|id| chunks(&open, &reader, *id)).collect();
    for chosen in [vec![0, 1, 2, 3, 4], vec![2], vec![1, 3], vec![]] {
        let found = sums(&vault, &chosen.iter().map(|&at| ids[at]).collect::<Vec<_>>());

        let data: BTreeSet<_> = chosen.iter().flat_map(|&at: &usize| &sets[at].0).collect();
        let trees: BTreeSet<_> = chosen.iter().flat_map(|&at| &sets[at].1).collect();
        assert_eq!((found.data.chunks, found.trees.chunks), (data.len() as u64, trees.len() as u64));
        for (snapshot, &at) in found.snapshots.iter().zip(&chosen) {
            let others: BTreeSet<_> = (0..5)
                .filter(|&other| other != at)
                .flat_map(|other| sets[other].0.union(&sets[other].1))
                .collect();
            let only = sets[at].0.union(&sets[at].1).filter(|h| !others.contains(h)).count();
            assert_eq!((snapshot.id, snapshot.only.chunks), (ids[at], only as u64), "{chosen:?}");
        }
    }
}

#[test]
fn what_stands_twice_belongs_to_the_directory_that_has_both() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("a/one/x", noise(1, 50_000))
        .file("a/two/x", noise(1, 50_000))
        .file("a/two/y", noise(2, 30_000));
    tree.file("b/y", noise(2, 30_000)).file("b/z", vec![0; 70_000]).file("empty", "");
    let snapshot = vault.backup(&tree.path()).snapshot;

    let found = by_path(&vault, snapshot, 2);

    let of = |path: &str| found.directories.iter().find(|stats| stats.path == Path::new(path)).unwrap();
    assert_eq!((of("").files, of("").bytes, of("").only.bytes), (6, 230_000, 150_000));
    assert_eq!((of("a").bytes, of("a").only.bytes), (130_000, 50_000));
    assert_eq!((of("a/one").only.bytes, of("a/two").only.bytes, of("a/two").bytes), (0, 0, 80_000));
    assert_eq!((of("b").bytes, of("b").only.bytes), (100_000, 70_000));
    // Chunks that share a segment share its bytes by their length.
    assert!(of("b").only.stored_bytes > of("a").only.stored_bytes && of("a").only.stored_bytes > 10_000);
    assert_eq!(found.directories[0].path, Path::new(""));
    assert_eq!(found.sizes.iter().map(|class| class.files).sum::<u64>(), 6);
    assert_eq!(found.sizes[0].files, 1);
    assert_eq!(by_path(&vault, snapshot, 0).directories.len(), 1);
    assert_eq!(by_path(&vault, snapshot, 1).directories.len(), 3);
}

#[test]
fn stored_bytes_are_close_to_what_the_store_takes() {
    let (vault, tree) = (TestVault::new(), TreeFixture::new());
    tree.file("f", noise(1, 3 << 20)).file("zeros", vec![0; 3 << 20]);
    let snapshot = vault.backup(&tree.path()).snapshot;
    let disk: u64 = vault_tests::damage::files_below(&vault.root().join("packs"))
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();

    let found = sums(&vault, &[snapshot]);

    assert_eq!(found.pack_bytes, disk);
    let used = found.data.stored_bytes + found.trees.stored_bytes;
    assert!(used > 3 << 20 && used < disk && used + disk / 8 > disk, "{used} of {disk}");
    assert_eq!(found.restored_bytes(), 6 << 20);
}
