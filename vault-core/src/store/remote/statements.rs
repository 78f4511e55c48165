//! The statements of a log that were read ahead.
//!
//! Whoever follows a log asks for one statement after another, and for one too many to learn where it ends. One request brings as many
//! as fit an answer; at most one answer is kept. Statements never change, so what is kept never goes stale; that a number is free does.

use std::sync::{Mutex, PoisonError};

use crate::id::{Seq, VaultId};
use crate::net::{NetError, Server, Stated};

pub(super) use crate::net::Stated as Kept;

/// Statements in one answer, at most: the server stops earlier where their bytes are too many.
const BATCH: u32 = 1000;

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Ahead>);

#[derive(Debug, Default)]
struct Ahead {
    /// The number of the first one.
    first: u64,
    batch: Vec<Stated>,
    /// A number that was free when the server said so. Good for one question.
    free: Option<Seq>,
}

impl Statements {
    /// Takes note that the server has just said that this is the last statement.
    pub(super) fn ends_after(&self, last: Seq) {
        self.ahead(|ahead| ahead.free = Some(last.next()));
    }

    /// Takes note that the log may have grown.
    pub(super) fn may_have_grown(&self) {
        self.ahead(|ahead| ahead.free = None);
    }

    /// The statement with this number; `None` if there is none yet.
    pub(super) fn get(&self, server: &Server, vault: &VaultId, seq: Seq) -> Result<Option<Stated>, NetError> {
        if let Some(known) = self.ahead(|ahead| ahead.known(seq)) {
            return Ok(match known {
                Known::Stated(kept) => Some(kept),
                Known::Free => None,
            });
        }
        let batch = server.statements(vault, seq, BATCH)?;
        let found = batch.first().cloned();
        // By the last receipt one sees that it is still the server that was joined.
        if let Some((last, number)) =
            batch.last().zip(seq.0.checked_add(batch.len() as u64 - u64::from(!batch.is_empty())))
        {
            server.verify_receipt(vault, Seq(number), &last.bytes, &last.receipt)?;
            self.ahead(|ahead| (ahead.first, ahead.batch) = (seq.0, batch));
        }
        Ok(found)
    }

    fn ahead<T>(&self, with: impl FnOnce(&mut Ahead) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What can be said of a number without asking.
enum Known {
    Stated(Stated),
    Free,
}

impl Ahead {
    /// What can be said without asking.
    fn known(&mut self, seq: Seq) -> Option<Known> {
        let place = seq.0.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(kept) = place.and_then(|place| self.batch.get(place)) {
            return Some(Known::Stated(kept.clone()));
        }
        if self.free == Some(seq) {
            self.free = None;
            return Some(Known::Free);
        }
        None
    }
}
