//! Sweeping: what crashes and broken uploads left.
//!
//! A file goes only if it is an hour old and has no row; that is asked again, and its name reserved for the removal, in one transaction
//! right before.

use std::time::Duration;

use super::{HOUR_MS, Jobs, as_millis};
use crate::db::Cursor;
use crate::objects::{Found, UploadError, blocking, remove};

/// Orphans that one run removes at most; the next one goes on.
const MAX_ORPHANS: usize = 10_000;

/// Files that are looked up together.
const BATCH: usize = 500;

/// What was swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SweepReport {
    /// Rows of uploads and removals that ended half-way.
    pub stale: u64,
    /// Objects without a row.
    pub orphans: u64,
    /// Files of uploads that ended half-way.
    pub incoming: u64,
    /// Index objects that no statement named, now in the trash.
    pub unnamed: u64,
    /// Nonces that cannot be used any more.
    pub nonces: u64,
    /// Requests of devices that have ended.
    pub requests: u64,
    /// Grants that expired so long ago that their index objects are named no more.
    pub grants: u64,
    /// Tickets that have expired.
    pub tickets: u64,
}

/// Removes what nobody will ask for any more.
pub async fn sweep(jobs: &Jobs, now_ms: u64) -> Result<SweepReport, UploadError> {
    let mut report = SweepReport {
        nonces: jobs.db.forget_nonces(now_ms).await?,
        requests: jobs.db.remove_ended_device_requests(now_ms).await?,
        tickets: jobs.db.forget_tickets(now_ms).await?,
        ..SweepReport::default()
    };
    let before_ms = now_ms.saturating_sub(as_millis(jobs.settings.longest_upload));
    report.stale = sweep_stale(jobs, before_ms, now_ms).await?;
    let (objects, age) = (jobs.objects.clone(), jobs.settings.longest_upload);
    report.incoming = blocking(move || objects.remove_incoming(age)).await?;
    report.orphans = sweep_orphans(jobs, now_ms).await?;
    let expired_ms = now_ms.saturating_sub(as_millis(jobs.settings.unnamed));
    report.grants = jobs.db.end_grants(expired_ms).await?;
    report.unnamed = sweep_unnamed(jobs, now_ms).await?;
    Ok(report)
}

/// Moves to the trash what backups that ended half-way left: clients cannot condemn it, since it is in nobody's force.
async fn sweep_unnamed(jobs: &Jobs, now_ms: u64) -> Result<u64, UploadError> {
    let before_ms = now_ms.saturating_sub(as_millis(jobs.settings.unnamed));
    let (mut count, mut after) = (0, None);
    loop {
        let vaults = jobs.db.vaults_with_unnamed(after.as_ref(), before_ms).await?;
        let Some(last) = vaults.last() else { return Ok(count) };
        after = Some(*last);
        for vault in vaults {
            count += jobs.db.trash_unnamed(vault, before_ms, now_ms).await?;
        }
    }
}

/// Removes at once what uploads and removals left when the server ended.
///
/// To be called before the first request, and only by a server that has database and object store for itself: another one's uploads
/// would be lost too.
pub async fn recover(jobs: &Jobs, now_ms: u64) -> Result<SweepReport, UploadError> {
    let stale = sweep_stale(jobs, u64::MAX, now_ms).await?;
    let objects = jobs.objects.clone();
    let incoming = blocking(move || objects.remove_incoming(Duration::ZERO)).await?;
    Ok(SweepReport { stale, incoming, ..SweepReport::default() })
}

/// Removes what is left of uploads and removals that began before a moment.
async fn sweep_stale(jobs: &Jobs, before_ms: u64, now_ms: u64) -> Result<u64, UploadError> {
    let mut count = 0;
    loop {
        let removals = jobs.db.stale(before_ms, now_ms).await?;
        let found = removals.len() as u64;
        let removed = remove(&jobs.db, &jobs.objects, removals).await?;
        count += removed;
        // What cannot be removed now would come again and again.
        if found == 0 || removed < found {
            return Ok(count);
        }
    }
}

async fn sweep_orphans(jobs: &Jobs, now_ms: u64) -> Result<u64, UploadError> {
    // The walk blocks, the questions do not: batches go from one to the other.
    let (sender, mut batches) = tokio::sync::mpsc::channel::<Vec<Found>>(2);
    let objects = jobs.objects.clone();
    let walk = tokio::task::spawn_blocking(move || {
        let mut batch = Vec::new();
        let result = objects.visit(&mut |found| {
            if found.age >= Duration::from_millis(HOUR_MS) {
                batch.push(found);
            }
            batch.len() < BATCH || sender.blocking_send(std::mem::take(&mut batch)).is_ok()
        });
        let _ = sender.blocking_send(batch);
        result
    });
    let mut orphans = Vec::new();
    while let Some(batch) = batches.recv().await {
        for found in batch {
            if orphans.len() < MAX_ORPHANS && jobs.db.object_record(&found.vault, &found.key).await?.is_none()
            {
                orphans.push(Cursor { vault: found.vault, key: found.key });
            }
        }
        if orphans.len() >= MAX_ORPHANS {
            break;
        }
    }
    drop(batches);
    walk.await.map_err(|_| UploadError::Thread)??;

    let mut count = 0;
    for orphan in orphans {
        if let Some(removal) = jobs.db.claim_orphan(orphan.vault, orphan.key, now_ms).await? {
            count += remove(&jobs.db, &jobs.objects, vec![removal]).await?;
        }
    }
    Ok(count)
}
