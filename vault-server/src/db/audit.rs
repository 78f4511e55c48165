//! What was done in a vault: one hash chain for each, written in the transaction that it records.

use vault_core::id::{DeviceId, VaultId};
use vault_core::wire;

use super::session::{Session, args};
use super::{Database, DbError};

/// What one entry is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Who did it; `None` if the server did by itself.
    pub device: Option<DeviceId>,
    /// What was done, in one word.
    pub action: &'static str,
    /// To what: the path of an object, the number of a statement, or nothing.
    pub object: String,
    /// From where, truncated.
    pub address: String,
}

/// One entry of a vault's audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, from 1.
    pub seq: u64,
    /// When, by the server's clock, in ms.
    pub time_ms: u64,
    /// Who did it; `None` if the server did by itself.
    pub device: Option<DeviceId>,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// From where, truncated.
    pub address: String,
    /// The hash of the entry before; the vault's id in the first.
    pub prev: [u8; 32],
    /// SHA-256 over the fields before.
    pub hash: [u8; 32],
}

impl Database {
    /// Adds an entry to a vault's audit by itself. `false` if there is no such vault.
    pub async fn audit(&self, vault: VaultId, record: AuditRecord, now_ms: u64) -> Result<bool, DbError> {
        self.write((vault, record, now_ms), |session, (vault, record, now_ms)| {
            Box::pin(append(session, vault, Some(record), *now_ms))
        })
        .await
    }

    /// The entries beyond number `after`; at most `limit`.
    pub async fn audit_entries(
        &self,
        vault: &VaultId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, DbError> {
        let sql = "SELECT seq, time_ms, device, action, object, address, prev, hash FROM audit
                   WHERE vault = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows = self.reader().await?.rows(sql, args![vault, after, u64::from(limit)]).await?;
        rows.iter()
            .map(|row| {
                Ok(AuditEntry {
                    seq: row.uint(0)?,
                    time_ms: row.uint(1)?,
                    device: DeviceId::from_slice(&row.bytes(2)?),
                    action: row.text(3)?,
                    object: row.text(4)?,
                    address: row.text(5)?,
                    prev: row.array(6)?,
                    hash: row.array(7)?,
                })
            })
            .collect()
    }
}

/// Adds an entry within a transaction. The counter is in the vault's row, which is locked by it.
pub(super) async fn append(
    session: &mut Session,
    vault: &VaultId,
    record: Option<&AuditRecord>,
    now_ms: u64,
) -> Result<bool, DbError> {
    let Some(record) = record else { return Ok(true) };
    let sql = "UPDATE vaults SET audit_seq = audit_seq + 1 WHERE vault = $1 RETURNING audit_seq, audit_hash";
    let Some(row) = session.row(sql, args![vault]).await? else { return Ok(false) };
    let (seq, prev) = (row.uint(0)?, row.array(1)?);
    let mut entry = AuditEntry {
        seq,
        time_ms: now_ms,
        device: record.device,
        action: record.action.to_owned(),
        object: record.object.clone(),
        address: record.address.clone(),
        prev,
        hash: [0; 32],
    };
    entry.hash = hash(&entry);
    session.execute("UPDATE vaults SET audit_hash = $2 WHERE vault = $1", args![vault, entry.hash]).await?;
    let sql = "INSERT INTO audit (vault, seq, time_ms, device, action, object, address, prev, hash)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let values = args![
        vault,
        seq,
        now_ms,
        id_or_nothing(entry.device.as_ref()),
        entry.action,
        entry.object,
        entry.address,
        entry.prev,
        entry.hash
    ];
    session.execute(sql, values).await?;
    Ok(true)
}

/// The hash that clients verify.
fn hash(entry: &AuditEntry) -> [u8; 32] {
    let entry = wire::audit::AuditEntry {
        seq: entry.seq,
        time: wire::Millis(entry.time_ms),
        device: entry.device,
        action: entry.action.clone(),
        object: entry.object.clone(),
        address: entry.address.clone(),
        prev: wire::Binary(entry.prev),
        hash: wire::Binary([0; 32]),
    };
    entry.hash()
}

fn id_or_nothing(device: Option<&DeviceId>) -> &[u8] {
    device.map_or(&[], |device| device.as_bytes())
}
