//! Emptying the trash: an object leaves when it was condemned longer ago than the grace time, and stored longer ago than the minimum
//! age, both by the server's clock; and never from a vault on hold.

use super::{Jobs, as_millis};
use crate::objects::{UploadError, remove};

/// Removes what has to go; how many objects.
pub async fn empty_trash(jobs: &Jobs, now_ms: u64) -> Result<u64, UploadError> {
    let condemned_ms = now_ms.saturating_sub(as_millis(jobs.settings.grace));
    let stored_ms = now_ms.saturating_sub(as_millis(jobs.settings.min_age));
    let (mut count, mut after) = (0, None);
    loop {
        let vaults = jobs.db.vaults_with_expired(after.as_ref(), condemned_ms, stored_ms).await?;
        let Some(last) = vaults.last() else { return Ok(count) };
        after = Some(*last);
        for vault in vaults {
            loop {
                let removals = jobs.db.expired(vault, condemned_ms, stored_ms, now_ms).await?;
                if removals.is_empty() {
                    break;
                }
                // Those whose files cannot be removed now, the sweep tries again.
                count += remove(&jobs.db, &jobs.objects, removals).await?;
            }
        }
    }
}
