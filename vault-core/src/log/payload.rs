//! The payload: what a statement says, without its signatures.
//!
//! A payload has one encoding. What the decoder accepts, encoding again gives byte for byte, but for map keys from 128 on, which
//! a later version may add and this one passes over; that is why a signature is verified over the bytes that were received.

use std::fmt;

use super::FORMAT_VERSION;
use super::body::{Body, BodyFields};
use super::error::LogError;
use super::genesis::Genesis;
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::crypto::hash;
use crate::id::{DeviceId, Seq, StatementHash, UserId, VaultId};
use crate::time::Timestamp;

/// What a statement says, and where in which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The vault; `None` in a genesis, which makes it.
    pub vault: Option<VaultId>,
    /// The place in the log.
    pub seq: Seq,
    /// The hash of the statement before; `None` in a genesis.
    pub prev: Option<StatementHash>,
    /// The time by the author's clock: shown, never relied on.
    pub time: Timestamp,
    /// Who says it, and signs it.
    pub author: Author,
    /// What is said.
    pub body: Body,
}

/// Who says or signs something: the bytes of a user id or of a device id. Which of the two, the type of the statement tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Author(pub [u8; 16]);

impl Author {
    /// The author as a user.
    pub fn as_user(&self) -> UserId {
        UserId::new(self.0)
    }

    /// The author as a device.
    pub fn as_device(&self) -> DeviceId {
        DeviceId::new(self.0)
    }
}

impl From<UserId> for Author {
    fn from(user: UserId) -> Self {
        Self(*user.as_bytes())
    }
}

impl From<DeviceId> for Author {
    fn from(device: DeviceId) -> Self {
        Self(*device.as_bytes())
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "author {}", hex::encode(&self.0[..4]))
    }
}

impl Payload {
    /// The first payload of a vault's log; the author is the founding user.
    pub fn genesis(genesis: Genesis, time: Timestamp) -> Self {
        let author = hash::user_id(&genesis.root_key.0).into();
        Self { vault: None, seq: Seq::GENESIS, prev: None, time, author, body: Body::Genesis(genesis) }
    }

    /// Encodes the payload: the bytes that are signed, and of which a genesis's hash is the vault id.
    pub fn encode(&self) -> Vec<u8> {
        let (number, body_pairs) = self.body.type_and_pairs();
        let links = usize::from(self.vault.is_some()) + usize::from(self.prev.is_some());
        let mut out = Encoder::new();
        out.map(5 + links + body_pairs).uint(0).uint(number).uint(1).uint(FORMAT_VERSION);
        if let Some(vault) = &self.vault {
            out.uint(2).bytes(vault.as_bytes());
        }
        out.uint(3).uint(self.seq.0);
        if let Some(prev) = &self.prev {
            out.uint(4).bytes(prev.as_bytes());
        }
        out.uint(5).array(2).int(self.time.seconds).uint(self.time.nanos.into());
        out.uint(6).bytes(&self.author.0);
        self.body.encode(&mut out);
        out.finish()
    }

    /// Decodes the payload of the statement at `seq`, which is only for naming it in errors.
    pub(super) fn decode(seq: Seq, bytes: &[u8]) -> Result<Self, LogError> {
        let malformed = |source| LogError::Malformed { seq, source };
        let (statement_type, version) = type_and_version(bytes).map_err(malformed)?;
        // [2]
        if version != FORMAT_VERSION {
            return Err(LogError::NewerVersion { seq, version });
        }
        let unsupported = LogError::UnsupportedType { seq, statement_type };
        let body = BodyFields::of_type(statement_type).ok_or(unsupported)?;
        // [1]
        Decoder::decode_all(bytes, |input| read(input, body)).map_err(malformed)
    }
}

/// The two first fields, which every version has: they decide whether the rest can be understood.
fn type_and_version(bytes: &[u8]) -> Result<(u64, u64), CborError> {
    let mut input = Decoder::new(bytes);
    let mut map = input.map()?;
    let mut numbers = [0; 2];
    for (expected, number) in (0..).zip(&mut numbers) {
        if map.key(&mut input)? != Some(expected) {
            return Err(CborError::MissingKey { key: expected });
        }
        *number = input.uint()?;
    }
    let [statement_type, version] = numbers;
    Ok((statement_type, version))
}

fn read(input: &mut Decoder<'_>, mut body: BodyFields) -> Result<Payload, CborError> {
    let (mut vault, mut seq, mut prev, mut time, mut author) = (None, None, None, None, None);
    let mut map = input.map()?;
    while let Some(key) = map.key(input)? {
        match key {
            // Read before, by `type_and_version`.
            0 | 1 => drop(input.uint()?),
            2 => vault = Some(VaultId::new(input.bytes_array("vault id")?)),
            3 => seq = Some(Seq(input.uint()?)),
            4 => prev = Some(StatementHash::new(input.bytes_array("prev")?)),
            5 => time = Some(read_time(input)?),
            6 => author = Some(Author(input.bytes_array("author")?)),
            _ => body.read(key, input)?,
        }
    }
    let payload = Payload {
        vault,
        seq: required(seq, 3)?,
        prev,
        time: required(time, 5)?,
        author: required(author, 6)?,
        body: body.finish()?,
    };
    check_links(&payload)?;
    Ok(payload)
}

/// A genesis has nothing before it; everything else names its vault and the statement before.
fn check_links(payload: &Payload) -> Result<(), CborError> {
    if !matches!(payload.body, Body::Genesis(_)) {
        required(payload.vault, 2)?;
        required(payload.prev, 4)?;
        return Ok(());
    }
    match payload {
        Payload { vault: Some(_), .. } => Err(CborError::UnknownKey { key: 2 }),
        Payload { prev: Some(_), .. } => Err(CborError::UnknownKey { key: 4 }),
        Payload { seq: Seq::GENESIS, .. } => Ok(()),
        _ => Err(CborError::Range { field: "seq of a genesis" }),
    }
}

fn read_time(input: &mut Decoder<'_>) -> Result<Timestamp, CborError> {
    input.array_of(2, "time")?;
    let (seconds, nanos) = (input.int()?, input.uint_as("nanoseconds")?);
    let time = Timestamp::new(seconds, nanos);
    if time.nanos == nanos { Ok(time) } else { Err(CborError::Range { field: "nanoseconds" }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::collections::BTreeSet;

    use super::super::testing::{Example, annotate, attest, commit, condemn};
    use super::super::{
        Annotate, Attest, ChunkerParams, Commit, Condemn, Forget, MAX_LISTED_IDS, PqPolicy, Statement,
    };
    use super::*;
    use crate::crypto::sign::VerifyingKey;
    use crate::id::{DomainId, Epoch, IndexId, PackId, SessionId, SnapshotId};

    fn malformed(bytes: &[u8]) -> CborError {
        match Payload::decode(Seq(7), bytes) {
            Err(LogError::Malformed { seq: Seq(7), source }) => source,
            other => panic!("{other:?}"),
        }
    }

    fn a_commit() -> Payload {
        Payload {
            vault: Some(VaultId::new([1; 32])),
            seq: Seq(7),
            prev: Some(StatementHash::new([2; 32])),
            time: Timestamp::new(3, 4),
            author: Author([5; 16]),
            body: Body::Commit(commit(1, 6)),
        }
    }

    /// One of each of the other statements of a device, with these ids where the lists may not be empty.
    fn others(one: &BTreeSet<[u8; 32]>, other: &BTreeSet<[u8; 32]>, annotate: Annotate) -> Vec<Body> {
        let some: BTreeSet<_> = one.iter().copied().chain([[9; 32]]).collect();
        let (domain, first) = (DomainId::new([2; 16]), some.iter().map(|id| PackId::new(*id)));
        let indexes = |ids: &BTreeSet<[u8; 32]>| ids.iter().map(|id| IndexId::new(*id)).collect();
        let (packs, replaced, replacements) = (first.clone().collect(), indexes(one), indexes(other));
        vec![
            Body::Forget(Forget { snapshots: some.iter().map(|id| SnapshotId::new(*id)).collect() }),
            Body::Condemn(Condemn { domain, packs, replaced, replacements }),
            Body::Attest(Attest { packs: first.collect() }),
            Body::Annotate(annotate),
        ]
    }

    /// Encodes a map that holds key 0, key 1 and one more pair.
    fn begins_with(statement_type: u64, version: u64) -> Vec<u8> {
        let mut out = Encoder::new();
        out.map(3).uint(0).uint(statement_type).uint(1).uint(version).uint(2).bytes(b"unknown");
        out.finish()
    }

    #[test]
    fn every_kind_of_payload_decodes_to_what_was_encoded() {
        for (seq, stored) in (0..).map(Seq).zip(&Example::new().log.stored) {
            let payload = Statement::decode(seq, stored).unwrap().into_payload();

            assert_eq!(Payload::decode(seq, &payload.encode()), Ok(payload));
        }
    }

    proptest! {
        #[test]
        fn commits_and_geneses_decode_to_what_was_encoded(
            seconds: i64, nanos in 0..1_000_000_000_u32, number: u32, partial: bool, body: Vec<u8>,
            indexes: Vec<[u8; 32]>, replaces: BTreeSet<[u8; 32]>, min: u32, mask_bits: u8, max: u32,
        ) {
            let time = Timestamp::new(seconds, nanos);
            let indexes = indexes.into_iter().map(IndexId::new).collect();
            let replaces = replaces.into_iter().map(SnapshotId::new).collect();
            let (epoch, session) = (Epoch(number), SessionId::new([1; 16]));
            let commit = Commit { epoch, session, session_envelope: body.clone(), number, body, indexes, partial, replaces };
            let commit = Payload { time, body: Body::Commit(commit), ..a_commit() };
            let chunker = ChunkerParams { min, mask_bits, max };
            let root_key = VerifyingKey([9; 32]);
            let genesis = Genesis { root_key, pq: PqPolicy::Preferred, chunker, nonce: [3; 32] };
            let genesis = Payload::genesis(genesis, time);

            prop_assert_eq!(Payload::decode(Seq(7), &commit.encode()), Ok(commit));
            prop_assert_eq!(Payload::decode(Seq(7), &genesis.encode()), Ok(genesis));
        }

        #[test]
        fn what_changes_snapshots_and_objects_decodes_to_what_was_encoded(
            one: BTreeSet<[u8; 32]>, other: BTreeSet<[u8; 32]>, number: u32, body: Vec<u8>,
        ) {
            for said in others(&one, &other, Annotate {
                snapshot: SnapshotId::new([3; 32]), epoch: Epoch(number), session: SessionId::new([1; 16]), body,
            }) {
                let payload = Payload { body: said, ..a_commit() };
                prop_assert_eq!(Payload::decode(Seq(7), &payload.encode()), Ok(payload));
            }
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            which in 0..5_usize, at: prop::sample::Index, byte: u8,
        ) {
            let ids = BTreeSet::from([[7; 32], [8; 32]]);
            let annotate = annotate(1, SnapshotId::new([3; 32]), 4);
            let body = others(&ids, &ids, annotate).into_iter().nth(which).unwrap_or(a_commit().body);
            let mut bytes = Payload { body, ..a_commit() }.encode();
            *at.get_mut(&mut bytes) = byte;

            if let Ok(payload) = Payload::decode(Seq(7), &bytes) {
                prop_assert_eq!(payload.encode(), bytes);
            }
        }
    }

    #[test]
    fn another_version_is_named_before_anything_else_is_read() {
        assert_eq!(
            Payload::decode(Seq(7), &begins_with(99, 2)),
            Err(LogError::NewerVersion { seq: Seq(7), version: 2 })
        );
    }

    #[test]
    fn reserved_and_unknown_types_are_named() {
        for statement_type in [0, 9, 10, 12, u64::MAX] {
            assert_eq!(
                Payload::decode(Seq(7), &begins_with(statement_type, 1)),
                Err(LogError::UnsupportedType { seq: Seq(7), statement_type })
            );
        }
    }

    #[test]
    fn lists_of_ids_ascend_and_are_empty_only_where_that_says_something() {
        let snapshots = |ids: &[u8]| ids.iter().map(|&id| SnapshotId::new([id; 32])).collect::<Vec<_>>();
        let domain = DomainId::new([2; 16]);
        let forget = |ids: &[u8]| Body::Forget(Forget { snapshots: snapshots(ids) });
        let replacing = |ids: &[u8]| Body::Commit(Commit { replaces: snapshots(ids), ..commit(1, 6) });

        for (body, field) in [
            (forget(&[]), "forgotten snapshots"),
            (forget(&[2, 1]), "forgotten snapshots"),
            (forget(&[1, 1]), "forgotten snapshots"),
            (replacing(&[2, 1]), "replaced snapshots"),
            (Body::Attest(attest(&[])), "attested packs"),
            (Body::Attest(attest(&[3, 3])), "attested packs"),
            (Body::Condemn(condemn(domain, &[2, 1], &[], &[])), "condemned packs"),
            (Body::Condemn(condemn(domain, &[], &[2, 2], &[])), "replaced index objects"),
            (Body::Condemn(condemn(domain, &[], &[], &[2, 1])), "replacing index objects"),
            (Body::Condemn(condemn(domain, &[], &[], &[])), "what is condemned"),
        ] {
            assert_eq!(malformed(&Payload { body, ..a_commit() }.encode()), CborError::Range { field });
        }
    }

    #[test]
    fn that_a_commit_replaces_nothing_is_said_by_absence_only() {
        // A map of 14 pairs becomes one of 15, with an empty list under key 17.
        let mut bytes = a_commit().encode();
        bytes[0] += 1;
        bytes.extend([17, 0x80]);

        assert_eq!(malformed(&bytes), CborError::Range { field: "replaced snapshots" });
    }

    #[test]
    fn as_many_ids_as_a_writer_lists_fit_a_statement() {
        let mut ids: Vec<_> = (0..MAX_LISTED_IDS as u32)
            .map(|number| SnapshotId::new(*blake3::hash(&number.to_le_bytes()).as_bytes()))
            .collect();
        ids.sort();
        let example = Example::new();

        let forget = Body::Forget(Forget { snapshots: ids.clone() });
        let replaces = Body::Commit(Commit { replaces: ids, ..commit(1, 6) });

        assert_eq!(example.append_body(&example.laptop, forget), Ok(()));
        assert_eq!(example.append_body(&example.laptop, replaces), Ok(()));
    }

    #[test]
    fn a_genesis_names_no_vault_and_no_prev_and_stands_first() {
        let genesis = Genesis {
            root_key: VerifyingKey([9; 32]),
            pq: PqPolicy::Required,
            chunker: ChunkerParams { min: 1, mask_bits: 2, max: 3 },
            nonce: [3; 32],
        };
        let genesis = Payload::genesis(genesis, Timestamp::default());
        let vault = Payload { vault: Some(VaultId::new([1; 32])), ..genesis.clone() };
        let prev = Payload { prev: Some(StatementHash::new([1; 32])), ..genesis.clone() };
        let later = Payload { seq: Seq(1), ..genesis };

        assert_eq!(malformed(&vault.encode()), CborError::UnknownKey { key: 2 });
        assert_eq!(malformed(&prev.encode()), CborError::UnknownKey { key: 4 });
        assert_eq!(malformed(&later.encode()), CborError::Range { field: "seq of a genesis" });
    }

    #[test]
    fn any_other_payload_names_its_vault_and_prev() {
        assert_eq!(
            malformed(&Payload { vault: None, ..a_commit() }.encode()),
            CborError::MissingKey { key: 2 }
        );
        assert_eq!(
            malformed(&Payload { prev: None, ..a_commit() }.encode()),
            CborError::MissingKey { key: 4 }
        );
    }

    #[test]
    fn nanoseconds_beyond_a_second_are_refused() {
        let time = Timestamp { seconds: 0, nanos: 1_000_000_000 };

        assert_eq!(
            malformed(&Payload { time, ..a_commit() }.encode()),
            CborError::Range { field: "nanoseconds" }
        );
    }

    #[test]
    fn unknown_keys_are_passed_over_from_128_on_only() {
        let with_key = |key: u64| {
            // A map of 14 pairs becomes one of 15.
            let mut bytes = a_commit().encode();
            bytes[0] += 1;
            let mut pair = Encoder::new();
            pair.uint(key).text("later");
            bytes.extend(pair.finish());
            bytes
        };

        assert_eq!(malformed(&with_key(127)), CborError::UnknownKey { key: 127 });
        assert_eq!(Payload::decode(Seq(7), &with_key(128)), Ok(a_commit()));
    }

    #[test]
    fn every_beginning_of_a_payload_is_refused() {
        let bytes = a_commit().encode();

        for length in 0..bytes.len() {
            assert!(Payload::decode(Seq(7), &bytes[..length]).is_err(), "{length}");
        }
    }
}
