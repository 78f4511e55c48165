//! The documents of `audit` and `undelete`.

use serde::Serialize;
use vault_core::id::VaultId;
use vault_core::wire::audit::{AuditEntry, AuditHead};
use vault_core::wire::v1::trash::TrashedObject;

use crate::ui::time;

/// What was done in a vault.
#[derive(Debug, Serialize)]
pub(crate) struct Audit {
    command: &'static str,
    vault: String,
    /// The number of the newest entry.
    entries_verified: u64,
    /// Its hash.
    head: String,
    entries: Vec<OneEntry>,
}

#[derive(Debug, Serialize)]
struct OneEntry {
    seq: u64,
    time: String,
    device: Option<String>,
    action: String,
    object: String,
    address: String,
}

impl Audit {
    pub(crate) fn new(vault: &VaultId, head: AuditHead, entries: &[AuditEntry]) -> Self {
        let of = |entry: &AuditEntry| OneEntry {
            seq: entry.seq,
            time: time::iso(entry.time.to_timestamp()),
            device: entry.device.map(|device| device.to_hex()),
            action: entry.action.clone(),
            object: entry.object.clone(),
            address: entry.address.clone(),
        };
        Self {
            command: "audit",
            vault: vault.to_hex(),
            entries_verified: head.seq,
            head: VaultId::new(head.hash).to_hex(),
            entries: entries.iter().map(of).collect(),
        }
    }
}

/// What is in the trash.
#[derive(Debug, Serialize)]
pub(crate) struct Trash {
    command: &'static str,
    vault: String,
    objects: Vec<OneObject>,
}

#[derive(Debug, Serialize)]
struct OneObject {
    object: String,
    size: u64,
    condemned_at: String,
    leaves_at: String,
}

impl Trash {
    pub(crate) fn new(vault: &VaultId, trash: &[TrashedObject]) -> Self {
        let of = |object: &TrashedObject| OneObject {
            object: object.path.to_string(),
            size: object.size,
            condemned_at: time::iso(object.condemned_at.to_timestamp()),
            leaves_at: time::iso(object.leaves_at.to_timestamp()),
        };
        Self { command: "undelete", vault: vault.to_hex(), objects: trash.iter().map(of).collect() }
    }
}

/// How much was taken out of the trash.
#[derive(Debug, Serialize)]
pub(crate) struct Undeleted {
    command: &'static str,
    vault: String,
    #[serde(rename = "undeleted")]
    objects: u64,
}

impl Undeleted {
    pub(crate) fn new(vault: &VaultId, undeleted: u64) -> Self {
        Self { command: "undelete", vault: vault.to_hex(), objects: undeleted }
    }
}
