//! Grants: what was given to whom, until when, and how often it was fetched.
//!
//! A grant is given and taken back in the transaction that appends the statement. It has rows for its addressees, index objects and
//! tickets until it ends: when it is taken back, or some time after it expired. Of a link's token only the hash comes here.

use std::collections::HashSet;

use subtle::ConstantTimeEq as _;
use vault_core::id::{GrantId, IndexId, PackId, Seq, TicketId, UserId, VaultId};
use vault_core::object::ObjectKey;

use super::objects::{Naming, first_missing, name_all, name_of, names_of};
use super::session::{Row, Session, Sql, args};
use super::vaults::lock;
use super::{Appended, AuditRecord, Database, DbError, NewStatement, audit};

/// When a grant expires that never does: as late as the databases count.
pub const NEVER: u64 = i64::MAX as u64;

/// A grant to be given by a statement.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// Its id: no other grant of any vault has it.
    pub grant: GrantId,
    /// Whose device gives it.
    pub sender: UserId,
    /// When it expires, in ms; [`NEVER`] if it does not.
    pub expires_ms: u64,
    /// The object that lists what is given of packs.
    pub ranges: IndexId,
    /// The index objects that name what is given.
    pub indexes: Vec<IndexId>,
    /// The packs of which something is given: without one of them the grant is not taken.
    pub packs: Vec<PackId>,
    /// To whom: ids of users, and of recipients who are none.
    pub addressees: Vec<[u8; 16]>,
    /// The hash of the token of its link.
    pub token_hash: Option<[u8; 32]>,
    /// How often the link may be opened; 0 for any number.
    pub downloads: u64,
}

/// A grant that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantRecord {
    /// Its id.
    pub grant: GrantId,
    /// Its vault.
    pub vault: VaultId,
    /// Its statement.
    pub seq: Seq,
    /// Whose device gave it.
    pub sender: UserId,
    /// When the server took the statement, in ms.
    pub time_ms: u64,
    /// When it expires, in ms; [`NEVER`] if it does not.
    pub expires_ms: u64,
    /// The object that lists what is given of packs.
    pub ranges: IndexId,
}

/// What a token shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByLink {
    /// Nothing: there is no such grant, it has no link, or the token is another.
    Wrong,
    /// It is the right one, of a grant that was taken back or has expired.
    Over,
    /// The grant.
    Shown(GrantRecord),
}

/// How often a grant was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenRecord {
    /// Its id.
    pub grant: GrantId,
    /// Its statement.
    pub seq: Seq,
    /// How often somebody began to fetch it.
    pub fetched: u64,
    /// When that was last, in ms; `None` if it never was.
    pub last_ms: Option<u64>,
}

/// A ticket for one download through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTicket {
    /// The ticket: random.
    pub ticket: TicketId,
    /// When it expires, in ms.
    pub expires_ms: u64,
}

/// Somebody begins to fetch a grant.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The grant.
    pub grant: GrantId,
    /// Its vault.
    pub vault: VaultId,
    /// The ticket to give out, if it is fetched through the link.
    pub ticket: Option<NewTicket>,
    /// The server's time, in ms.
    pub now_ms: u64,
    /// What the audit is to say of it.
    pub audit: Option<AuditRecord>,
}

/// What became of an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It is counted, and the ticket is good.
    Done {
        /// How often the link may still be opened; `None` for any number.
        left: Option<u64>,
    },
    /// The link was opened as often as it may.
    UsedUp,
    /// The grant was taken back or has expired.
    Over,
}

impl Database {
    /// A grant that a user was given and that holds now. Kept in memory as [`Self::device`] is.
    pub async fn grant_to(
        &self,
        grant: &GrantId,
        user: &UserId,
        now_ms: u64,
    ) -> Result<Option<GrantRecord>, DbError> {
        let (cache, key) = (&self.inner.rights.given, (*grant, *user));
        if let Some(known) = cache.get(&key) {
            return Ok(known.at(now_ms));
        }
        let generation = cache.generation();
        let sql = "SELECT g.grant_id, g.vault, g.seq, g.sender, g.time_ms, g.expires_ms, g.ranges
                   FROM grant_addressees a JOIN grants g ON g.grant_id = a.grant_id
                   WHERE a.addressee = $1 AND a.grant_id = $2 AND g.revoked = 0";
        let row = self.reader().await?.row(sql, args![user, grant]).await?;
        let Some(record) = row.as_ref().map(GrantRecord::from_row).transpose()? else { return Ok(None) };
        cache.put(key, record, generation);
        Ok(record.at(now_ms))
    }

    /// The grant that a token of that hash shows. Kept in memory as [`Self::device`] is, but only where the token is the right one.
    pub async fn grant_by_link(
        &self,
        grant: &GrantId,
        token_hash: &[u8; 32],
        now_ms: u64,
    ) -> Result<ByLink, DbError> {
        let (cache, key) = (&self.inner.rights.linked, (*grant, *token_hash));
        if let Some(known) = cache.get(&key) {
            return Ok(known.at(now_ms).map_or(ByLink::Over, ByLink::Shown));
        }
        let generation = cache.generation();
        let sql = "SELECT grant_id, vault, seq, sender, time_ms, expires_ms, ranges, token_hash, revoked
                   FROM grants WHERE grant_id = $1";
        let row = self.reader().await?.row(sql, args![grant]).await?;
        let stored = row.as_ref().map(|row| row.bytes(7)).transpose()?.and_then(|hash| hash.try_into().ok());
        // As much work without a link as with one.
        let is_right = bool::from(stored.unwrap_or([0_u8; 32]).ct_eq(token_hash));
        let Some(row) = row.filter(|_| is_right && stored.is_some()) else { return Ok(ByLink::Wrong) };
        if row.uint(8)? != 0 {
            return Ok(ByLink::Over);
        }
        let record = GrantRecord::from_row(&row)?;
        cache.put(key, record, generation);
        Ok(record.at(now_ms).map_or(ByLink::Over, ByLink::Shown))
    }

    /// What a user was given and what holds now, by id, beyond `after`; at most `limit`.
    pub async fn grants_to(
        &self,
        user: &UserId,
        after: Option<&GrantId>,
        now_ms: u64,
        limit: u32,
    ) -> Result<Vec<GrantRecord>, DbError> {
        let sql = "SELECT g.grant_id, g.vault, g.seq, g.sender, g.time_ms, g.expires_ms, g.ranges
                   FROM grant_addressees a JOIN grants g ON g.grant_id = a.grant_id
                   WHERE a.addressee = $1 AND a.grant_id > $2 AND g.revoked = 0 AND g.expires_ms > $3
                   ORDER BY a.grant_id LIMIT $4";
        let values = args![user, after_or_first(after), now_ms, u64::from(limit)];
        let rows = self.reader().await?.rows(sql, values).await?;
        rows.iter().map(GrantRecord::from_row).collect()
    }

    /// What was given from a vault and not taken back, by id, beyond `after`; at most `limit`. With `by`, only what that user gave.
    pub async fn grants_of(
        &self,
        vault: &VaultId,
        by: Option<&UserId>,
        after: Option<&GrantId>,
        limit: u32,
    ) -> Result<Vec<GivenRecord>, DbError> {
        let sql = "SELECT grant_id, seq, fetched, last_ms FROM grants
                   WHERE vault = $1 AND grant_id > $2 AND revoked = 0 AND (octet_length($3) = 0 OR sender = $3)
                   ORDER BY grant_id LIMIT $4";
        let by = by.map_or(&[][..], |user| &user.as_bytes()[..]);
        let values = args![vault, after_or_first(after), by, u64::from(limit)];
        let rows = self.reader().await?.rows(sql, values).await?;
        let of_row = |row: &Row| {
            let last_ms = Some(row.uint(3)?).filter(|last| *last > 0);
            Ok(GivenRecord { grant: row.id(0)?, seq: Seq(row.uint(1)?), fetched: row.uint(2)?, last_ms })
        };
        rows.iter().map(of_row).collect()
    }

    /// Whether a grant that has not ended names an index object, or has its ranges in it.
    pub async fn is_index_of_grant(&self, grant: &GrantRecord, index: &IndexId) -> Result<bool, DbError> {
        let sql = "SELECT grant_id FROM grant_indexes WHERE vault = $1 AND name = $2 AND grant_id = $3";
        let name = name_of(&ObjectKey::Index(*index));
        let row = self.reader().await?.row(sql, args![grant.vault, name, grant.grant]).await?;
        Ok(row.is_some())
    }

    /// Counts that somebody begins to fetch a grant, and gives out the ticket, unless the link was opened as often as it may.
    pub async fn open_grant(&self, opening: Opening) -> Result<Opened, DbError> {
        self.write(opening, |session, opening| Box::pin(open(session, opening))).await
    }

    /// Whether a ticket of a grant is good now. Kept in memory as [`Self::device`] is.
    pub async fn has_ticket(&self, grant: &GrantId, ticket: &TicketId, now_ms: u64) -> Result<bool, DbError> {
        let (cache, key) = (&self.inner.rights.tickets, (*grant, *ticket));
        if let Some(expires_ms) = cache.get(&key) {
            return Ok(expires_ms > now_ms);
        }
        let generation = cache.generation();
        let sql = "SELECT expires_ms FROM tickets WHERE ticket = $1 AND grant_id = $2";
        let Some(row) = self.reader().await?.row(sql, args![ticket, grant]).await? else { return Ok(false) };
        let expires_ms = row.uint(0)?;
        cache.put(key, expires_ms, generation);
        Ok(expires_ms > now_ms)
    }

    /// Forgets tickets that have expired; at most 10,000 at once. How many.
    pub async fn forget_tickets(&self, now_ms: u64) -> Result<u64, DbError> {
        self.write(now_ms, |session, now_ms| {
            Box::pin(async move {
                let sql = "DELETE FROM tickets WHERE ticket IN
                             (SELECT ticket FROM tickets WHERE expires_ms <= $1 LIMIT 10000)";
                session.execute(sql, args![*now_ms]).await
            })
        })
        .await
    }

    /// Ends the grants that expired before `before_ms`: their index objects are named by them no more. How many.
    pub async fn end_grants(&self, before_ms: u64) -> Result<u64, DbError> {
        let mut count = 0;
        loop {
            let sql = "SELECT vault, grant_id FROM grants WHERE ended = 0 AND expires_ms < $1
                       ORDER BY expires_ms LIMIT 100";
            let rows = self.reader().await?.rows(sql, args![before_ms]).await?;
            if rows.is_empty() {
                return Ok(count);
            }
            for row in &rows {
                let of: (VaultId, GrantId) = (row.id(0)?, row.id(1)?);
                self.write(of, |session, (vault, grant)| {
                    Box::pin(async move {
                        lock(session, vault).await?;
                        end(session, vault, grant).await
                    })
                })
                .await?;
                count += 1;
            }
        }
    }
}

/// Gives a grant; with `Some`, why it cannot be given. The vault is locked.
pub(super) async fn give(
    session: &mut Session,
    new: &NewStatement,
    grant: &NewGrant,
) -> Result<Option<Appended>, DbError> {
    let vault = &new.vault;
    let indexes: Vec<_> =
        grant.indexes.iter().chain([&grant.ranges]).map(|index| ObjectKey::Index(*index)).collect();
    if let Some(missing) = name_all(session, vault, &indexes, Naming::ForGrant).await? {
        return Ok(Some(Appended::Missing(missing)));
    }
    if let Some(missing) = first_missing(session, vault, &grant.packs).await? {
        return Ok(Some(Appended::Missing(missing)));
    }
    if !insert(session, new, grant).await? {
        return Ok(Some(Appended::GrantExists(grant.grant)));
    }
    for addressee in &grant.addressees {
        let sql = "INSERT INTO grant_addressees (addressee, grant_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        session.execute(sql, args![addressee, grant.grant]).await?;
    }
    for index in &indexes {
        let sql =
            "INSERT INTO grant_indexes (vault, name, grant_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        session.execute(sql, args![vault, name_of(index), grant.grant]).await?;
    }
    Ok(None)
}

/// Writes the row of a grant; `false` if another one has the id.
async fn insert(session: &mut Session, new: &NewStatement, grant: &NewGrant) -> Result<bool, DbError> {
    let sql = "INSERT INTO grants (grant_id, vault, seq, sender, time_ms, expires_ms, ranges, token_hash, downloads,
                                   opened, fetched, last_ms, revoked, ended)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, 0, 0) ON CONFLICT (grant_id) DO NOTHING";
    let token_hash = grant.token_hash.as_ref().map_or(&[][..], |hash| &hash[..]);
    let values = args![
        grant.grant,
        new.vault,
        new.seq.0,
        grant.sender,
        new.receipt.time_ms,
        grant.expires_ms,
        grant.ranges,
        token_hash,
        grant.downloads
    ];
    Ok(session.execute(sql, values).await? == 1)
}

/// Takes a grant of a locked vault back.
pub(super) async fn revoke(session: &mut Session, vault: &VaultId, grant: &GrantId) -> Result<(), DbError> {
    session.changes_rights();
    let sql = "UPDATE grants SET revoked = 1 WHERE grant_id = $1 AND vault = $2";
    session.execute(sql, args![grant, vault]).await?;
    end(session, vault, grant).await
}

/// Removes what a grant of a locked vault has besides its row. Index objects that nothing else names are named by nothing then.
async fn end(session: &mut Session, vault: &VaultId, grant: &GrantId) -> Result<(), DbError> {
    let sql = "UPDATE objects SET unnamed = 1 WHERE vault = $1 AND unnamed = 2
                 AND name IN (SELECT name FROM grant_indexes WHERE grant_id = $2)
                 AND NOT EXISTS (SELECT 1 FROM grant_indexes o
                                 WHERE o.vault = $1 AND o.name = objects.name AND o.grant_id <> $2)";
    session.execute(sql, args![vault, grant]).await?;
    session.execute("DELETE FROM grant_indexes WHERE grant_id = $1", args![grant]).await?;
    session.execute("DELETE FROM grant_addressees WHERE grant_id = $1", args![grant]).await?;
    session.execute("DELETE FROM tickets WHERE grant_id = $1", args![grant]).await?;
    session.execute("UPDATE grants SET ended = 1 WHERE grant_id = $1", args![grant]).await.map(drop)
}

/// Of index objects that are condemned, those that no grant names; the others stay for as long as grants do name them.
pub(super) async fn leave_to_grants(
    session: &mut Session,
    vault: &VaultId,
    condemned: &[IndexId],
) -> Result<Vec<ObjectKey>, DbError> {
    let mut keys: Vec<_> = condemned.iter().map(|index| ObjectKey::Index(*index)).collect();
    if keys.is_empty() {
        return Ok(keys);
    }
    let sql = Sql::Each {
        sqlite: "SELECT DISTINCT name FROM grant_indexes WHERE vault = $1
                   AND name IN (SELECT unhex(value) FROM json_each($2))",
        postgres: "SELECT DISTINCT name FROM grant_indexes WHERE vault = $1
                     AND name IN (SELECT decode(value, 'hex') FROM jsonb_array_elements_text($2::jsonb))",
    };
    let rows = session.rows(sql, args![vault, names_of(&keys)]).await?;
    let named = rows.iter().map(|row| row.bytes(0)).collect::<Result<HashSet<_>, _>>()?;
    for name in &named {
        let sql = "UPDATE objects SET unnamed = 2 WHERE vault = $1 AND name = $2";
        session.execute(sql, args![vault, name]).await?;
    }
    keys.retain(|key| !named.contains(&name_of(key)));
    Ok(keys)
}

async fn open(session: &mut Session, opening: &Opening) -> Result<Opened, DbError> {
    lock(session, &opening.vault).await?;
    // One statement compares and counts, so that no two openings pass the limit together.
    let sql = "UPDATE grants SET fetched = fetched + 1, opened = opened + $3, last_ms = $2
               WHERE grant_id = $1 AND revoked = 0 AND expires_ms > $2
                 AND ($3 = 0 OR downloads = 0 OR opened < downloads) RETURNING downloads, opened";
    let values = args![opening.grant, opening.now_ms, u64::from(opening.ticket.is_some())];
    let Some(row) = session.row(sql, values).await? else {
        let sql = "SELECT seq FROM grants WHERE grant_id = $1 AND revoked = 0 AND expires_ms > $2";
        let holds = session.row(sql, args![opening.grant, opening.now_ms]).await?;
        return Ok(if holds.is_some() { Opened::UsedUp } else { Opened::Over });
    };
    let (downloads, opened) = (row.uint(0)?, row.uint(1)?);
    if let Some(NewTicket { ticket, expires_ms }) = &opening.ticket {
        let sql = "INSERT INTO tickets (ticket, grant_id, expires_ms) VALUES ($1, $2, $3)";
        session.execute(sql, args![ticket, opening.grant, *expires_ms]).await?;
    }
    audit::append(session, &opening.vault, opening.audit.as_ref(), opening.now_ms).await?;
    Ok(Opened::Done { left: (downloads > 0).then(|| downloads.saturating_sub(opened)) })
}

fn after_or_first(after: Option<&GrantId>) -> &[u8] {
    after.map_or(&[], |grant| grant.as_bytes())
}

impl GrantRecord {
    /// The same, if it has not expired.
    fn at(self, now_ms: u64) -> Option<Self> {
        (self.expires_ms > now_ms).then_some(self)
    }

    fn from_row(row: &Row) -> Result<Self, DbError> {
        Ok(Self {
            grant: row.id(0)?,
            vault: row.id(1)?,
            seq: Seq(row.uint(2)?),
            sender: row.id(3)?,
            time_ms: row.uint(4)?,
            expires_ms: row.uint(5)?,
            ranges: row.id(6)?,
        })
    }
}
