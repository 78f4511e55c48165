//! Commit: a device says that it made a snapshot.
//!
//! What the snapshot is stands in a sealed body; the log sees only who made it, when in the order of things, and which index
//! objects it brings.

use super::lists::{ascending_ids, encode_ids, list};
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::id::{Epoch, IndexId, SessionId, SnapshotId};

/// Adds a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The epoch to whose recipient the session is sealed: the one in force.
    pub epoch: Epoch,
    /// The session that made it.
    pub session: SessionId,
    /// The session's envelope: an age file, opaque here.
    pub session_envelope: Vec<u8>,
    /// The commit's number in its session, from 0.
    pub number: u32,
    /// The sealed body, opaque here.
    pub body: Vec<u8>,
    /// The index objects it brings, which name the packs it brings.
    pub indexes: Vec<IndexId>,
    /// Whether the session goes on: what is there is restorable, but not all there will be.
    pub partial: bool,
    /// Partial snapshots of the same device that this one makes needless, ascending. Others have no effect.
    pub replaces: Vec<SnapshotId>,
}

impl Commit {
    /// Drops envelope and body; how many bytes.
    pub(super) fn drop_sealed(&mut self) -> u64 {
        let sealed = [&mut self.session_envelope, &mut self.body];
        sealed.into_iter().map(|sealed| std::mem::take(sealed).len() as u64).sum()
    }

    pub(super) fn pairs(&self) -> usize {
        if self.replaces.is_empty() { 7 } else { 8 }
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.uint(10).uint(self.epoch.0.into());
        out.uint(11).bytes(self.session.as_bytes());
        out.uint(12).bytes(&self.session_envelope);
        out.uint(13).uint(self.number.into());
        out.uint(14).bytes(&self.body);
        out.uint(15).array(self.indexes.len());
        for index in &self.indexes {
            out.bytes(index.as_bytes());
        }
        out.uint(16).bool(self.partial);
        if !self.replaces.is_empty() {
            encode_ids(out.uint(17), &self.replaces);
        }
    }
}

/// The fields of a commit, as far as they have been read.
#[derive(Default)]
pub(super) struct CommitFields {
    epoch: Option<Epoch>,
    session: Option<SessionId>,
    session_envelope: Option<Vec<u8>>,
    number: Option<u32>,
    body: Option<Vec<u8>>,
    indexes: Option<Vec<IndexId>>,
    partial: Option<bool>,
    replaces: Vec<SnapshotId>,
}

impl CommitFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.epoch = Some(Epoch(input.uint_as("epoch")?)),
            11 => self.session = Some(SessionId::new(input.bytes_array("session id")?)),
            12 => self.session_envelope = Some(input.bytes()?.to_vec()),
            13 => self.number = Some(input.uint_as("commit number")?),
            14 => self.body = Some(input.bytes()?.to_vec()),
            15 => {
                self.indexes = Some(list(input, |input| Ok(IndexId::new(input.bytes_array("index id")?)))?);
            }
            16 => self.partial = Some(input.bool()?),
            17 => self.replaces = ascending_ids(input, "replaced snapshots")?,
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Commit, CborError> {
        Ok(Commit {
            epoch: required(self.epoch, 10)?,
            session: required(self.session, 11)?,
            session_envelope: required(self.session_envelope, 12)?,
            number: required(self.number, 13)?,
            body: required(self.body, 14)?,
            indexes: required(self.indexes, 15)?,
            partial: required(self.partial, 16)?,
            replaces: self.replaces,
        })
    }
}
