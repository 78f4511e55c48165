//! Moments in time, the clock that tells them, and waiting.
//!
//! The crate never reads a clock and never sleeps: whoever calls it passes in what does, so that every result can be reproduced.

use std::time::Duration;

/// A moment: seconds and nanoseconds since 1970-01-01 UTC, also before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds, rounded towards the past.
    pub seconds: i64,
    /// Nanoseconds to add, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// A moment from its two parts; nanoseconds beyond a second are cut off at the last one.
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: if nanos < 1_000_000_000 { nanos } else { 999_999_999 } }
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The current moment.
    fn now(&self) -> Timestamp;
}

/// Time as it passes, and waiting for it to pass.
pub trait Pace: Send + Sync {
    /// The time since some moment that stays the same; never less than before.
    fn elapsed(&self) -> Duration;
    /// Returns when so much time has passed.
    fn wait(&self, time: Duration);
}

/// A clock that stands still, for tests.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}
