//! A directory as the nodes that a vault has of it: one, or a tree of branches over the parts of a large one.
//!
//! Every node that is stored has at most [`NODE_SPLIT_BYTES`] or one item, and is stored after those that it names.

use std::ops::Range;

use super::{BranchRef, HEAD_MAX_BYTES, NODE_SPLIT_BYTES, encode_branch, encode_entries, encoded_name};
use crate::id::ChunkHash;

/// Gives each node of a directory to `store`, and returns the hash that it has for the last one, which stands for the directory.
///
/// The caller has the encoded entries in order of their names.
pub fn store_directory<E>(
    entries: &[impl AsRef<[u8]>],
    mut store: impl FnMut(&[u8]) -> Result<ChunkHash, E>,
) -> Result<ChunkHash, E> {
    store_within(NODE_SPLIT_BYTES, entries, &mut store)
}

fn store_within<E>(
    limit: usize,
    entries: &[impl AsRef<[u8]>],
    store: &mut impl FnMut(&[u8]) -> Result<ChunkHash, E>,
) -> Result<ChunkHash, E> {
    let parts = split(entries.iter().map(|entry| entry.as_ref().len()), limit);
    if parts.len() <= 1 {
        return store(&encode_entries(entries));
    }
    let mut branches = Vec::with_capacity(parts.len());
    for part in parts {
        let part = &entries[part];
        let h = store(&encode_entries(part))?;
        let first_name = part.first().and_then(|entry| encoded_name(entry.as_ref()));
        branches.push(BranchRef { first_name: first_name.unwrap_or_default().to_vec(), h });
    }
    loop {
        let parts = split(branches.iter().map(BranchRef::encoded_bytes), limit);
        if parts.len() <= 1 {
            return store(&encode_branch(&branches));
        }
        let mut above = Vec::with_capacity(parts.len());
        for part in parts {
            let part = &branches[part];
            let h = store(&encode_branch(part))?;
            above.push(BranchRef { first_name: part[0].first_name.clone(), h });
        }
        branches = above;
    }
}

/// Divides items of these lengths into runs, each of which makes a node of at most `limit` bytes, or has one item.
///
/// There is always at least one run, if only an empty one. Runs are filled from the front.
fn split(item_bytes: impl IntoIterator<Item = usize>, limit: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let (mut begin, mut end, mut bytes) = (0, 0, HEAD_MAX_BYTES);
    for item in item_bytes {
        if end > begin && bytes.saturating_add(item) > limit {
            runs.push(begin..end);
            (begin, bytes) = (end, HEAD_MAX_BYTES);
        }
        bytes = bytes.saturating_add(item);
        end += 1;
    }
    runs.push(begin..end);
    runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::Node;
    use super::super::testing::full_file;
    use super::*;
    use crate::crypto::hash::chunk_hash;

    /// The names below a node, and how deep its branches nest.
    fn names_below(nodes: &BTreeMap<ChunkHash, Vec<u8>>, h: &ChunkHash) -> (Vec<Vec<u8>>, u32) {
        match Node::decode(&nodes[h]).unwrap() {
            Node::Entries(entries) => (entries.into_iter().map(|entry| entry.name).collect(), 0),
            Node::Branch(parts) => {
                let (mut names, mut depth) = (Vec::new(), 0);
                for part in parts {
                    let (below, deep) = names_below(nodes, &part.h);
                    assert_eq!(below[0], part.first_name);
                    names.extend(below);
                    depth = depth.max(deep + 1);
                }
                (names, depth)
            }
            Node::ChunkList(_) => panic!("a directory has no chunk list"),
        }
    }

    #[test]
    fn a_directory_of_any_size_has_its_entries_in_order_below_the_node_that_is_returned() {
        let bytes = full_file(b"0000").encode().unwrap().len();
        for (count, deep) in [(0, 0), (1, 0), (3, 0), (4, 1), (60, 2)] {
            let names: Vec<_> = (0..count).map(|number| format!("{number:04}").into_bytes()).collect();
            let entries: Vec<_> = names.iter().map(|name| full_file(name).encode().unwrap()).collect();
            let mut nodes = BTreeMap::new();
            let limit = HEAD_MAX_BYTES + 3 * bytes;
            let root = store_within(limit, &entries, &mut |node: &[u8]| {
                assert!(node.len() <= limit);
                nodes.insert(chunk_hash(node), node.to_vec());
                Ok::<_, Infallible>(chunk_hash(node))
            });

            assert_eq!(names_below(&nodes, &root.unwrap()), (names, deep), "{count} entries");
        }
    }

    #[test]
    fn items_are_divided_where_a_node_is_full() {
        let runs = |items: &[usize]| -> Vec<_> {
            split(items.iter().copied(), HEAD_MAX_BYTES + 10).iter().map(|run| (run.start, run.end)).collect()
        };

        assert_eq!(runs(&[]), [(0, 0)]);
        assert_eq!(runs(&[5, 5]), [(0, 2)]);
        assert_eq!(runs(&[5, 6]), [(0, 1), (1, 2)]);
        assert_eq!(runs(&[1, 100, 1, 1]), [(0, 1), (1, 2), (2, 4)]);
    }

    proptest! {
        #[test]
        fn runs_follow_each_other_and_fit(items in vec(0..50_usize, 0..40)) {
            let runs = split(items.iter().copied(), 100);

            let mut next = 0;
            for run in &runs {
                prop_assert_eq!(run.start, next);
                next = run.end;
                let bytes: usize = items[run.clone()].iter().sum();
                prop_assert!(run.len() == 1 || bytes + HEAD_MAX_BYTES <= 100);
            }
            prop_assert_eq!(next, items.len());
        }
    }
}
