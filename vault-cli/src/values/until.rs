//! Ends of time as people write them: a span from now on, `30d`, or a date, `2026-12-01`.
//!
//! What is read here is not yet a moment: that depends on a clock, which whoever resolves it brings.

use vault_core::time::Timestamp;

use super::duration::duration;
use crate::spec;

/// When something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// So many seconds from now.
    After(u64),
    /// At this moment.
    At(Timestamp),
}

/// A text that says no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a span of time like 12h, 30d or 6mo, or a date like 2026-12-01 or 2026-12-01T18:00")]
pub(crate) struct NotAnEnd;

/// Reads a span as [`duration`] does, or the beginning of a date in the local time zone.
pub(crate) fn until(text: &str) -> Result<Until, NotAnEnd> {
    match duration(text) {
        Ok(0) => Err(NotAnEnd),
        Ok(seconds) => Ok(Until::After(seconds)),
        Err(_) => spec::begin_of(text.trim()).map(Until::At).map_err(|_| NotAnEnd),
    }
}

impl Until {
    /// The moment in seconds since 1970; `None` if it is over.
    pub(crate) fn resolve(self, now: Timestamp) -> Option<u64> {
        let now = u64::try_from(now.seconds).unwrap_or(0);
        let end = match self {
            Self::After(seconds) => now.saturating_add(seconds),
            Self::At(moment) => u64::try_from(moment.seconds).ok()?,
        };
        Some(end).filter(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_counts_from_now_and_a_date_does_not() {
        let now = Timestamp::new(1_000, 999);

        assert_eq!(until("30d").unwrap().resolve(now), Some(1_000 + 30 * 86_400));
        let date = until("2026-12-01").unwrap();
        assert_eq!(date.resolve(now), date.resolve(Timestamp::new(0, 0)));
        assert_eq!(date.resolve(Timestamp::new(4_000_000_000, 0)), None);
        assert_eq!(Until::At(now).resolve(now), None);
    }

    #[test]
    fn what_says_no_end_is_refused() {
        for text in ["", "0", "tomorrow", "30", "2026-13-01", "latest"] {
            assert_eq!(until(text), Err(NotAnEnd), "{text}");
        }
    }
}
