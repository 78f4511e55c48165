//! When to try again, and when not to: what a server that restarts, or a line that fails for a moment, should not undo.
//!
//! Each wait is twice the one before, up to a bound, half of it by chance, so that many clients do not come back at once. A request is
//! given up when it has been failing for the whole budget of time.

use std::time::Duration;

use crate::crypto::random::Random;

/// How long to go on trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For how long a request may go on failing.
    pub budget: Duration,
    /// About how long the first wait is.
    pub first_wait: Duration,
    /// About how long the longest wait is.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(120),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(10),
        }
    }
}

/// What one attempt counts at most: a long one has moved bytes for most of its time, and failed only at its end.
const COUNTED_MAX: Duration = Duration::from_secs(60);

/// The failures of one request so far.
#[derive(Debug)]
pub(super) struct Attempts {
    patience: Patience,
    failed: u32,
    /// What failed attempts and the waits between them took.
    spent: Duration,
}

impl Attempts {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, failed: 0, spent: Duration::ZERO }
    }

    /// Takes note that an attempt failed after `took`, and says how long to wait before the next one; `None` if there is to be none. The
    /// server may have said how long at least.
    pub(super) fn next_wait(
        &mut self,
        took: Duration,
        at_least: Option<Duration>,
        random: &dyn Random,
    ) -> Option<Duration> {
        let wait = self.backoff(random).max(at_least.unwrap_or_default());
        self.failed += 1;
        self.spent = self.spent.saturating_add(took.min(COUNTED_MAX)).saturating_add(wait);
        (self.spent <= self.patience.budget).then_some(wait)
    }

    /// How often it has failed.
    pub(super) fn failed(&self) -> u32 {
        self.failed
    }

    fn backoff(&self, random: &dyn Random) -> Duration {
        let doubled =
            self.patience.first_wait.saturating_mul(1_u32.checked_shl(self.failed).unwrap_or(u32::MAX));
        let half = doubled.min(self.patience.longest_wait) / 2;
        // Without randomness everybody waits as long as the unluckiest.
        let chance = random.bytes::<2>().map_or(u16::MAX, u16::from_le_bytes);
        half + half.mul_f64(f64::from(chance) / f64::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    const SECOND: Duration = Duration::from_secs(1);

    /// The waits of a request that fails at once each time.
    fn waits(at_least: Option<Duration>) -> Vec<Duration> {
        let (mut attempts, random) = (Attempts::new(Patience::default()), FixedRandom::new(1));
        std::iter::from_fn(|| attempts.next_wait(Duration::ZERO, at_least, &random)).collect()
    }

    #[test]
    fn waits_grow_and_end_with_the_budget() {
        let waits = waits(None);
        let total: Duration = waits.iter().sum();

        assert!(waits[0] >= SECOND / 8 && waits[0] <= SECOND / 4, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= 10 * SECOND), "{waits:?}");
        assert!(waits.len() >= 15 && waits.len() <= 30, "{waits:?}");
        assert!(total <= 120 * SECOND && total >= 105 * SECOND, "{total:?}");
    }

    #[test]
    fn a_server_that_says_when_to_come_back_is_heard() {
        let asked = waits(Some(25 * SECOND));

        assert_eq!(asked, [25 * SECOND; 4]);
        assert!(waits(Some(121 * SECOND)).is_empty());
    }

    #[test]
    fn what_attempts_take_counts_but_not_hours_of_it() {
        let (mut attempts, random) = (Attempts::new(Patience::default()), FixedRandom::new(1));

        assert!(attempts.next_wait(3600 * SECOND, None, &random).is_some());
        assert!(attempts.next_wait(50 * SECOND, None, &random).is_some());
        assert!(attempts.next_wait(50 * SECOND, None, &random).is_none());
    }
}
