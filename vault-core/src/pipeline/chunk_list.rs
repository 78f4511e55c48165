//! The chunk list of a file while the file is stored: what is complete of a long one goes into nodes of its own at once.
//!
//! The rule: in memory are the chunks that make no whole part yet, and one reference for each part. So it does not matter to
//! memory whether a file has a thousand chunks or ten million, nor to the snapshot in which order they are stored.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::format::table::SegmentKind;
use crate::format::tree::{CHUNKS_IN_ENTRY_MAX, ChunkRef, Contents, ListRef, encode_chunk_list};

use super::hand::Hand;

/// Stores a part of a list, and returns what names it.
pub type StorePart<'a> = dyn FnMut(&[ChunkRef]) -> Result<ListRef, Error> + 'a;

/// The chunks of a file, in order.
#[derive(Debug, Default)]
pub struct ChunkList {
    /// The parts that have nodes of their own; `None` while one is being stored.
    parts: Vec<Option<ListRef>>,
    /// The chunks behind them.
    rest: Vec<ChunkRef>,
}

/// The list of a file whose chunks come in groups, which are stored in any order.
#[derive(Debug, Default)]
pub struct GrowingList(Mutex<Growing>);

#[derive(Debug, Default)]
struct Growing {
    list: ChunkList,
    /// Groups that are not stored yet, and those behind them.
    waiting: VecDeque<Option<Vec<ChunkRef>>>,
    /// How many groups were before those.
    passed: usize,
}

impl From<Vec<ChunkRef>> for ChunkList {
    fn from(chunks: Vec<ChunkRef>) -> Self {
        Self { parts: Vec::new(), rest: chunks }
    }
}

impl ChunkList {
    /// What the file's entry says of its contents.
    pub fn into_contents(self, store: &mut StorePart<'_>) -> Result<Contents, Error> {
        if self.parts.is_empty() && self.rest.len() <= CHUNKS_IN_ENTRY_MAX {
            return Ok(Contents::Chunks(self.rest));
        }
        // A part that is not there could not be stored, and its destination has failed.
        let mut parts: Vec<ListRef> =
            self.parts.into_iter().collect::<Option<_>>().ok_or(Error::WorkerLost)?;
        for part in self.rest.chunks(CHUNKS_IN_ENTRY_MAX) {
            parts.push(store(part)?);
        }
        Ok(Contents::Lists(parts))
    }
}

impl GrowingList {
    /// Makes room for one more group, and returns its number.
    pub fn add_group(&self) -> usize {
        let mut growing = self.lock();
        growing.waiting.push_back(None);
        growing.passed + growing.waiting.len() - 1
    }

    /// Puts the chunks of a group into their place, and stores the parts that are whole now.
    pub fn fill(&self, group: usize, chunks: Vec<ChunkRef>, store: &mut StorePart<'_>) -> Result<(), Error> {
        let mut growing = self.lock();
        let at = group.checked_sub(growing.passed);
        if let Some(place) = at.and_then(|at| growing.waiting.get_mut(at)) {
            *place = Some(chunks);
        }
        growing.pass();
        // What makes no more than one part stays: it may be all there is, and then it stands in the entry.
        while growing.list.rest.len() > CHUNKS_IN_ENTRY_MAX {
            let part: Vec<ChunkRef> = growing.list.rest.drain(..CHUNKS_IN_ENTRY_MAX).collect();
            let number = growing.list.parts.len();
            growing.list.parts.push(None);
            drop(growing);
            let stored = store(&part)?;
            growing = self.lock();
            growing.list.parts[number] = Some(stored);
        }
        Ok(())
    }

    /// Takes the list out, once every group is filled.
    pub fn take(&self) -> ChunkList {
        std::mem::take(&mut self.lock().list)
    }

    fn lock(&self) -> MutexGuard<'_, Growing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Growing {
    /// Appends the groups that nothing in front waits for.
    fn pass(&mut self) {
        while let Some(Some(chunks)) = self.waiting.front_mut() {
            self.list.rest.append(chunks);
            self.waiting.pop_front();
            self.passed += 1;
        }
    }
}

/// Stores a part of a list for a destination.
pub fn store_part(to: usize, part: &[ChunkRef], hand: &mut Hand<'_>) -> Result<ListRef, Error> {
    let bytes = part.iter().map(|chunk| u64::from(chunk.length)).sum();
    let h = hand.store_chunk(to, SegmentKind::Tree, &encode_chunk_list(part))?;
    Ok(ListRef { h, bytes })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::id::ChunkHash;

    fn chunks(lengths: std::ops::Range<u32>) -> Vec<ChunkRef> {
        lengths.map(|n| ChunkRef { h: ChunkHash::new([0; 32]), length: n + 1 }).collect()
    }

    /// What a list comes to, with every part stored.
    fn contents(list: ChunkList, stored: &mut Vec<Vec<u32>>) -> Contents {
        list.into_contents(&mut |part| Ok(note(part, stored))).unwrap()
    }

    /// Stands for storing a part: its first length is what names it.
    fn note(part: &[ChunkRef], stored: &mut Vec<Vec<u32>>) -> ListRef {
        stored.push(part.iter().map(|chunk| chunk.length).collect());
        ListRef { h: ChunkHash::new([0; 32]), bytes: part[0].length.into() }
    }

    #[test]
    fn a_part_that_is_whole_does_not_wait_for_the_end() {
        let (list, mut stored) = (GrowingList::default(), Vec::new());
        let most = CHUNKS_IN_ENTRY_MAX as u32;

        for (group, part) in [0..most, most..most + 1].into_iter().enumerate() {
            assert_eq!(list.add_group(), group);
            list.fill(group, chunks(part), &mut |part| Ok(note(part, &mut stored))).unwrap();
            assert_eq!(stored.len(), group, "as many as one entry has may be all there are");
        }

        assert_eq!(list.take().rest.len(), 1);
    }

    #[test]
    fn a_part_that_could_not_be_stored_leaves_no_contents() {
        let list = GrowingList::default();
        let group = list.add_group();

        let filled = list.fill(group, chunks(0..5_000), &mut |_| Err(Error::WorkerLost));

        assert!(filled.is_err());
        assert!(list.take().into_contents(&mut |part| Ok(note(part, &mut Vec::new()))).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn in_whatever_order_groups_are_stored_the_contents_are_those_of_the_whole_list(
            sizes in vec(1..3_000_u32, 0..12),
            order in any::<u64>(),
        ) {
            let (list, mut stored) = (GrowingList::default(), Vec::new());
            let mut groups: Vec<(usize, Vec<ChunkRef>)> = Vec::new();
            let mut next = 0;
            for size in sizes {
                groups.push((list.add_group(), chunks(next..next + size)));
                next += size;
            }
            let mut seed = order;
            while !groups.is_empty() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let (number, group) = groups.swap_remove((seed >> 33) as usize % groups.len());
                list.fill(number, group, &mut |part| Ok(note(part, &mut stored))).unwrap();
            }

            let grown = contents(list.take(), &mut stored);
            let mut whole = Vec::new();
            prop_assert_eq!(grown, contents(chunks(0..next).into(), &mut whole));
            prop_assert_eq!(stored, whole);
        }
    }
}
