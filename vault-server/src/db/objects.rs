//! Which objects there are, and in which state.
//!
//! Every object that can be in the object store has a row, from before its first byte is there until after its last one is gone:
//!
//! ```text
//! (none) ── reserve ──▶ reserved ── commit ──▶ stored ── condemn ──▶ trash ── expire ──▶ leaving ── removed ──▶ (none)
//!                          └─ abandon ─▶ leaving   ▲ ◀── undelete, or put again ──┘          ▲
//!                                                  └── put again ── damaged ◀── scrub        └── the file goes here
//! ```
//!
//! An index object that no statement names long after it was stored goes to the trash by itself. Those that only grants name are
//! named by nothing once these have ended.
//!
//! Only `stored` ones are served. So a crash leaves a row without a file that nobody is shown, and never the other way round. A
//! reservation has a random number, and who comes with an old one has lost it.

mod removal;
mod reserve;

use std::collections::HashSet;

use vault_core::id::{Epoch, IndexId, PackId, UserId, VaultId};
use vault_core::object::{ObjectKey, ObjectKind};

pub use self::removal::{Removal, Undelete};
pub use self::reserve::{Committed, Reservation, Reserved};
use super::session::{Row, Session, Sql, args};
use super::{Database, DbError};

/// What is the case with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectState {
    /// Its bytes are on their way.
    Reserved,
    /// It is there.
    Stored,
    /// It was condemned, and may be undeleted.
    Trash,
    /// Its bytes are not what they were; the same object may be put again.
    Damaged,
    /// Its file is being removed.
    Leaving,
}

/// An object that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredObject {
    /// Its name.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// When it was stored, in ms.
    pub stored_ms: u64,
}

/// An object in whatever state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRecord {
    /// Its vault.
    pub vault: VaultId,
    /// Its name.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// What is the case with it.
    pub state: ObjectState,
    /// When it was stored or reserved, in ms.
    pub stored_ms: u64,
    /// When it was condemned, in ms; 0 if it was not.
    pub condemned_ms: u64,
}

/// A place in the list of all objects of all vaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The vault.
    pub vault: VaultId,
    /// The last object that was listed.
    pub key: ObjectKey,
}

impl Database {
    /// An object that is stored.
    pub async fn object(&self, vault: &VaultId, key: &ObjectKey) -> Result<Option<StoredObject>, DbError> {
        let sql = "SELECT name, size, stored_ms FROM objects WHERE vault = $1 AND name = $2 AND state = 1";
        let row = self.reader().await?.row(sql, args![vault, name_of(key)]).await?;
        row.as_ref().map(StoredObject::from_row).transpose()
    }

    /// An object in whatever state.
    pub async fn object_record(
        &self,
        vault: &VaultId,
        key: &ObjectKey,
    ) -> Result<Option<ObjectRecord>, DbError> {
        let sql = "SELECT vault, name, size, state, stored_ms, condemned_ms FROM objects
                   WHERE vault = $1 AND name = $2";
        let row = self.reader().await?.row(sql, args![vault, name_of(key)]).await?;
        row.as_ref().map(ObjectRecord::from_row).transpose()
    }

    /// Those of the objects that are stored, in no particular order.
    pub async fn query_objects(
        &self,
        vault: &VaultId,
        keys: &[ObjectKey],
    ) -> Result<Vec<StoredObject>, DbError> {
        let rows = self.reader().await?.rows(STORED_OF, args![vault, names_of(keys)]).await?;
        rows.iter().map(StoredObject::from_row).collect()
    }

    /// The stored objects of a kind by name, beyond `after`; at most `limit`.
    pub async fn list_objects(
        &self,
        vault: &VaultId,
        kind: ObjectKind,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<StoredObject>, DbError> {
        let Some(number) = kind_number(kind) else { return Ok(Vec::new()) };
        let after = after.filter(|key| key.kind() == kind).map_or_else(|| vec![number], name_of);
        let sql = "SELECT name, size, stored_ms FROM objects
                   WHERE vault = $1 AND name > $2 AND name < $3 AND state = 1 ORDER BY name LIMIT $4";
        let rows =
            self.reader().await?.rows(sql, args![vault, after, vec![number + 1], u64::from(limit)]).await?;
        rows.iter().map(StoredObject::from_row).collect()
    }

    /// The objects of a vault in the trash by name, beyond `after`; at most `limit`.
    pub async fn trash(
        &self,
        vault: &VaultId,
        after: Option<&ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectRecord>, DbError> {
        let sql = "SELECT vault, name, size, state, stored_ms, condemned_ms FROM objects
                   WHERE vault = $1 AND name > $2 AND state = 2 ORDER BY name LIMIT $3";
        let after = after.map_or_else(Vec::new, name_of);
        let rows = self.reader().await?.rows(sql, args![vault, after, u64::from(limit)]).await?;
        rows.iter().map(ObjectRecord::from_row).collect()
    }

    /// All objects of all vaults in whatever state, beyond `after`; at most `limit`.
    pub async fn all_objects(
        &self,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Vec<ObjectRecord>, DbError> {
        let sql = "SELECT vault, name, size, state, stored_ms, condemned_ms FROM objects
                   WHERE (vault, name) > ($1, $2) ORDER BY vault, name LIMIT $3";
        let (vault, name) = after.map_or_else(
            || (Vec::new(), Vec::new()),
            |after| (after.vault.as_bytes().to_vec(), name_of(&after.key)),
        );
        let rows = self.reader().await?.rows(sql, args![vault, name, u64::from(limit)]).await?;
        rows.iter().map(ObjectRecord::from_row).collect()
    }

    /// How many objects are stored, in all vaults.
    pub async fn count_stored(&self) -> Result<u64, DbError> {
        let sql = "SELECT COUNT(*) FROM objects WHERE state = 1";
        self.reader().await?.one(sql, args![]).await?.uint(0)
    }

    /// Stored packs and index objects that were not read through since `before_ms`, those first that wait longest.
    pub async fn not_checked_since(&self, before_ms: u64, limit: u32) -> Result<Vec<ObjectRecord>, DbError> {
        // Names of 33 bytes are those of objects that are named by their hash.
        let sql = "SELECT vault, name, size, state, stored_ms, condemned_ms FROM objects
                   WHERE state = 1 AND checked_ms < $1 AND octet_length(name) = 33
                   ORDER BY checked_ms LIMIT $2";
        let rows = self.reader().await?.rows(sql, args![before_ms, u64::from(limit)]).await?;
        rows.iter().map(ObjectRecord::from_row).collect()
    }

    /// Remembers that an object was read through, and what came of it. `false` if it is not stored any more.
    pub async fn set_checked(&self, at: Cursor, is_good: bool, now_ms: u64) -> Result<bool, DbError> {
        self.write((at, is_good, now_ms), |session, (at, is_good, now_ms)| {
            Box::pin(async move {
                let state = if *is_good { 1_u64 } else { 3 };
                let sql = "UPDATE objects SET state = $3, checked_ms = $4
                           WHERE vault = $1 AND name = $2 AND state = 1";
                let values = args![at.vault, name_of(&at.key), state, *now_ms];
                Ok(session.execute(sql, values).await? == 1)
            })
        })
        .await
    }
}

/// How a statement names index objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Until another one condemns them.
    ForGood,
    /// As long as a grant holds.
    ForGrant,
}

/// Notes that a statement names the objects; the first of them that is not stored.
pub(super) async fn name_all(
    session: &mut Session,
    vault: &VaultId,
    keys: &[ObjectKey],
    naming: Naming,
) -> Result<Option<ObjectKey>, DbError> {
    for key in keys {
        let sql = "SELECT unnamed FROM objects WHERE vault = $1 AND name = $2 AND state = 1";
        let Some(row) = session.row(sql, args![vault, name_of(key)]).await? else { return Ok(Some(*key)) };
        let before = row.uint(0)?;
        let after = match (naming, before) {
            (Naming::ForGood, _) => 0,
            (Naming::ForGrant, 1) => BY_GRANTS,
            (Naming::ForGrant, before) => before,
        };
        if after != before {
            let sql = "UPDATE objects SET unnamed = $3 WHERE vault = $1 AND name = $2";
            session.execute(sql, args![vault, name_of(key), after]).await?;
        }
    }
    Ok(None)
}

/// In the column `unnamed` of an index object that only grants name.
const BY_GRANTS: u64 = 2;

/// The first of some packs that is not stored.
pub(super) async fn first_missing(
    session: &mut Session,
    vault: &VaultId,
    packs: &[PackId],
) -> Result<Option<ObjectKey>, DbError> {
    for some in packs.chunks(1000) {
        let keys: Vec<_> = some.iter().map(|pack| ObjectKey::Pack(*pack)).collect();
        let rows = session.rows(STORED_OF, args![vault, names_of(&keys)]).await?;
        let stored = rows.iter().map(|row| row.bytes(0)).collect::<Result<HashSet<_>, _>>()?;
        if let Some(missing) = keys.iter().find(|key| !stored.contains(&name_of(key))) {
            return Ok(Some(*missing));
        }
    }
    Ok(None)
}

/// Those of some objects that are stored.
const STORED_OF: Sql = Sql::Each {
    sqlite: "SELECT name, size, stored_ms FROM objects WHERE vault = $1 AND state = 1
               AND name IN (SELECT unhex(value) FROM json_each($2))",
    postgres: "SELECT name, size, stored_ms FROM objects WHERE vault = $1 AND state = 1
                 AND name IN (SELECT decode(value, 'hex') FROM jsonb_array_elements_text($2::jsonb))",
};

pub(super) use self::removal::condemn;

/// The number of a kind: the first byte of its names, so that a list of one kind is a range.
fn kind_number(kind: ObjectKind) -> Option<u8> {
    match kind {
        ObjectKind::Pack => Some(1),
        ObjectKind::Index => Some(2),
        ObjectKind::Envelope => Some(3),
        ObjectKind::Identity => Some(4),
        // Statements are in a table of their own.
        ObjectKind::Statement => None,
    }
}

/// The number of the kind, then the bytes of the id; before an envelope's addressee, the epoch (u32, big-endian), and
/// behind it what its second name adds.
pub(super) fn name_of(key: &ObjectKey) -> Vec<u8> {
    let mut name = vec![kind_number(key.kind()).unwrap_or(0)];
    match key {
        ObjectKey::Pack(id) => name.extend(id.as_bytes()),
        ObjectKey::Index(id) => name.extend(id.as_bytes()),
        ObjectKey::Statement(seq) => name.extend(seq.0.to_be_bytes()),
        ObjectKey::Envelope { epoch, addressee, besides } => {
            name.extend(epoch.0.to_be_bytes());
            name.extend(addressee);
            name.extend(besides.iter().flatten());
        }
        ObjectKey::Identity(user) => name.extend(user.as_bytes()),
    }
    name
}

/// A JSON list of names in hex: how a list gets into static SQL.
pub(super) fn names_of<'k>(keys: impl IntoIterator<Item = &'k ObjectKey>) -> String {
    let mut list = String::from("[");
    for key in keys {
        let comma = if list.len() > 1 { "," } else { "" };
        list.extend([comma, "\"", &hex::encode(name_of(key)), "\""]);
    }
    list.push(']');
    list
}

fn envelope_of(name: &[u8]) -> Option<ObjectKey> {
    let (epoch, rest) = name.split_first_chunk()?;
    let (addressee, rest) = rest.split_first_chunk()?;
    let besides = if rest.is_empty() { None } else { Some(rest.try_into().ok()?) };
    Some(ObjectKey::Envelope { epoch: Epoch(u32::from_be_bytes(*epoch)), addressee: *addressee, besides })
}

fn key_of(name: &[u8]) -> Result<ObjectKey, DbError> {
    let key = match name.split_first() {
        Some((1, id)) => PackId::from_slice(id).map(ObjectKey::Pack),
        Some((2, id)) => IndexId::from_slice(id).map(ObjectKey::Index),
        Some((3, rest)) => envelope_of(rest),
        Some((4, id)) => UserId::from_slice(id).map(ObjectKey::Identity),
        _ => None,
    };
    key.ok_or(DbError::Corrupt { what: "the name of an object" })
}

impl ObjectState {
    fn from_number(number: u64) -> Result<Self, DbError> {
        Ok(match number {
            0 => Self::Reserved,
            1 => Self::Stored,
            2 => Self::Trash,
            3 => Self::Damaged,
            4 => Self::Leaving,
            _ => return Err(DbError::Corrupt { what: "the state of an object" }),
        })
    }
}

impl StoredObject {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self { key: key_of(&row.bytes(0)?)?, size: row.uint(1)?, stored_ms: row.uint(2)? })
    }
}

impl ObjectRecord {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            vault: row.id(0)?,
            key: key_of(&row.bytes(1)?)?,
            size: row.uint(2)?,
            state: ObjectState::from_number(row.uint(3)?)?,
            stored_ms: row.uint(4)?,
            condemned_ms: row.uint(5)?,
        })
    }
}
