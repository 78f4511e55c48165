//! Authority: whether an author may say a thing, by the membership before it. Step 4 of the verification.
//!
//! A pure question to the state; that the author has said it at all, the signatures show afterwards.

use super::commit::Commit;
use super::error::{LogError, Refusal};
use super::members::Members;
use super::membership;
use super::payload::{Body, Payload};
use super::state::State;
use crate::id::Seq;

/// Whether the author may say this, by the membership before it, and whether a new membership is valid.
pub(super) fn check_right(state: &State, payload: &Payload) -> Result<(), LogError> {
    match (&payload.body, state.members()) {
        // A second genesis does not come past step 3; this arm only says so.
        (Body::Genesis(_), _) => Err(LogError::WrongSeq { expected: state.next_seq(), found: Seq::GENESIS }),
        (Body::Members(after), before) => check_members(state, before, after, payload),
        (_, None) => Err(refused(payload, Refusal::MembersExpected)),
        (Body::Commit(commit), Some(members)) => check_commit(members, commit, payload),
    }
}

fn check_members(
    state: &State,
    before: Option<&Members>,
    after: &Members,
    payload: &Payload,
) -> Result<(), LogError> {
    let author = payload.author.as_user();
    let seq = payload.seq;
    let invalid = |reason| LogError::InvalidMembership { seq, reason };
    let Some(before) = before else {
        if author != state.founder() {
            return Err(refused(payload, Refusal::NotFounder));
        }
        membership::check_form(after, state.pq()).map_err(invalid)?;
        return membership::check_first(after, &author).map_err(invalid);
    };
    let user = before.user(&author).ok_or_else(|| refused(payload, Refusal::UnknownUser))?;
    if !membership::may_change(user, before, after) {
        return Err(refused(payload, Refusal::NotOwner));
    }
    membership::check_form(after, state.pq()).map_err(invalid)?;
    membership::check_change(before, after, seq).map_err(invalid)?;
    membership::check_new_epoch(state.epochs(), after).map_err(invalid)
}

fn check_commit(members: &Members, commit: &Commit, payload: &Payload) -> Result<(), LogError> {
    let Some((user, _)) = members.device(&payload.author.as_device()) else {
        return Err(refused(payload, Refusal::UnknownDevice));
    };
    if !user.role.may_commit() {
        return Err(refused(payload, Refusal::ReaderCommits));
    }
    if commit.epoch != members.epoch {
        let (in_force, found) = (members.epoch, commit.epoch);
        return Err(refused(payload, Refusal::WrongEpoch { in_force, found }));
    }
    Ok(())
}

/// The error that says why the author may not say it.
pub(super) fn refused(payload: &Payload, reason: Refusal) -> LogError {
    LogError::NotAllowed { seq: payload.seq, author: payload.author, reason }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Example, Machine, Person, commit};
    use super::super::{Author, FinalHead, MembershipFault, Role};
    use super::*;
    use crate::id::Epoch;

    fn not_allowed(author: impl Into<Author>, reason: Refusal) -> Result<(), LogError> {
        Err(LogError::NotAllowed { seq: Seq(5), author: author.into(), reason })
    }

    #[test]
    fn only_devices_of_owners_and_editors_commit_and_only_in_the_epoch_in_force() {
        let example = Example::new();
        let stranger = Machine::new(15);
        let by_user = example.log.draft(example.alice.id(), Body::Commit(commit(1, 4)));
        let (in_force, found) = (Epoch(1), Epoch(2));

        assert_eq!(
            example.append_commit(&stranger, commit(1, 4)),
            not_allowed(stranger.id(), Refusal::UnknownDevice)
        );
        assert_eq!(
            example.append(&by_user, &example.alice.root),
            not_allowed(example.alice.id(), Refusal::UnknownDevice)
        );
        assert_eq!(
            example.append_commit(&example.tablet, commit(1, 4)),
            not_allowed(example.tablet.id(), Refusal::ReaderCommits)
        );
        assert_eq!(
            example.append_commit(&example.laptop, commit(2, 4)),
            not_allowed(example.laptop.id(), Refusal::WrongEpoch { in_force, found })
        );
    }

    #[test]
    fn only_members_change_the_membership_and_only_owners_all_of_it() {
        let example = Example::new();
        let mallory = Person::new(9);
        let mut added = example.members(1);
        added.users.push(mallory.user(Role::Owner, &[]));
        added.users.sort_by_key(|user| user.id);
        let by_device = example.log.draft(example.nas.id(), Body::Members(example.members(1)));

        for (person, reason) in [
            (&mallory, Refusal::UnknownUser),
            (&example.bob, Refusal::NotOwner),
            (&example.carol, Refusal::NotOwner),
        ] {
            assert_eq!(example.append_members(person, added.clone()), not_allowed(person.id(), reason));
        }
        assert_eq!(
            example.append(&by_device, &example.nas.key),
            not_allowed(example.nas.id(), Refusal::UnknownUser)
        );
        assert_eq!(example.append_members(&example.alice, added), Ok(()));
    }

    #[test]
    fn every_rule_of_memberships_binds_the_owner_too() {
        let example = Example::new();
        let certified_by_bob = Machine::new(15).device_of(&example.bob);
        let alice_with = |change: &dyn Fn(&mut Members, usize)| {
            let mut after = example.members(1);
            let at = after.users.iter().position(|user| user.id == example.alice.id()).unwrap();
            change(&mut after, at);
            after
        };

        let no_owner = alice_with(&|after, at| after.users[at].role = Role::Editor);
        let removed = alice_with(&|after, at| after.users[at].devices.truncate(1));
        let foreign = alice_with(&|after, at| {
            after.users[at].devices.push(certified_by_bob.clone());
            after.users[at].devices.sort_by_key(|device| device.id);
        });
        let mut reused = example.members(2);
        reused.epoch_recipient = example.members(1).epoch_recipient;

        let device = Machine::new(15).id();
        for (after, reason) in [
            (no_owner, MembershipFault::NoOwner),
            (removed, MembershipFault::RemovedInSameEpoch),
            (reused, MembershipFault::EpochRecipientReused),
            (foreign, MembershipFault::Certificate { device }),
        ] {
            let invalid = Err(LogError::InvalidMembership { seq: Seq(5), reason });
            assert_eq!(example.append_members(&example.alice, after), invalid);
        }
    }

    #[test]
    fn who_was_removed_says_nothing_any_more() {
        let mut example = Example::new();
        let mut after = example.members(2);
        after.users.retain(|user| user.id != example.bob.id());
        after.final_heads = vec![FinalHead { device: example.phone.id(), seq: Seq(4) }];
        example.log.push_members(&example.alice, after);

        let refused = example.append_commit(&example.phone, commit(1, 4));

        let author = example.phone.id().into();
        let reason = Refusal::UnknownDevice;
        assert_eq!(refused, Err(LogError::NotAllowed { seq: Seq(6), author, reason }));
    }
}
