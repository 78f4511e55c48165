//! Small logs for tests: people, machines, and statements that need not be true.
//!
//! Everything is reproducible: the same calls give the same bytes. Nothing here verifies anything but [`TestLog::follow`].

use std::convert::Infallible;

use super::{
    Addressee, Annotate, Attest, Author, Body, ChunkerParams, Commit, Condemn, Device, DeviceKind,
    FollowError, Genesis, Grant, Head, LogError, Members, Payload, PqPolicy, Role, State, User,
    certify_device, follow, sign,
};
use crate::crypto::hash;
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;
use crate::id::{
    DeviceId, DomainId, Epoch, GrantId, IndexId, PackId, Seq, SessionId, SnapshotId, UserId, VaultId,
};
use crate::time::Timestamp;

/// A user with their root key.
#[derive(Debug)]
pub struct Person {
    /// The root key.
    pub root: SigningKey,
}

/// A device with its signing key.
#[derive(Debug)]
pub struct Machine {
    /// The signing key.
    pub key: SigningKey,
    /// Its kind.
    pub kind: DeviceKind,
}

impl Person {
    /// The person numbered `number`.
    pub fn new(number: u8) -> Self {
        Self { root: SigningKey::from_seed(Secret::new([number; 32])) }
    }

    /// The user id.
    pub fn id(&self) -> UserId {
        hash::user_id(&self.root.verifying_key().0)
    }

    /// The person as a member with these devices, certified and in order.
    pub fn user(&self, role: Role, machines: &[&Machine]) -> User {
        let mut devices: Vec<Device> = machines.iter().map(|machine| machine.device_of(self)).collect();
        devices.sort_by_key(|device| device.id);
        User {
            id: self.id(),
            root_key: self.root.verifying_key(),
            recipient: format!("age1pq1user{}", self.id().short()),
            role,
            devices,
            envelope_hash: *blake3::hash(self.id().as_bytes()).as_bytes(),
            reads_from: Epoch::FIRST,
        }
    }
}

impl Machine {
    /// The full device numbered `number`.
    pub fn new(number: u8) -> Self {
        Self { key: SigningKey::from_seed(Secret::new([number; 32])), kind: DeviceKind::Full }
    }

    /// The append-only device numbered `number`.
    pub fn append_only(number: u8) -> Self {
        Self { kind: DeviceKind::AppendOnly, ..Self::new(number) }
    }

    /// The device id.
    pub fn id(&self) -> DeviceId {
        hash::device_id(&self.key.verifying_key().0)
    }

    /// The machine as a device that `person` has certified for the [`example_vault`].
    pub fn device_of(&self, person: &Person) -> Device {
        let recipient = format!("age1pq1device{}", self.id().short());
        let signing_key = self.key.verifying_key();
        Device {
            id: self.id(),
            signing_key,
            certificate: certify_device(
                &person.root,
                &example_vault(),
                (&signing_key, self.kind),
                &recipient,
            ),
            recipient,
            kind: self.kind,
            envelope_hash: *blake3::hash(self.id().as_bytes()).as_bytes(),
        }
    }
}

/// The vault that the first person founds.
pub fn example_vault() -> VaultId {
    TestLog::founded(&Person::new(1), PqPolicy::Required).vault
}

/// The membership of these users in an epoch, with that epoch's recipient.
pub fn members(epoch: u32, mut users: Vec<User>) -> Members {
    users.sort_by_key(|user| user.id);
    Members {
        epoch: Epoch(epoch),
        epoch_recipient: format!("age1pq1epoch{epoch}"),
        users,
        dedup_commitment: [0xdd; 32],
        final_heads: Vec::new(),
    }
}

/// A commit in an epoch; `number` makes its session and index differ from others'.
pub fn commit(epoch: u32, number: u8) -> Commit {
    Commit {
        epoch: Epoch(epoch),
        session: SessionId::new([number; 16]),
        session_envelope: b"session envelope".to_vec(),
        number: 0,
        body: b"sealed body".to_vec(),
        indexes: vec![IndexId::new([number; 32])],
        partial: false,
        replaces: Vec::new(),
    }
}

/// The index object numbered `number`, which [`commit`] brings.
pub fn index(number: u8) -> IndexId {
    IndexId::new([number; 32])
}

/// The pack numbered `number`.
pub fn pack(number: u8) -> PackId {
    PackId::new([number; 32])
}

/// A condemn of packs and index objects by their numbers, which are ascending.
pub fn condemn(domain: DomainId, packs: &[u8], replaced: &[u8], replacements: &[u8]) -> Condemn {
    let indexes = |numbers: &[u8]| numbers.iter().copied().map(index).collect();
    Condemn {
        domain,
        packs: packs.iter().copied().map(pack).collect(),
        replaced: indexes(replaced),
        replacements: indexes(replacements),
    }
}

/// An attest of packs by their numbers, which are ascending.
pub fn attest(packs: &[u8]) -> Attest {
    Attest { packs: packs.iter().copied().map(pack).collect() }
}

/// A grant to two addressees in an epoch; `number` makes its id, session and objects differ from others'.
pub fn grant(epoch: u32, number: u8) -> Grant {
    let addressee = |id| Addressee { id: [id; 16], envelope: b"envelope".to_vec() };
    Grant {
        id: GrantId::new([number; 16]),
        epoch: Epoch(epoch),
        session: SessionId::new([number; 16]),
        session_envelope: b"session envelope".to_vec(),
        body: b"sealed body".to_vec(),
        keys: b"sealed keys".to_vec(),
        indexes: vec![index(number)],
        ranges: IndexId::new([!number; 32]),
        to: vec![addressee(1), addressee(2)],
        link: None,
        expires: None,
    }
}

/// An annotate of a snapshot in an epoch; `number` makes it differ from others.
pub fn annotate(epoch: u32, snapshot: SnapshotId, number: u8) -> Annotate {
    let session = SessionId::new([number; 16]);
    Annotate { snapshot, epoch: Epoch(epoch), session, body: b"sealed tags".to_vec() }
}

/// A log that takes whatever is appended.
#[derive(Debug, Clone)]
pub struct TestLog {
    /// The vault, by its genesis.
    pub vault: VaultId,
    /// The statements as stored.
    pub stored: Vec<Vec<u8>>,
}

impl TestLog {
    /// A log with a genesis only.
    pub fn founded(by: &Person, pq: PqPolicy) -> Self {
        let chunker = ChunkerParams { min: 1 << 17, mask_bits: 18, max: 1 << 20 };
        let genesis = Genesis { root_key: by.root.verifying_key(), pq, chunker, nonce: [7; 32] };
        let payload = Payload::genesis(genesis, Timestamp::new(1_700_000_000, 0));
        let stored = sign(&payload, &by.root).expect("a genesis is small");
        Self { vault: hash::vault_id(&payload.encode()), stored: vec![stored] }
    }

    /// The payload that says `body` next.
    pub fn draft(&self, author: impl Into<Author>, body: Body) -> Payload {
        let seq = self.stored.len() as u64;
        Payload {
            vault: Some(self.vault),
            seq: Seq(seq),
            prev: self.stored.last().map(|stored| hash::statement_hash(stored)),
            time: Timestamp::new(1_700_000_000 + seq.cast_signed(), 5),
            author: author.into(),
            body,
        }
    }

    /// Appends a membership, said and signed by `person`.
    pub fn push_members(&mut self, person: &Person, members: Members) -> &mut Self {
        self.push(&self.draft(person.id(), Body::Members(members)), &person.root)
    }

    /// Appends a commit, said and signed by `machine`.
    pub fn push_commit(&mut self, machine: &Machine, commit: Commit) -> &mut Self {
        self.push(&self.draft(machine.id(), Body::Commit(commit)), &machine.key)
    }

    /// Appends any other statement, said and signed by `machine`.
    pub fn push_body(&mut self, machine: &Machine, body: Body) -> &mut Self {
        self.push(&self.draft(machine.id(), body), &machine.key)
    }

    /// Appends `payload`, signed by `key` in the author's name.
    pub fn push(&mut self, payload: &Payload, key: &SigningKey) -> &mut Self {
        self.stored.push(sign(payload, key).expect("statements of tests are small"));
        self
    }

    /// The head of the statement at `seq`.
    pub fn head(&self, seq: usize) -> Head {
        Head { seq: Seq(seq as u64), hash: hash::statement_hash(&self.stored[seq]) }
    }

    /// What is stored at `seq`, as [`follow`] asks.
    pub fn read(&self, seq: Seq) -> Option<Vec<u8>> {
        usize::try_from(seq.0).ok().and_then(|seq| self.stored.get(seq)).cloned()
    }

    /// Follows the log from a remembered head.
    pub fn follow(&self, remembered: Option<Head>) -> Result<State, FollowError<Infallible>> {
        follow(remembered, &self.vault, &mut |seq| Ok(self.read(seq))).map(|(state, _)| state)
    }
}

/// A vault of three people with a genesis, a membership and a commit of each device that may make one: statements 0 to 4.
#[derive(Debug)]
pub struct Example {
    /// Owner and founder, with `laptop` and `nas`.
    pub alice: Person,
    /// Editor, with `phone`.
    pub bob: Person,
    /// Reader, with `tablet`.
    pub carol: Person,
    /// A full device.
    pub laptop: Machine,
    /// An append-only device.
    pub nas: Machine,
    /// A full device.
    pub phone: Machine,
    /// A full device that may not commit.
    pub tablet: Machine,
    /// Their log.
    pub log: TestLog,
}

impl Example {
    /// The vault, under the policy `required`.
    pub fn new() -> Self {
        let [alice, bob, carol] = [1, 2, 3].map(Person::new);
        let [laptop, phone, tablet] = [11, 12, 13].map(Machine::new);
        let nas = Machine::append_only(14);
        let log = TestLog::founded(&alice, PqPolicy::Required);
        let mut example = Self { alice, bob, carol, laptop, nas, phone, tablet, log };
        let members = example.members(1);
        example
            .log
            .push_members(&example.alice, members)
            .push_commit(&example.laptop, commit(1, 1))
            .push_commit(&example.nas, commit(1, 2))
            .push_commit(&example.phone, commit(1, 3));
        example
    }

    /// All three with all their devices.
    pub fn members(&self, epoch: u32) -> Members {
        members(
            epoch,
            vec![
                self.alice.user(Role::Owner, &[&self.laptop, &self.nas]),
                self.bob.user(Role::Editor, &[&self.phone]),
                self.carol.user(Role::Reader, &[&self.tablet]),
            ],
        )
    }

    /// What the log says.
    pub fn state(&self) -> State {
        self.log.follow(None).expect("the example is a valid log")
    }

    /// What comes of appending `payload`, signed by `key` in the author's name. The log stays as it is.
    pub fn append(&self, payload: &Payload, key: &SigningKey) -> Result<(), LogError> {
        self.state().append(&sign(payload, key)?)
    }

    /// What comes of a commit that `machine` says and signs.
    pub fn append_commit(&self, machine: &Machine, commit: Commit) -> Result<(), LogError> {
        self.append(&self.log.draft(machine.id(), Body::Commit(commit)), &machine.key)
    }

    /// What comes of a statement that `machine` says and signs.
    pub fn append_body(&self, machine: &Machine, body: Body) -> Result<(), LogError> {
        self.append(&self.log.draft(machine.id(), body), &machine.key)
    }

    /// What comes of a membership that `person` says and signs.
    pub fn append_members(&self, person: &Person, members: Members) -> Result<(), LogError> {
        self.append(&self.log.draft(person.id(), Body::Members(members)), &person.root)
    }
}

impl Default for Example {
    fn default() -> Self {
        Self::new()
    }
}
