//! Genesis: the first statement, which founds a vault and fixes what never changes in it.
//!
//! The vault id is the hash of the payload that holds it, so nothing in it can be replaced without naming another vault.

use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::crypto::sign::VerifyingKey;

/// Founds a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Root key of the founding user, who says and signs this and the first members.
    pub root_key: VerifyingKey,
    /// Which recipients the vault may have.
    pub pq: PqPolicy,
    /// How files are cut. The chunker judges the numbers; here they are only carried.
    pub chunker: ChunkerParams,
    /// Random: two vaults of one user with the same settings have different ids.
    pub nonce: [u8; 32],
}

/// Whether keys may be sealed to recipients that a quantum computer could break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PqPolicy {
    /// Every recipient is post-quantum.
    Required,
    /// Members and devices may have other recipients; the epoch's is post-quantum all the same.
    Preferred,
}

/// The sizes by which files are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkerParams {
    /// Smallest chunk in bytes, but for the last of a file.
    pub min: u32,
    /// Number of zero bits that make a cut: the mean distance is 2 to the power of it.
    pub mask_bits: u8,
    /// Largest chunk in bytes.
    pub max: u32,
}

impl Genesis {
    pub(super) const PAIRS: usize = 4;

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.uint(10).bytes(&self.root_key.0);
        out.uint(11).uint(match self.pq {
            PqPolicy::Required => 0,
            PqPolicy::Preferred => 1,
        });
        let ChunkerParams { min, mask_bits, max } = self.chunker;
        out.uint(12).array(3).uint(min.into()).uint(mask_bits.into()).uint(max.into());
        out.uint(13).bytes(&self.nonce);
    }
}

/// The fields of a genesis, as far as they have been read.
#[derive(Default)]
pub(super) struct GenesisFields {
    root_key: Option<VerifyingKey>,
    pq: Option<PqPolicy>,
    chunker: Option<ChunkerParams>,
    nonce: Option<[u8; 32]>,
}

impl GenesisFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.root_key = Some(VerifyingKey(input.bytes_array("root key")?)),
            11 => {
                self.pq = Some(match input.uint()? {
                    0 => PqPolicy::Required,
                    1 => PqPolicy::Preferred,
                    _ => return Err(CborError::Range { field: "post-quantum policy" }),
                });
            }
            12 => {
                input.array_of(3, "chunker")?;
                self.chunker = Some(ChunkerParams {
                    min: input.uint_as("minimum")?,
                    mask_bits: input.uint_as("mask bits")?,
                    max: input.uint_as("maximum")?,
                });
            }
            13 => self.nonce = Some(input.bytes_array("nonce")?),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Genesis, CborError> {
        Ok(Genesis {
            root_key: required(self.root_key, 10)?,
            pq: required(self.pq, 11)?,
            chunker: required(self.chunker, 12)?,
            nonce: required(self.nonce, 13)?,
        })
    }
}
