//! The logs of vaults, and what their statements change.
//!
//! A statement is appended under the next number or not at all, and everything it changes, changes in the same transaction.

use vault_core::id::{GrantId, IndexId, PackId, Seq, StatementHash, VaultId};
use vault_core::log::Head;
use vault_core::object::ObjectKey;

use super::objects::{Naming, condemn, name_all};
use super::session::{Row, Session, args};
use super::vaults::set_members;
use super::{AuditRecord, Database, DbError, Member, NewGrant, audit, grants};

/// What the server signed when it took a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// When, by the server's clock, in ms.
    pub time_ms: u64,
    /// The signature by the receipt key.
    pub signature: [u8; 64],
}

/// A verified statement, to be appended.
#[derive(Debug, Clone)]
pub struct NewStatement {
    /// The vault.
    pub vault: VaultId,
    /// Its number; it was verified against the statement before.
    pub seq: Seq,
    /// The statement as it came.
    pub statement: Vec<u8>,
    /// Its hash.
    pub hash: StatementHash,
    /// The server's time and signature.
    pub receipt: Receipt,
    /// What it changes.
    pub effects: Effects,
    /// Bytes that a vault must have had for its trash to be set on hold.
    pub hold_from: u64,
    /// What the audit is to say of it.
    pub audit: Option<AuditRecord>,
}

/// What a statement changes besides the log.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Objects without which it is not taken: the index objects of a commit.
    pub needs: Vec<ObjectKey>,
    /// Packs that go to the trash.
    pub packs_to_trash: Vec<PackId>,
    /// Index objects that no statement names any more.
    pub indexes_to_trash: Vec<IndexId>,
    /// The whole membership after it, where it changes.
    pub members: Option<Vec<Member>>,
    /// A grant that it gives.
    pub grant: Option<NewGrant>,
    /// A grant that it takes back.
    pub revoke: Option<GrantId>,
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is the head now.
    Done {
        /// Whether it set the vault's trash on hold: see [`super::VaultRecord::held`].
        held: bool,
    },
    /// It was there already, byte for byte; the receipt of then.
    Same(Receipt),
    /// Another one has the number, or the one before it is missing.
    Taken(Head),
    /// An object that it needs is not there.
    Missing(ObjectKey),
    /// There is a grant of that id, in this vault or another.
    GrantExists(GrantId),
    /// There is no such vault.
    NoVault,
}

/// One statement of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number.
    pub seq: Seq,
    /// Its hash.
    pub hash: StatementHash,
    /// What the server signed.
    pub receipt: Receipt,
    /// As it came.
    pub statement: Vec<u8>,
}

impl Database {
    /// Appends a statement and does what it says, in one transaction.
    pub async fn append(&self, new: NewStatement) -> Result<Appended, DbError> {
        self.write(new, |session, new| Box::pin(append(session, new))).await
    }

    /// One statement.
    pub async fn statement(&self, vault: &VaultId, seq: Seq) -> Result<Option<LogEntry>, DbError> {
        let sql = "SELECT seq, hash, time_ms, receipt, statement FROM log WHERE vault = $1 AND seq = $2";
        let row = self.reader().await?.row(sql, args![vault, seq.0]).await?;
        row.as_ref().map(LogEntry::from_row).transpose()
    }

    /// The statements from number `from` on: `limit` of them, or until `max_bytes` are full; at least one if there is one.
    pub async fn statements(
        &self,
        vault: &VaultId,
        from: Seq,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Vec<LogEntry>, DbError> {
        // The running sum of lengths stops in the database, so that large statements are not all read for nothing.
        let sql = "SELECT seq, hash, time_ms, receipt, statement FROM log WHERE vault = $1 AND seq >= $2
                     AND seq IN (SELECT seq FROM
                       (SELECT seq, SUM(octet_length(statement)) OVER (ORDER BY seq) AS bytes FROM
                         (SELECT seq, statement FROM log WHERE vault = $1 AND seq >= $2 ORDER BY seq LIMIT $3) AS few
                       ) AS sums WHERE bytes <= $4 OR seq = $2)
                   ORDER BY seq";
        let values = args![vault, from.0, u64::from(limit.max(1)), max_bytes as u64];
        let rows = self.reader().await?.rows(sql, values).await?;
        rows.iter().map(LogEntry::from_row).collect()
    }
}

async fn append(session: &mut Session, new: &NewStatement) -> Result<Appended, DbError> {
    let sql = "UPDATE vaults SET head_seq = $2, head_hash = $3 WHERE vault = $1 AND head_seq = $2 - 1";
    if session.execute(sql, args![new.vault, new.seq.0, new.hash]).await? == 0 {
        return what_stands(session, new).await;
    }
    let effects = &new.effects;
    if let Some(missing) = name_all(session, &new.vault, &effects.needs, Naming::ForGood).await? {
        return Ok(session.undo(Appended::Missing(missing)));
    }
    if let Some(grant) = &effects.grant
        && let Some(refused) = grants::give(session, new, grant).await?
    {
        return Ok(session.undo(refused));
    }
    if let Some(grant) = &effects.revoke {
        grants::revoke(session, &new.vault, grant).await?;
    }
    insert_statement(session, &new.vault, new.seq, &new.statement, &new.hash, &new.receipt).await?;
    let packs = effects.packs_to_trash.iter().map(|id| ObjectKey::Pack(*id));
    let indexes = grants::leave_to_grants(session, &new.vault, &effects.indexes_to_trash).await?;
    let condemned: Vec<_> = packs.chain(indexes).collect();
    let held = condemn(session, &new.vault, &condemned, (new.receipt.time_ms, new.hold_from)).await?;
    if let Some(members) = &effects.members {
        set_members(session, &new.vault, members).await?;
    }
    audit::append(session, &new.vault, new.audit.as_ref(), new.receipt.time_ms).await?;
    Ok(Appended::Done { held })
}

async fn what_stands(session: &mut Session, new: &NewStatement) -> Result<Appended, DbError> {
    let sql = "SELECT head_seq, head_hash FROM vaults WHERE vault = $1";
    let Some(row) = session.row(sql, args![new.vault]).await? else { return Ok(Appended::NoVault) };
    let head = Head { seq: Seq(row.uint(0)?), hash: row.id(1)? };
    let sql = "SELECT hash, time_ms, receipt FROM log WHERE vault = $1 AND seq = $2";
    if let Some(row) = session.row(sql, args![new.vault, new.seq.0]).await?
        && row.id::<_, 32>(0)? == new.hash
    {
        return Ok(Appended::Same(Receipt { time_ms: row.uint(1)?, signature: row.array(2)? }));
    }
    Ok(Appended::Taken(head))
}

/// Writes a statement under a number that was just taken.
pub(super) async fn insert_statement(
    session: &mut Session,
    vault: &VaultId,
    seq: Seq,
    statement: &[u8],
    hash: &StatementHash,
    receipt: &Receipt,
) -> Result<(), DbError> {
    let sql =
        "INSERT INTO log (vault, seq, hash, time_ms, receipt, statement) VALUES ($1, $2, $3, $4, $5, $6)";
    let values = args![vault, seq.0, hash, receipt.time_ms, receipt.signature, statement];
    session.execute(sql, values).await.map(drop)
}

impl LogEntry {
    /// The head of a log that ends here.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }

    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            seq: Seq(row.uint(0)?),
            hash: row.id(1)?,
            receipt: Receipt { time_ms: row.uint(2)?, signature: row.array(3)? },
            statement: row.bytes(4)?,
        })
    }
}
