//! What the server does by itself: emptying the trash, sweeping, recounting, reading through.
//!
//! Each job is a function of the database, the object store and a moment, and may be stopped at any point and run again. Of several
//! servers on one database, one runs each job when it is due.

mod backup;
mod check;
mod recount;
mod scrub;
mod sweep;
#[cfg(test)]
mod tests;
mod trash;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use vault_core::time::{Clock, Timestamp};

pub use self::backup::{BackupError, BackupReport, backup};
pub use self::check::{CheckReport, Fault, check};
pub use self::recount::{Drift, recount};
pub use self::scrub::{ScrubReport, scrub};
pub use self::sweep::{SweepReport, recover, sweep};
pub use self::trash::empty_trash;
use crate::db::Database;
use crate::objects::{Objects, UploadError};

const MINUTE_MS: u64 = 60 * 1000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What the operator may set.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// How long a condemned object stays in the trash.
    pub grace: Duration,
    /// How long an object stays at least, from when it was stored.
    pub min_age: Duration,
    /// The longest time an upload can take; what is left of older ones is swept.
    pub longest_upload: Duration,
    /// How long an index object may be there before a statement names it, and after the grant that named it expired. A backup names
    /// one as soon as it has stored it.
    pub unnamed: Duration,
    /// How much of the stored packs and index objects is read through each day, of 100.
    pub scrub_percent: u8,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            grace: Duration::from_millis(14 * DAY_MS),
            min_age: Duration::ZERO,
            // The largest object at the slowest rate takes four and a half hours.
            longest_upload: Duration::from_millis(6 * HOUR_MS),
            unnamed: Duration::from_millis(7 * DAY_MS),
            scrub_percent: 3,
        }
    }
}

/// What the jobs work on.
#[derive(Clone)]
pub struct Jobs {
    /// The database.
    pub db: Database,
    /// The object store.
    pub objects: Arc<dyn Objects>,
    /// The server's time.
    pub clock: Arc<dyn Clock>,
    /// What the operator set.
    pub settings: JobSettings,
}

/// The jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Trash,
    Sweep,
    Recount,
    Scrub,
}

impl Job {
    const ALL: [Self; 4] = [Self::Trash, Self::Sweep, Self::Recount, Self::Scrub];

    /// Its name in the database.
    fn name(self) -> &'static str {
        match self {
            Self::Trash => "trash",
            Self::Sweep => "sweep",
            Self::Recount => "recount",
            Self::Scrub => "scrub",
        }
    }

    /// The time from one run to the next.
    fn every_ms(self) -> u64 {
        match self {
            Self::Trash | Self::Scrub => HOUR_MS,
            Self::Sweep => 10 * MINUTE_MS,
            Self::Recount => DAY_MS,
        }
    }
}

/// The jobs of a running server.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Stops the jobs, and returns once they have.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // It ends by itself, or with a panic that was reported where it happened.
        let _ = self.task.await;
    }
}

impl Jobs {
    /// Runs the jobs beside the server.
    pub fn start(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        Running { stop, task: tokio::spawn(self.run(stopped)) }
    }

    /// Runs what is due, each minute, until `stop` becomes true or its sender is gone.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.run_due() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(MINUTE_MS)) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Runs what is due now, one after the other.
    pub async fn run_due(&self) {
        for job in Job::ALL {
            let now_ms = millis(self.clock.now());
            let due_ms = now_ms.saturating_sub(job.every_ms());
            let result = match self.db.claim_job(job.name(), now_ms, due_ms).await {
                Ok(true) => self.run_one(job, now_ms).await,
                Ok(false) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = result {
                tracing::error!(job = job.name(), %error, source = source_of(&error), "a job failed");
            }
        }
    }

    async fn run_one(&self, job: Job, now_ms: u64) -> Result<(), UploadError> {
        match job {
            Job::Trash => {
                let count = empty_trash(self, now_ms).await?;
                tracing::info!(count, "the trash was emptied of what had to go");
            }
            Job::Sweep => {
                let report = sweep(self, now_ms).await?;
                tracing::debug!(?report, "swept");
            }
            Job::Recount => {
                for drift in recount(self).await? {
                    tracing::error!(vault = %drift.vault, ?drift.by, "a counter of bytes was wrong");
                }
            }
            Job::Scrub => {
                let report = scrub(self, now_ms).await?;
                tracing::info!(?report, "objects were read through");
            }
        }
        Ok(())
    }
}

fn source_of(error: &UploadError) -> Option<tracing::field::DisplayValue<String>> {
    std::error::Error::source(error).map(|source| tracing::field::display(source.to_string()))
}

/// A moment in ms since 1970; 0 before.
pub fn millis(time: Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(u64::from(time.nanos / 1_000_000))
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
