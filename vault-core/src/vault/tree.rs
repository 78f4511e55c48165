//! Reading trees: the entries of a directory one after another, however it is split into nodes.
//!
//! Memory is bounded by one node, whatever the directory's size, and nothing recurses: a hostile tree is as deep as it likes.

use crate::error::Error;
use crate::format::tree::{BRANCH_DEPTH_MAX, BranchRef, ChunkRef, Contents, Entry, ListRef, Node};
use crate::id::ChunkHash;

use super::reader::DomainReader;

/// The entries of one directory, by ascending name. After an error there are no more.
pub struct Entries<'r> {
    domain: DomainReader<'r>,
    /// Branches on the way to the entries at hand, each with the parts not visited yet, the next one last.
    branches: Vec<Vec<BranchRef>>,
    at_hand: std::vec::IntoIter<Entry>,
    next: Option<ChunkHash>,
    last_name: Vec<u8>,
}

/// The chunks of one file, in order: at most one part of its list is in memory.
pub struct Chunks<'r> {
    domain: DomainReader<'r>,
    at_hand: std::vec::IntoIter<ChunkRef>,
    lists: std::vec::IntoIter<ListRef>,
}

impl Iterator for Chunks<'_> {
    type Item = Result<ChunkRef, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(chunk) = self.at_hand.next() {
                return Some(Ok(chunk));
            }
            match self.domain.chunk_list(&self.lists.next()?) {
                Ok(chunks) => self.at_hand = chunks.into_iter(),
                Err(error) => {
                    self.lists = Vec::new().into_iter();
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<'r> DomainReader<'r> {
    /// The entries of the directory with this node.
    pub fn entries(self, subtree: &ChunkHash) -> Entries<'r> {
        Entries {
            domain: self,
            branches: Vec::new(),
            at_hand: Vec::new().into_iter(),
            next: Some(*subtree),
            last_name: Vec::new(),
        }
    }

    /// The entry of a directory with this name.
    pub fn find_entry(self, subtree: &ChunkHash, name: &[u8]) -> Result<Option<Entry>, Error> {
        let mut node = self.node(subtree)?;
        for _ in 0..=BRANCH_DEPTH_MAX {
            match node {
                Node::Entries(entries) => return Ok(entries.into_iter().find(|entry| entry.name == name)),
                Node::Branch(parts) => {
                    let after = parts.partition_point(|part| part.first_name.as_slice() <= name);
                    let Some(part) = after.checked_sub(1).and_then(|at| parts.get(at)) else {
                        return Ok(None);
                    };
                    node = self.node(&part.h)?;
                }
                Node::ChunkList(_) => return Err(self.not_a_directory()),
            }
        }
        Err(self.too_deep())
    }

    /// The chunks of a file, in order. After an error there are no more.
    pub fn chunks(self, contents: Contents) -> Chunks<'r> {
        let (at_hand, lists) = match contents {
            Contents::Chunks(chunks) => (chunks, Vec::new()),
            Contents::Lists(lists) => (Vec::new(), lists),
        };
        Chunks { domain: self, at_hand: at_hand.into_iter(), lists: lists.into_iter() }
    }

    /// Calls `each` with every chunk of a file, in order.
    pub fn for_each_chunk(
        self,
        contents: &Contents,
        each: &mut dyn FnMut(&ChunkRef) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match contents {
            Contents::Chunks(chunks) => chunks.iter().try_for_each(each),
            Contents::Lists(lists) => {
                lists.iter().try_for_each(|list| self.chunk_list(list)?.iter().try_for_each(&mut *each))
            }
        }
    }

    /// Reads a part of a file's chunk list.
    fn chunk_list(&self, list: &ListRef) -> Result<Vec<ChunkRef>, Error> {
        let Node::ChunkList(chunks) = self.node(&list.h)? else {
            return Err(self.damaged_tree("a directory stands in place of a list of chunks"));
        };
        let bytes: u64 = chunks.iter().map(|chunk| u64::from(chunk.length)).sum();
        if bytes != list.bytes {
            return Err(self.damaged_tree("a list of chunks has another length than its entry says"));
        }
        Ok(chunks)
    }

    fn not_a_directory(&self) -> Error {
        self.damaged_tree("a list of chunks stands in place of a directory")
    }

    fn too_deep(&self) -> Error {
        self.damaged_tree("a directory is split too often")
    }
}

impl Entries<'_> {
    /// Reads the next node of the directory; false when there is none.
    fn load(&mut self) -> Result<bool, Error> {
        loop {
            while self.branches.last().is_some_and(Vec::is_empty) {
                self.branches.pop();
            }
            let part = match self.next.take() {
                Some(root) => BranchRef { first_name: Vec::new(), h: root },
                None => match self.branches.last_mut().and_then(Vec::pop) {
                    Some(part) => part,
                    None => return Ok(false),
                },
            };
            match self.domain.node(&part.h)? {
                Node::Entries(entries) => {
                    let fits = part.first_name.is_empty()
                        || entries.first().is_some_and(|entry| entry.name == part.first_name);
                    if !fits {
                        return Err(self
                            .domain
                            .damaged_tree("a part of a directory begins with another name"));
                    }
                    self.at_hand = entries.into_iter();
                    return Ok(true);
                }
                Node::Branch(mut parts) => {
                    if self.branches.len() >= BRANCH_DEPTH_MAX as usize {
                        return Err(self.domain.too_deep());
                    }
                    parts.reverse();
                    self.branches.push(parts);
                }
                Node::ChunkList(_) => return Err(self.domain.not_a_directory()),
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(entry) = self.at_hand.next() {
                if entry.name <= self.last_name {
                    return Err(self.domain.damaged_tree("its entries are not in order"));
                }
                self.last_name.clone_from(&entry.name);
                return Ok(Some(entry));
            }
            if !self.load()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.try_next().transpose();
        if matches!(next, Some(Err(_))) {
            self.branches.clear();
            self.at_hand = Vec::new().into_iter();
        }
        next
    }
}
