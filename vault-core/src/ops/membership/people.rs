//! Adds and removes people and devices, and begins epochs.
//!
//! Only an owner can; the log refuses everyone else.

use super::change::{Change, change};
use crate::crypto::hash::user_id;
use crate::crypto::sign::VerifyingKey;
use crate::error::Error;
use crate::id::{DeviceId, Epoch, UserId};
use crate::keys::identity_file::UserIdentity;
use crate::log::{Members, Role, State, User};
use crate::surroundings::Surroundings;
use crate::vault::Vault;

/// How much of what is there a new member may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// What is backed up from now on. What others have stored so far they store once more, so that the new member can read it.
    FromNow,
    /// Everything.
    Full,
}

/// Somebody who is to be a member. Whoever says so has made sure that the keys are theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Their root key.
    pub root_key: VerifyingKey,
    /// What is sealed to them: the text of an age recipient.
    pub recipient: String,
    /// What they may do. An owner always has the full history.
    pub role: Role,
    /// What they may read.
    pub history: History,
}

/// What adding somebody has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Who.
    pub user: UserId,
    /// The first epoch that they can read.
    pub reads_from: Epoch,
    /// Whether an epoch was begun for them.
    pub begins_epoch: bool,
    /// Whether they were a member before, with another role or less history.
    pub was_member: bool,
}

/// What removing somebody has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// How many live snapshots they could read, and may have kept.
    pub snapshots_read: u64,
    /// How many devices went with them.
    pub devices: u64,
    /// The epoch that began with it.
    pub epoch: Epoch,
}

/// Adds somebody, or gives a member another role, or the full history; `None` if all of it is so already.
pub fn add(
    vault: &mut Vault,
    identity: &UserIdentity,
    newcomer: &Newcomer,
    around: &Surroundings<'_>,
) -> Result<Option<Added>, Error> {
    let user = user_id(&newcomer.root_key.0);
    let was_member = vault.state().member(&user).is_some();
    let edit = |state: &State, before: &Members| admit(before, newcomer, is_fresh(state));
    let Some(members) = change(vault, identity, &edit, around)? else { return Ok(None) };
    let reads_from = members.user(&user).map_or(members.epoch, |user| user.reads_from);
    // The epoch in force is the one that the statement just appended has begun, or an earlier one.
    let began = vault.state().epochs().last().map(|record| record.since);
    let begins_epoch = began == Some(vault.state().head().seq);
    Ok(Some(Added { user, reads_from, begins_epoch, was_member }))
}

/// Whether nothing was said since the epoch in force began: then nobody has used its keys, and it needs no end.
fn is_fresh(state: &State) -> bool {
    state.epochs().last().is_some_and(|record| record.since == state.head().seq)
}

/// The membership with one more, or changed, member; `None` if it is no other.
fn admit(before: &Members, newcomer: &Newcomer, is_fresh: bool) -> Option<Change> {
    let Newcomer { root_key, recipient, role, history } = newcomer.clone();
    let id = user_id(&root_key.0);
    let reads_all = history == History::Full || role == Role::Owner;
    let mut users = before.users.clone();
    if let Some(member) = users.iter_mut().find(|user| user.id == id) {
        let was = member.clone();
        member.role = role;
        if reads_all {
            member.reads_from = Epoch::FIRST;
        }
        return (*member != was).then_some(Change { users, begins_epoch: false });
    }
    let begins_epoch = !reads_all && !is_fresh;
    let reads_from = match (reads_all, is_fresh) {
        (true, _) => Epoch::FIRST,
        (false, true) => before.epoch,
        (false, false) => before.epoch.next(),
    };
    users.push(User {
        id,
        root_key,
        recipient,
        role,
        devices: Vec::new(),
        envelope_hash: [0; 32],
        reads_from,
    });
    Some(Change { users, begins_epoch })
}

/// Removes somebody with all their devices; `None` if they are no member.
pub fn remove(
    vault: &mut Vault,
    identity: &UserIdentity,
    user: &UserId,
    around: &Surroundings<'_>,
) -> Result<Option<Removed>, Error> {
    let Some(was) = vault.state().member(user).cloned() else { return Ok(None) };
    let edit = |_: &State, before: &Members| {
        let users = before.users.iter().filter(|other| other.id != *user).cloned().collect();
        before.user(user).map(|_| Change { users, begins_epoch: true })
    };
    let Some(members) = change(vault, identity, &edit, around)? else { return Ok(None) };
    let snapshots = vault.state().snapshots().iter();
    Ok(Some(Removed {
        snapshots_read: snapshots
            .filter(|one| (was.reads_from..members.epoch).contains(&one.commit.epoch))
            .count() as u64,
        devices: was.devices.len() as u64,
        epoch: members.epoch,
    }))
}

/// Removes a device of anybody; false if it is in the membership of nobody.
pub fn remove_device(
    vault: &mut Vault,
    identity: &UserIdentity,
    device: &DeviceId,
    around: &Surroundings<'_>,
) -> Result<bool, Error> {
    let edit = |_: &State, before: &Members| {
        let mut users = before.users.clone();
        for user in &mut users {
            user.devices.retain(|known| known.id != *device);
        }
        before.device(device).map(|_| Change { users, begins_epoch: true })
    };
    Ok(change(vault, identity, &edit, around)?.is_some())
}

/// Begins a new epoch: whoever has come by the keys of earlier ones opens nothing that is sealed from now on.
pub fn rekey(vault: &mut Vault, identity: &UserIdentity, around: &Surroundings<'_>) -> Result<Epoch, Error> {
    let edit = |_: &State, before: &Members| Some(Change { users: before.users.clone(), begins_epoch: true });
    let changed = change(vault, identity, &edit, around)?;
    changed.map(|members| members.epoch).ok_or(Error::NotAMember { vault: *vault.id() })
}
