//! What work needs from outside: a clock, randomness, someone who listens, and a way to be stopped.
//!
//! Everything above the primitives takes these as one value, so that nothing reaches for a global.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::crypto::random::Random;
use crate::progress::Progress;
use crate::time::Clock;

/// What an operation needs from outside.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Makes keys and nonces.
    pub random: &'a dyn Random,
    /// Hears what happens.
    pub progress: &'a dyn Progress,
    /// Says when to stop.
    pub stop: &'a Stop,
}

/// A request to stop, set once, from any thread or a signal handler.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// A request not made yet.
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Makes the request.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the request was made.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
