//! Recounting what vaults and users hold. The counters change with the rows, so there is never anything to correct; if there is, it is
//! reported as the fault that it is.

use vault_core::id::VaultId;

use super::Jobs;
use crate::db::Recount;
use crate::objects::UploadError;

/// A counter that was wrong, and is right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drift {
    /// The vault.
    pub vault: VaultId,
    /// By how much, for the vault and its founder.
    pub by: Recount,
}

/// Recounts all vaults; those that were wrong.
pub async fn recount(jobs: &Jobs) -> Result<Vec<Drift>, UploadError> {
    let (mut drifts, mut after) = (Vec::new(), None);
    loop {
        let vaults = jobs.db.vaults(after.as_ref(), 100).await?;
        let Some(last) = vaults.last() else { return Ok(drifts) };
        after = Some(last.vault);
        for vault in vaults {
            let by = jobs.db.recount(vault.vault).await?;
            if by != Recount::default() {
                drifts.push(Drift { vault: vault.vault, by });
            }
        }
    }
}
