//! What a running operation tells about itself; who listens decides how it is shown.
//!
//! Every method may be called from several threads at once, and returns quickly: a listener that draws does so elsewhere.

use std::path::Path;
use std::sync::Mutex;

/// What an operation is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the log and the indexes.
    Open,
    /// Reading and storing files.
    Backup,
    /// Writing files.
    Restore,
    /// Reading files again that were written.
    Verify,
    /// Verifying objects.
    Check,
    /// Finding out what snapshots need, and deleting the rest.
    Prune,
    /// Moving chunks to new packs.
    Compact,
    /// Copying to another vault.
    Copy,
    /// Finding out what can be given as it lies, and storing the rest.
    Share,
}

/// A number of items and of bytes in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Files, or objects.
    pub items: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Something about one path or object that the user should know, while the operation goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice<'a> {
    /// Whether the item is missing from the result because of it.
    pub severity: Severity,
    /// The path or object concerned.
    pub subject: &'a Path,
    /// What happened, in lower case, without the subject.
    pub message: &'a str,
}

/// How much a [`Notice`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing; the item is in the result as far as it can be.
    Note,
    /// The item is not in the result, or not whole: the operation ends as incomplete.
    Problem,
}

/// What becomes of one entry of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// It was not there, or something else was, and is written.
    Written,
    /// It was there with other contents, of which what is wrong is written.
    Repaired,
    /// Its contents were right; mode, owner, time or attributes are set.
    Updated,
    /// It is as it should be.
    Unchanged,
    /// Something else stands there, and stays.
    Kept,
    /// It is removed.
    Deleted,
}

/// Listens to an operation.
pub trait Progress: Send + Sync {
    /// A new phase begins.
    fn phase(&self, phase: Phase);
    /// What the phase will amount to, as far as is known now; may be told again and grow.
    fn expect(&self, total: Amount);
    /// That much more is done.
    fn advance(&self, done: Amount);
    /// Something happened to one item.
    fn notice(&self, notice: &Notice<'_>);
    /// Something becomes of one entry of a target, or would if the run were not dry.
    fn change(&self, _path: &Path, _change: Change) {}
    /// Whether totals are worth an extra pass over the source.
    fn wants_total(&self) -> bool {
        false
    }
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: Phase) {}
    fn expect(&self, _: Amount) {}
    fn advance(&self, _: Amount) {}
    fn notice(&self, _: &Notice<'_>) {}
}

/// Keeps what it hears, for tests.
#[derive(Debug, Default)]
pub struct Recording {
    done: Mutex<Amount>,
    notices: Mutex<Vec<(Severity, std::path::PathBuf, String)>>,
}

impl Recording {
    /// What was done in all phases together.
    pub fn done(&self) -> Amount {
        *self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The notices so far.
    pub fn notices(&self) -> Vec<(Severity, std::path::PathBuf, String)> {
        self.notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Progress for Recording {
    fn phase(&self, _: Phase) {}
    fn expect(&self, _: Amount) {}
    fn advance(&self, done: Amount) {
        let mut sum = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sum.items += done.items;
        sum.bytes += done.bytes;
    }
    fn notice(&self, notice: &Notice<'_>) {
        let mut notices = self.notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        notices.push((notice.severity, notice.subject.to_owned(), notice.message.to_owned()));
    }
}
