//! Verified logs in memory: what the server knows of a vault when it is asked to append to its log.
//!
//! A log here was verified statement by statement from its genesis, and is never ahead of the database. Of each vault there is
//! one at a time, so that its lock and its watchers are the only ones.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard, watch};
use vault_core::id::{Seq, VaultId};
use vault_core::log::{Head, LogError, State, Statement, Verified};

use crate::db::{Database, DbError, LogEntry};

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
        source: LogError,
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
    bytes: AtomicU64,
}

/// The right to append: nobody else appends to the same log meanwhile.
#[derive(Debug)]
pub struct Appending<'l> {
    log: &'l Arc<VaultLog>,
    _guard: MutexGuard<'l, ()>,
}

impl VaultLog {
    fn new(vault: VaultId) -> Self {
        Self {
            vault,
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

    /// Adds statements as the database has them. Slow: verifies each.
    fn add(&self, entries: &[LogEntry]) -> Result<(), LogError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            match &mut *state {
                None => *state = Some(State::begin(&self.vault, &entry.statement)?),
                Some(state) => state.append(&entry.statement)?,
            }
            self.bytes.fetch_add(entry.statement.len() as u64, Ordering::Relaxed);
        }
        let head = state.as_ref().map(State::head);
        drop(state);
        self.head.send_replace(head);
        Ok(())
    }
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
        let invalid = |source| LogsError::Invalid { vault: self.log.vault, source };
        let mut state = self.log.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = &mut *state else { return Err(LogsError::NoLog { vault: self.log.vault }) };
        state.apply(verified).map_err(invalid)?;
        self.log.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    logs: HashMap<VaultId, (Arc<VaultLog>, u64)>,
    uses: u64,
}

impl Logs {
    /// None yet; later about `most_bytes` of them.
    pub fn new(most_bytes: u64) -> Self {
        Self { most_bytes, known: Mutex::default() }
    }

    /// The log of a vault that is there, read or not.
    pub fn of(&self, vault: VaultId) -> Arc<VaultLog> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.uses += 1;
        let uses = known.uses;
        let entry = known.logs.entry(vault).or_insert_with(|| (Arc::new(VaultLog::new(vault)), uses));
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
    use super::*;

    #[test]
    fn logs_in_use_stay_and_those_used_least_go() {
        let logs = Logs::new(3 * 4096);
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
