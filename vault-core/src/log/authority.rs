//! Authority: whether an author may say a thing, by the membership before it. Step 4 of the verification.
//!
//! A pure question to the state; that the author has said it at all, the signatures show afterwards.

use super::annotate::Annotate;
use super::body::Body;
use super::commit::Commit;
use super::condemn::Condemn;
use super::error::{LogError, Refusal};
use super::forget::Forget;
use super::grant::{Grant, Revoke};
use super::members::Members;
use super::membership;
use super::payload::Payload;
use super::state::{Snapshot, State};
use crate::id::{DomainId, Epoch, Seq};

/// Whether the author may say this, by the membership before it, and whether a new membership is valid.
pub(super) fn check_right(state: &State, payload: &Payload) -> Result<(), LogError> {
    match (&payload.body, state.members()) {
        // A second genesis does not come past step 3; this arm only says so.
        (Body::Genesis(_), _) => Err(LogError::WrongSeq { expected: state.next_seq(), found: Seq::GENESIS }),
        (Body::Members(after), before) => check_members(state, before, after, payload),
        (_, None) => Err(refused(payload, Refusal::MembersExpected)),
        (Body::Commit(commit), Some(members)) => check_commit(members, commit, payload),
        (Body::Forget(forget), Some(_)) => check_forget(state, forget, payload),
        (Body::Condemn(condemn), Some(_)) => check_condemn(state, condemn, payload),
        (Body::Grant(grant), Some(members)) => check_grant(state, members, grant, payload),
        (Body::Revoke(revoke), Some(_)) => check_revoke(state, revoke, payload),
        (Body::Attest(_), Some(members)) => check_device(members, payload),
        (Body::Annotate(annotate), Some(members)) => check_annotate(state, members, annotate, payload),
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
    check_epoch(members, commit.epoch, payload)
}

/// Whether the author may forget the snapshots: those that are there, for nothing is known of others.
fn check_forget(state: &State, forget: &Forget, payload: &Payload) -> Result<(), LogError> {
    // Without any snapshot that is there, the author's own domain is as good as any.
    let device = payload.author.as_device();
    let own = state.domain_of(&device).ok_or_else(|| refused(payload, Refusal::UnknownDevice))?;
    check_change(state, &own, payload)?;
    let is_named = |snapshot: &&Snapshot| forget.snapshots.binary_search(&snapshot.id).is_ok();
    let mut named = state.snapshots().iter().filter(is_named);
    named.try_for_each(|snapshot| check_change(state, &snapshot.domain, payload))
}

fn check_condemn(state: &State, condemn: &Condemn, payload: &Payload) -> Result<(), LogError> {
    check_change(state, &condemn.domain, payload)?;
    let refuse = |reason| Err(refused(payload, reason));
    if let Some(&index) = condemn.replaced.iter().find(|index| !state.is_index_of(condemn.domain, index)) {
        return refuse(Refusal::IndexNotInForce { index });
    }
    if let Some(&index) = condemn.replacements.iter().find(|index| state.is_index(index)) {
        return refuse(Refusal::IndexInForce { index });
    }
    match condemn.packs.iter().find(|pack| state.condemned().contains(*pack)) {
        Some(&pack) => refuse(Refusal::PackCondemned { pack }),
        None => Ok(()),
    }
}

/// Whoever may commit and delete may give away what they can read.
fn check_grant(state: &State, members: &Members, grant: &Grant, payload: &Payload) -> Result<(), LogError> {
    let device = payload.author.as_device();
    let own = state.domain_of(&device).ok_or_else(|| refused(payload, Refusal::UnknownDevice))?;
    check_change(state, &own, payload)?;
    check_epoch(members, grant.epoch, payload)?;
    let refuse = |reason| Err(refused(payload, reason));
    if state.was_granted(&grant.id) {
        return refuse(Refusal::GrantExists { grant: grant.id });
    }
    match grant.indexes.iter().chain([&grant.ranges]).find(|index| state.is_index(index)) {
        Some(&index) => refuse(Refusal::IndexInForce { index }),
        None => Ok(()),
    }
}

/// Who gave it may take it back, with any device that may change things; and every owner.
fn check_revoke(state: &State, revoke: &Revoke, payload: &Payload) -> Result<(), LogError> {
    let unknown = || refused(payload, Refusal::NoSuchGrant { grant: revoke.grant });
    let granted = state.grant(&revoke.grant).ok_or_else(unknown)?;
    check_change(state, &granted.user.into(), payload)
}

fn check_annotate(
    state: &State,
    members: &Members,
    annotate: &Annotate,
    payload: &Payload,
) -> Result<(), LogError> {
    check_device(members, payload)?;
    let snapshot = annotate.snapshot;
    let unknown = || refused(payload, Refusal::NoSuchSnapshot { snapshot });
    let domain = state.snapshot_by_id(&snapshot).ok_or_else(unknown)?.domain;
    check_change(state, &domain, payload)?;
    check_epoch(members, annotate.epoch, payload)
}

fn check_device(members: &Members, payload: &Payload) -> Result<(), LogError> {
    let known = members.device(&payload.author.as_device());
    known.map(drop).ok_or_else(|| refused(payload, Refusal::UnknownDevice))
}

fn check_change(state: &State, domain: &DomainId, payload: &Payload) -> Result<(), LogError> {
    let right = state.right_to_change(&payload.author.as_device(), domain);
    right.map_err(|reason| refused(payload, reason))
}

fn check_epoch(members: &Members, found: Epoch, payload: &Payload) -> Result<(), LogError> {
    let in_force = members.epoch;
    if found == in_force { Ok(()) } else { Err(refused(payload, Refusal::WrongEpoch { in_force, found })) }
}

/// The error that says why the author may not say it.
pub(super) fn refused(payload: &Payload, reason: Refusal) -> LogError {
    LogError::NotAllowed { seq: payload.seq, author: payload.author, reason }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Example, Machine, Person, annotate, attest, commit, condemn, index, pack};
    use super::super::{Author, FinalHead, MembershipFault, Role};
    use super::*;
    use crate::id::SnapshotId;

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

    fn snapshot(example: &Example, seq: usize) -> SnapshotId {
        example.log.head(seq).hash.into()
    }

    fn forget(example: &Example, seq: usize) -> Body {
        Body::Forget(Forget { snapshots: vec![snapshot(example, seq)] })
    }

    /// What comes of something that asks for the right to change what the domain of the snapshot at `seq` holds.
    fn change_of(example: &Example, seq: usize, kind: usize) -> Body {
        let domain = example.state().snapshots()[seq - 2].domain;
        match kind {
            0 => forget(example, seq),
            1 => Body::Condemn(condemn(domain, &[9], &[], &[])),
            _ => Body::Annotate(annotate(1, snapshot(example, seq), 1)),
        }
    }

    #[test]
    fn owners_change_what_any_domain_holds_and_editors_only_their_own() {
        let example = Example::new();
        let (laptop, nas) = (example.alice.id().into(), example.nas.id().into());
        for kind in 0..3 {
            let by = |machine: &Machine, seq| example.append_body(machine, change_of(&example, seq, kind));
            let other = |domain| not_allowed(example.phone.id(), Refusal::OtherDomain { domain });

            // The snapshots 2, 3 and 4 are the laptop's, the append-only device's and the editor's.
            assert_eq!([2, 3, 4].map(|seq| by(&example.laptop, seq)), [Ok(()), Ok(()), Ok(())]);
            assert_eq!([2, 3, 4].map(|seq| by(&example.phone, seq)), [other(laptop), other(nas), Ok(())]);
        }
    }

    #[test]
    fn readers_append_only_devices_and_strangers_change_nothing() {
        let example = Example::new();
        let stranger = Machine::new(15);
        for (kind, seq) in (0..3).flat_map(|kind| (2..5).map(move |seq| (kind, seq))) {
            let by = |machine: &Machine| example.append_body(machine, change_of(&example, seq, kind));

            assert_eq!(by(&example.tablet), not_allowed(example.tablet.id(), Refusal::ReaderChanges));
            assert_eq!(by(&example.nas), not_allowed(example.nas.id(), Refusal::AppendOnlyChanges));
            assert_eq!(by(&stranger), not_allowed(stranger.id(), Refusal::UnknownDevice));
        }
        let unknown = Body::Forget(Forget { snapshots: vec![SnapshotId::new([9; 32])] });
        assert_eq!(
            example.append_body(&example.nas, unknown.clone()),
            not_allowed(example.nas.id(), Refusal::AppendOnlyChanges)
        );
        assert_eq!(
            example.append_body(&example.tablet, unknown),
            not_allowed(example.tablet.id(), Refusal::ReaderChanges)
        );
    }

    #[test]
    fn users_say_nothing_of_snapshots_and_objects_not_even_owners() {
        let example = Example::new();
        let alice = (example.alice.id(), &example.alice.root);
        for body in
            [0, 1, 2].map(|kind| change_of(&example, 2, kind)).into_iter().chain([Body::Attest(attest(&[1]))])
        {
            let payload = example.log.draft(alice.0, body);

            assert_eq!(example.append(&payload, alice.1), not_allowed(alice.0, Refusal::UnknownDevice));
        }
    }

    #[test]
    fn one_snapshot_of_another_domain_spoils_a_list() {
        let example = Example::new();
        let mut snapshots = [2, 4].map(|seq| snapshot(&example, seq)).to_vec();
        snapshots.sort();

        let refused = example.append_body(&example.phone, Body::Forget(Forget { snapshots }));

        let domain = example.alice.id().into();
        assert_eq!(refused, not_allowed(example.phone.id(), Refusal::OtherDomain { domain }));
    }

    #[test]
    fn every_certified_device_attests_and_nobody_else() {
        let example = Example::new();
        let by = |machine: &Machine| example.append_body(machine, Body::Attest(attest(&[1])));

        for machine in [&example.laptop, &example.nas, &example.phone, &example.tablet] {
            assert_eq!(by(machine), Ok(()));
        }
        let stranger = Machine::new(15);
        assert_eq!(by(&stranger), not_allowed(stranger.id(), Refusal::UnknownDevice));
    }

    #[test]
    fn a_condemn_fits_the_index_objects_in_force_and_no_pack_is_condemned_twice() {
        let mut example = Example::new();
        let alice: DomainId = example.alice.id().into();
        example.log.push_body(&example.laptop, Body::Condemn(condemn(alice, &[5], &[1], &[7])));
        let by = |packs: &[u8], replaced: &[u8], replacements: &[u8]| {
            let body = Body::Condemn(condemn(alice, packs, replaced, replacements));
            match example.append_body(&example.laptop, body) {
                Err(LogError::NotAllowed { seq: Seq(6), reason, .. }) => Err(reason),
                other => {
                    assert_eq!(other, Ok(()));
                    Ok(())
                }
            }
        };
        let not_in_force = |number| Err(Refusal::IndexNotInForce { index: index(number) });
        let in_force = |number| Err(Refusal::IndexInForce { index: index(number) });

        // 1 was replaced by 7; 2 is in force in another domain; 8 was never named.
        assert_eq!(by(&[], &[1], &[]), not_in_force(1));
        assert_eq!(by(&[], &[2], &[]), not_in_force(2));
        assert_eq!(by(&[], &[7, 8], &[]), not_in_force(8));
        assert_eq!(by(&[], &[], &[7]), in_force(7));
        assert_eq!(by(&[], &[], &[2]), in_force(2));
        assert_eq!(by(&[], &[7], &[7]), in_force(7));
        assert_eq!(by(&[5], &[], &[]), Err(Refusal::PackCondemned { pack: pack(5) }));
        assert_eq!(by(&[5, 6], &[7], &[8]), Err(Refusal::PackCondemned { pack: pack(5) }));
        assert_eq!(by(&[6], &[7], &[8]), Ok(()));
    }

    #[test]
    fn a_statement_that_was_said_once_cannot_be_said_again() {
        let mut example = Example::new();
        let alice = example.alice.id().into();
        let body = Body::Condemn(condemn(alice, &[5], &[1], &[7]));
        example.log.push_body(&example.laptop, body.clone());

        let replayed = example.state().append(example.log.stored.last().unwrap());
        let repeated = example.append_body(&example.laptop, body);

        assert_eq!(replayed, Err(LogError::WrongSeq { expected: Seq(6), found: Seq(5) }));
        let (seq, author) = (Seq(6), example.laptop.id().into());
        let reason = Refusal::IndexNotInForce { index: index(1) };
        assert_eq!(repeated, Err(LogError::NotAllowed { seq, author, reason }));
    }

    #[test]
    fn only_live_snapshots_are_annotated_and_only_in_the_epoch_in_force() {
        let mut example = Example::new();
        let forgotten = snapshot(&example, 4);
        let body = forget(&example, 4);
        example.log.push_body(&example.laptop, body);
        let refusal =
            |epoch, id| match example.append_body(&example.laptop, Body::Annotate(annotate(epoch, id, 1))) {
                Err(LogError::NotAllowed { reason, .. }) => Some(reason),
                other => panic!("{other:?}"),
            };
        let (unknown, in_force) = (SnapshotId::new([9; 32]), Epoch(1));

        for id in [forgotten, unknown] {
            assert_eq!(refusal(1, id), Some(Refusal::NoSuchSnapshot { snapshot: id }));
        }
        let found = Epoch(2);
        assert_eq!(refusal(2, snapshot(&example, 2)), Some(Refusal::WrongEpoch { in_force, found }));
    }
}
