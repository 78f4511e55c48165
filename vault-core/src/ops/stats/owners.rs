//! Which snapshot needs each chunk: none, one, or several.
//!
//! Snapshots are added one after another. A node that two have entered is shared with everything below it, so no third enters it:
//! the work grows with what is distinct, not with the number of snapshots.

use std::sync::Arc;

use crate::crypto::hash::chunk_id;
use crate::error::Error;
use crate::format::commit::CommitBody;
use crate::format::tree::{ChunkRef, Contents, Entry, EntryKind, Node};
use crate::id::{ChunkHash, SnapshotId};
use crate::keys::envelope::DomainKeys;
use crate::log::Snapshot;
use crate::surroundings::Surroundings;
use crate::vault::Reader;
use crate::vault::chunk_index::{ChunkIndex, Place};
use crate::vault::marks::Bits;

use super::Room;

/// Nobody needs the chunk, as far as is known; the number above stands for the first snapshot.
const NOBODY: u32 = 0;
/// More than one snapshot needs it.
const SEVERAL: u32 = u32::MAX;

/// What the snapshots added so far need.
pub(super) struct Owners<'a> {
    reader: &'a Reader,
    around: Surroundings<'a>,
    chunks: Arc<ChunkIndex>,
    /// By row of the chunk index.
    owner: Vec<u32>,
    entered: Bits,
    entered_by_several: Bits,
    only: Vec<Room>,
    data: Room,
    trees: Room,
}

/// A chunk, and what was known of it before the snapshot at hand.
struct Looked {
    row: u64,
    place: Place,
    owner_before: u32,
}

impl<'a> Owners<'a> {
    pub(super) fn new(reader: &'a Reader, around: Surroundings<'a>) -> Self {
        let chunks = reader.chunks();
        let rows = chunks.row_count() as usize;
        Self {
            reader,
            around,
            chunks,
            owner: vec![NOBODY; rows],
            entered: Bits::default(),
            entered_by_several: Bits::default(),
            only: Vec::new(),
            data: Room::default(),
            trees: Room::default(),
        }
    }

    /// What all snapshots added so far need together: contents, and trees.
    pub(super) fn needed(&self) -> (Room, Room) {
        (self.data, self.trees)
    }

    /// What each alone needs, in the order in which they were added.
    pub(super) fn only(&self) -> &[Room] {
        &self.only
    }

    /// Adds a snapshot.
    pub(super) fn add(&mut self, record: &Snapshot, body: &CommitBody) -> Result<(), Error> {
        self.only.push(Room::default());
        let keys = self.reader.keys_of(record.domain)?;
        let EntryKind::Directory { subtree } = body.root.kind else { return Ok(()) };
        let mut open = vec![subtree];
        while let Some(h) = open.pop() {
            let looked = self.look(keys, &h)?;
            if looked.owner_before == NOBODY {
                self.trees.add(Room::of(&looked.place));
            }
            if !self.enter(&looked) {
                continue;
            }
            if self.around.stop.requested() {
                return Err(Error::Interrupted);
            }
            match self.node(record.id, &looked.place, &h)? {
                Node::Entries(entries) => {
                    entries.iter().try_for_each(|entry| self.entry(keys, entry, &mut open))?;
                }
                Node::Branch(parts) => open.extend(parts.iter().map(|part| part.h)),
                Node::ChunkList(chunks) => self.contents(keys, &chunks)?,
            }
        }
        Ok(())
    }

    fn node(&self, snapshot: SnapshotId, place: &Place, h: &ChunkHash) -> Result<Node, Error> {
        let chunk = self.reader.chunk_at(place, h)?;
        Node::decode(&chunk).map_err(|error| Error::Tree { snapshot, fault: error.into() })
    }

    /// Whether there may be something below a node that is not known yet.
    fn enter(&mut self, node: &Looked) -> bool {
        if self.entered.set(node.row) {
            return true;
        }
        // Whoever enters a node owns it, so this snapshot has been here.
        node.owner_before != self.number() && self.entered_by_several.set(node.row)
    }

    fn entry(&mut self, keys: &DomainKeys, entry: &Entry, open: &mut Vec<ChunkHash>) -> Result<(), Error> {
        match &entry.kind {
            EntryKind::Directory { subtree } => open.push(*subtree),
            EntryKind::File { contents: Contents::Chunks(chunks), .. } => self.contents(keys, chunks)?,
            EntryKind::File { contents: Contents::Lists(lists), .. } => {
                open.extend(lists.iter().map(|list| list.h));
            }
            _ => {}
        }
        Ok(())
    }

    fn contents(&mut self, keys: &DomainKeys, chunks: &[ChunkRef]) -> Result<(), Error> {
        for chunk in chunks {
            let looked = self.look(keys, &chunk.h)?;
            if looked.owner_before == NOBODY {
                self.data.add(Room::of(&looked.place));
            }
        }
        Ok(())
    }

    /// Notes that the snapshot at hand needs a chunk.
    fn look(&mut self, keys: &DomainKeys, h: &ChunkHash) -> Result<Looked, Error> {
        let rows = self.chunks.rows(&chunk_id(&keys.k_id, h))?;
        // Of several places always the same one.
        let Some((row, _)) = rows.first() else { return Err(Error::ChunkMissing { h: *h }) };
        let place = self.chunks.place(row)?;
        let number = self.number();
        let Some(owner) = self.owner.get_mut(row.number as usize) else {
            return Err(Error::ChunkMissing { h: *h });
        };
        let owner_before = *owner;
        if owner_before == NOBODY {
            *owner = number;
            if let Some(only) = self.only.last_mut() {
                only.add(Room::of(&place));
            }
        } else if owner_before != number && owner_before != SEVERAL {
            *owner = SEVERAL;
            self.only[owner_before as usize - 1].take(Room::of(&place));
        }
        Ok(Looked { row: row.number, place, owner_before })
    }

    /// Stands for the snapshot at hand.
    fn number(&self) -> u32 {
        self.only.len() as u32
    }
}
