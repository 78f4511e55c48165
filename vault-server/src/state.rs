//! What all handlers share. Made once at the start; nothing in it is ever replaced.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use vault_core::crypto::random::{Random, SystemRandom};
use vault_core::crypto::sign::SigningKey;
use vault_core::time::{Clock, Timestamp};

use crate::config::Config;
use crate::db::Database;
use crate::limits::Limiter;
use crate::logs::Logs;
use crate::objects::Objects;
use crate::ranges::GrantRanges;
use crate::tls::Certificates;

/// What all handlers share.
pub struct State {
    /// How the server runs.
    pub config: Config,
    /// What it remembers.
    pub db: Database,
    /// The bytes of objects.
    pub objects: Arc<dyn Objects>,
    /// Verified logs.
    pub logs: Logs,
    /// Which bytes grants give.
    pub ranges: GrantRanges,
    /// What clients asked for lately.
    pub limiter: Limiter,
    /// Signs receipts.
    pub receipt_key: SigningKey,
    /// The certificate; `None` without TLS.
    pub certificates: Option<Arc<Certificates>>,
    /// The server's time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: SystemRandom,
    /// Turns true when the server stops, so that nobody waits for what will not come.
    pub stopping: watch::Receiver<bool>,
    /// Keeps other servers off the data directory.
    pub(crate) _lock: File,
}

impl State {
    /// The server's time in milliseconds.
    pub fn now_ms(&self) -> u64 {
        millis(self.clock.now())
    }

    /// A new id for a request. It only has to differ from others, so that without randomness the time will do.
    pub fn request_id(&self) -> String {
        let random: &dyn Random = &self.random;
        random.bytes::<8>().map_or_else(|_| format!("{:016x}", self.now_ms()), hex::encode)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// Milliseconds since 1970; 0 for earlier times.
pub fn millis(time: Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(u64::from(time.nanos / 1_000_000))
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::new(since.as_secs().cast_signed(), since.subsec_nanos())
    }
}
