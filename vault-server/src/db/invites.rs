//! Invites: what a new user comes with, once.
//!
//! An invite is used up by one join, in the transaction that makes the account, or by too many wrong MACs.

use vault_core::id::UserId;
use vault_core::wire::UserName;

use super::accounts::join_with_entry;
use super::session::{Row, Session, args};
use super::{Database, DbError, EntryPut, InviteId, NewCardEntry, names};

/// An invite to be given out.
#[derive(Clone)]
pub struct NewInvite {
    /// Its id: random.
    pub invite: InviteId,
    /// What the MACs of a join are made with. Secret until the invite is used.
    pub auth: [u8; 32],
    /// What the operator calls it, and then the user.
    pub label: String,
    /// The quota of a user who joins with it, in bytes.
    pub quota: u64,
    /// The server's time, in ms.
    pub now_ms: u64,
    /// When it expires, in ms.
    pub expires_ms: u64,
}

/// An invite that was given out.
#[derive(Clone)]
pub struct Invite {
    /// Its id.
    pub invite: InviteId,
    /// What the MACs of a join are made with.
    pub auth: [u8; 32],
    /// What the operator calls it.
    pub label: String,
    /// The quota of a user who joins with it, in bytes.
    pub quota: u64,
    /// When it expires, in ms.
    pub expires_ms: u64,
    /// Wrong MACs so far.
    pub wrong_macs: u64,
    /// Who joined with it.
    pub used_by: Option<UserId>,
}

/// A join whose MAC and entry were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The invite.
    pub invite: InviteId,
    /// The card's first entry, or the next one of a known user's.
    pub entry: NewCardEntry,
    /// The name that the user wants to have.
    pub name: Option<UserName>,
    /// Wrong MACs that use up an invite.
    pub max_wrong_macs: u64,
}

/// What became of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The invite is used up, the entry is the newest of the card.
    Done,
    /// The same join was done before: whoever asks again did not get the answer.
    Same,
    /// There is no such invite, or it is used up.
    Used,
    /// The invite has expired.
    Expired,
    /// Another user has the name; the invite may be used again.
    NameTaken,
    /// The entry cannot be appended; the invite may be used again.
    Refused(EntryPut),
}

impl std::fmt::Debug for Invite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invite").field("label", &self.label).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NewInvite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewInvite").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Database {
    /// Keeps an invite.
    pub async fn add_invite(&self, new: NewInvite) -> Result<(), DbError> {
        self.write(new, |session, new| {
            Box::pin(async move {
                let sql = "INSERT INTO invites
                             (invite, auth, label, quota, created_ms, expires_ms, wrong_macs, used_by)
                           VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
                let values =
                    args![new.invite, new.auth, new.label, new.quota, new.now_ms, new.expires_ms, NOBODY];
                session.execute(sql, values).await.map(drop)
            })
        })
        .await
    }

    /// An invite, used up or not.
    pub async fn invite(&self, invite: &InviteId) -> Result<Option<Invite>, DbError> {
        let row = self.reader().await?.row(INVITE, args![invite]).await?;
        row.as_ref().map(Invite::from_row).transpose()
    }

    /// Invites by id, beyond `after`; at most `limit`.
    pub async fn invites(&self, after: Option<&InviteId>, limit: u32) -> Result<Vec<Invite>, DbError> {
        let sql = "SELECT invite, auth, label, quota, expires_ms, wrong_macs, used_by FROM invites
                   WHERE invite > $1 ORDER BY invite LIMIT $2";
        let after = after.map_or(&[][..], |invite| &invite[..]);
        let rows = self.reader().await?.rows(sql, args![after, u64::from(limit)]).await?;
        rows.iter().map(Invite::from_row).collect()
    }

    /// Takes back an invite that nobody used. `false` if there is none such.
    pub async fn remove_invite(&self, invite: InviteId) -> Result<bool, DbError> {
        self.write(invite, |session, invite| {
            Box::pin(async move {
                let sql = "DELETE FROM invites WHERE invite = $1 AND used_by = $2";
                Ok(session.execute(sql, args![invite, NOBODY]).await? == 1)
            })
        })
        .await
    }

    /// Counts a wrong MAC for an invite; the number so far, 0 if there is no such invite.
    pub async fn count_wrong_mac(&self, invite: InviteId) -> Result<u64, DbError> {
        self.write(invite, |session, invite| {
            Box::pin(async move {
                let sql =
                    "UPDATE invites SET wrong_macs = wrong_macs + 1 WHERE invite = $1 RETURNING wrong_macs";
                session.row(sql, args![invite]).await?.map_or(Ok(0), |row| row.uint(0))
            })
        })
        .await
    }

    /// Uses up an invite, and makes the account or extends the card, in one transaction.
    pub async fn join(&self, join: Join) -> Result<Joined, DbError> {
        self.write(join, |session, join| Box::pin(do_join(session, join))).await
    }
}

/// Stands in `used_by` of an invite that is not used.
const NOBODY: &[u8] = &[];

const INVITE: &str =
    "SELECT invite, auth, label, quota, expires_ms, wrong_macs, used_by FROM invites WHERE invite = $1";

async fn do_join(session: &mut Session, join: &Join) -> Result<Joined, DbError> {
    // An update, so that a second join with the same invite waits here.
    let sql = "UPDATE invites SET wrong_macs = wrong_macs WHERE invite = $1";
    session.execute(sql, args![join.invite]).await?;
    let Some(row) = session.row(INVITE, args![join.invite]).await? else { return Ok(Joined::Used) };
    let invite = Invite::from_row(&row)?;
    if let Some(user) = invite.used_by {
        let sql = "SELECT entry FROM cards WHERE user_id = $1 AND seq = $2";
        let stands =
            session.row(sql, args![user, join.entry.seq]).await?.map(|row| row.bytes(0)).transpose()?;
        let is_same = user == join.entry.user && stands.is_some_and(|entry| entry == join.entry.entry);
        return Ok(if is_same { Joined::Same } else { Joined::Used });
    }
    if invite.wrong_macs >= join.max_wrong_macs {
        return Ok(Joined::Used);
    }
    if invite.expires_ms <= join.entry.now_ms {
        return Ok(Joined::Expired);
    }
    match join_with_entry(session, &join.entry, invite.quota, &invite.label).await? {
        EntryPut::Done => {}
        refused => return Ok(Joined::Refused(refused)),
    }
    let names = (join.name.as_ref(), invite.label.as_str());
    if !names::give_at_join(session, &join.entry.user, names).await? {
        return Ok(session.undo(Joined::NameTaken));
    }
    let sql = "UPDATE invites SET used_by = $2 WHERE invite = $1";
    session.execute(sql, args![join.invite, join.entry.user]).await?;
    Ok(Joined::Done)
}

impl Invite {
    fn from_row(row: &Row) -> Result<Self, DbError> {
        let used_by = row.bytes(6)?;
        Ok(Self {
            invite: row.array(0)?,
            auth: row.array(1)?,
            label: row.text(2)?,
            quota: row.uint(3)?,
            expires_ms: row.uint(4)?,
            wrong_macs: row.uint(5)?,
            used_by: if used_by.is_empty() { None } else { Some(row.id(6)?) },
        })
    }
}
