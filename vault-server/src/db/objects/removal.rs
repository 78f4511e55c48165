//! Taking objects out of what is served, and away for good.
//!
//! Whoever removes a file first makes its row `leaving`, with a number of its own; while that stands, nobody can begin to
//! put the object again. The row goes after the file.

use vault_core::id::VaultId;
use vault_core::object::ObjectKey;

use super::reserve::uncount;
use super::{key_of, name_of, names_of};
use crate::db::session::{Row, Session, Sql, args};
use crate::db::vaults::lock;
use crate::db::{AuditRecord, Database, DbError, audit};

/// The time in which more than half of a vault must not be condemned.
const GUARDED_MS: u64 = 24 * 60 * 60 * 1000;

/// How many objects of a vault one transaction makes `leaving`.
const BATCH: u64 = 500;

/// A file that is to be removed; then [`Database::removed`] is to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// The vault.
    pub vault: VaultId,
    /// The object.
    pub key: ObjectKey,
    token: u64,
}

/// What to take out of the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undelete {
    /// These objects.
    Keys(Vec<ObjectKey>),
    /// All that were condemned at that time, in ms, or later.
    Since(u64),
}

impl Removal {
    pub(super) fn new(vault: VaultId, key: ObjectKey, token: u64) -> Self {
        Self { vault, key, token }
    }
}

impl Database {
    /// Takes objects out of the trash; how many.
    pub async fn undelete(
        &self,
        vault: VaultId,
        what: Undelete,
        now_ms: u64,
        audit: Option<AuditRecord>,
    ) -> Result<u64, DbError> {
        self.write((vault, what, now_ms, audit), |session, (vault, what, now_ms, audit)| {
            Box::pin(async move {
                let count = undelete(session, vault, what).await?;
                audit::append(session, vault, audit.as_ref(), *now_ms).await?;
                Ok(count)
            })
        })
        .await
    }

    /// Vaults, beyond `after`, with objects in the trash that may go: condemned at `condemned_ms` or before, stored at
    /// `stored_ms` or before, and the vault not on hold.
    pub async fn vaults_with_expired(
        &self,
        after: Option<&VaultId>,
        condemned_ms: u64,
        stored_ms: u64,
    ) -> Result<Vec<VaultId>, DbError> {
        let sql = "SELECT v.vault FROM vaults v WHERE v.vault > $1 AND v.held = 0 AND EXISTS
                     (SELECT 1 FROM objects o WHERE o.vault = v.vault AND o.state = 2
                        AND o.condemned_ms <= $2 AND o.stored_ms <= $3)
                   ORDER BY v.vault LIMIT 100";
        let after = after.map_or(&[][..], |vault| &vault.as_bytes()[..]);
        let rows = self.reader().await?.rows(sql, args![after, condemned_ms, stored_ms]).await?;
        rows.iter().map(|row| row.id(0)).collect()
    }

    /// Begins to remove what may go of a vault's trash, some at once; nothing once there is no more, or the vault is on hold.
    pub async fn expired(
        &self,
        vault: VaultId,
        condemned_ms: u64,
        stored_ms: u64,
        now_ms: u64,
    ) -> Result<Vec<Removal>, DbError> {
        let token = self.token()?;
        self.write((vault, condemned_ms, stored_ms, now_ms, token), |session, input| {
            Box::pin(async move {
                let (vault, condemned_ms, stored_ms, now_ms, token) = input;
                if lock(session, vault).await?.is_none_or(|locked| locked.held) {
                    return Ok(Vec::new());
                }
                let sql = "UPDATE objects SET state = 4, condemned_ms = $5, reservation = $6
                           WHERE vault = $1 AND name IN
                             (SELECT name FROM objects WHERE vault = $1 AND state = 2
                                AND condemned_ms <= $2 AND stored_ms <= $3 LIMIT $4)
                           RETURNING name, size";
                let values = args![vault, *condemned_ms, *stored_ms, BATCH, *now_ms, *token];
                let rows = session.rows(sql, values).await?;
                change_trashed(session, vault, sum(&rows, 1)?, false).await?;
                rows.iter().map(|row| Ok(Removal::new(*vault, key_of(&row.bytes(0)?)?, *token))).collect()
            })
        })
        .await
    }

    /// Vaults, beyond `after`, with index objects that were stored before `before_ms` and that no statement has named.
    pub async fn vaults_with_unnamed(
        &self,
        after: Option<&VaultId>,
        before_ms: u64,
    ) -> Result<Vec<VaultId>, DbError> {
        let sql = "SELECT DISTINCT vault FROM objects
                   WHERE unnamed = 1 AND state = 1 AND stored_ms < $2 AND vault > $1 ORDER BY vault LIMIT 100";
        let after = after.map_or(&[][..], |vault| &vault.as_bytes()[..]);
        let rows = self.reader().await?.rows(sql, args![after, before_ms]).await?;
        rows.iter().map(|row| row.id(0)).collect()
    }

    /// Moves to the trash the index objects of a vault that were stored before `before_ms` and that no statement has named; how many.
    ///
    /// A statement that names one now either came first, and it stays, or does not find it, and is not taken.
    pub async fn trash_unnamed(&self, vault: VaultId, before_ms: u64, now_ms: u64) -> Result<u64, DbError> {
        self.write((vault, before_ms, now_ms), |session, (vault, before_ms, now_ms)| {
            Box::pin(async move {
                lock(session, vault).await?;
                let sql = "UPDATE objects SET state = 2, condemned_ms = $3, reservation = 0
                           WHERE vault = $1 AND unnamed = 1 AND state = 1 AND stored_ms < $2 RETURNING size";
                let rows = session.rows(sql, args![vault, *before_ms, *now_ms]).await?;
                if rows.is_empty() {
                    return Ok(0);
                }
                change_trashed(session, vault, sum(&rows, 0)?, true).await?;
                let object = format!("{} index objects", rows.len());
                let record = AuditRecord { device: None, action: "sweep", object, address: String::new() };
                audit::append(session, vault, Some(&record), *now_ms).await?;
                Ok(rows.len() as u64)
            })
        })
        .await
    }

    /// Begins to remove what is left of uploads that were reserved before `before_ms`, and of removals begun before then,
    /// some at once. No upload and no removal may take as long as that.
    pub async fn stale(&self, before_ms: u64, now_ms: u64) -> Result<Vec<Removal>, DbError> {
        let token = self.token()?;
        self.write((before_ms, now_ms, token), |session, (before_ms, now_ms, token)| {
            Box::pin(async move {
                let sql = "UPDATE objects SET state = 4, condemned_ms = $3, reservation = $4
                           WHERE (vault, name) IN
                             (SELECT vault, name FROM objects WHERE state IN (0, 4)
                                AND ((state = 0 AND stored_ms < $1) OR (state = 4 AND condemned_ms < $1))
                              LIMIT $2)
                             AND ((state = 0 AND stored_ms < $1) OR (state = 4 AND condemned_ms < $1))
                           RETURNING vault, name";
                let rows = session.rows(sql, args![*before_ms, BATCH, *now_ms, *token]).await?;
                rows.iter().map(|row| Ok(Removal::new(row.id(0)?, key_of(&row.bytes(1)?)?, *token))).collect()
            })
        })
        .await
    }

    /// Begins to remove a file that has no row. `None` if it has one by now, or the vault is not there.
    pub async fn claim_orphan(
        &self,
        vault: VaultId,
        key: ObjectKey,
        now_ms: u64,
    ) -> Result<Option<Removal>, DbError> {
        let token = self.token()?;
        self.write((vault, key, now_ms, token), |session, (vault, key, now_ms, token)| {
            Box::pin(async move {
                if lock(session, vault).await?.is_none() {
                    return Ok(None);
                }
                let sql = "INSERT INTO objects
                             (vault, name, size, state, stored_ms, condemned_ms, checked_ms, reservation, unnamed)
                           VALUES ($1, $2, 0, 4, $3, $3, 0, $4, 0) ON CONFLICT (vault, name) DO NOTHING";
                let is_new = session.execute(sql, args![vault, name_of(key), *now_ms, *token]).await? == 1;
                Ok(is_new.then(|| Removal::new(*vault, *key, *token)))
            })
        })
        .await
    }

    /// Forgets objects whose files are gone, and gives back their bytes.
    pub async fn removed(&self, removals: Vec<Removal>) -> Result<(), DbError> {
        // A transaction for each vault, so that no two vaults are locked at once.
        let mut removals = removals;
        removals.sort_by_key(|removal| removal.vault);
        for of_vault in removals.chunk_by(|a, b| a.vault == b.vault) {
            self.write(of_vault.to_vec(), |session, removals| Box::pin(removed(session, removals))).await?;
        }
        Ok(())
    }

    fn token(&self) -> Result<u64, DbError> {
        let mut token = [0; 8];
        self.inner.random.fill(&mut token)?;
        // Zero stands for none, and the sign bit does not fit the column.
        Ok((u64::from_le_bytes(token) >> 1).max(1))
    }
}

async fn removed(session: &mut Session, removals: &[Removal]) -> Result<(), DbError> {
    let Some(first) = removals.first() else { return Ok(()) };
    lock(session, &first.vault).await?;
    let mut bytes = 0_u64;
    for removal in removals {
        let sql = "DELETE FROM objects WHERE vault = $1 AND name = $2 AND state = 4 AND reservation = $3
                   RETURNING size";
        let rows = session.rows(sql, args![removal.vault, name_of(&removal.key), removal.token]).await?;
        bytes = bytes.saturating_add(sum(&rows, 0)?);
    }
    uncount(session, &first.vault, bytes).await
}

/// Moves objects of a locked vault to the trash. Whether that sets the trash on hold: if within a day more than half of the bytes
/// that the vault had went there, and it had `hold_from` bytes or more.
pub(in crate::db) async fn condemn(
    session: &mut Session,
    vault: &VaultId,
    keys: &[ObjectKey],
    (now_ms, hold_from): (u64, u64),
) -> Result<bool, DbError> {
    if keys.is_empty() {
        return Ok(false);
    }
    let sql = Sql::Each {
        sqlite: "UPDATE objects SET state = 2, condemned_ms = $3, reservation = 0 WHERE vault = $1
                   AND state IN (1, 3) AND name IN (SELECT unhex(value) FROM json_each($2)) RETURNING size",
        postgres:
            "UPDATE objects SET state = 2, condemned_ms = $3, reservation = 0 WHERE vault = $1
                     AND state IN (1, 3) AND name IN
                       (SELECT decode(value, 'hex') FROM jsonb_array_elements_text($2::jsonb)) RETURNING size",
    };
    let rows = session.rows(sql, args![vault, names_of(keys), now_ms]).await?;
    change_trashed(session, vault, sum(&rows, 0)?, true).await?;
    if rows.is_empty() {
        return Ok(false);
    }
    let sql = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM objects
               WHERE vault = $1 AND state = 2 AND condemned_ms > $2";
    let recent = session.one(sql, args![vault, now_ms.saturating_sub(GUARDED_MS)]).await?.uint(0)?;
    let Some(locked) = lock(session, vault).await? else { return Ok(false) };
    let had = locked.used.saturating_sub(locked.trashed).saturating_add(recent);
    if recent.saturating_mul(2) <= had || had < hold_from {
        return Ok(false);
    }
    session.execute("UPDATE vaults SET held = 1 WHERE vault = $1", args![vault]).await?;
    Ok(true)
}

async fn undelete(session: &mut Session, vault: &VaultId, what: &Undelete) -> Result<u64, DbError> {
    lock(session, vault).await?;
    let rows = match what {
        Undelete::Keys(keys) => {
            let sql = Sql::Each {
                sqlite: "UPDATE objects SET state = 1, condemned_ms = 0, checked_ms = 0, reservation = 0 WHERE vault = $1
                           AND state = 2 AND name IN (SELECT unhex(value) FROM json_each($2)) RETURNING size",
                postgres: "UPDATE objects SET state = 1, condemned_ms = 0, checked_ms = 0, reservation = 0 WHERE vault = $1
                             AND state = 2 AND name IN
                               (SELECT decode(value, 'hex') FROM jsonb_array_elements_text($2::jsonb))
                           RETURNING size",
            };
            session.rows(sql, args![vault, names_of(keys)]).await?
        }
        Undelete::Since(since_ms) => {
            let sql = "UPDATE objects SET state = 1, condemned_ms = 0, checked_ms = 0, reservation = 0
                       WHERE vault = $1 AND state = 2 AND condemned_ms >= $2 RETURNING size";
            session.rows(sql, args![vault, *since_ms]).await?
        }
    };
    change_trashed(session, vault, sum(&rows, 0)?, false).await?;
    Ok(rows.len() as u64)
}

async fn change_trashed(
    session: &mut Session,
    vault: &VaultId,
    bytes: u64,
    more: bool,
) -> Result<(), DbError> {
    let sql = if more {
        "UPDATE vaults SET trashed = trashed + $2 WHERE vault = $1"
    } else {
        "UPDATE vaults SET trashed = trashed - $2 WHERE vault = $1"
    };
    session.execute(sql, args![vault, bytes]).await.map(drop)
}

fn sum(rows: &[Row], column: usize) -> Result<u64, DbError> {
    rows.iter().try_fold(0_u64, |sum, row| Ok(sum.saturating_add(row.uint(column)?)))
}
