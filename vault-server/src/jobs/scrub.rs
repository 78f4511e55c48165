//! Reading through: packs and index objects are named by their hash, so the server can tell when a disk has changed one.
//!
//! What is damaged is no longer served: a client that checks its vault finds it missing, and may put it again.

use std::sync::Arc;

use vault_core::crypto::hash::ObjectHasher;
use vault_core::id::VaultId;
use vault_core::object::ObjectKey;

use super::{DAY_MS, HOUR_MS, Jobs};
use crate::db::Cursor;
use crate::objects::{Objects, ObjectsError, UploadError, blocking};

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubReport {
    /// Objects that were read.
    pub read: u64,
    /// Those of them that are not what they were, or not there.
    pub damaged: u64,
}

/// Reads through an hour's share of the objects, those first that wait longest.
pub async fn scrub(jobs: &Jobs, now_ms: u64) -> Result<ScrubReport, UploadError> {
    let percent = u64::from(jobs.settings.scrub_percent.min(100));
    if percent == 0 {
        return Ok(ScrubReport::default());
    }
    let stored = jobs.db.count_stored().await?;
    let share = stored.saturating_mul(percent).div_ceil(100 * (DAY_MS / HOUR_MS));
    // At 3 % a day an object is read each month; none is read twice within one round of all of them.
    let before_ms = now_ms.saturating_sub(DAY_MS * 100 / percent / 2);
    let limit = u32::try_from(share).unwrap_or(u32::MAX).min(10_000);
    let mut report = ScrubReport::default();
    for object in jobs.db.not_checked_since(before_ms, limit).await? {
        let objects = jobs.objects.clone();
        let (vault, key, size) = (object.vault, object.key, object.size);
        let is_good = blocking(move || is_good(&objects, &vault, &key, size)).await?;
        report.read += 1;
        // It may be condemned or removed since; then there is nothing to say of it.
        if jobs.db.set_checked(Cursor { vault, key }, is_good, now_ms).await? && !is_good {
            report.damaged += 1;
            tracing::error!(vault = %vault, object = %key, "an object is damaged, and not served any more");
        }
    }
    Ok(report)
}

/// Whether an object has its length, and the hash that its name says, if its name is one.
pub(super) fn is_good(
    objects: &Arc<dyn Objects>,
    vault: &VaultId,
    key: &ObjectKey,
    size: u64,
) -> Result<bool, ObjectsError> {
    if objects.size(vault, key)? != Some(size) {
        return Ok(false);
    }
    let name = match key {
        ObjectKey::Pack(id) => id.as_bytes(),
        ObjectKey::Index(id) => id.as_bytes(),
        _ => return Ok(true),
    };
    let mut bytes = match objects.open(vault, key, 0..size) {
        Err(ObjectsError::NotThere | ObjectsError::TooShort { .. }) => return Ok(false),
        result => result?,
    };
    let (mut hasher, mut buffer) = (ObjectHasher::new(), vec![0; 1 << 18]);
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish() == *name),
            Ok(length) => hasher.update(&buffer[..length]),
            // A disk that cannot read a sector has lost it.
            Err(error) => {
                tracing::error!(vault = %vault, object = %key, %error, "an object cannot be read");
                return Ok(false);
            }
        }
    }
}
