//! A tree node: accepted bytes are the encoding of what they decode to, unless entries have fields that may be passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::tree::{Entry, Node, encode_branch, encode_chunk_list, encode_entries};

fuzz_target!(|bytes: &[u8]| {
    let Ok(node) = Node::decode(bytes) else { return };
    let again = match &node {
        Node::Entries(entries) => {
            encode_entries(&entries.iter().map(|e| Entry::encode(e).expect("decoded")).collect::<Vec<_>>())
        }
        Node::Branch(parts) => encode_branch(parts),
        Node::ChunkList(chunks) => encode_chunk_list(chunks),
    };
    // Fields passed over are not encoded again: then the bytes are fewer, but the node is the same.
    assert!(again == bytes || again.len() < bytes.len() && Node::decode(&again) == Ok(node));
});
