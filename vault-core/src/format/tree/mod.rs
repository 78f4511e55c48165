//! Tree nodes: directories, large directories and parts of chunk lists (`docs/format.md`, section 6).
//!
//! A node is decoded whole before anything of it is used, so what is restored from one is in order and without repeated names.

use crate::cbor::{Decoder, Encoder};
use crate::format::{DecodeError, at_most, nothing_follows};
use crate::id::ChunkHash;

mod codec;
mod contents;
mod directory;
mod entry;
#[cfg(test)]
mod testing;

pub use contents::{CHUNKS_IN_ENTRY_MAX, ChunkRef, Contents, Hole, ListRef};
pub use directory::store_directory;
pub use entry::{
    DeviceNumber, Entry, EntryKind, MODE_MAX, Metadata, NAME_MAX_BYTES, TARGET_MAX_BYTES, Xattr,
    encoded_name, is_name,
};

/// Largest node.
pub const NODE_MAX_BYTES: usize = 8 << 20;
/// Where writers split a node: half the limit, so that one entry more never makes it too large.
pub const NODE_SPLIT_BYTES: usize = 4 << 20;
/// How deep nodes of large directories nest at most: at 4 MiB each, more entries than any file system can hold.
pub const BRANCH_DEPTH_MAX: u32 = 4;

/// The longest that can stand in front of a node's items: array of two, the type, the length of the list.
const HEAD_MAX_BYTES: usize = 1 + 1 + 9;

const ENTRIES: u64 = 0;
const BRANCH: u64 = 1;
const CHUNK_LIST: u64 = 2;

/// The shortest encoding of a branch reference: array of two, a name of one byte, 32 bytes with their head.
const BRANCH_REF_MIN_BYTES: usize = 1 + 2 + 34;

/// A decoded node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// The entries of a directory, by ascending name; or of a part of a large one.
    Entries(Vec<Entry>),
    /// The parts of a large directory, by ascending first name; at least one.
    Branch(Vec<BranchRef>),
    /// A part of the chunk list of a large file; at least one chunk.
    ChunkList(Vec<ChunkRef>),
}

/// A part of a large directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchRef {
    /// The name of the part's first entry.
    pub first_name: Vec<u8>,
    /// The hash of the part's node, which has entries or is a branch again.
    pub h: ChunkHash,
}

impl BranchRef {
    /// Length of the encoding, in bytes.
    fn encoded_bytes(&self) -> usize {
        let head = if self.first_name.len() < 24 { 1 } else { 2 };
        1 + head + self.first_name.len() + 34
    }
}

impl Node {
    /// The name of the first entry: what a branch says of the node. `None` for chunk lists and empty directories.
    pub fn first_name(&self) -> Option<&[u8]> {
        match self {
            Self::Entries(entries) => entries.first().map(|entry| &entry.name[..]),
            Self::Branch(parts) => parts.first().map(|part| &part.first_name[..]),
            Self::ChunkList(_) => None,
        }
    }

    /// Decodes a node that fills the whole input.
    pub fn decode(node: &[u8]) -> Result<Self, DecodeError> {
        at_most("the length of a node", node.len() as u64, NODE_MAX_BYTES as u64)?;
        let mut input = Decoder::new(node);
        input.array_of(2, "a node")?;
        let decoded = match input.uint()? {
            ENTRIES => Self::Entries(decode_entries(&mut input)?),
            BRANCH => Self::Branch(decode_branch(&mut input)?),
            CHUNK_LIST => Self::ChunkList(decode_chunk_list(&mut input)?),
            value => return Err(DecodeError::Value { field: "the type of a node", value }),
        };
        nothing_follows(input.remaining())?;
        Ok(decoded)
    }
}

/// Encodes the node of a directory from its encoded entries, which the caller has in order of their names.
pub fn encode_entries(encoded: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = node(ENTRIES, encoded.len());
    for entry in encoded {
        out.raw(entry.as_ref());
    }
    out.finish()
}

/// Encodes a node of a large directory; the parts are in order of their first names.
pub fn encode_branch(parts: &[BranchRef]) -> Vec<u8> {
    let mut out = node(BRANCH, parts.len());
    for part in parts {
        out.array(2).bytes(&part.first_name).bytes(part.h.as_bytes());
    }
    out.finish()
}

/// Encodes a part of a chunk list.
pub fn encode_chunk_list(chunks: &[ChunkRef]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.array(2).uint(CHUNK_LIST);
    contents::encode_chunks(&mut out, chunks);
    out.finish()
}

fn node(kind: u64, items: usize) -> Encoder {
    let mut out = Encoder::new();
    out.array(2).uint(kind).array(items);
    out
}

fn decode_entries(input: &mut Decoder<'_>) -> Result<Vec<Entry>, DecodeError> {
    let count = input.array()?;
    // Not allocated at once: an entry in memory is much larger than the one byte that a count vouches for.
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let entry = Entry::decode_from(input)?;
        if entry.name.is_empty() {
            return Err(DecodeError::Invalid { field: "the name of an entry" });
        }
        if entries.last().is_some_and(|last| last.name >= entry.name) {
            return Err(DecodeError::Order { field: "the entries of a directory" });
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn decode_branch(input: &mut Decoder<'_>) -> Result<Vec<BranchRef>, DecodeError> {
    let parts = contents::decode_list(input, BRANCH_REF_MIN_BYTES, |input| {
        Ok(BranchRef { first_name: input.bytes()?.to_vec(), h: contents::decode_hash(input)? })
    })?;
    if parts.is_empty() || parts.iter().any(|part| !is_name(&part.first_name)) {
        return Err(DecodeError::Invalid { field: "a part of a large directory" });
    }
    if !parts.is_sorted_by(|a, b| a.first_name < b.first_name) {
        return Err(DecodeError::Order { field: "the parts of a large directory" });
    }
    Ok(parts)
}

fn decode_chunk_list(input: &mut Decoder<'_>) -> Result<Vec<ChunkRef>, DecodeError> {
    let chunks = contents::decode_chunks(input)?;
    if chunks.is_empty() {
        return Err(DecodeError::Invalid { field: "a chunk list" });
    }
    contents::check_chunks(&chunks)?;
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::testing::{any_entry, full_file};
    use super::*;
    use crate::format::damage;

    fn chunk(n: u8) -> ChunkRef {
        ChunkRef { h: ChunkHash::new([n; 32]), length: 1_000 }
    }

    fn part(first_name: &[u8]) -> BranchRef {
        BranchRef { first_name: first_name.to_vec(), h: ChunkHash::new([7; 32]) }
    }

    fn entries(names: &[&[u8]]) -> Vec<u8> {
        encode_entries(&names.iter().map(|name| full_file(name).encode().unwrap()).collect::<Vec<_>>())
    }

    fn again(bytes: &[u8]) -> Option<Vec<u8>> {
        Some(match Node::decode(bytes).ok()? {
            Node::Entries(entries) => {
                let encoded: Result<Vec<_>, _> = entries.iter().map(Entry::encode).collect();
                encode_entries(&encoded.ok()?)
            }
            Node::Branch(parts) => encode_branch(&parts),
            Node::ChunkList(chunks) => encode_chunk_list(&chunks),
        })
    }

    #[test]
    fn nodes_are_encoded_as_documented() {
        let h = "07".repeat(32);

        assert_eq!(hex::encode(entries(&[])), "820080");
        assert_eq!(
            hex::encode(encode_branch(&[part(b"a")])),
            format!("820181824161 5820{h}").replace(' ', "")
        );
        assert_eq!(hex::encode(encode_chunk_list(&[chunk(7)])), format!("820281825820{h}1903e8"));
    }

    #[test]
    fn damaged_nodes_are_refused_or_are_other_nodes() {
        damage::survives(&entries(&[b"a", b"b"]), again);
        damage::survives(&entries(&[]), again);
        damage::survives(&encode_branch(&[part(b"a"), part(b"b")]), again);
        damage::survives(&encode_chunk_list(&[chunk(1), chunk(2)]), again);
    }

    #[test]
    fn names_out_of_order_or_repeated_are_refused() {
        let order = |field| Err(DecodeError::Order { field });

        assert_eq!(Node::decode(&entries(&[b"b", b"a"])), order("the entries of a directory"));
        assert_eq!(Node::decode(&entries(&[b"a", b"a"])), order("the entries of a directory"));
        for names in [[b"b", b"a"], [b"a", b"a"]] {
            let node = encode_branch(&names.map(|name| part(name)));
            assert_eq!(Node::decode(&node), order("the parts of a large directory"));
        }
    }

    #[test]
    fn an_entry_without_a_name_is_refused_in_a_node() {
        let kind = EntryKind::Directory { subtree: ChunkHash::new([1; 32]) };
        let root = Entry { name: Vec::new(), kind, link_group: None, ..full_file(b"x") };

        let encoded = root.encode().unwrap();

        assert_eq!(Entry::decode(&encoded), Ok(root));
        assert_eq!(
            Node::decode(&encode_entries(&[encoded])),
            Err(DecodeError::Invalid { field: "the name of an entry" })
        );
    }

    #[test]
    fn empty_branches_and_chunk_lists_are_refused() {
        assert_eq!(Node::decode(&entries(&[])), Ok(Node::Entries(Vec::new())));
        assert!(Node::decode(&encode_branch(&[])).is_err());
        assert!(Node::decode(&encode_branch(&[part(b"..")])).is_err());
        assert!(Node::decode(&encode_chunk_list(&[])).is_err());
    }

    #[test]
    fn unknown_types_of_node_are_refused() {
        let error = DecodeError::Value { field: "the type of a node", value: 3 };
        assert_eq!(Node::decode(&[0x82, 3, 0x80]), Err(error));
    }

    #[test]
    fn counts_that_the_input_cannot_hold_are_refused_before_anything_is_allocated() {
        for kind in 0..3 {
            let node = [&[0x82, kind, 0x9a, 0xff, 0xff, 0xff, 0xff][..], &[0; 100]].concat();
            assert!(matches!(Node::decode(&node), Err(DecodeError::Cbor(_))), "{kind}");
        }
    }

    #[test]
    fn a_node_above_the_limit_is_refused() {
        let error = Node::decode(&vec![0; NODE_MAX_BYTES + 1]);

        assert!(matches!(error, Err(DecodeError::Limit { .. })));
    }

    #[test]
    fn a_node_knows_its_first_name() {
        assert_eq!(Node::decode(&entries(&[b"a", b"b"])).unwrap().first_name(), Some(&b"a"[..]));
        assert_eq!(Node::Branch(vec![part(b"c")]).first_name(), Some(&b"c"[..]));
        assert_eq!(Node::ChunkList(vec![chunk(1)]).first_name(), None);
    }

    #[test]
    fn the_length_of_a_branch_reference_is_the_one_it_has() {
        let base = encode_branch(&[]).len();
        for length in [1, 23, 24, 255] {
            let part = part(&vec![b'x'; length]);
            assert_eq!(encode_branch(std::slice::from_ref(&part)).len() - base, part.encoded_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_directory_decodes_to_its_entries(mut entries in vec(any_entry(), 0..6)) {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.dedup_by(|a, b| a.name == b.name);
            let encoded: Vec<_> = entries.iter().map(|entry| entry.encode().unwrap()).collect();

            prop_assert_eq!(Node::decode(&encode_entries(&encoded)), Ok(Node::Entries(entries)));
        }

        #[test]
        fn any_bytes_are_refused_or_are_the_encoding_of_a_node(bytes in vec(any::<u8>(), 0..100)) {
            if let Some(encoded) = again(&bytes) {
                prop_assert_eq!(encoded, bytes);
            }
        }
    }
}
