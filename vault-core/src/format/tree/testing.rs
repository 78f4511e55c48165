//! Entries of directories to test with.
//!
//! Whatever a strategy here makes is well-formed: it can be encoded, and decodes to itself.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::contents::ListRef;
use super::{ChunkRef, Contents, DeviceNumber, Entry, EntryKind, Hole, Metadata, Xattr};
use crate::id::ChunkHash;
use crate::time::Timestamp;

fn any_hash() -> impl Strategy<Value = ChunkHash> {
    any::<[u8; 32]>().prop_map(ChunkHash::new)
}

fn any_contents() -> impl Strategy<Value = Contents> {
    let chunk = (any_hash(), 1..=16_u32 << 20).prop_map(|(h, length)| ChunkRef { h, length });
    let list = (any_hash(), 1..u64::from(u32::MAX)).prop_map(|(h, bytes)| ListRef { h, bytes });
    prop_oneof![vec(chunk, 0..5).prop_map(Contents::Chunks), vec(list, 1..5).prop_map(Contents::Lists),]
}

/// Any file; what stands between the holes is made as long as the chunks are.
fn any_file() -> impl Strategy<Value = EntryKind> {
    (any_contents(), vec((1..1_000_u64, 1..u64::from(u32::MAX)), 0..4)).prop_map(|(contents, gaps)| {
        let (mut offset, mut holes) = (0, Vec::new());
        let mut left = contents.bytes().unwrap();
        for (gap, length) in gaps {
            if gap <= left {
                left -= gap;
                holes.push(Hole { offset: offset + gap, length });
                offset += gap + length;
            }
        }
        EntryKind::File { size: offset + left, contents, holes }
    })
}

fn any_kind() -> impl Strategy<Value = EntryKind> {
    let device = (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| DeviceNumber { major, minor });
    prop_oneof![
        4 => any_file(),
        1 => any_hash().prop_map(|subtree| EntryKind::Directory { subtree }),
        1 => vec(any::<u8>(), 1..50).prop_map(|target| EntryKind::Symlink { target }),
        1 => Just(EntryKind::Fifo),
        1 => device.clone().prop_map(EntryKind::CharDevice),
        1 => device.prop_map(EntryKind::BlockDevice),
        1 => Just(EntryKind::Socket),
    ]
}

fn any_metadata() -> impl Strategy<Value = Metadata> {
    let name = || option::of(vec(any::<u8>(), 0..10));
    let xattrs = btree_map(vec(any::<u8>(), 0..10), vec(any::<u8>(), 0..40), 0..3);
    let time = (any::<i64>(), 0..1_000_000_000_u32);
    (0..=0o7777_u32, any::<[u32; 2]>(), name(), name(), time, xattrs).prop_map(
        |(mode, [uid, gid], user, group, (seconds, nanos), xattrs)| Metadata {
            mode,
            uid,
            gid,
            user,
            group,
            mtime: Timestamp { seconds, nanos },
            xattrs: xattrs.into_iter().map(|(name, value)| Xattr { name, value }).collect(),
        },
    )
}

/// Any entry of a directory.
pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    let name = vec(any::<u8>(), 1..30).prop_filter("a name", |name| super::is_name(name));
    (name, any_kind(), any_metadata(), option::of(any::<u64>()), any::<bool>()).prop_map(
        |(name, kind, metadata, link_group, changed_while_read)| {
            let link_group = link_group.filter(|_| !matches!(kind, EntryKind::Directory { .. }));
            Entry { name, kind, metadata, link_group, changed_while_read }
        },
    )
}

/// A file with every field that a file can have.
pub(super) fn full_file(name: &[u8]) -> Entry {
    let chunk = |n, length| ChunkRef { h: ChunkHash::new([n; 32]), length };
    Entry {
        name: name.to_vec(),
        kind: EntryKind::File {
            size: 0x2000,
            contents: Contents::Chunks(vec![chunk(1, 0x800), chunk(2, 0x800)]),
            holes: vec![Hole { offset: 0x100, length: 0x1000 }],
        },
        metadata: Metadata {
            mode: 0o644,
            uid: 1000,
            gid: 100,
            user: Some(b"ada".to_vec()),
            group: Some(b"users".to_vec()),
            mtime: Timestamp { seconds: -1, nanos: 500_000_000 },
            xattrs: vec![Xattr { name: b"user.a".to_vec(), value: b"b".to_vec() }],
        },
        link_group: Some(42),
        changed_while_read: true,
    }
}
