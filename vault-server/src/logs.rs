//! Verified logs in memory: what the server knows of a vault when it is asked to append to its log.
//!
//! A log here was verified statement by statement from its genesis, and is never ahead of the database. Of each vault there is
//! one at a time, so that its lock and its watchers are the only ones. Nothing sealed is kept of it.
//!
//! A statement for which this server has signed a receipt was verified then. When a log is read anew, the receipt of the last
//! statement stands for all before it, which are bound to it by their hashes; only what no receipt covers is verified again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard, watch};
use vault_core::crypto::sign::VerifyingKey;
use vault_core::id::{Seq, VaultId};
use vault_core::log::{FollowError, Head, LogError, State, Statement, Verified, replay};
use vault_core::wire::{Millis, Receipt};

use crate::db::{self, Database, DbError, LogEntry};

/// How many bytes of statements are read at once.
const BATCH_BYTES: usize = 4 << 20;

/// How many statements are read at once.
const BATCH: u32 = 4096;

/// After how many uses the logs in memory are looked through.
const TIDY_EVERY: u64 = 32;

/// What a state takes in memory, against the bytes of its statements.
const GROWTH: u64 = 2;

/// Why a log cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogsError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// What the database holds is no log: it was changed by something else than this server.
    #[error("the log of {vault:?} in the database is not valid")]
    Invalid {
        /// The vault.
        vault: VaultId,
        /// Why.
        source: FollowError<Infallible>,
    },
    /// There is no log.
    #[error("there is no log of {vault:?}")]
    NoLog {
        /// The vault.
        vault: VaultId,
    },
    /// A thread ended early.
    #[error("the verification did not end")]
    Interrupted,
}

/// The log of one vault.
#[derive(Debug)]
pub struct VaultLog {
    vault: VaultId,
    /// `None` until it was read.
    state: RwLock<Option<State>>,
    appending: AsyncMutex<()>,
    head: watch::Sender<Option<Head>>,
    /// The key of the server's receipts.
    receipts: VerifyingKey,
    /// Of the statements, without what is not kept of them.
    bytes: AtomicU64,
}

/// The right to append: nobody else appends to the same log meanwhile.
#[derive(Debug)]
pub struct Appending<'l> {
    log: &'l Arc<VaultLog>,
    _guard: MutexGuard<'l, ()>,
}

impl VaultLog {
    fn new(vault: VaultId, receipts: VerifyingKey) -> Self {
        Self {
            vault,
            receipts,
            state: RwLock::new(None),
            appending: AsyncMutex::new(()),
            head: watch::Sender::new(None),
            bytes: AtomicU64::new(0),
        }
    }

    /// Heads as they come.
    pub fn watch(&self) -> watch::Receiver<Option<Head>> {
        self.head.subscribe()
    }

    /// Waits until nobody appends, and brings the log up to the database.
    pub async fn append<'l>(self: &'l Arc<Self>, db: &Database) -> Result<Appending<'l>, LogsError> {
        let appending = Appending { log: self, _guard: self.appending.lock().await };
        if self.read(|_| ()).is_none() {
            appending.catch_up(db).await?;
        }
        Ok(appending)
    }

    /// Looks at what the log says; `None` if it was not read yet.
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Option<T> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    /// Adds statements as the database has them. Slow, more so without a receipt.
    fn add(&self, entries: &[LogEntry]) -> Result<(), FollowError<Infallible>> {
        let Some(last) = entries.last() else { return Ok(()) };
        let mut known = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let stored = entries.iter().map(|entry| &entry.statement[..]);
        // What was read in vain is read again, from the beginning.
        let before = known.take();
        let dropped = before.as_ref().map_or(0, State::dropped_bytes);
        let mut state = if is_receipted(last, &self.vault, &self.receipts) {
            replay(before, &self.vault, stored, last.head())?
        } else {
            verify_all(before, &self.vault, stored)?
        };
        state.drop_sealed();
        self.count(
            entries.iter().map(|entry| entry.statement.len() as u64).sum(),
            state.dropped_bytes() - dropped,
        );
        let head = state.head();
        *known = Some(state);
        drop(known);
        self.head.send_replace(Some(head));
        Ok(())
    }

    /// Counts statements that were added, of which some bytes are not kept.
    fn count(&self, bytes: u64, dropped: u64) {
        self.bytes.fetch_add(bytes.saturating_sub(dropped), Ordering::Relaxed);
    }
}

/// Whether a statement of a vault has a receipt by that key.
fn is_receipted(entry: &LogEntry, vault: &VaultId, key: &VerifyingKey) -> bool {
    let db::Receipt { time_ms, signature } = entry.receipt;
    Receipt { time: Millis(time_ms), signature }.verify(key, vault, &entry.head()).is_ok()
}

/// Verifies every statement by its signatures.
fn verify_all<'s>(
    before: Option<State>,
    vault: &VaultId,
    stored: impl IntoIterator<Item = &'s [u8]>,
) -> Result<State, FollowError<Infallible>> {
    let mut stored = stored.into_iter();
    let mut state = match before {
        Some(state) => state,
        None => State::begin(vault, stored.next().ok_or(FollowError::Empty)?)?,
    };
    stored.try_for_each(|stored| state.append(stored))?;
    Ok(state)
}

impl Appending<'_> {
    /// The head.
    pub fn head(&self) -> Option<Head> {
        self.log.read(State::head)
    }

    /// Looks at what the log says.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T, LogsError> {
        self.log.read(look).ok_or(LogsError::NoLog { vault: self.log.vault })
    }

    /// Verifies the next statement, on a thread for work that takes its time.
    pub async fn verify(&self, stored: Vec<u8>) -> Result<Result<Verified<Statement>, LogError>, LogsError> {
        let log = Arc::clone(self.log);
        let verified = tokio::task::spawn_blocking(move || log.read(|state| state.verify(&stored)));
        let verified = verified.await.map_err(|_| LogsError::Interrupted)?;
        verified.ok_or(LogsError::NoLog { vault: self.log.vault })
    }

    /// Adds a verified statement that the database has taken, and wakes who waits for it.
    pub fn add(&self, verified: Verified<Statement>, bytes: usize) -> Result<(), LogsError> {
        let invalid = |source: LogError| LogsError::Invalid { vault: self.log.vault, source: source.into() };
        let mut state = self.log.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = &mut *state else { return Err(LogsError::NoLog { vault: self.log.vault }) };
        let dropped = state.dropped_bytes();
        state.apply(verified).map_err(invalid)?;
        self.log.count(bytes as u64, state.dropped_bytes() - dropped);
        self.log.head.send_replace(Some(state.head()));
        Ok(())
    }

    /// Adds what the database has beyond this log: all of it at first, and what other servers appended.
    pub async fn catch_up(&self, db: &Database) -> Result<(), LogsError> {
        loop {
            let from = self.log.read(State::next_seq).unwrap_or(Seq::GENESIS);
            let entries = db.statements(&self.log.vault, from, BATCH, BATCH_BYTES).await?;
            if entries.is_empty() {
                return self.look(|_| ());
            }
            let log = Arc::clone(self.log);
            let added = tokio::task::spawn_blocking(move || log.add(&entries)).await;
            let added = added.map_err(|_| LogsError::Interrupted)?;
            added.map_err(|source| LogsError::Invalid { vault: self.log.vault, source })?;
        }
    }
}

/// The logs that were used last.
#[derive(Debug)]
pub struct Logs {
    most_bytes: u64,
    receipts: VerifyingKey,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    logs: HashMap<VaultId, (Arc<VaultLog>, u64)>,
    uses: u64,
}

impl Logs {
    /// None yet; later about `most_bytes` of them. `receipts` is the key of the server's receipts.
    pub fn new(most_bytes: u64, receipts: VerifyingKey) -> Self {
        Self { most_bytes, receipts, known: Mutex::default() }
    }

    /// The log of a vault that is there, read or not.
    pub fn of(&self, vault: VaultId) -> Arc<VaultLog> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.uses += 1;
        let uses = known.uses;
        let new = || (Arc::new(VaultLog::new(vault, self.receipts)), uses);
        let entry = known.logs.entry(vault).or_insert_with(new);
        entry.1 = uses;
        let log = Arc::clone(&entry.0);
        if uses.is_multiple_of(TIDY_EVERY) {
            known.tidy(self.most_bytes);
        }
        log
    }
}

impl Known {
    /// Drops logs that nobody uses, those first that wait longest, until the others fit.
    fn tidy(&mut self, most_bytes: u64) {
        // What an entry takes besides its statements.
        const EACH: u64 = 4096;
        let size = |log: &VaultLog| log.bytes.load(Ordering::Relaxed).saturating_mul(GROWTH) + EACH;
        let mut bytes: u64 = self.logs.values().map(|(log, _)| size(log)).sum();
        while bytes > most_bytes {
            let unused = self.logs.iter().filter(|(_, (log, _))| Arc::strong_count(log) == 1);
            let Some(oldest) = unused.min_by_key(|(_, (_, used))| *used).map(|(vault, _)| *vault) else {
                return;
            };
            if let Some((log, _)) = self.logs.remove(&oldest) {
                bytes = bytes.saturating_sub(size(&log));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vault_core::crypto::sign::SigningKey;
    use vault_core::log::testing::{Example, TestLog, commit};
    use vault_core::log::{Body, Commit};

    use super::*;

    /// The log as the database has it, with receipts by a key.
    fn entries(log: &TestLog, key: &SigningKey) -> Vec<LogEntry> {
        let entry = |(seq, statement): (usize, &Vec<u8>)| {
            let head = log.head(seq);
            let Receipt { time, signature } = Receipt::sign(key, &log.vault, &head, Millis(5));
            let receipt = db::Receipt { time_ms: time.0, signature };
            LogEntry { seq: head.seq, hash: head.hash, receipt, statement: statement.clone() }
        };
        log.stored.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn a_log_is_read_in_any_parts_and_nothing_sealed_is_kept_of_it() {
        let Example { log, laptop, .. } = Example::new();
        let entries = entries(&log, &laptop.key);
        for cut in 0..=entries.len() {
            let known = VaultLog::new(log.vault, laptop.key.verifying_key());
            known.add(&entries[..cut]).unwrap();
            known.add(&entries[cut..]).unwrap();

            let head = known.read(State::head).unwrap();
            assert_eq!((head, *known.head.borrow()), (log.head(4), Some(log.head(4))));
        }
        let is_bare = |commit: &Commit| commit.body.is_empty() && commit.session_envelope.is_empty();
        let all_bare = |state: &State| state.snapshots().iter().all(|snapshot| is_bare(&snapshot.commit));
        let stored: usize = log.stored.iter().map(Vec::len).sum();
        for cut in [0, 2] {
            let known = VaultLog::new(log.vault, laptop.key.verifying_key());
            known.add(&entries[..cut]).unwrap();
            known.add(&entries[cut..]).unwrap();

            assert_eq!(known.read(all_bare), Some(true));
            let dropped = known.read(State::dropped_bytes).unwrap();
            assert!(dropped > 0);
            assert_eq!(known.bytes.load(Ordering::Relaxed), stored as u64 - dropped);
        }
    }

    #[test]
    fn only_a_receipt_of_this_server_stands_for_signatures() {
        let Example { mut log, laptop, nas, .. } = Example::new();
        // As if this server had taken it once: nothing else shows whose it is.
        let payload = log.draft(laptop.id(), Body::Commit(commit(1, 5)));
        log.push(&payload, &nas.key);
        let read = |by: &SigningKey| {
            let known = VaultLog::new(log.vault, laptop.key.verifying_key());
            (known.add(&entries(&log, by)), known)
        };

        assert_eq!(read(&laptop.key).0, Ok(()));
        let (refused, known) = read(&nas.key);
        assert!(matches!(refused, Err(FollowError::Invalid(LogError::BadSignature { .. }))), "{refused:?}");
        assert!(known.read(|_| ()).is_none(), "nothing of it counts");
        log.stored.pop();
        let known = VaultLog::new(log.vault, laptop.key.verifying_key());
        assert_eq!(known.add(&entries(&log, &nas.key)), Ok(()), "signatures do without receipts");
    }

    #[test]
    fn a_log_that_was_changed_in_the_database_is_refused() {
        let Example { log, laptop, .. } = Example::new();
        for changed in 0..log.stored.len() {
            let mut entries = entries(&log, &laptop.key);
            let at = entries[changed].statement.len() - 1;
            entries[changed].statement[at] ^= 1;
            let known = VaultLog::new(log.vault, laptop.key.verifying_key());

            assert!(known.add(&entries).is_err(), "{changed}");
            assert!(known.read(|_| ()).is_none());
        }
    }

    #[test]
    fn logs_in_use_stay_and_those_used_least_go() {
        let logs = Logs::new(3 * 4096, VerifyingKey([0; 32]));
        let vault = |number: u8| VaultId::new([number; 32]);
        let held = logs.of(vault(1));
        (2..10).for_each(|number| drop(logs.of(vault(number))));
        (0..TIDY_EVERY).for_each(|_| drop(logs.of(vault(9))));

        assert!(Arc::ptr_eq(&held, &logs.of(vault(1))));
        let known = logs.known.lock().unwrap();
        assert!(known.logs.len() <= 4, "{}", known.logs.len());
        assert!(known.logs.contains_key(&vault(9)) && !known.logs.contains_key(&vault(2)));
    }
}
