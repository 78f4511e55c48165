//! Annotate: a device gives a snapshot other tags than its commit did.
//!
//! The tags stand in a sealed body; the log sees only which snapshot they are for. The newest annotation is the one that counts.

use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::id::{Epoch, SessionId, SnapshotId};

/// Replaces what can be changed of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotate {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The epoch whose index key seals the body: the one in force.
    pub epoch: Epoch,
    /// Random: no two annotations are sealed with one key.
    pub session: SessionId,
    /// The sealed body, opaque here.
    pub body: Vec<u8>,
}

impl Annotate {
    pub(super) const PAIRS: usize = 4;

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.uint(10).bytes(self.snapshot.as_bytes());
        out.uint(11).uint(self.epoch.0.into());
        out.uint(12).bytes(self.session.as_bytes());
        out.uint(13).bytes(&self.body);
    }
}

/// The fields of an annotate, as far as they have been read.
#[derive(Default)]
pub(super) struct AnnotateFields {
    snapshot: Option<SnapshotId>,
    epoch: Option<Epoch>,
    session: Option<SessionId>,
    body: Option<Vec<u8>>,
}

impl AnnotateFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.snapshot = Some(SnapshotId::new(input.bytes_array("snapshot id")?)),
            11 => self.epoch = Some(Epoch(input.uint_as("epoch")?)),
            12 => self.session = Some(SessionId::new(input.bytes_array("session id")?)),
            13 => self.body = Some(input.bytes()?.to_vec()),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Annotate, CborError> {
        Ok(Annotate {
            snapshot: required(self.snapshot, 10)?,
            epoch: required(self.epoch, 11)?,
            session: required(self.session, 12)?,
            body: required(self.body, 13)?,
        })
    }
}
