//! The state of a vault: what its log says up to a head.
//!
//! A pure fold of verified statements, in order: the same log gives every reader the same state, and it never depends on a
//! clock. It holds what is in force, what earlier epochs pinned, and every live snapshot; never a key.

mod grants;
mod objects;
mod snapshots;

use std::collections::BTreeMap;

pub use grants::Granted;
pub use objects::Attestation;
pub use snapshots::{Annotation, Snapshot};

use grants::Grants;
use objects::Objects;
use snapshots::Snapshots;

use super::body::Body;
use super::error::{LogError, Refusal};
use super::genesis::{ChunkerParams, Genesis, PqPolicy};
use super::head::Head;
use super::members::{Device, DeviceKind, Members, Role, User};
use super::payload::{Author, Payload};
use super::statement::Statement;
use super::verify::{self, Proof, Verified};
use crate::crypto::hash;
use crate::crypto::sign::VerifyingKey;
use crate::id::{DeviceId, DomainId, Epoch, Seq, UserId, VaultId};
use crate::time::Timestamp;

/// What a log says up to its head.
#[derive(Debug, Clone)]
pub struct State {
    vault: VaultId,
    genesis: Genesis,
    head: Head,
    /// `None` only between the genesis and the first members.
    members: Option<Members>,
    /// Epoch n stands at n - 1.
    epochs: Vec<EpochRecord>,
    /// The epochs whose keys somebody was given, first and last of each span, by user.
    reach: BTreeMap<UserId, Vec<(Epoch, Epoch)>>,
    snapshots: Snapshots,
    objects: Objects,
    grants: Grants,
    /// Whether what is sealed is kept.
    keeps_sealed: bool,
    /// Bytes of what was not kept.
    dropped_bytes: u64,
}

/// What the log says of one epoch, past or in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRecord {
    /// Its number.
    pub epoch: Epoch,
    /// The statement that began it.
    pub since: Seq,
    /// What its sessions are sealed to.
    pub recipient: String,
    /// Commitment to its deduplication root.
    pub dedup_commitment: [u8; 32],
    /// SHA-256 of the envelope of each member and each writer, the newest where one was issued again.
    pub pins: BTreeMap<Author, [u8; 32]>,
}

impl State {
    /// Begins the state of `vault` with the stored bytes of its genesis.
    pub fn begin(vault: &VaultId, stored: &[u8]) -> Result<Self, LogError> {
        Self::begin_with(vault, stored, Proof::Signatures)
    }

    pub(super) fn begin_with(vault: &VaultId, stored: &[u8], proof: Proof) -> Result<Self, LogError> {
        let statement = Statement::decode(Seq::GENESIS, stored)?;
        let statement = verify::genesis(vault, statement, proof)?.into_inner();
        let head = Head { seq: Seq::GENESIS, hash: statement.hash() };
        let payload = statement.into_payload();
        let Body::Genesis(genesis) = payload.body else {
            let (seq, author) = (payload.seq, payload.author);
            return Err(LogError::NotAllowed { seq, author, reason: Refusal::GenesisExpected });
        };
        Ok(Self {
            vault: *vault,
            genesis,
            head,
            members: None,
            epochs: Vec::new(),
            reach: BTreeMap::new(),
            snapshots: Snapshots::default(),
            objects: Objects::default(),
            grants: Grants::default(),
            keeps_sealed: true,
            dropped_bytes: 0,
        })
    }

    /// Drops everything that is sealed, envelopes, bodies and keys, and keeps none of it from now on. For who verifies what is appended and
    /// opens nothing.
    pub fn drop_sealed(&mut self) {
        if std::mem::take(&mut self.keeps_sealed) {
            self.dropped_bytes = self.snapshots.drop_sealed() + self.grants.drop_sealed();
        }
    }

    /// How many bytes of statements the state does not have because they were sealed.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Verifies the stored bytes of the next statement, without adding it.
    pub fn verify(&self, stored: &[u8]) -> Result<Verified<Statement>, LogError> {
        self.verify_with(stored, Proof::Signatures)
    }

    fn verify_with(&self, stored: &[u8], proof: Proof) -> Result<Verified<Statement>, LogError> {
        verify::successor(self, Statement::decode(self.next_seq(), stored)?, proof)
    }

    /// Adds a verified statement.
    ///
    /// # Errors
    ///
    /// [`LogError::WrongVault`], [`LogError::WrongSeq`] or [`LogError::BrokenChain`] if it was verified against another state
    /// than this one. The previous hash stands for all statements before, so nothing else of the state can differ.
    pub fn apply(&mut self, verified: Verified<Statement>) -> Result<(), LogError> {
        verify::check_links(self, verified.get())?;
        let statement = verified.into_inner();
        let head = Head { seq: self.next_seq(), hash: statement.hash() };
        let Payload { author, time, mut body, .. } = statement.into_payload();
        let seq = head.seq;
        if !self.keeps_sealed {
            self.dropped_bytes = self.dropped_bytes.saturating_add(body.drop_sealed());
        }
        match body {
            Body::Genesis(_) => return Err(LogError::WrongSeq { expected: seq, found: Seq::GENESIS }),
            Body::Members(members) => self.set_members(members, seq),
            Body::Commit(commit) => {
                let device = author.as_device();
                let reason = Refusal::UnknownDevice;
                let (user, domain) = self
                    .device(&device)
                    .map(|(user, device)| (user.id, device.domain(user)))
                    .ok_or(LogError::NotAllowed { seq, author, reason })?;
                self.objects.add_indexes(domain, &commit.indexes);
                let (id, annotation) = (head.hash.into(), None);
                self.snapshots.commit(Snapshot { id, seq, device, user, domain, time, commit, annotation });
            }
            Body::Forget(forget) => self.snapshots.forget(&forget.snapshots),
            Body::Condemn(condemn) => self.objects.condemn(seq, condemn),
            Body::Grant(grant) => {
                let device = author.as_device();
                let reason = Refusal::UnknownDevice;
                let not_allowed = LogError::NotAllowed { seq, author, reason };
                let (user, key) = self
                    .device(&device)
                    .map(|(user, device)| (user.id, device.signing_key))
                    .ok_or(not_allowed)?;
                self.grants.add(Granted { seq, device, key, user, time, grant });
            }
            Body::Revoke(revoke) => self.grants.revoke(&revoke.grant),
            Body::Attest(attest) => self.objects.attest(Attestation { seq, time }, attest),
            Body::Annotate(annotate) => self.snapshots.annotate(seq, annotate),
        }
        self.head = head;
        Ok(())
    }

    /// Verifies the stored bytes of the next statement and adds it.
    pub fn append(&mut self, stored: &[u8]) -> Result<(), LogError> {
        self.append_with(stored, Proof::Signatures)
    }

    pub(super) fn append_with(&mut self, stored: &[u8], proof: Proof) -> Result<(), LogError> {
        let verified = self.verify_with(stored, proof)?;
        self.apply(verified)
    }

    /// The payload by which `author` would say `body` next.
    pub fn draft(&self, author: impl Into<Author>, time: Timestamp, body: Body) -> Payload {
        Payload {
            vault: Some(self.vault),
            seq: self.next_seq(),
            prev: Some(self.head.hash),
            time,
            author: author.into(),
            body,
        }
    }

    fn set_members(&mut self, members: Members, seq: Seq) {
        if self.epoch() != Some(members.epoch) {
            self.epochs.push(EpochRecord {
                epoch: members.epoch,
                since: seq,
                recipient: members.epoch_recipient.clone(),
                dedup_commitment: members.dedup_commitment,
                pins: BTreeMap::new(),
            });
        }
        if let Some(record) = self.epochs.last_mut() {
            let users = members.users.iter().map(|user| (user.id.into(), user.envelope_hash));
            let devices = members.devices().map(|(_, device)| (device.id.into(), device.envelope_hash));
            record.pins.extend(users.chain(devices));
        }
        for user in &members.users {
            let spans = self.reach.entry(user.id).or_default();
            match spans.last_mut() {
                Some((first, last)) if user.reads_from <= last.next() => {
                    (*first, *last) = (user.reads_from.min(*first), members.epoch);
                }
                _ => spans.push((user.reads_from, members.epoch)),
            }
        }
        self.members = Some(members);
    }
}

/// Questions to a state.
impl State {
    /// The vault whose log it is.
    pub fn vault(&self) -> VaultId {
        self.vault
    }

    /// The newest statement.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The number the next statement will have.
    pub fn next_seq(&self) -> Seq {
        self.head.seq.next()
    }

    /// The user who founded the vault.
    pub fn founder(&self) -> UserId {
        hash::user_id(&self.genesis.root_key.0)
    }

    /// Which recipients the vault may have.
    pub fn pq(&self) -> PqPolicy {
        self.genesis.pq
    }

    /// How files are cut.
    pub fn chunker(&self) -> ChunkerParams {
        self.genesis.chunker
    }

    /// The membership in force; `None` only if the log ends with the genesis.
    pub fn members(&self) -> Option<&Members> {
        self.members.as_ref()
    }

    /// The epoch in force; `None` only if the log ends with the genesis.
    pub fn epoch(&self) -> Option<Epoch> {
        self.members().map(|members| members.epoch)
    }

    /// The first epoch whose keys every member has.
    pub fn readable_from(&self) -> Epoch {
        self.members().map_or(Epoch::FIRST, Members::readable_from)
    }

    /// Everyone who was ever given the keys of `epoch`, members and others, ascending.
    pub fn who_could_read(&self, epoch: Epoch) -> impl Iterator<Item = UserId> {
        let reaches = move |spans: &[(Epoch, Epoch)]| {
            spans.iter().any(|(first, last)| (*first..=*last).contains(&epoch))
        };
        self.reach.iter().filter(move |(_, spans)| reaches(spans)).map(|(user, _)| *user)
    }

    /// All epochs, ascending; the last is in force.
    pub fn epochs(&self) -> &[EpochRecord] {
        &self.epochs
    }

    /// What the log says of `epoch`.
    pub fn epoch_record(&self, epoch: Epoch) -> Option<&EpochRecord> {
        let index = usize::try_from(epoch.0.checked_sub(1)?).ok()?;
        self.epochs.get(index)
    }

    /// SHA-256 of the envelope that `addressee`, a user or device, has in `epoch`.
    pub fn pin(&self, epoch: Epoch, addressee: impl Into<Author>) -> Option<&[u8; 32]> {
        self.epoch_record(epoch)?.pins.get(&addressee.into())
    }

    /// The member of that id.
    pub fn member(&self, id: &UserId) -> Option<&User> {
        self.members()?.user(id)
    }

    /// The certified device of that id, and whose it is.
    pub fn device(&self, id: &DeviceId) -> Option<(&User, &Device)> {
        self.members()?.device(id)
    }

    /// The domain in which a certified device deduplicates.
    pub fn domain_of(&self, device: &DeviceId) -> Option<DomainId> {
        self.device(device).map(|(user, device)| device.domain(user))
    }

    /// Whether a device may commit now.
    pub fn may_commit(&self, device: &DeviceId) -> bool {
        self.device(device).is_some_and(|(user, _)| user.role.may_commit())
    }

    /// Whether a device may forget snapshots of a domain, condemn packs in it, and annotate; if not, why.
    pub fn right_to_change(&self, device: &DeviceId, domain: &DomainId) -> Result<(), Refusal> {
        let (user, device) = self.device(device).ok_or(Refusal::UnknownDevice)?;
        match (user.role, device.kind) {
            (_, DeviceKind::AppendOnly) => Err(Refusal::AppendOnlyChanges),
            (Role::Reader, _) => Err(Refusal::ReaderChanges),
            (Role::Editor, _) if *domain != device.domain(user) => {
                Err(Refusal::OtherDomain { domain: *domain })
            }
            (Role::Owner | Role::Editor, DeviceKind::Full) => Ok(()),
        }
    }

    /// The key by which a user or device in force signs. After the genesis, that is the founder only.
    pub fn verifying_key(&self, signer: &Author) -> Option<VerifyingKey> {
        let Some(members) = self.members() else {
            return (*signer == self.founder().into()).then_some(self.genesis.root_key);
        };
        let user = members.user(&signer.as_user()).map(|user| user.root_key);
        user.or_else(|| members.device(&signer.as_device()).map(|(_, device)| device.signing_key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::testing::{Example, Machine, commit};
    use super::super::{FinalHead, sign};
    use super::*;
    use crate::id::{IndexId, SnapshotId};

    #[test]
    fn a_state_tells_who_may_do_what_and_where() {
        let example = Example::new();
        let state = example.state();
        let Example { alice, bob, laptop, nas, phone, tablet, .. } = &example;

        assert_eq!(state.founder(), alice.id());
        assert_eq!(state.epoch(), Some(Epoch(1)));
        assert_eq!(state.next_seq(), Seq(5));
        assert_eq!(state.domain_of(&laptop.id()), Some(alice.id().into()));
        assert_eq!(state.domain_of(&nas.id()), Some(nas.id().into()));
        assert!(state.may_commit(&nas.id()) && state.may_commit(&phone.id()));
        assert!(!state.may_commit(&tablet.id()) && !state.may_commit(&Machine::new(99).id()));
        assert_eq!(state.device(&phone.id()).map(|(user, _)| user.id), Some(bob.id()));
    }

    #[test]
    fn snapshots_and_indexes_stand_in_the_order_of_the_log() {
        let mut example = Example::new();
        example.log.push_commit(&example.laptop, commit(1, 4));
        let state = example.state();
        let index = |number: u8| IndexId::new([number; 32]);

        let ids: Vec<SnapshotId> = state.snapshots().iter().map(|snapshot| snapshot.id).collect();
        let expected: Vec<SnapshotId> = (2..6).map(|seq| example.log.head(seq).hash.into()).collect();
        let alices: Vec<IndexId> = state.indexes(example.alice.id().into()).collect();
        let nas: Vec<IndexId> = state.indexes(example.nas.id().into()).collect();

        assert_eq!(ids, expected);
        assert_eq!(alices, [index(1), index(4)]);
        assert_eq!(nas, [index(2)]);
        assert_eq!(state.all_indexes().count(), 4);
        assert_eq!(state.snapshot_by_id(&ids[1]).map(|snapshot| snapshot.device), Some(example.nas.id()));
    }

    #[test]
    fn pins_of_earlier_epochs_are_kept_and_of_the_one_in_force_renewed() {
        let mut example = Example::new();
        let (alice, phone) = (example.alice.id(), example.phone.id());
        let first_pin = *example.state().pin(Epoch(1), alice).unwrap();
        let renewed = |epoch| {
            let mut members = example.members(epoch);
            members.users.iter_mut().find(|user| user.id == alice).unwrap().envelope_hash = [9; 32];
            members
        };
        let again = renewed(1);
        let mut next = renewed(2);
        next.users.retain(|user| user.id != example.bob.id());
        next.final_heads = vec![FinalHead { device: phone, seq: Seq(4) }];

        example.log.push_members(&example.alice, again).push_members(&example.alice, next);
        let state = example.state();

        assert_ne!(first_pin, [9; 32]);
        assert_eq!(state.pin(Epoch(1), alice), Some(&[9; 32]));
        assert!(state.pin(Epoch(1), phone).is_some() && state.pin(Epoch(2), phone).is_none());
        assert_eq!(state.pin(Epoch(0), alice).or(state.pin(Epoch(3), alice)), None);
        assert_eq!(state.epochs().iter().map(|record| record.since).collect::<Vec<_>>(), [Seq(1), Seq(6)]);
        assert_eq!(
            state.epoch_record(Epoch(1)).map(|record| record.recipient.as_str()),
            Some("age1pq1epoch1")
        );
    }

    #[test]
    fn who_could_read_an_epoch_is_known_after_they_are_gone() {
        let mut example = Example::new();
        let (alice, bob, carol) = (example.alice.id(), example.bob.id(), example.carol.id());
        let mut second = example.members(2);
        second.users.retain(|user| user.id != bob);
        second.final_heads = vec![FinalHead { device: example.phone.id(), seq: Seq(4) }];
        let mut third = example.members(3);
        third.users.iter_mut().find(|user| user.id == bob).unwrap().reads_from = Epoch(3);
        example.log.push_members(&example.alice, second).push_members(&example.alice, third);

        let state = example.state();

        let could = |epoch| state.who_could_read(Epoch(epoch)).collect::<BTreeSet<_>>();
        assert_eq!(could(1), [alice, bob, carol].into());
        assert_eq!(could(2), [alice, carol].into());
        assert_eq!(could(3), [alice, bob, carol].into());
        assert_eq!(could(4), [].into());
    }

    #[test]
    fn a_draft_is_what_comes_next() {
        let example = Example::new();
        let mut state = example.state();
        let time = Timestamp::new(1, 2);

        let payload = state.draft(example.laptop.id(), time, Body::Commit(commit(1, 4)));

        assert_eq!(state.append(&sign(&payload, &example.laptop.key).unwrap()), Ok(()));
        assert_eq!(state.snapshots()[3].time, time);
    }
}
