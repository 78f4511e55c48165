//! A store that fails on demand and remembers what was asked of it, for tests.
//!
//! Operations are numbered from 0 in the order in which they begin; a fault hits exactly the operation that it names, or all
//! from there on. Without a fault the decorator changes nothing.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use crate::time::Timestamp;

/// One thing that was asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`Store::put_new`], with the length in bytes.
    Put(ObjectKey, u64),
    /// [`Store::get`].
    Get(ObjectKey),
    /// [`Store::get_range`], with offset and length in bytes.
    GetRange(ObjectKey, u64, u32),
    /// [`Store::size`].
    Size(ObjectKey),
    /// [`Store::stored_at`].
    StoredAt(ObjectKey),
    /// [`Store::list`].
    List(ObjectKind),
    /// [`Store::remove`].
    Remove(ObjectKey),
}

/// What happens to an operation instead of success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not done, and fails; the next one works again.
    Fail,
    /// It is done, and yet reported as failed: the answer was lost.
    LoseAnswer,
    /// It is not done because the disk is full; nor is any later `put_new`. Everything else works.
    Full,
    /// It is not done, and nothing works from there on: the disk was pulled out, or the process is as good as dead.
    Stop,
    /// The process ends at once, without destructors, before it is done. For tests with a process to spare.
    Abort,
}

/// Passes operations on to another store, except where a fault is due.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<(usize, Fault)>,
    operations: Vec<Operation>,
}

/// What is to be done with one operation.
enum Verdict {
    Do,
    DoAndFail,
    Refuse(StoreError),
}

impl<S: Store> FaultyStore<S> {
    /// Decorates a store; nothing fails yet.
    pub fn new(inner: S) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Decorates a store so that the operation numbered `nth`, from 0, meets a fault.
    pub fn failing_at(inner: S, nth: usize, fault: Fault) -> Self {
        let store = Self::new(inner);
        store.set_fault(nth, fault);
        store
    }

    /// Lets the operation numbered `nth`, from 0 and counted from the beginning, meet a fault; in place of an earlier one.
    pub fn set_fault(&self, nth: usize, fault: Fault) {
        self.with_state(|state| state.fault = Some((nth, fault)));
    }

    /// Lets everything work from now on.
    pub fn heal(&self) {
        self.with_state(|state| state.fault = None);
    }

    /// What has been asked for so far, failed or not.
    pub fn operations(&self) -> Vec<Operation> {
        self.with_state(|state| state.operations.clone())
    }

    /// The store below.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, operation: Operation) -> Verdict {
        let (number, fault) = self.with_state(|state| {
            state.operations.push(operation);
            (state.operations.len() - 1, state.fault)
        });
        let Some((nth, fault)) = fault.filter(|(nth, _)| number >= *nth) else { return Verdict::Do };
        match fault {
            Fault::Fail if number == nth => Verdict::Refuse(self.injected()),
            Fault::LoseAnswer if number == nth => Verdict::DoAndFail,
            Fault::Full if matches!(operation, Operation::Put(..)) => Verdict::Refuse(self.full()),
            Fault::Stop => Verdict::Refuse(self.injected()),
            Fault::Abort => std::process::abort(),
            Fault::Fail | Fault::LoseAnswer | Fault::Full => Verdict::Do,
        }
    }

    fn run<T>(
        &self,
        operation: Operation,
        f: impl FnOnce(&S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.begin(operation) {
            Verdict::Do => f(&self.inner),
            Verdict::DoAndFail => f(&self.inner).and(Err(self.injected())),
            Verdict::Refuse(error) => Err(error),
        }
    }

    fn injected(&self) -> StoreError {
        StoreError::Io { op: "use", path: self.place(), source: io::Error::other("injected fault") }
    }

    fn full(&self) -> StoreError {
        StoreError::Full { op: "write", path: self.place(), source: io::ErrorKind::StorageFull.into() }
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(self.inner.description())
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        self.run(Operation::Put(*key, bytes.len() as u64), |store| store.put_new(key, bytes))
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.run(Operation::Get(*key), |store| store.get(key, limit))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.run(Operation::GetRange(*key, offset, length), |store| store.get_range(key, offset, length))
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.run(Operation::Size(*key), |store| store.size(key))
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        self.run(Operation::StoredAt(*key), |store| store.stored_at(key))
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.run(Operation::List(kind), |store| store.list(kind, each))
    }

    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        self.run(Operation::Remove(*key), |store| store.remove(key))
    }

    fn parallel(&self) -> usize {
        self.inner.parallel()
    }

    fn description(&self) -> String {
        self.inner.description()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Seq;
    use crate::store::{MemoryStore, StoreErrorKind, conformance};

    fn key(seq: u64) -> ObjectKey {
        ObjectKey::Statement(Seq(seq))
    }

    fn kind_of_put(store: &dyn Store, seq: u64) -> Result<Put, StoreErrorKind> {
        store.put_new(&key(seq), b"bytes").map_err(|error| error.kind())
    }

    #[test]
    fn without_a_fault_it_is_a_store() {
        conformance::suite(&|| Box::new(FaultyStore::new(MemoryStore::new())));
    }

    #[test]
    fn operations_are_recorded_in_order() {
        let store = FaultyStore::failing_at(MemoryStore::new(), 1, Fault::Fail);

        let _ = (store.put_new(&key(0), b"bytes"), store.get_range(&key(0), 1, 2), store.remove(&key(0)));

        assert_eq!(
            store.operations(),
            [Operation::Put(key(0), 5), Operation::GetRange(key(0), 1, 2), Operation::Remove(key(0))]
        );
    }

    #[test]
    fn one_operation_fails_and_the_next_works() {
        let store = FaultyStore::failing_at(MemoryStore::new(), 1, Fault::Fail);

        assert_eq!(kind_of_put(&store, 0), Ok(Put::Created));
        assert_eq!(kind_of_put(&store, 1), Err(StoreErrorKind::Io));
        assert_eq!(kind_of_put(&store, 1), Ok(Put::Created));
    }

    #[test]
    fn a_lost_answer_hides_a_success() {
        let store = FaultyStore::failing_at(MemoryStore::new(), 0, Fault::LoseAnswer);

        assert_eq!(kind_of_put(&store, 0), Err(StoreErrorKind::Io));
        assert_eq!(kind_of_put(&store, 0), Ok(Put::AlreadyThere));
    }

    #[test]
    fn a_full_store_can_still_be_read_and_emptied() {
        let store = FaultyStore::failing_at(MemoryStore::new(), 1, Fault::Full);

        assert_eq!(kind_of_put(&store, 0), Ok(Put::Created));
        assert_eq!(kind_of_put(&store, 1), Err(StoreErrorKind::Full));
        assert_eq!(kind_of_put(&store, 2), Err(StoreErrorKind::Full));
        assert_eq!(store.get(&key(0), 9).unwrap(), b"bytes");
        assert_eq!(store.remove(&key(0)).unwrap(), Removal::Done);
    }

    #[test]
    fn a_stopped_store_does_nothing_until_healed() {
        let store = FaultyStore::failing_at(MemoryStore::new(), 1, Fault::Stop);

        assert_eq!(kind_of_put(&store, 0), Ok(Put::Created));
        assert_eq!(kind_of_put(&store, 1), Err(StoreErrorKind::Io));
        assert!(store.get(&key(0), 9).is_err());
        store.heal();

        assert_eq!(store.get(&key(0), 9).unwrap(), b"bytes");
        assert_eq!(store.inner().size(&key(0)).unwrap(), 5);
    }
}
