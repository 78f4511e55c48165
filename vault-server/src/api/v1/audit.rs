//! `/v1/vaults/{vault}/audit`: what was done, for the vault's owners.

use actix_web::{HttpRequest, HttpResponse};
use vault_core::wire::audit::{AuditEntry, AuditPage, AuditQuery};
use vault_core::wire::limits::LISTED_AUDIT;
use vault_core::wire::{Binary, Millis};

use super::{json, query};
use crate::auth::{Own, Permit};
use crate::db;
use crate::error::ApiError;

/// Answers [`AuditPage`].
pub async fn list(request: HttpRequest, permit: Permit<Own>) -> Result<HttpResponse, ApiError> {
    let AuditQuery { after, limit } = query(&request)?;
    let limit = limit.map_or(LISTED_AUDIT, |limit| limit as usize).clamp(1, LISTED_AUDIT);
    let after = after.min(i64::MAX as u64);
    let mut found = permit.state().db.audit_entries(&permit.vault, after, limit as u32 + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    json(&AuditPage { entries: found.into_iter().map(of).collect(), more })
}

fn of(entry: db::AuditEntry) -> AuditEntry {
    AuditEntry {
        seq: entry.seq,
        time: Millis(entry.time_ms),
        device: entry.device,
        action: entry.action,
        object: entry.object,
        address: entry.address,
        prev: Binary(entry.prev),
        hash: Binary(entry.hash),
    }
}
