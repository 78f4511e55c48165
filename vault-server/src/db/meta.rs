//! When each job ran, so that a restart does not begin all of them anew, and of several servers one runs each.

use super::session::args;
use super::{Database, DbError};

impl Database {
    /// Takes a job that last ran at or before `due_ms`; whoever takes it, runs it. `false` if it is not due.
    pub async fn claim_job(&self, name: &'static str, now_ms: u64, due_ms: u64) -> Result<bool, DbError> {
        self.write((name, now_ms, due_ms), |session, (name, now_ms, due_ms)| {
            Box::pin(async move {
                let sql = "INSERT INTO jobs (name, ran_ms) VALUES ($1, $2)
                           ON CONFLICT (name) DO UPDATE SET ran_ms = $2 WHERE jobs.ran_ms <= $3";
                Ok(session.execute(sql, args![*name, *now_ms, *due_ms]).await? == 1)
            })
        })
        .await
    }

    /// When a job last began, in ms.
    pub async fn job_ran(&self, name: &str) -> Result<Option<u64>, DbError> {
        let row = self.reader().await?.row("SELECT ran_ms FROM jobs WHERE name = $1", args![name]).await?;
        row.map(|row| row.uint(0)).transpose()
    }

    /// Whether the database answers and takes writes.
    pub async fn probe(&self, now_ms: u64) -> Result<(), DbError> {
        self.write(now_ms, |session, now_ms| {
            Box::pin(async move {
                let sql = "INSERT INTO jobs (name, ran_ms) VALUES ('probe', $1)
                           ON CONFLICT (name) DO UPDATE SET ran_ms = $1";
                session.execute(sql, args![*now_ms]).await.map(drop)
            })
        })
        .await
    }
}
