//! The rules of memberships: what a members statement may hold, and who may change what.
//!
//! Pure functions of the membership before and the one after. Whatever they let through, there is an owner, every id is that of
//! its key, nobody stands there twice, and who was removed holds no key of the epoch in force.

use std::collections::BTreeSet;

use super::error::MembershipFault;
use super::genesis::PqPolicy;
use super::members::{Device, FinalHead, Members, Role, User, is_post_quantum};
use super::state::EpochRecord;
use crate::crypto::hash;
use crate::id::{DeviceId, Epoch, Seq, UserId};

/// What holds for every membership by itself, but for certificates.
pub(super) fn check_form(members: &Members, pq: PqPolicy) -> Result<(), MembershipFault> {
    if let Some(user) = first_out_of_order(&members.users, |user| user.id) {
        return Err(MembershipFault::UserOrder { user });
    }
    let mut seen = BTreeSet::new();
    for user in &members.users {
        if user.id != hash::user_id(&user.root_key.0) {
            return Err(MembershipFault::UserId { user: user.id });
        }
        // An owner deletes for everyone, and has to see what everyone needs.
        let first = if user.role == Role::Owner { Epoch::FIRST } else { members.epoch };
        if !(Epoch::FIRST..=first).contains(&user.reads_from) {
            return Err(MembershipFault::History { user: user.id });
        }
        if let Some(device) = first_out_of_order(&user.devices, |device| device.id) {
            return Err(MembershipFault::DeviceOrder { device });
        }
        for device in &user.devices {
            if device.id != hash::device_id(&device.signing_key.0) {
                return Err(MembershipFault::DeviceId { device: device.id });
            }
            if !seen.insert(device.id) {
                return Err(MembershipFault::SharedDevice { device: device.id });
            }
        }
    }
    if !members.users.iter().any(|user| user.role == Role::Owner) {
        return Err(MembershipFault::NoOwner);
    }
    check_recipients(members, pq)
}

/// The epoch's recipient is always post-quantum; all others are where the vault requires it.
fn check_recipients(members: &Members, pq: PqPolicy) -> Result<(), MembershipFault> {
    let users = members.users.iter().map(|user| &user.recipient);
    let devices = members.devices().map(|(_, device)| &device.recipient);
    let free = pq == PqPolicy::Preferred || users.chain(devices).all(|recipient| is_post_quantum(recipient));
    if free && is_post_quantum(&members.epoch_recipient) {
        Ok(())
    } else {
        Err(MembershipFault::NotPostQuantum)
    }
}

/// What holds for the first membership besides.
pub(super) fn check_first(members: &Members, founder: &UserId) -> Result<(), MembershipFault> {
    if members.epoch != Epoch(1) {
        return Err(MembershipFault::EpochJump { found: members.epoch });
    }
    if !members.final_heads.is_empty() {
        return Err(MembershipFault::FinalHeads);
    }
    match members.user(founder) {
        Some(user) if user.role == Role::Owner => Ok(()),
        _ => Err(MembershipFault::FounderNotOwner),
    }
}

/// Whether `author`, a user of the membership before, may make the membership after of it: an owner anything, anyone else only
/// the list of their own devices.
pub(super) fn may_change(author: &User, before: &Members, after: &Members) -> bool {
    let without_own_devices = |members: &Members| {
        let mut rest = members.clone();
        rest.final_heads.clear();
        if let Some(own) = rest.users.iter_mut().find(|user| user.id == author.id) {
            own.devices.clear();
        }
        rest
    };
    author.role == Role::Owner || without_own_devices(before) == without_own_devices(after)
}

/// Whether the epoch is raised when it must be, by one, and only with its keys; and the final heads are those of the removed.
pub(super) fn check_change(before: &Members, after: &Members, seq: Seq) -> Result<(), MembershipFault> {
    if after.dedup_commitment != before.dedup_commitment {
        return Err(MembershipFault::DedupRootChanged);
    }
    let loses = |user: &&User| before.user(&user.id).is_some_and(|was| was.reads_from < user.reads_from);
    if let Some(user) = after.users.iter().find(loses) {
        return Err(MembershipFault::History { user: user.id });
    }
    let removed = removed_devices(before, after);
    let user_removed = before.users.iter().any(|user| after.user(&user.id).is_none());
    if after.epoch == before.epoch {
        if user_removed || !removed.is_empty() {
            return Err(MembershipFault::RemovedInSameEpoch);
        }
        if after.epoch_recipient != before.epoch_recipient {
            return Err(MembershipFault::KeysChangedInSameEpoch);
        }
    } else if Some(after.epoch.0) != before.epoch.0.checked_add(1) {
        return Err(MembershipFault::EpochJump { found: after.epoch });
    }
    let named = after.final_heads.iter().map(|head| head.device);
    let earlier = |head: &FinalHead| head.seq < seq;
    if named.eq(removed) && after.final_heads.iter().all(earlier) {
        Ok(())
    } else {
        Err(MembershipFault::FinalHeads)
    }
}

/// Whether a raised epoch has a recipient that no earlier one had: whoever was removed may hold the identities of those.
pub(super) fn check_new_epoch(earlier: &[EpochRecord], after: &Members) -> Result<(), MembershipFault> {
    let reused =
        |record: &EpochRecord| record.epoch != after.epoch && record.recipient == after.epoch_recipient;
    if earlier.iter().any(reused) { Err(MembershipFault::EpochRecipientReused) } else { Ok(()) }
}

/// The devices that no longer belong to the user they belonged to, ascending.
fn removed_devices(before: &Members, after: &Members) -> BTreeSet<DeviceId> {
    let stays = |user: &User, device: &Device| {
        after.user(&user.id).is_some_and(|user| user.devices.iter().any(|kept| kept.id == device.id))
    };
    before.devices().filter(|(user, device)| !stays(user, device)).map(|(_, device)| device.id).collect()
}

/// The first id that is not greater than the one before it.
fn first_out_of_order<T, I: Ord>(items: &[T], id: impl Fn(&T) -> I) -> Option<I> {
    items.windows(2).find(|pair| id(&pair[1]) <= id(&pair[0])).map(|pair| id(&pair[1]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Example, Machine, Person, members};
    use super::*;

    fn form(members: &Members) -> Result<(), MembershipFault> {
        check_form(members, PqPolicy::Required)
    }

    /// The example's membership with Bob and his phone removed, in epoch 2.
    fn without_bob(example: &Example) -> Members {
        let mut after = example.members(2);
        after.users.retain(|user| user.id != example.bob.id());
        after.final_heads = vec![FinalHead { device: example.phone.id(), seq: Seq(4) }];
        after
    }

    fn user_of<'a>(members: &'a mut Members, person: &Person) -> &'a mut User {
        members.users.iter_mut().find(|user| user.id == person.id()).unwrap()
    }

    #[test]
    fn the_example_is_valid() {
        let example = Example::new();

        assert_eq!(form(&example.members(1)), Ok(()));
        assert_eq!(check_first(&example.members(1), &example.alice.id()), Ok(()));
    }

    #[test]
    fn users_and_devices_ascend_and_none_is_repeated() {
        let example = Example::new();
        let mut swapped = example.members(1);
        swapped.users.swap(0, 1);
        let mut repeated = example.members(1);
        repeated.users.insert(1, repeated.users[0].clone());
        let mut devices = example.members(1);
        user_of(&mut devices, &example.alice).devices.reverse();

        assert_eq!(form(&swapped), Err(MembershipFault::UserOrder { user: swapped.users[1].id }));
        assert_eq!(form(&repeated), Err(MembershipFault::UserOrder { user: repeated.users[0].id }));
        assert!(matches!(form(&devices), Err(MembershipFault::DeviceOrder { .. })));
    }

    #[test]
    fn a_device_belongs_to_one_user() {
        let (alice, bob, shared) = (Person::new(1), Person::new(2), Machine::new(11));
        let users = vec![alice.user(Role::Owner, &[&shared]), bob.user(Role::Editor, &[&shared])];

        assert_eq!(form(&members(1, users)), Err(MembershipFault::SharedDevice { device: shared.id() }));
    }

    #[test]
    fn ids_are_those_of_the_keys() {
        let example = Example::new();
        let mut user = example.members(1);
        user_of(&mut user, &example.bob).root_key = Person::new(9).root.verifying_key();
        let mut device = example.members(1);
        user_of(&mut device, &example.bob).devices[0].signing_key = Machine::new(9).key.verifying_key();

        assert_eq!(form(&user), Err(MembershipFault::UserId { user: example.bob.id() }));
        assert_eq!(form(&device), Err(MembershipFault::DeviceId { device: example.phone.id() }));
    }

    #[test]
    fn there_is_always_an_owner() {
        let example = Example::new();
        let mut after = example.members(1);
        user_of(&mut after, &example.alice).role = Role::Editor;

        assert_eq!(form(&after), Err(MembershipFault::NoOwner));
        assert_eq!(form(&members(1, Vec::new())), Err(MembershipFault::NoOwner));
    }

    #[test]
    fn recipients_are_post_quantum_where_required_and_the_epochs_always() {
        let example = Example::new();
        let mut user = example.members(1);
        user_of(&mut user, &example.bob).recipient = "age1x25519".into();
        let mut device = example.members(1);
        user_of(&mut device, &example.bob).devices[0].recipient = "ssh-ed25519 AAAA".into();
        let mut epoch = example.members(1);
        epoch.epoch_recipient = "age1x25519".into();

        for members in [&user, &device, &epoch] {
            assert_eq!(form(members), Err(MembershipFault::NotPostQuantum));
        }
        assert_eq!(check_form(&user, PqPolicy::Preferred), Ok(()));
        assert_eq!(check_form(&device, PqPolicy::Preferred), Ok(()));
        assert_eq!(check_form(&epoch, PqPolicy::Preferred), Err(MembershipFault::NotPostQuantum));
    }

    #[test]
    fn the_first_membership_is_epoch_one_and_its_founder_an_owner() {
        let Example { alice, bob, .. } = Example::new();
        let both = vec![alice.user(Role::Owner, &[]), bob.user(Role::Editor, &[])];
        let head = FinalHead { device: Machine::new(11).id(), seq: Seq(0) };
        let removes = Members { final_heads: vec![head], ..members(1, both.clone()) };
        let second = check_first(&members(2, both.clone()), &alice.id());

        assert_eq!(second, Err(MembershipFault::EpochJump { found: Epoch(2) }));
        assert_eq!(check_first(&members(1, both), &bob.id()), Err(MembershipFault::FounderNotOwner));
        assert_eq!(check_first(&removes, &alice.id()), Err(MembershipFault::FinalHeads));
    }

    #[test]
    fn adding_keeps_the_epoch() {
        let example = Example::new();
        let before = example.members(1);
        let mut after = example.members(1);
        after.users.push(Person::new(4).user(Role::Reader, &[&Machine::new(15)]));
        after.users.sort_by_key(|user| user.id);

        assert_eq!(check_change(&before, &after, Seq(5)), Ok(()));
    }

    #[test]
    fn removing_a_user_or_device_raises_the_epoch_by_one() {
        let example = Example::new();
        let before = example.members(1);
        let removed = without_bob(&example);
        let same_epoch = Members {
            epoch: before.epoch,
            epoch_recipient: before.epoch_recipient.clone(),
            ..removed.clone()
        };
        let mut device_only = same_epoch.clone();
        device_only.users = before.users.clone();
        user_of(&mut device_only, &example.bob).devices.clear();

        assert_eq!(check_change(&before, &removed, Seq(5)), Ok(()));
        assert_eq!(check_change(&before, &same_epoch, Seq(5)), Err(MembershipFault::RemovedInSameEpoch));
        assert_eq!(check_change(&before, &device_only, Seq(5)), Err(MembershipFault::RemovedInSameEpoch));
    }

    #[test]
    fn epochs_neither_jump_nor_go_back() {
        let example = Example::new();
        let before = example.members(5);

        for found in [0, 1, 4, 7, u32::MAX] {
            let jump = check_change(&before, &example.members(found), Seq(5));
            assert_eq!(jump, Err(MembershipFault::EpochJump { found: Epoch(found) }));
        }
        let last = check_change(&example.members(u32::MAX), &example.members(0), Seq(5));
        assert_eq!(last, Err(MembershipFault::EpochJump { found: Epoch(0) }));
    }

    #[test]
    fn a_user_reads_from_an_epoch_that_there_is_and_never_loses_history_and_an_owner_has_all() {
        let example = Example::new();
        let from = |person: &Person, epoch| {
            let mut members = example.members(3);
            user_of(&mut members, person).reads_from = Epoch(epoch);
            members
        };

        assert_eq!(form(&from(&example.bob, 3)), Ok(()));
        assert_eq!(from(&example.bob, 3).readable_from(), Epoch(3));
        let refused = |person: &Person| Err(MembershipFault::History { user: person.id() });
        assert_eq!(form(&from(&example.bob, 4)), refused(&example.bob));
        assert_eq!(form(&from(&example.bob, 0)), refused(&example.bob));
        assert_eq!(form(&from(&example.alice, 2)), refused(&example.alice));
        let change =
            |before, after| check_change(&from(&example.bob, before), &from(&example.bob, after), Seq(9));
        assert_eq!(change(3, 2), Ok(()));
        assert_eq!(change(2, 3), refused(&example.bob));
    }

    #[test]
    fn the_keys_of_an_epoch_stay() {
        let example = Example::new();
        let before = example.members(1);
        let after = Members { epoch_recipient: "age1pq1other".into(), ..before.clone() };

        assert_eq!(check_change(&before, &after, Seq(5)), Err(MembershipFault::KeysChangedInSameEpoch));
    }

    #[test]
    fn the_deduplication_root_stays_in_every_epoch() {
        let example = Example::new();

        for epoch in [1, 2] {
            let after = Members { dedup_commitment: [0; 32], ..example.members(epoch) };
            let refused = check_change(&example.members(1), &after, Seq(5));
            assert_eq!(refused, Err(MembershipFault::DedupRootChanged));
        }
    }

    #[test]
    fn a_new_epoch_never_takes_an_earlier_recipient() {
        let state = Example::new().state();
        let mut after = Example::new().members(2);
        assert_eq!(check_new_epoch(state.epochs(), &after), Ok(()));

        after.epoch_recipient = Example::new().members(1).epoch_recipient;

        assert_eq!(check_new_epoch(state.epochs(), &after), Err(MembershipFault::EpochRecipientReused));
    }

    #[test]
    fn final_heads_name_exactly_the_removed_devices_with_earlier_statements() {
        let example = Example::new();
        let before = example.members(1);
        let removed = without_bob(&example);
        let head = removed.final_heads[0];
        let with = |final_heads: Vec<FinalHead>| {
            check_change(&before, &Members { final_heads, ..removed.clone() }, Seq(5))
        };

        assert_eq!(with(vec![head]), Ok(()));
        for wrong in [
            vec![],
            vec![head, head],
            vec![FinalHead { device: example.laptop.id(), ..head }],
            vec![FinalHead { seq: Seq(5), ..head }],
        ] {
            assert_eq!(with(wrong), Err(MembershipFault::FinalHeads));
        }
    }

    #[test]
    fn a_device_that_moves_to_another_user_counts_as_removed() {
        let example = Example::new();
        let mut after = example.members(1);
        let phone = user_of(&mut after, &example.bob).devices.remove(0);
        user_of(&mut after, &example.carol).devices.insert(0, phone);

        let moved = check_change(&example.members(1), &after, Seq(5));

        assert_eq!(moved, Err(MembershipFault::RemovedInSameEpoch));
    }

    #[test]
    fn who_is_not_an_owner_changes_only_their_own_devices() {
        let example = Example::new();
        let before = example.members(1);
        let bob = example.bob.user(Role::Editor, &[]);
        let alice = example.alice.user(Role::Owner, &[]);
        let changed = |change: &dyn Fn(&mut Members)| {
            let mut after = before.clone();
            change(&mut after);
            after
        };

        let own = changed(&|m| user_of(m, &example.bob).devices = vec![]);
        let own_again = changed(&|m| user_of(m, &example.bob).devices[0].envelope_hash = [0; 32]);
        let others = [
            changed(&|m| user_of(m, &example.bob).role = Role::Owner),
            changed(&|m| user_of(m, &example.bob).recipient = "age1pq1other".into()),
            changed(&|m| user_of(m, &example.bob).envelope_hash = [0; 32]),
            changed(&|m| user_of(m, &example.carol).devices.clear()),
            changed(&|m| user_of(m, &example.alice).devices[0].envelope_hash = [0; 32]),
            changed(&|m| m.users.push(Person::new(4).user(Role::Reader, &[]))),
            changed(&|m| m.users.truncate(2)),
            changed(&|m| m.epoch = Epoch(2)),
            changed(&|m| m.epoch_recipient = "age1pq1other".into()),
            changed(&|m| m.dedup_commitment = [0; 32]),
        ];

        assert!(may_change(&bob, &before, &own) && may_change(&bob, &before, &own_again));
        for after in &others {
            assert!(!may_change(&bob, &before, after));
            assert!(may_change(&alice, &before, after));
        }
    }
}
