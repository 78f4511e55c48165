//! Users, their cards, and the devices on the newest entry of each card.
//!
//! The rows of a user's devices are those of the newest entry, and change only with it. A device is on one user's card at most: who
//! signs with it is then never in doubt.

use vault_core::id::{DeviceId, UserId};
use vault_core::log::DeviceKind;

use super::session::{Row, Session, args};
use super::{Database, DbError};

/// What is needed to judge a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The device.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// What its signatures are verified with.
    pub signing_key: [u8; 32],
    /// Full or append-only.
    pub kind: DeviceKind,
    /// Whether the operator has suspended the user.
    pub suspended: bool,
}

/// A device as a card entry names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardDevice {
    /// The hash of the signing key.
    pub device: DeviceId,
    /// What its signatures are verified with.
    pub signing_key: [u8; 32],
    /// Full or append-only.
    pub kind: DeviceKind,
}

/// A verified entry, to become the newest of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCardEntry {
    /// Whose card.
    pub user: UserId,
    /// Its number: 0 for a new card.
    pub seq: u64,
    /// The entry as it came.
    pub entry: Vec<u8>,
    /// All devices that the entry names.
    pub devices: Vec<CardDevice>,
    /// The server's time, in ms.
    pub now_ms: u64,
}

/// What became of a new card entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryPut {
    /// It is the newest one now.
    Done,
    /// It was there already, byte for byte.
    Same,
    /// Another one has the number, or the one before it is missing.
    Taken {
        /// The number of the newest entry; `None` if the user is not known.
        newest: Option<u64>,
    },
    /// It names a device that is on another user's card.
    DeviceOfAnother(DeviceId),
}

/// One entry of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardEntry {
    /// Its number.
    pub seq: u64,
    /// When the server took it, in ms.
    pub time_ms: u64,
    /// As it came.
    pub entry: Vec<u8>,
}

/// A user, for the operator and for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The user.
    pub user: UserId,
    /// The name that others find the user by; empty if there is none.
    pub name: String,
    /// What the operator wrote on the invite.
    pub label: String,
    /// Bytes that the vaults founded by the user may hold together.
    pub quota: u64,
    /// Bytes that they do hold, trash and reservations included.
    pub used: u64,
    /// Whether requests of the user's devices are refused.
    pub suspended: bool,
    /// The number of the newest card entry.
    pub card_seq: u64,
    /// When the user joined, in ms.
    pub created_ms: u64,
}

impl Database {
    /// The device of that id, if it is on the newest entry of a card. Kept in memory for a second at most; what this process
    /// writes is seen at once.
    pub async fn device(&self, device: &DeviceId) -> Result<Option<DeviceRecord>, DbError> {
        let cache = &self.inner.rights.devices;
        if let Some(known) = cache.get(device) {
            return Ok(Some(known));
        }
        let generation = cache.generation();
        let found = device_record(&mut self.reader().await?, device).await?;
        if let Some(record) = &found {
            cache.put(*device, record.clone(), generation);
        }
        Ok(found)
    }

    /// Whether [`Self::device`] would answer from memory.
    pub fn has_in_memory(&self, device: &DeviceId) -> bool {
        self.inner.rights.devices.get(device).is_some()
    }

    /// As [`Self::device`], but never from memory.
    pub async fn stored_device(&self, device: &DeviceId) -> Result<Option<DeviceRecord>, DbError> {
        device_record(&mut self.reader().await?, device).await
    }

    /// All devices on the newest entry of a user's card, ascending.
    pub async fn devices_of(&self, user: &UserId) -> Result<Vec<DeviceRecord>, DbError> {
        let sql = "SELECT d.device, d.user_id, d.signing_key, d.kind, u.suspended
                   FROM devices d JOIN users u ON u.user_id = d.user_id WHERE d.user_id = $1 ORDER BY d.device";
        let rows = self.reader().await?.rows(sql, args![user]).await?;
        rows.iter().map(DeviceRecord::from_row).collect()
    }

    /// The entries of a card from number `from` on, until `max_bytes` of them are full; at least one if there is one.
    pub async fn card(&self, user: &UserId, from: u64, max_bytes: usize) -> Result<Vec<CardEntry>, DbError> {
        // By pages, so that a long card does not lie in memory as a whole.
        let sql =
            "SELECT seq, time_ms, entry FROM cards WHERE user_id = $1 AND seq >= $2 ORDER BY seq LIMIT 64";
        let (mut entries, mut bytes, mut next) = (Vec::<CardEntry>::new(), 0, from);
        let mut session = self.reader().await?;
        loop {
            let rows = session.rows(sql, args![user, next]).await?;
            for row in &rows {
                let entry = CardEntry { seq: row.uint(0)?, time_ms: row.uint(1)?, entry: row.bytes(2)? };
                bytes += entry.entry.len();
                if bytes > max_bytes && !entries.is_empty() {
                    return Ok(entries);
                }
                next = entry.seq + 1;
                entries.push(entry);
            }
            if rows.len() < 64 {
                return Ok(entries);
            }
        }
    }

    /// The newest entry of a user's card; `None` if the user is not known.
    pub async fn newest_card_entry(&self, user: &UserId) -> Result<Option<CardEntry>, DbError> {
        let sql = "SELECT seq, time_ms, entry FROM cards WHERE user_id = $1 ORDER BY seq DESC LIMIT 1";
        let row = self.reader().await?.row(sql, args![user]).await?;
        row.map(|row| Ok(CardEntry { seq: row.uint(0)?, time_ms: row.uint(1)?, entry: row.bytes(2)? }))
            .transpose()
    }

    /// Makes an entry the newest of a known user's card, and its devices the user's devices.
    pub async fn append_card_entry(&self, new: NewCardEntry) -> Result<EntryPut, DbError> {
        self.write(new, |session, new| Box::pin(append_entry(session, new))).await
    }

    /// A user.
    pub async fn user(&self, user: &UserId) -> Result<Option<UserRecord>, DbError> {
        let sql =
            "SELECT u.user_id, coalesce(n.name, ''), label, quota, used, suspended, card_seq, created_ms
                   FROM users u LEFT JOIN names n ON n.user_id = u.user_id WHERE u.user_id = $1";
        let row = self.reader().await?.row(sql, args![user]).await?;
        row.as_ref().map(UserRecord::from_row).transpose()
    }

    /// Users by id, beyond `after`; at most `limit`.
    pub async fn users(&self, after: Option<&UserId>, limit: u32) -> Result<Vec<UserRecord>, DbError> {
        let sql =
            "SELECT u.user_id, coalesce(n.name, ''), label, quota, used, suspended, card_seq, created_ms
                   FROM users u LEFT JOIN names n ON n.user_id = u.user_id
                   WHERE u.user_id > $1 ORDER BY u.user_id LIMIT $2";
        let after = after.map_or(&[][..], |user| &user.as_bytes()[..]);
        let rows = self.reader().await?.rows(sql, args![after, u64::from(limit)]).await?;
        rows.iter().map(UserRecord::from_row).collect()
    }

    /// Sets how many bytes the vaults of a user may hold; less than they do only stops further uploads. `false` if there is no
    /// such user.
    pub async fn set_user_quota(&self, user: UserId, quota: u64) -> Result<bool, DbError> {
        self.write((user, quota), |session, (user, quota)| {
            Box::pin(async move {
                let sql = "UPDATE users SET quota = $2 WHERE user_id = $1";
                Ok(session.execute(sql, args![user, *quota]).await? == 1)
            })
        })
        .await
    }

    /// Refuses, or accepts again, all requests of a user's devices. `false` if there is no such user.
    pub async fn set_suspended(&self, user: UserId, suspended: bool) -> Result<bool, DbError> {
        self.write((user, suspended), |session, (user, suspended)| {
            Box::pin(async move {
                session.changes_rights();
                let sql = "UPDATE users SET suspended = $2 WHERE user_id = $1";
                Ok(session.execute(sql, args![user, u64::from(*suspended)]).await? == 1)
            })
        })
        .await
    }
}

async fn device_record(session: &mut Session, device: &DeviceId) -> Result<Option<DeviceRecord>, DbError> {
    let sql = "SELECT d.device, d.user_id, d.signing_key, d.kind, u.suspended
               FROM devices d JOIN users u ON u.user_id = d.user_id WHERE d.device = $1";
    let row = session.row(sql, args![device]).await?;
    row.as_ref().map(DeviceRecord::from_row).transpose()
}

/// See [`Database::append_card_entry`]. Locks the user.
async fn append_entry(session: &mut Session, new: &NewCardEntry) -> Result<EntryPut, DbError> {
    let sql = "UPDATE users SET card_seq = $2 WHERE user_id = $1 AND card_seq = $2 - 1";
    if new.seq == 0 || session.execute(sql, args![new.user, new.seq]).await? == 0 {
        return what_stands(session, new).await;
    }
    put_entry(session, new).await
}

/// Makes the row of a new user, or locks that of a known one, and appends the entry that they bring.
pub(super) async fn join_with_entry(
    session: &mut Session,
    new: &NewCardEntry,
    quota: u64,
    label: &str,
) -> Result<EntryPut, DbError> {
    let sql = "INSERT INTO users (user_id, label, quota, used, suspended, card_seq, created_ms)
               VALUES ($1, $2, $3, 0, 0, 0, $4) ON CONFLICT (user_id) DO NOTHING";
    if new.seq > 0 || session.execute(sql, args![new.user, label, quota, new.now_ms]).await? == 0 {
        return append_entry(session, new).await;
    }
    put_entry(session, new).await
}

async fn what_stands(session: &mut Session, new: &NewCardEntry) -> Result<EntryPut, DbError> {
    let sql = "SELECT entry FROM cards WHERE user_id = $1 AND seq = $2";
    if let Some(row) = session.row(sql, args![new.user, new.seq]).await?
        && row.bytes(0)? == new.entry
    {
        return Ok(EntryPut::Same);
    }
    let row = session.row("SELECT card_seq FROM users WHERE user_id = $1", args![new.user]).await?;
    Ok(EntryPut::Taken { newest: row.map(|row| row.uint(0)).transpose()? })
}

/// Writes an entry whose number was just taken, and replaces the devices.
async fn put_entry(session: &mut Session, new: &NewCardEntry) -> Result<EntryPut, DbError> {
    session.changes_rights();
    session.execute("DELETE FROM devices WHERE user_id = $1", args![new.user]).await?;
    for device in &new.devices {
        let sql = "INSERT INTO devices (device, user_id, signing_key, kind) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (device) DO NOTHING";
        let kind = kind_number(device.kind);
        if session.execute(sql, args![device.device, new.user, device.signing_key, kind]).await? == 0 {
            return Ok(session.undo(EntryPut::DeviceOfAnother(device.device)));
        }
    }
    let sql = "INSERT INTO cards (user_id, seq, time_ms, entry) VALUES ($1, $2, $3, $4)";
    session.execute(sql, args![new.user, new.seq, new.now_ms, new.entry]).await?;
    Ok(EntryPut::Done)
}

fn kind_number(kind: DeviceKind) -> u64 {
    match kind {
        DeviceKind::Full => 0,
        DeviceKind::AppendOnly => 1,
    }
}

impl DeviceRecord {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let kind = match row.uint(3)? {
            0 => DeviceKind::Full,
            1 => DeviceKind::AppendOnly,
            _ => return Err(DbError::Corrupt { what: "a kind of device" }),
        };
        Ok(Self {
            device: row.id(0)?,
            user: row.id(1)?,
            signing_key: row.array(2)?,
            kind,
            suspended: row.uint(4)? != 0,
        })
    }
}

impl UserRecord {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            user: row.id(0)?,
            name: row.text(1)?,
            label: row.text(2)?,
            quota: row.uint(3)?,
            used: row.uint(4)?,
            suspended: row.uint(5)? != 0,
            card_seq: row.uint(6)?,
            created_ms: row.uint(7)?,
        })
    }
}
