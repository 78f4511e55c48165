//! The clock of this machine: the only place that reads it for what is stored in a vault.
//!
//! A time never decides anything in a vault; it is shown to people.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use vault_core::store::location::Pace;
use vault_core::time::{Clock, Timestamp};

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        timestamp(SystemTime::now())
    }
}

/// The moment as seconds rounded towards the past, and nanoseconds after them.
fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp::new(saturating_seconds(after.as_secs()), after.subsec_nanos()),
        Err(error) => {
            let before = error.duration();
            let seconds = saturating_seconds(before.as_secs()).saturating_neg();
            match before.subsec_nanos() {
                0 => Timestamp::new(seconds, 0),
                nanos => Timestamp::new(seconds.saturating_sub(1), 1_000_000_000 - nanos),
            }
        }
    }
}

fn saturating_seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// Time as this process sees it pass.
#[derive(Debug)]
pub(crate) struct SystemPace(Instant);

impl SystemPace {
    /// Time that begins now.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Pace for SystemPace {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, time: Duration) {
        thread::sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_before_1970_are_rounded_towards_the_past() {
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(1_500)), Timestamp::new(1, 500_000_000));
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_millis(1_500)), Timestamp::new(-2, 500_000_000));
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(2)), Timestamp::new(-2, 0));
    }
}
