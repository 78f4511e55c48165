//! Reserving place for an object before its first byte, and committing it after its last one is on the disk.

use vault_core::id::VaultId;
use vault_core::object::{ObjectKey, ObjectKind};

use super::removal::Removal;
use super::{ObjectState, name_of};
use crate::db::session::{Session, args};
use crate::db::vaults::{Locked, lock};
use crate::db::{AuditRecord, Database, DbError, audit};

/// Place for one object, counted to the quotas. Commit it, or abandon it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// The vault.
    pub vault: VaultId,
    /// The object.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// Whether what is in the object store under this name is damaged, and to be replaced.
    pub replaces: bool,
    token: u64,
}

/// What became of the wish to store an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// Its bytes may come. Whoever began to send the same object before will lose the race.
    New(Reservation),
    /// It is stored already, with this length.
    There {
        /// Its length in bytes.
        size: u64,
        /// When it was stored, in ms.
        stored_ms: u64,
    },
    /// It would not fit the vault's quota, or the founder's.
    QuotaExceeded {
        /// Bytes that count to that quota.
        used: u64,
        /// The quota.
        quota: u64,
    },
    /// What was there is just being removed; a moment later there is place.
    Busy,
    /// There is no such vault.
    NoVault,
}

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// The object is stored.
    Done,
    /// Someone else reserved the place since, or it was swept.
    Lost,
}

impl Database {
    /// Reserves place for an object: checks and counts the quotas of the vault and of its founder, in one transaction.
    pub async fn reserve(
        &self,
        vault: VaultId,
        key: ObjectKey,
        size: u64,
        now_ms: u64,
    ) -> Result<Reserved, DbError> {
        let mut token = [0; 8];
        self.inner.random.fill(&mut token)?;
        // Zero stands for none, and the sign bit does not fit the column.
        let token = (u64::from_le_bytes(token) >> 1).max(1);
        let wanted = Wanted { vault, key, size, now_ms, token };
        self.write(wanted, |session, wanted| Box::pin(reserve(session, wanted))).await
    }

    /// Makes an object stored, whose bytes are on the disk.
    pub async fn commit(
        &self,
        reservation: Reservation,
        now_ms: u64,
        audit: Option<AuditRecord>,
    ) -> Result<Committed, DbError> {
        self.write((reservation, now_ms, audit), |session, (reservation, now_ms, audit)| {
            Box::pin(commit(session, reservation, *now_ms, audit.as_ref()))
        })
        .await
    }

    /// Gives up a reservation. With `Some`, what may be in the object store is to be removed, and then
    /// [`Self::removed`] to be called: only that gives back the quota.
    pub async fn abandon(&self, reservation: Reservation, now_ms: u64) -> Result<Option<Removal>, DbError> {
        self.write((reservation, now_ms), |session, (reservation, now_ms)| {
            Box::pin(abandon(session, reservation, *now_ms))
        })
        .await
    }
}

struct Wanted {
    vault: VaultId,
    key: ObjectKey,
    size: u64,
    now_ms: u64,
    token: u64,
}

/// The state and size of an object's row.
async fn state_of(
    session: &mut Session,
    vault: &VaultId,
    name: &[u8],
) -> Result<Option<(ObjectState, u64, u64)>, DbError> {
    let sql = "SELECT state, size, stored_ms FROM objects WHERE vault = $1 AND name = $2";
    let Some(row) = session.row(sql, args![vault, name]).await? else { return Ok(None) };
    Ok(Some((ObjectState::from_number(row.uint(0)?)?, row.uint(1)?, row.uint(2)?)))
}

async fn reserve(session: &mut Session, wanted: &Wanted) -> Result<Reserved, DbError> {
    let Some(locked) = lock(session, &wanted.vault).await? else { return Ok(Reserved::NoVault) };
    let name = name_of(&wanted.key);
    let row = state_of(session, &wanted.vault, &name).await?;
    let replaces = match row {
        None => {
            if let Some(refused) = count(session, &wanted.vault, &locked, wanted.size).await? {
                return Ok(session.undo(refused));
            }
            let sql = "INSERT INTO objects
                         (vault, name, size, state, stored_ms, condemned_ms, checked_ms, reservation, unnamed)
                       VALUES ($1, $2, $3, 0, $4, 0, 0, $5, $6)";
            let unnamed = starts_unnamed(&wanted.key);
            let values = args![wanted.vault, name, wanted.size, wanted.now_ms, wanted.token, unnamed];
            session.execute(sql, values).await?;
            return Ok(Reserved::New(wanted.reservation(false)));
        }
        Some((ObjectState::Leaving, ..)) => return Ok(Reserved::Busy),
        Some((ObjectState::Stored, size, stored_ms)) => return Ok(Reserved::There { size, stored_ms }),
        Some((ObjectState::Reserved, size, _)) => {
            if let Some(refused) = count_anew(session, wanted, &locked, size).await? {
                return Ok(session.undo(refused));
            }
            false
        }
        // Counted already. Another length cannot be right, or the name would be another.
        Some((ObjectState::Trash | ObjectState::Damaged, size, stored_ms)) if size != wanted.size => {
            return Ok(Reserved::There { size, stored_ms });
        }
        Some((state, ..)) => state == ObjectState::Damaged,
    };
    let sql = "UPDATE objects SET reservation = $3, size = $4 WHERE vault = $1 AND name = $2";
    session.execute(sql, args![wanted.vault, name, wanted.token, wanted.size]).await?;
    let sql = "UPDATE objects SET stored_ms = $3 WHERE vault = $1 AND name = $2 AND state = 0";
    session.execute(sql, args![wanted.vault, name, wanted.now_ms]).await?;
    Ok(Reserved::New(wanted.reservation(replaces)))
}

/// 1 for what goes by itself unless a statement names it.
fn starts_unnamed(key: &ObjectKey) -> u64 {
    u64::from(key.kind() == ObjectKind::Index)
}

/// Counts an object of another length in the place of a reserved one.
async fn count_anew(
    session: &mut Session,
    wanted: &Wanted,
    locked: &Locked,
    old: u64,
) -> Result<Option<Reserved>, DbError> {
    if old == wanted.size {
        return Ok(None);
    }
    uncount(session, &wanted.vault, old).await?;
    let locked = Locked { used: locked.used.saturating_sub(old), ..*locked };
    count(session, &wanted.vault, &locked, wanted.size).await
}

/// Adds to the counters of a locked vault and its founder, unless one of the quotas is exceeded.
async fn count(
    session: &mut Session,
    vault: &VaultId,
    locked: &Locked,
    size: u64,
) -> Result<Option<Reserved>, DbError> {
    let (used, quota) = (locked.used, locked.quota);
    if used.checked_add(size).is_none_or(|after| after > quota) {
        return Ok(Some(Reserved::QuotaExceeded { used, quota }));
    }
    session.execute("UPDATE vaults SET used = used + $2 WHERE vault = $1", args![vault, size]).await?;
    let sql = "UPDATE users SET used = used + $2 WHERE user_id = $1 AND used <= quota - $2";
    if session.execute(sql, args![locked.founder, size]).await? == 1 {
        return Ok(None);
    }
    let row = session.row("SELECT used, quota FROM users WHERE user_id = $1", args![locked.founder]).await?;
    let Some(row) = row else { return Err(DbError::Corrupt { what: "a vault with a founder" }) };
    Ok(Some(Reserved::QuotaExceeded { used: row.uint(0)?, quota: row.uint(1)? }))
}

/// Takes bytes off the counters of a vault and its founder.
pub(super) async fn uncount(session: &mut Session, vault: &VaultId, size: u64) -> Result<(), DbError> {
    let sql = "UPDATE vaults SET used = used - $2 WHERE vault = $1 RETURNING founder";
    let Some(row) = session.row(sql, args![vault, size]).await? else { return Ok(()) };
    let founder: [u8; 16] = row.array(0)?;
    let sql = "UPDATE users SET used = used - $2 WHERE user_id = $1";
    session.execute(sql, args![founder, size]).await.map(drop)
}

async fn commit(
    session: &mut Session,
    reservation: &Reservation,
    now_ms: u64,
    record: Option<&AuditRecord>,
) -> Result<Committed, DbError> {
    let vault = &reservation.vault;
    if lock(session, vault).await?.is_none() {
        return Ok(Committed::Lost);
    }
    let name = name_of(&reservation.key);
    let before = state_of(session, vault, &name).await?;
    // What was in the trash, no statement names any more.
    let sql =
        "UPDATE objects SET state = 1, stored_ms = $4, checked_ms = $4, condemned_ms = 0, reservation = 0,
                            unnamed = CASE WHEN state = 2 THEN $5 ELSE unnamed END
         WHERE vault = $1 AND name = $2 AND reservation = $3 AND state IN (0, 2, 3)";
    let values = args![vault, name, reservation.token, now_ms, starts_unnamed(&reservation.key)];
    if session.execute(sql, values).await? == 0 {
        return Ok(Committed::Lost);
    }
    if let Some((ObjectState::Trash, size, _)) = before {
        let sql = "UPDATE vaults SET trashed = trashed - $2 WHERE vault = $1";
        session.execute(sql, args![vault, size]).await?;
    }
    audit::append(session, vault, record, now_ms).await?;
    Ok(Committed::Done)
}

async fn abandon(
    session: &mut Session,
    reservation: &Reservation,
    now_ms: u64,
) -> Result<Option<Removal>, DbError> {
    let name = name_of(&reservation.key);
    lock(session, &reservation.vault).await?;
    let sql = "UPDATE objects SET state = 4, condemned_ms = $4
               WHERE vault = $1 AND name = $2 AND reservation = $3 AND state = 0";
    let values = args![reservation.vault, name, reservation.token, now_ms];
    if session.execute(sql, values).await? == 1 {
        return Ok(Some(Removal::new(reservation.vault, reservation.key, reservation.token)));
    }
    let sql = "UPDATE objects SET reservation = 0
               WHERE vault = $1 AND name = $2 AND reservation = $3 AND state IN (2, 3)";
    session.execute(sql, args![reservation.vault, name, reservation.token]).await?;
    Ok(None)
}

impl Wanted {
    fn reservation(&self, replaces: bool) -> Reservation {
        Reservation { vault: self.vault, key: self.key, size: self.size, replaces, token: self.token }
    }
}
