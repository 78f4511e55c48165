//! Bodies of requests: read with bounds on size, pauses and rate.
//!
//! A body that is announced too large is refused before a byte of it is read, and one that stops or dawdles is cut off: actix
//! has no such bounds of its own.

use std::time::Duration;

use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;

/// A body that cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// It paused too long, or came too slowly.
    #[error("the body came too slowly")]
    TooSlow,
    /// The connection ended within it.
    #[error("the body ended early")]
    Incomplete,
    /// It has more bytes than the route takes.
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        /// What the route takes.
        limit: u64,
    },
}

/// How fast a body must come.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pause: Duration,
    grace: Duration,
    rate: u64,
}

impl From<&Limits> for Pace {
    fn from(limits: &Limits) -> Self {
        Self { pause: limits.body_pause, grace: limits.body_grace, rate: limits.body_rate.max(1) }
    }
}

impl Pace {
    /// When the next bytes must be there at the latest, if `received` came since `start`.
    fn deadline(&self, start: Instant, now: Instant, received: u64) -> Instant {
        let earned = Duration::from_millis(received.saturating_mul(1000) / self.rate);
        let by_rate = start.checked_add(self.grace.saturating_add(earned));
        let by_pause = now + self.pause;
        by_rate.map_or(by_pause, |by_rate| by_rate.min(by_pause))
    }
}

/// A body that is still arriving.
pub struct Body {
    payload: Payload,
    announced: u64,
    received: u64,
    start: Instant,
    pace: Pace,
}

impl Body {
    /// A body of `announced` bytes, of which a route takes at most `limit`.
    pub fn new(payload: Payload, announced: u64, limit: u64, pace: Pace) -> Result<Self, BodyError> {
        if announced > limit {
            return Err(BodyError::TooLarge { limit });
        }
        Ok(Self { payload, announced, received: 0, start: Instant::now(), pace })
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.announced
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.announced == 0
    }

    /// Its next bytes; `None` after the last ones announced.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.received == self.announced {
            return Ok(None);
        }
        let deadline = self.pace.deadline(self.start, Instant::now(), self.received);
        let read = timeout_at(deadline, self.payload.next()).await.map_err(|_| BodyError::TooSlow)?;
        let Some(Ok(bytes)) = read else {
            return Err(BodyError::Incomplete);
        };
        self.received += bytes.len() as u64;
        if self.received > self.announced {
            return Err(BodyError::Incomplete);
        }
        Ok(Some(bytes))
    }

    /// All of it. Memory grows with what has come, never with what was announced.
    pub async fn all(mut self) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::new();
        while let Some(part) = self.next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Body({} of {} bytes)", self.received, self.announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_earns_time_by_its_bytes() {
        let pace = Pace { pause: Duration::from_secs(30), grace: Duration::from_secs(10), rate: 1000 };
        let start = Instant::now();
        let at = |seconds, received| {
            let now = start + Duration::from_secs(seconds);
            (pace.deadline(start, now, received) - start).as_secs()
        };

        assert_eq!(at(0, 0), 10);
        assert_eq!(at(9, 5_000), 15);
        assert_eq!(at(9, 100_000), 39);
        assert_eq!(at(9, u64::MAX), 39);
    }
}
