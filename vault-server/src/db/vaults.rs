//! Vaults: who founded them, who may what in them, how much they may hold and do.
//!
//! `used` counts every row of `objects`, whatever its state, and changes in the transaction that changes the row; so does the
//! founder's. `trashed` counts those in the trash.

use vault_core::id::{DeviceId, Seq, StatementHash, UserId, VaultId};
use vault_core::log::{Head, Role};

use super::log::insert_statement;
use super::session::{Row, Session, args};
use super::{AuditRecord, Database, DbError, Receipt, audit};

/// Whom a membership names: a user with all full devices, or one append-only device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A user.
    User(UserId, Role),
    /// An append-only device.
    AppendOnly(DeviceId),
}

/// A vault to be made by its verified genesis.
#[derive(Debug, Clone)]
pub struct NewVault {
    /// The hash of its genesis.
    pub vault: VaultId,
    /// Whose quota it counts to.
    pub founder: UserId,
    /// The genesis as it came.
    pub genesis: Vec<u8>,
    /// The hash of that.
    pub hash: StatementHash,
    /// The server's time and signature.
    pub receipt: Receipt,
    /// The first membership.
    pub members: Vec<Member>,
    /// Bytes that it may hold.
    pub quota: u64,
    /// Vaults that one user may found.
    pub max_vaults: u64,
    /// What the audit is to say of it.
    pub audit: Option<AuditRecord>,
}

/// What became of a new vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    Done,
    /// It was there already with this genesis; the receipt of then.
    Same(Receipt),
    /// It was there already with other signatures on the genesis, or by another founder.
    Taken,
    /// The user has founded as many as allowed.
    TooMany,
}

/// A vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultRecord {
    /// The vault.
    pub vault: VaultId,
    /// Whose quota it counts to.
    pub founder: UserId,
    /// The newest statement.
    pub head: Head,
    /// Bytes that it may hold.
    pub quota: u64,
    /// Bytes that it holds, trash and reservations included.
    pub used: u64,
    /// Bytes of these in the trash.
    pub trashed: u64,
    /// Whether nothing leaves the trash until the operator releases it.
    pub held: bool,
    /// When it was made, in ms.
    pub created_ms: u64,
}

/// A vault as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultOfUser {
    /// The vault.
    pub vault: VaultId,
    /// What the user, or the append-only device that asks, may do.
    pub access: Access,
    /// Bytes that it holds.
    pub used: u64,
    /// Bytes that it may hold.
    pub quota: u64,
}

/// What the newest membership says of a device and its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The user's role. It is for the user's full devices.
    Role(Role),
    /// The device itself is named as append-only.
    AppendOnly,
}

/// Counters that a recount corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recount {
    /// Bytes by which the vault's counter was too high; negative if too low.
    pub vault_drift: i64,
    /// The same of the bytes in the trash.
    pub trash_drift: i64,
    /// The same of the founder's counter.
    pub user_drift: i64,
}

impl Database {
    /// Makes a vault with its genesis as statement 0.
    pub async fn create_vault(&self, new: NewVault) -> Result<Created, DbError> {
        self.write(new, |session, new| Box::pin(create(session, new))).await
    }

    /// A vault.
    pub async fn vault(&self, vault: &VaultId) -> Result<Option<VaultRecord>, DbError> {
        let sql = "SELECT vault, founder, head_seq, head_hash, quota, used, trashed, held, created_ms
                   FROM vaults WHERE vault = $1";
        let row = self.reader().await?.row(sql, args![vault]).await?;
        row.as_ref().map(VaultRecord::from_row).transpose()
    }

    /// Vaults by id, beyond `after`; at most `limit`.
    pub async fn vaults(&self, after: Option<&VaultId>, limit: u32) -> Result<Vec<VaultRecord>, DbError> {
        let sql = "SELECT vault, founder, head_seq, head_hash, quota, used, trashed, held, created_ms
                   FROM vaults WHERE vault > $1 ORDER BY vault LIMIT $2";
        let after = after.map_or(&[][..], |vault| &vault.as_bytes()[..]);
        let rows = self.reader().await?.rows(sql, args![after, u64::from(limit)]).await?;
        rows.iter().map(VaultRecord::from_row).collect()
    }

    /// The vaults whose membership names the user, or the device as append-only; the device's first.
    pub async fn vaults_of(&self, user: &UserId, device: &DeviceId) -> Result<Vec<VaultOfUser>, DbError> {
        let sql = "SELECT m.vault, m.role, v.used, v.quota FROM members m JOIN vaults v ON v.vault = m.vault
                   WHERE (m.member = $1 AND m.role < 3) OR (m.member = $2 AND m.role = 3)
                   ORDER BY m.role DESC, m.vault";
        let rows = self.reader().await?.rows(sql, args![user, device]).await?;
        let of_row = |row: &Row| {
            let access = Access::from_number(row.uint(1)?)?;
            Ok(VaultOfUser { vault: row.id(0)?, access, used: row.uint(2)?, quota: row.uint(3)? })
        };
        rows.iter().map(of_row).collect()
    }

    /// What the newest membership says of a user and of one of the user's devices: of the device, where it names both. `None`
    /// where it names neither, and where there is no such vault. Kept in memory as [`Self::device`] is.
    pub async fn access(
        &self,
        vault: &VaultId,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Option<Access>, DbError> {
        let (cache, key) = (&self.inner.rights.access, (*vault, *user, *device));
        if let Some(known) = cache.get(&key) {
            return Ok(Some(known));
        }
        let generation = cache.generation();
        let sql = "SELECT role FROM members
                   WHERE vault = $1 AND ((member = $2 AND role < 3) OR (member = $3 AND role = 3))
                   ORDER BY role DESC LIMIT 1";
        let row = self.reader().await?.row(sql, args![vault, user, device]).await?;
        let found = row.map(|row| Access::from_number(row.uint(0)?)).transpose()?;
        if let Some(access) = found {
            cache.put(key, access, generation);
        }
        Ok(found)
    }

    /// Sets how many bytes a vault may hold. `false` if there is no such vault.
    pub async fn set_vault_quota(&self, vault: VaultId, quota: u64) -> Result<bool, DbError> {
        self.write((vault, quota), |session, (vault, quota)| {
            Box::pin(async move {
                let sql = "UPDATE vaults SET quota = $2 WHERE vault = $1";
                Ok(session.execute(sql, args![vault, *quota]).await? == 1)
            })
        })
        .await
    }

    /// Holds the trash of a vault, or releases it. `false` if there is no such vault.
    pub async fn set_held(&self, vault: VaultId, held: bool) -> Result<bool, DbError> {
        self.write((vault, held), |session, (vault, held)| {
            Box::pin(async move {
                let sql = "UPDATE vaults SET held = $2 WHERE vault = $1";
                Ok(session.execute(sql, args![vault, u64::from(*held)]).await? == 1)
            })
        })
        .await
    }

    /// Counts anew what a vault holds, and what all vaults of its founder do, and corrects the counters.
    pub async fn recount(&self, vault: VaultId) -> Result<Recount, DbError> {
        self.write(vault, |session, vault| Box::pin(recount(session, vault))).await
    }
}

async fn create(session: &mut Session, new: &NewVault) -> Result<Created, DbError> {
    let sql = "INSERT INTO vaults (vault, founder, quota, used, trashed, held, head_seq, head_hash,
                                   audit_seq, audit_hash, created_ms)
               VALUES ($1, $2, $3, 0, 0, 0, 0, $4, 0, $5, $6) ON CONFLICT (vault) DO NOTHING";
    let time_ms = new.receipt.time_ms;
    let values = args![new.vault, new.founder, new.quota, new.hash, new.vault, time_ms];
    if session.execute(sql, values).await? == 0 {
        return what_stands(session, new).await;
    }
    // The user's row is locked, so that two at once do not pass the limit together.
    session.execute("UPDATE users SET used = used WHERE user_id = $1", args![new.founder]).await?;
    let row = session.row("SELECT COUNT(*) FROM vaults WHERE founder = $1", args![new.founder]).await?;
    if row.map_or(Ok(0), |row| row.uint(0))? > new.max_vaults {
        return Ok(session.undo(Created::TooMany));
    }
    insert_statement(session, &new.vault, Seq::GENESIS, &new.genesis, &new.hash, &new.receipt).await?;
    set_members(session, &new.vault, &new.members).await?;
    audit::append(session, &new.vault, new.audit.as_ref(), time_ms).await?;
    Ok(Created::Done)
}

async fn what_stands(session: &mut Session, new: &NewVault) -> Result<Created, DbError> {
    let sql = "SELECT l.hash, v.founder, l.time_ms, l.receipt FROM log l JOIN vaults v ON v.vault = l.vault
               WHERE l.vault = $1 AND l.seq = 0";
    let Some(row) = session.row(sql, args![new.vault]).await? else {
        return Err(DbError::Corrupt { what: "a vault with a genesis" });
    };
    let is_same = row.id::<_, 32>(0)? == new.hash && row.id::<_, 16>(1)? == new.founder;
    let receipt = Receipt { time_ms: row.uint(2)?, signature: row.array(3)? };
    Ok(if is_same { Created::Same(receipt) } else { Created::Taken })
}

/// Replaces the membership of a vault.
pub(super) async fn set_members(
    session: &mut Session,
    vault: &VaultId,
    members: &[Member],
) -> Result<(), DbError> {
    session.changes_rights();
    session.execute("DELETE FROM members WHERE vault = $1", args![vault]).await?;
    for member in members {
        let (id, role) = match member {
            Member::User(id, role) => (id.as_bytes(), role_number(*role)),
            Member::AppendOnly(id) => (id.as_bytes(), 3),
        };
        let sql = "INSERT INTO members (vault, member, role) VALUES ($1, $2, $3)";
        session.execute(sql, args![vault, id, role]).await?;
    }
    Ok(())
}

/// Locks a vault's row until the end of the transaction; `None` if there is no such vault.
pub(super) async fn lock(session: &mut Session, vault: &VaultId) -> Result<Option<Locked>, DbError> {
    let sql = "UPDATE vaults SET used = used WHERE vault = $1 RETURNING founder, used, quota, trashed, held";
    let row = session.row(sql, args![vault]).await?;
    row.map(|row| {
        Ok(Locked {
            founder: row.id(0)?,
            used: row.uint(1)?,
            quota: row.uint(2)?,
            trashed: row.uint(3)?,
            held: row.uint(4)? != 0,
        })
    })
    .transpose()
}

/// A vault's counters, which nobody else can change now.
pub(super) struct Locked {
    pub(super) founder: UserId,
    pub(super) used: u64,
    pub(super) quota: u64,
    pub(super) trashed: u64,
    pub(super) held: bool,
}

async fn recount(session: &mut Session, vault: &VaultId) -> Result<Recount, DbError> {
    let Some(locked) = lock(session, vault).await? else { return Ok(Recount::default()) };
    let sql = "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT),
                      CAST(COALESCE(SUM(CASE WHEN state = 2 THEN size ELSE 0 END), 0) AS BIGINT)
               FROM objects WHERE vault = $1";
    let row = session.one(sql, args![vault]).await?;
    let (used, trashed) = (row.uint(0)?, row.uint(1)?);
    let sql = "UPDATE vaults SET used = $2, trashed = $3 WHERE vault = $1";
    session.execute(sql, args![vault, used, trashed]).await?;

    // All vaults of the founder are locked, or one of them could change between the sum and the update.
    session.execute("UPDATE vaults SET used = used WHERE founder = $1", args![locked.founder]).await?;
    let sql = "UPDATE users SET used = used WHERE user_id = $1 RETURNING used";
    let counted = session.row(sql, args![locked.founder]).await?.map_or(Ok(0), |row| row.uint(0))?;
    let sql = "SELECT CAST(COALESCE(SUM(used), 0) AS BIGINT) FROM vaults WHERE founder = $1";
    let of_user = session.one(sql, args![locked.founder]).await?.uint(0)?;
    session.execute("UPDATE users SET used = $2 WHERE user_id = $1", args![locked.founder, of_user]).await?;
    let drift = |counter: u64, counted: u64| counter.cast_signed().saturating_sub(counted.cast_signed());
    Ok(Recount {
        vault_drift: drift(locked.used, used),
        trash_drift: drift(locked.trashed, trashed),
        user_drift: drift(counted, of_user),
    })
}

fn role_number(role: Role) -> u64 {
    match role {
        Role::Owner => 0,
        Role::Editor => 1,
        Role::Reader => 2,
    }
}

impl Access {
    fn from_number(number: u64) -> Result<Self, DbError> {
        Ok(match number {
            0 => Self::Role(Role::Owner),
            1 => Self::Role(Role::Editor),
            2 => Self::Role(Role::Reader),
            3 => Self::AppendOnly,
            _ => return Err(DbError::Corrupt { what: "a role" }),
        })
    }
}

impl VaultRecord {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            vault: row.id(0)?,
            founder: row.id(1)?,
            head: Head { seq: Seq(row.uint(2)?), hash: row.id(3)? },
            quota: row.uint(4)?,
            used: row.uint(5)?,
            trashed: row.uint(6)?,
            held: row.uint(7)? != 0,
            created_ms: row.uint(8)?,
        })
    }
}
