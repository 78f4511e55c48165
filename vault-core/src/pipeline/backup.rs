//! The engine of a backup: what its threads share, and how they are started and joined.
//!
//! The picture is in the [module above](super). Chunks whose store failed are never named: a failure ends the backup into that
//! destination without a statement, and what reached the store is adopted by the next run.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::Error;
use crate::surroundings::Surroundings;
use crate::vault::packer::Packer;

use super::attributes::Owners;
use super::checkpoint::Checkpoints;
use super::destination::Destination;
use super::directory::{Directory, Task};
use super::hand::Hand;
use super::large::Group;
use super::piped::{self, Stream};
use super::read::FileTask;
use super::select::Rules;
use super::sink::{self, Sink};
use super::walk::WalkQueue;

/// Directory listing waits on the kernel more than on the processor: two walkers keep it busy, more only fight over the queue.
const WALKERS: usize = 2;
/// Batches of files that may wait for a reader: enough that readers never wait for the walk.
const WAITING_BATCHES: usize = 16;
/// Groups of chunks of large files that may wait: each holds about a mebibyte.
const WAITING_GROUPS: usize = 4;

/// Destinations that one run may have: each takes memory for packs of its own.
pub const DESTINATIONS_MAX: usize = 8;

/// What is to be backed up.
pub enum Source {
    /// A directory and what is below it.
    Tree(Task),
    /// What a program writes.
    Stream(Stream),
}

/// What all threads of a backup share.
pub struct Engine<'a> {
    /// The vaults that take it.
    pub destinations: &'a [Destination<'a>],
    /// What is left out.
    pub rules: &'a Rules,
    /// Clock, randomness, listener, request to stop.
    pub around: Surroundings<'a>,
    /// Names of owners.
    pub owners: Owners,
    /// The root, from when it is listed.
    pub top: OnceLock<Weak<Directory>>,
    /// Buffers of large files, to be used again.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// A failure that ends the run for all destinations.
    failure: Mutex<Option<Error>>,
}

/// Threads that store chunks in a run: each destination needs gatherers for as many.
pub fn threads() -> usize {
    // One more makes checkpoints.
    WALKERS + readers() + 1
}

fn readers() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}

impl<'a> Engine<'a> {
    /// An engine at rest.
    pub fn new(destinations: &'a [Destination<'a>], rules: &'a Rules, around: Surroundings<'a>) -> Self {
        Self {
            destinations,
            rules,
            around,
            owners: Owners::default(),
            top: OnceLock::new(),
            buffers: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Whether threads should end early: because of a request, or because no destination is left.
    pub fn stopping(&self) -> bool {
        self.around.stop.requested() || self.destinations.iter().all(Destination::failed)
    }

    /// Ends the run for all destinations; the first failure is what it ends with.
    fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        for destination in self.destinations {
            destination.fail(Error::WorkerLost);
        }
    }

    /// Runs the whole backup of `source`; afterwards every chunk of it is in the store and in an
    /// index object of each destination that has not failed.
    pub fn run(&self, source: Source, checkpoints: &Checkpoints<'_>) -> Result<(), Error> {
        let sinks: Vec<&Sink<'_>> = self.destinations.iter().map(|destination| &destination.sink).collect();
        sink::fill(&sinks, |packers| self.work(source, packers, checkpoints));
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    fn work(&self, source: Source, packers: &[Packer<'_>], checkpoints: &Checkpoints<'_>) {
        let (root, stream) = match source {
            Source::Tree(root) => (Some(root), None),
            Source::Stream(stream) => (None, Some(stream)),
        };
        // One of the readers takes the stream; the walkers find nothing to do then.
        let (queue, stream) = (WalkQueue::new(root), Mutex::new(stream));
        let (batches_in, batches) = bounded(WAITING_BATCHES);
        let (groups_in, groups) = bounded(WAITING_GROUPS);
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for number in 0..WALKERS {
                let (queue, batches_in) = (&queue, batches_in.clone());
                threads.push(scope.spawn(move || {
                    self.with_hand(number, packers, |hand| queue.walk(hand, &batches_in));
                    queue.close();
                }));
            }
            for number in WALKERS..WALKERS + readers() {
                let (batches, groups, groups_in) = (batches.clone(), groups.clone(), groups_in.clone());
                let stream = &stream;
                threads.push(scope.spawn(move || {
                    self.with_hand(number, packers, |hand| {
                        piped::read(stream, hand, &groups_in, &groups)?;
                        read_all(hand, &batches, &groups, groups_in)
                    });
                }));
            }
            // A queue ends when its last sender is gone: these are the threads' own.
            drop((batches_in, groups_in));
            // Nothing is sent: that it is gone is the message.
            let (working, ended) = bounded::<()>(0);
            scope.spawn(move || {
                self.with_hand(WALKERS + readers(), packers, |hand| {
                    checkpoints.make(hand, &ended);
                    Ok(())
                });
            });
            for thread in threads {
                thread.join().unwrap_or_else(|_| self.fail(Error::WorkerLost));
            }
            drop(working);
        });
    }

    /// Runs one thread's work with gatherers of its own, and flushes them at its end.
    fn with_hand(
        &self,
        number: usize,
        packers: &[Packer<'_>],
        work: impl FnOnce(&mut Hand<'_>) -> Result<(), Error>,
    ) {
        let outcome = Hand::new(self, number, packers).and_then(|mut hand| {
            work(&mut hand)?;
            hand.flush();
            Ok(())
        });
        outcome.unwrap_or_else(|error| self.fail(error));
    }

    /// Remembers the root when it is listed, so that checkpoints find what is below it.
    pub fn begin_at(&self, root: &Arc<Directory>) {
        // There is one root, and it is listed once.
        let _ = self.top.set(Arc::downgrade(root));
    }

    /// An empty buffer, which may have room already.
    pub fn take_buffer(&self) -> Vec<u8> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn give_buffer(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < WAITING_GROUPS + readers() {
            buffers.push(buffer);
        }
    }
}

/// Takes groups of chunks first, as their memory is the scarcest, then batches of files, until both have ended.
fn read_all(
    hand: &mut Hand<'_>,
    batches: &Receiver<Vec<FileTask>>,
    groups: &Receiver<Group>,
    groups_in: Sender<Group>,
) -> Result<(), Error> {
    loop {
        if let Ok(group) = groups.try_recv() {
            group.store(hand);
            continue;
        }
        crossbeam_channel::select! {
            recv(groups) -> group => if let Ok(group) = group { group.store(hand) },
            recv(batches) -> batch => match batch {
                Ok(batch) => for task in batch { task.read(hand, &groups_in, groups)? },
                Err(_) => break,
            },
        }
    }
    drop(groups_in);
    groups.iter().for_each(|group| group.store(hand));
    Ok(())
}
