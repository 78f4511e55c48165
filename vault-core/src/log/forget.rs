//! Forget: a device says that some snapshots need not be kept.
//!
//! A forgotten snapshot cannot be restored any more, but nothing is deleted by this: what only it needed goes with a condemn, and
//! its index objects stay in force until one replaces them.

use super::lists::{ascending_ids, encode_ids};
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::id::SnapshotId;

/// Takes snapshots away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// The snapshots, ascending, at least one. Ids that are no snapshot any more have no effect.
    pub snapshots: Vec<SnapshotId>,
}

impl Forget {
    pub(super) const PAIRS: usize = 1;

    pub(super) fn encode(&self, out: &mut Encoder) {
        encode_ids(out.uint(10), &self.snapshots);
    }
}

/// The fields of a forget, as far as they have been read.
#[derive(Default)]
pub(super) struct ForgetFields {
    snapshots: Option<Vec<SnapshotId>>,
}

impl ForgetFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.snapshots = Some(ascending_ids(input, "forgotten snapshots")?),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Forget, CborError> {
        Ok(Forget { snapshots: required(self.snapshots, 10)? })
    }
}
