//! Verification: the only way from a statement that was read to one that counts.
//!
//! [`Verified`] has no constructor but the two functions below, so nothing unverified can enter a [`State`]. The numbers are
//! those of the module's pseudo-code.

use super::authority::{check_right, refused};
use super::body::Body;
use super::certificate;
use super::error::{LogError, Refusal};
use super::payload::{Author, Payload};
use super::state::State;
use super::statement::Statement;
use crate::crypto::hash;
use crate::crypto::labels::SIGN_STATEMENT;
use crate::crypto::sign::VerifyingKey;
use crate::id::VaultId;

/// A value that was verified against the log before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The value, which then counts as unverified again.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// What shows that a statement is its author's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its signatures.
    Signatures,
    /// The hash of a later statement that the reader verified before. **The caller drops the state if the chain does not reach
    /// that hash.**
    LaterHead,
}

/// Verifies the first statement of the log of `vault`.
pub(super) fn genesis(
    vault: &VaultId,
    statement: Statement,
    proof: Proof,
) -> Result<Verified<Statement>, LogError> {
    let payload = statement.payload();
    let Body::Genesis(genesis) = &payload.body else {
        return Err(refused(payload, Refusal::GenesisExpected));
    };
    // [3] The decoder has seen to it that there is no vault, no prev, and the seq is 0.
    let found = hash::vault_id(statement.signed_bytes());
    if found != *vault {
        return Err(LogError::GenesisMismatch { expected: *vault, found });
    }
    // [4]
    let founder = Author::from(hash::user_id(&genesis.root_key.0));
    if payload.author != founder {
        return Err(refused(payload, Refusal::NotFounder));
    }
    // [5]
    if proof == Proof::Signatures {
        check_signatures(&statement, |signer| (*signer == founder).then_some(genesis.root_key))?;
    }
    Ok(Verified(statement))
}

/// Verifies the statement that follows those of `state`.
pub(super) fn successor(
    state: &State,
    statement: Statement,
    proof: Proof,
) -> Result<Verified<Statement>, LogError> {
    check_links(state, &statement)?; // [3]
    check_right(state, statement.payload())?; // [4]
    // [5]
    if proof == Proof::Signatures {
        check_signatures(&statement, |signer| state.verifying_key(signer))?;
        if let Body::Members(after) = &statement.payload().body {
            certificate::check(&state.vault(), state.members(), after)
                .map_err(|reason| LogError::InvalidMembership { seq: statement.payload().seq, reason })?;
        }
    }
    Ok(Verified(statement))
}

/// Step 3: whether the statement is of this log and comes next in it.
pub(super) fn check_links(state: &State, statement: &Statement) -> Result<(), LogError> {
    let Payload { vault, seq: found, prev, .. } = *statement.payload();
    let seq = state.next_seq();
    if let Some(found) = vault.filter(|found| *found != state.vault()) {
        return Err(LogError::WrongVault { seq, expected: state.vault(), found });
    }
    if found != seq {
        return Err(LogError::WrongSeq { expected: seq, found });
    }
    if prev != Some(state.head().hash) {
        return Err(LogError::BrokenChain { seq });
    }
    Ok(())
}

/// Step 5: whether the author has signed, and every signature is that of a known signer.
fn check_signatures(
    statement: &Statement,
    key_of: impl Fn(&Author) -> Option<VerifyingKey>,
) -> Result<(), LogError> {
    let Payload { seq, author, .. } = *statement.payload();
    if statement.signatures().iter().all(|signature| signature.signer != author) {
        return Err(LogError::BadSignature { seq, signer: author });
    }
    for signature in statement.signatures() {
        let signer = signature.signer;
        key_of(&signer)
            .filter(|key| key.verify(SIGN_STATEMENT, statement.signed_bytes(), &signature.bytes).is_ok())
            .ok_or(LogError::BadSignature { seq, signer })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Example, Machine, Person, TestLog, commit, members};
    use super::super::{MembershipFault, PqPolicy, Role, sign, sign_with};
    use super::*;
    use crate::id::{Epoch, Seq, StatementHash};

    #[test]
    fn what_its_author_may_say_and_has_signed_is_accepted() {
        let example = Example::new();

        assert_eq!(example.append_commit(&example.nas, commit(1, 4)), Ok(()));
        assert_eq!(example.append_members(&example.alice, example.members(2)), Ok(()));
        let more = [&example.tablet, &Machine::new(15)];
        let mut devices = example.members(1);
        let carol = devices.users.iter_mut().find(|user| user.id == example.carol.id()).unwrap();
        *carol = example.carol.user(Role::Reader, &more);
        assert_eq!(example.append_members(&example.carol, devices), Ok(()));
    }

    #[test]
    fn the_genesis_of_another_vault_is_refused() {
        let log = TestLog::founded(&Person::new(1), PqPolicy::Required);
        let other = TestLog::founded(&Person::new(1), PqPolicy::Preferred);

        let refused = State::begin(&log.vault, &other.stored[0]).unwrap_err();

        assert_eq!(refused, LogError::GenesisMismatch { expected: log.vault, found: other.vault });
    }

    #[test]
    fn a_genesis_is_said_and_signed_by_the_user_of_its_root_key() {
        let log = TestLog::founded(&Person::new(1), PqPolicy::Required);
        let mallory = Person::new(2);
        let payload = Statement::decode(Seq(0), &log.stored[0]).unwrap().into_payload();
        let unsigned = sign_with(&payload, &[(payload.author, &mallory.root)]).unwrap();
        let said = Payload { author: mallory.id().into(), ..payload.clone() };
        let said_vault = hash::vault_id(&said.encode());
        let said = sign(&said, &mallory.root).unwrap();

        let bad = LogError::BadSignature { seq: Seq(0), signer: payload.author };
        let reason = Refusal::NotFounder;
        let refused = LogError::NotAllowed { seq: Seq(0), author: mallory.id().into(), reason };
        assert_eq!(State::begin(&log.vault, &unsigned).unwrap_err(), bad);
        assert_eq!(State::begin(&said_vault, &said).unwrap_err(), refused);
    }

    #[test]
    fn a_log_begins_with_a_genesis() {
        let example = Example::new();

        let refused = State::begin(&example.log.vault, &example.log.stored[1]).unwrap_err();

        let (author, reason) = (example.alice.id().into(), Refusal::GenesisExpected);
        assert_eq!(refused, LogError::NotAllowed { seq: Seq(1), author, reason });
    }

    #[test]
    fn after_the_genesis_come_members_of_its_founder() {
        let (alice, bob, laptop) = (Person::new(1), Person::new(2), Machine::new(11));
        let log = TestLog::founded(&alice, PqPolicy::Required);
        let mut state = State::begin(&log.vault, &log.stored[0]).unwrap();
        let first = Body::Members(members(1, vec![alice.user(Role::Owner, &[&laptop])]));
        let by_bob = sign(&log.draft(bob.id(), first.clone()), &bob.root).unwrap();
        let a_commit = sign(&log.draft(laptop.id(), Body::Commit(commit(1, 1))), &laptop.key).unwrap();
        let second = Body::Members(members(2, vec![alice.user(Role::Owner, &[])]));
        let epoch_two = sign(&log.draft(alice.id(), second), &alice.root).unwrap();
        let by_alice = sign(&log.draft(alice.id(), first), &alice.root).unwrap();
        let seq = Seq(1);

        for (stored, author, reason) in [
            (by_bob, bob.id().into(), Refusal::NotFounder),
            (a_commit, laptop.id().into(), Refusal::MembersExpected),
        ] {
            assert_eq!(state.append(&stored), Err(LogError::NotAllowed { seq, author, reason }));
        }
        let reason = MembershipFault::EpochJump { found: Epoch(2) };
        assert_eq!(state.append(&epoch_two), Err(LogError::InvalidMembership { seq, reason }));
        assert_eq!(state.append(&by_alice), Ok(()));
    }

    #[test]
    fn statements_of_another_vault_place_or_chain_are_refused() {
        let example = Example::new();
        let payload = example.log.draft(example.laptop.id(), Body::Commit(commit(1, 4)));
        let append = |payload: Payload| example.append(&payload, &example.laptop.key);
        let found = VaultId::new([9; 32]);
        let expected = example.log.vault;

        let vault = append(Payload { vault: Some(found), ..payload.clone() });
        let seq = append(Payload { seq: Seq(6), ..payload.clone() });
        let prev = append(Payload { prev: Some(StatementHash::new([9; 32])), ..payload });
        let genesis = example.state().append(&example.log.stored[0]);

        assert_eq!(vault, Err(LogError::WrongVault { seq: Seq(5), expected, found }));
        assert_eq!(seq, Err(LogError::WrongSeq { expected: Seq(5), found: Seq(6) }));
        assert_eq!(prev, Err(LogError::BrokenChain { seq: Seq(5) }));
        assert_eq!(genesis, Err(LogError::WrongSeq { expected: Seq(5), found: Seq(0) }));
    }

    #[test]
    fn the_authors_signature_is_there_and_every_other_fits_too() {
        let example = Example::new();
        let payload = example.log.draft(example.laptop.id(), Body::Commit(commit(1, 4)));
        let laptop = (payload.author, &example.laptop.key);
        let alice = (Author::from(example.alice.id()), &example.alice.root);
        let stranger = Person::new(9);
        let append = |signers: &[_]| example.state().append(&sign_with(&payload, signers).unwrap());
        let bad = |signer| Err(LogError::BadSignature { seq: Seq(5), signer });

        assert_eq!(append(&[laptop]), Ok(()));
        assert_eq!(append(&[laptop, alice]), Ok(()));
        assert_eq!(append(&[alice, laptop]), Ok(()));
        assert_eq!(append(&[alice]), bad(laptop.0));
        assert_eq!(append(&[(laptop.0, alice.1)]), bad(laptop.0));
        assert_eq!(append(&[(laptop.0, alice.1), alice]), bad(laptop.0));
        assert_eq!(append(&[laptop, (alice.0, laptop.1)]), bad(alice.0));
        assert_eq!(append(&[laptop, (stranger.id().into(), &stranger.root)]), bad(stranger.id().into()));
        // A second signature of the author must fit as well.
        assert_eq!(append(&[laptop, (laptop.0, alice.1)]), bad(laptop.0));
    }

    #[test]
    fn a_statement_verified_for_one_state_does_not_enter_another() {
        let example = Example::new();
        let mut state = example.state();
        let payload = example.log.draft(example.laptop.id(), Body::Commit(commit(1, 4)));
        let verified = state.verify(&sign(&payload, &example.laptop.key).unwrap()).unwrap();
        state.apply(verified.clone()).unwrap();

        let again = state.apply(verified);

        assert_eq!(again, Err(LogError::WrongSeq { expected: Seq(6), found: Seq(5) }));
    }
}
