//! Checkpoints: what a long run has stored so far becomes a partial snapshot now and then, which can be restored, and from which the
//! next run goes on if this one is lost.
//!
//! The order of steps is what makes a checkpoint sound: entries are looked at first, everything gathered is sealed and stored after.
//! A chunk that an entry names was claimed before the entry was finished, and whoever claims a chunk gathers it before anyone can
//! flush his gatherers; so all chunks of what was looked at are in the store before the snapshot is.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::vault::stat_cache::StatCacheWriter;

use super::destination::BackupCounts;
use super::directory::Directory;
use super::hand::{Hand, Wanted};

/// What one checkpoint has stored.
pub struct Checkpoint {
    /// The number of the destination.
    pub to: usize,
    /// The root as far as it is finished.
    pub root: Entry,
    /// What was found and done so far.
    pub counts: BackupCounts,
    /// What is remembered of it.
    pub remember: StatCacheWriter,
}

/// Makes a snapshot of a checkpoint; `false` if there shall be no more of them.
pub type Keep<'a> = dyn Fn(Checkpoint) -> Result<bool, Error> + Send + Sync + 'a;

/// When and how to make checkpoints.
pub struct Checkpoints<'a> {
    /// How long to wait between two; `None` for none at all.
    pub every: Option<Duration>,
    /// Makes a snapshot of one.
    pub keep: &'a Keep<'a>,
}

impl Checkpoints<'_> {
    /// No checkpoints.
    pub fn none() -> Self {
        Self { every: None, keep: &|_| Ok(false) }
    }

    /// Makes checkpoints until the work has `ended`.
    pub(super) fn make(&self, hand: &mut Hand<'_>, ended: &Receiver<()>) {
        let Some(every) = self.every else { return };
        let mut wanted = hand.going();
        let mut last = vec![None; hand.engine.destinations.len()];
        while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) && !hand.engine.stopping() {
            let mut again = Wanted::default();
            hand.each(wanted, |hand, to, _| {
                if self.make_one(hand, to, &mut last[to])? {
                    again.add(to);
                }
                Ok(())
            });
            wanted = again;
        }
    }

    /// Makes a checkpoint unless nothing was finished since the `last` one.
    fn make_one(
        &self,
        hand: &mut Hand<'_>,
        to: usize,
        last: &mut Option<(EntryKind, usize)>,
    ) -> Result<bool, Error> {
        let Some(top) = hand.engine.top.get().and_then(Weak::upgrade) else { return Ok(true) };
        let destination = hand.destination(to);
        // First, so that it names nothing that the snapshot does not need: what is finished meanwhile is read again after a kill.
        let remember = destination.parts.remember.fork()?;
        // So does what is counted, but for what is stored: that goes on until the end.
        let looked_at = destination.summary();
        let finished = remember.directories();
        let Some(root) = store_open(top, to, hand, &remember)? else { return Ok(true) };
        let found = Some((root.kind.clone(), finished));
        if *last == found {
            return Ok(true);
        }
        *last = found;
        hand.settle(to)?;
        let BackupCounts { added_bytes, stored_bytes, .. } = destination.summary();
        let counts = BackupCounts { added_bytes, stored_bytes, ..looked_at };
        (self.keep)(Checkpoint { to, root, counts, remember })
    }
}

/// A directory in work, and where it stands: in which of the listed directories, in which slot.
struct OpenDirectory {
    directory: Arc<Directory>,
    place: Option<(usize, usize)>,
}

/// Stores nodes for all directories in work, as far as they are finished, and returns the entry of the root.
fn store_open(
    top: Arc<Directory>,
    to: usize,
    hand: &mut Hand<'_>,
    remember: &StatCacheWriter,
) -> Result<Option<Entry>, Error> {
    let mut open = vec![OpenDirectory { directory: top, place: None }];
    let mut at = 0;
    while let Some(above) = open.get(at) {
        let below = above.directory.open_below(to);
        open.extend(
            below.into_iter().map(|(slot, directory)| OpenDirectory { directory, place: Some((at, slot)) }),
        );
        at += 1;
    }
    // Each directory stands after the one it is in: from the end, what is below is stored first.
    let mut stored: Vec<Vec<(usize, Vec<u8>)>> = vec![Vec::new(); open.len()];
    while let Some(OpenDirectory { directory, place }) = open.pop() {
        let below = stored.pop().unwrap_or_default();
        let entry = directory.store_partial(to, &below, hand, remember)?;
        let Some((above, slot)) = place else { return Ok(Some(entry)) };
        stored[above].push((slot, entry.encode()?));
    }
    Ok(None)
}
