//! A change of the membership: envelopes first, then the statement that pins them.
//!
//! Envelopes are made for one membership only. What is to be done is asked again of the state that the statement would follow: if that is
//! something else by then, because an owner changed the membership or somebody backed up, nothing is appended, and the change is
//! made again. The envelopes that nobody pins stay where they are and open nothing that is used.

use crate::error::Error;
use crate::id::Seq;
use crate::keys::envelope::{DomainKeys, MemberEpoch, MemberKeys};
use crate::keys::identity_file::UserIdentity;
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, FinalHead, Members, State, User};
use crate::surroundings::Surroundings;
use crate::vault::{Vault, envelopes};

/// How often a change is made again when others change the membership at the same time.
const ATTEMPTS: u32 = 20;

/// What is to be in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// Everyone, in any order. Hashes of envelopes need not be right.
    pub(super) users: Vec<User>,
    /// Whether it begins a new epoch.
    pub(super) begins_epoch: bool,
}

/// Makes a membership to come of what holds; `None` if nothing is to change.
pub(super) type Edit<'e> = dyn Fn(&State, &Members) -> Option<Change> + 'e;

/// Appends the membership that `edit` makes of the one in force, and returns it; `None` if `edit` makes none.
pub(super) fn change(
    vault: &mut Vault,
    identity: &UserIdentity,
    edit: &Edit<'_>,
    around: &Surroundings<'_>,
) -> Result<Option<Members>, Error> {
    for _ in 0..ATTEMPTS {
        let not_a_member = Error::NotAMember { vault: *vault.id() };
        let before = vault.state().members().ok_or(not_a_member)?.clone();
        let Some(change) = edit(vault.state(), &before) else { return Ok(None) };
        let mut keys = vault.member_keys(identity)?;
        if change.begins_epoch {
            begin_epoch(&mut keys, around)?;
        }
        let mut members = Members {
            epoch: keys.current.epoch,
            epoch_recipient: keys.current.identity.to_recipient().to_string(),
            users: change.users.clone(),
            final_heads: Vec::new(),
            ..before
        };
        members.users.sort_by_key(|user| user.id);
        let statement = |state: &State, members: &Members| {
            let final_heads = final_heads(&before, members, state.head().seq);
            let members = Members { final_heads, ..members.clone() };
            let payload = state.draft(identity.user_id(), around.clock.now(), Body::Members(members));
            log::sign(&payload, identity.root())
        };
        // What is not allowed is refused before anything is stored for it.
        vault.state().verify(&statement(vault.state(), &members)?)?;
        seal(vault, &keys, &before, &mut members)?;
        let appended = vault.append_unless(&|state| {
            let is_the_same =
                state.members() == Some(&before) && edit(state, &before).as_ref() == Some(&change);
            Ok(if is_the_same { Some(statement(state, &members)?) } else { None })
        })?;
        if appended.is_some() {
            return Ok(Some(members));
        }
    }
    Err(Error::Contended { attempts: ATTEMPTS })
}

/// Puts a new epoch in force, whose keys nobody else has yet.
fn begin_epoch(keys: &mut MemberKeys, around: &Surroundings<'_>) -> Result<(), Error> {
    let next = MemberEpoch::generate(keys.current.epoch.next(), around.random)?;
    keys.earlier.push(std::mem::replace(&mut keys.current, next));
    Ok(())
}

/// The devices that are in the membership before and not in the one after: nothing of them counts after `last`.
fn final_heads(before: &Members, after: &Members, last: Seq) -> Vec<FinalHead> {
    let stays = |user: &User, device| {
        after.user(&user.id).is_some_and(|user| user.devices.iter().any(|kept| kept.id == device))
    };
    let removed = before.devices().filter(|(user, device)| !stays(user, device.id));
    let mut heads: Vec<_> = removed.map(|(_, device)| FinalHead { device: device.id, seq: last }).collect();
    heads.sort_by_key(|head| head.device);
    heads
}

/// Stores the envelopes of all who need new ones, and notes their hashes.
fn seal(vault: &Vault, keys: &MemberKeys, before: &Members, members: &mut Members) -> Result<(), Error> {
    let (id, epoch, store) = (vault.id(), keys.current.epoch, vault.store());
    let begins_epoch = epoch != before.epoch;
    for user in &mut members.users {
        let has_one = before.user(&user.id).is_some_and(|was| was.reads_from == user.reads_from);
        if begins_epoch || !has_one {
            let recipient = AnyRecipient::parse(&user.recipient)?;
            let sealed = keys.seal(id, (&user.id, user.reads_from), &recipient)?;
            envelopes::put(store, epoch, *user.id.as_bytes(), &sealed)?;
            user.envelope_hash = sealed.pin;
        }
        if !begins_epoch {
            continue;
        }
        let domains: Vec<_> = user.devices.iter().map(|device| device.domain(user)).collect();
        for (device, domain) in user.devices.iter_mut().zip(domains) {
            let writer = DomainKeys::from_member(keys, id, domain).since(user.reads_from);
            let sealed = writer.seal(id, &device.id, &AnyRecipient::parse(&device.recipient)?)?;
            envelopes::put(store, epoch, *device.id.as_bytes(), &sealed)?;
            device.envelope_hash = sealed.pin;
        }
    }
    Ok(())
}
