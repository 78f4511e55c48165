//! Two actors that share a store, each operation of which waits for its turn.
//!
//! Operations happen one at a time, in the order that a script says; between them an actor may do what it likes.

use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex};

use vault_core::id::Seq;
use vault_core::store::{MemoryStore, ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use vault_core::time::Timestamp;

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub enum Script {
    /// The first actor has so many operations, then the second all of its, then the first the rest.
    After(usize),
    /// The same with the actors exchanged.
    AfterSecond(usize),
    /// In short turns, by chance.
    Seed(u64),
}

/// Lets the operations of two actors happen one at a time, in the order of a script.
pub struct Scheduler {
    script: Script,
    turns: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Default)]
struct Turns {
    /// Threads of each actor that wait for their turn.
    waiting: [usize; 2],
    done: [usize; 2],
    ended: [bool; 2],
    /// An operation is under way.
    busy: bool,
    random: u64,
    /// The numbers under which each actor tried to append a statement, and whether it was the first.
    appends: [Vec<(Seq, bool)>; 2],
}

impl Scheduler {
    /// Begins with no operation done.
    pub fn new(script: Script) -> Arc<Self> {
        let random =
            if let Script::Seed(seed) = script { seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 } else { 1 };
        let turns = Mutex::new(Turns { random, ..Turns::default() });
        Arc::new(Self { script, turns, changed: Condvar::new() })
    }

    /// Does an operation of an actor when it is its turn.
    fn run<T>(&self, actor: usize, operation: impl FnOnce() -> T) -> T {
        let mut turns = self.turns.lock().unwrap();
        turns.waiting[actor] += 1;
        self.changed.notify_all();
        while turns.busy || self.turn(&turns) != Some(actor) {
            turns = self.changed.wait(turns).unwrap();
        }
        turns.waiting[actor] -= 1;
        turns.busy = true;
        drop(turns);
        let result = operation();
        let mut turns = self.turns.lock().unwrap();
        turns.busy = false;
        turns.done[actor] += 1;
        turns.random ^= turns.random << 13;
        turns.random ^= turns.random >> 7;
        turns.random ^= turns.random << 17;
        self.changed.notify_all();
        result
    }

    /// Whose turn it is; `None` while an actor is busy elsewhere, and so nobody can say.
    fn turn(&self, turns: &Turns) -> Option<usize> {
        let alone = (0..2).find(|actor| turns.ended[1 - actor]);
        if alone.is_some() {
            return alone;
        }
        let wanted = match self.script {
            Script::After(count) => usize::from(turns.done[0] >= count),
            Script::AfterSecond(count) => usize::from(turns.done[1] < count),
            Script::Seed(_) => {
                if turns.waiting.contains(&0) {
                    return None;
                }
                // The same for some operations in a row more often than not.
                usize::from(turns.random >> 40 & 7 < 3)
            }
        };
        Some(wanted)
    }

    fn end(&self, actor: usize) {
        self.turns.lock().unwrap().ended[actor] = true;
        self.changed.notify_all();
    }

    /// Shows that no actor can be overtaken for ever: it tries each number once, and loses one only to a statement of the
    /// other. So there are as many statements of the other as times that it was overtaken, at least.
    pub fn assert_fair(&self) {
        let turns = self.turns.lock().unwrap();
        for actor in 0..2 {
            let [own, others] = [actor, 1 - actor].map(|actor| &turns.appends[actor]);
            assert!(own.is_sorted_by(|one, next| one.0 < next.0), "{:?}: {own:?}", self.script);
            let lost = own.iter().filter(|(_, first)| !first).map(|(seq, _)| *seq);
            for seq in lost {
                assert!(others.contains(&(seq, true)), "{:?}: {seq} {own:?} {others:?}", self.script);
            }
        }
    }

    /// How many operations an actor had.
    pub fn done(&self, actor: usize) -> usize {
        self.turns.lock().unwrap().done[actor]
    }
}

/// A store that each operation waits for its turn in.
pub struct Scheduled {
    /// Where objects are.
    pub inner: Arc<MemoryStore>,
    /// Says when.
    pub scheduler: Arc<Scheduler>,
    /// Whose operations they are: 0 or 1.
    pub actor: usize,
}

impl Store for Scheduled {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        let put = self.scheduler.run(self.actor, || self.inner.put_new(key, bytes));
        if let (ObjectKey::Statement(seq), Ok(put)) = (key, &put) {
            let mut turns = self.scheduler.turns.lock().unwrap();
            turns.appends[self.actor].push((*seq, *put == Put::Created));
        }
        put
    }
    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.scheduler.run(self.actor, || self.inner.get(key, limit))
    }
    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        self.scheduler.run(self.actor, || self.inner.get_range(key, offset, length))
    }
    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        self.scheduler.run(self.actor, || self.inner.size(key))
    }
    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        self.scheduler.run(self.actor, || self.inner.stored_at(key))
    }
    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // What `each` does may wait for turns of its own.
        let mut listed = Vec::new();
        self.scheduler.run(self.actor, || {
            self.inner.list(kind, &mut |key, bytes| {
                listed.push((key, bytes));
                ControlFlow::Continue(())
            })
        })?;
        for (key, bytes) in listed {
            if each(key, bytes).is_break() {
                break;
            }
        }
        Ok(())
    }
    fn remove(&self, key: &ObjectKey) -> Result<Removal, StoreError> {
        self.scheduler.run(self.actor, || self.inner.remove(key))
    }
    fn description(&self) -> String {
        self.inner.description()
    }
}

/// Says that an actor is done, also if it panics: the other would wait for ever.
pub struct End<'a> {
    /// Who must know.
    pub scheduler: &'a Scheduler,
    /// Who is done: 0 or 1.
    pub actor: usize,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.scheduler.end(self.actor);
    }
}
