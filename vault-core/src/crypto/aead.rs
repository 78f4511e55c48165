//! Sealing: AES-256-GCM with a random nonce, and a commitment to the key in front.
//!
//! A sealed unit is `commitment16 || nonce12 || ciphertext || tag16`. The commitment comes from the same derivation as the key,
//! so a ciphertext opens under one key only (GCM alone does not promise that). Keys are derived for one unit each; the nonce is
//! random all the same, so that sealing a unit twice after a retry repeats nothing.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use subtle::ConstantTimeEq;

use super::random::{Random, RandomUnavailable};
use super::secret::Secret;
use super::{SUITE, labels};
use crate::id::{SessionId, VaultId};

/// Bytes of the key commitment.
pub const COMMITMENT_BYTES: usize = 16;
/// Bytes of the nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of the authentication tag.
pub const TAG_BYTES: usize = 16;
/// What sealing adds to a plaintext.
pub const OVERHEAD_BYTES: usize = COMMITMENT_BYTES + NONCE_BYTES + TAG_BYTES;

/// The sealed bytes are not what this key sealed. Says no more, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed data does not open: it was altered, or belongs to another place")]
pub struct OpenError;

/// What kind of thing is sealed; part of the authenticated data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SealedKind {
    /// A segment of file contents.
    Data = 1,
    /// A segment of tree nodes.
    Tree = 2,
    /// A pack's table.
    Table = 3,
    /// An index object's body.
    Index = 4,
    /// A commit's body.
    Commit = 5,
    /// An annotation's body.
    Annotation = 6,
    /// Where the keys of a grant stand, or the packet of a link.
    Grant = 7,
}

/// Where a sealed unit belongs; it opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext {
    /// What is sealed.
    pub kind: SealedKind,
    /// The vault it is part of.
    pub vault: VaultId,
    /// The session that sealed it.
    pub session: SessionId,
}

impl SealContext {
    /// `"vault/1 sealed" || 0x00 || suite || kind || vault id || session id`.
    fn authenticated_data(&self) -> Vec<u8> {
        let mut aad = Vec::with_capacity(labels::SEALED.len() + 3 + VaultId::LEN + SessionId::LEN);
        aad.extend_from_slice(labels::SEALED.as_bytes());
        aad.extend_from_slice(&[0, SUITE, self.kind as u8]);
        aad.extend_from_slice(self.vault.as_bytes());
        aad.extend_from_slice(self.session.as_bytes());
        aad
    }
}

/// The key of one sealed unit and its commitment: 48 bytes from one derivation, `key32 || commitment16`.
#[derive(Debug)]
pub struct SealKey(Secret<48>);

impl SealKey {
    /// Takes the output of the derivation.
    pub fn new(derived: Secret<48>) -> Self {
        Self(derived)
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.0.expose()[..32]).expect("32 bytes are an AES-256 key");
        LessSafeKey::new(key)
    }

    fn commitment(&self) -> &[u8] {
        &self.0.expose()[32..]
    }

    /// Appends `commitment || nonce || AES-256-GCM(key, nonce, context, plaintext) || tag` to `out`.
    ///
    /// `plaintext` is encrypted where it stands, in front of it `out` must end with [`reserve`](Self::reserve)d room.
    pub fn seal_in_place(
        &self,
        context: &SealContext,
        random: &dyn Random,
        unit: &mut Vec<u8>,
    ) -> Result<(), RandomUnavailable> {
        let nonce: [u8; NONCE_BYTES] = random.bytes()?;
        let (head, plaintext) = unit.split_at_mut(COMMITMENT_BYTES + NONCE_BYTES);
        head[..COMMITMENT_BYTES].copy_from_slice(self.commitment());
        head[COMMITMENT_BYTES..].copy_from_slice(&nonce);
        let tag = self
            .cipher()
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.authenticated_data()),
                plaintext,
            )
            .expect("a unit is far below GCM's limit of 64 GiB");
        unit.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// An empty unit with room for what stands in front of the plaintext; append the plaintext, then seal.
    pub fn reserve(plaintext_bytes: usize) -> Vec<u8> {
        let mut unit = Vec::with_capacity(plaintext_bytes + OVERHEAD_BYTES);
        unit.resize(COMMITMENT_BYTES + NONCE_BYTES, 0);
        unit
    }

    /// Seals a copy of `plaintext`.
    pub fn seal(
        &self,
        context: &SealContext,
        random: &dyn Random,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, RandomUnavailable> {
        let mut unit = Self::reserve(plaintext.len());
        unit.extend_from_slice(plaintext);
        self.seal_in_place(context, random, &mut unit)?;
        Ok(unit)
    }

    /// Opens a sealed unit where it stands and returns the plaintext within it.
    ///
    /// The commitment is compared first, in constant time; on any failure the buffer holds nothing of use.
    pub fn open_in_place<'a>(
        &self,
        context: &SealContext,
        unit: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        if unit.len() < OVERHEAD_BYTES {
            return Err(OpenError);
        }
        let (head, sealed) = unit.split_at_mut(COMMITMENT_BYTES + NONCE_BYTES);
        let (commitment, nonce) = head.split_at(COMMITMENT_BYTES);
        if !bool::from(commitment.ct_eq(self.commitment())) {
            return Err(OpenError);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError)?;
        self.cipher()
            .open_in_place(nonce, Aad::from(context.authenticated_data()), sealed)
            .map_err(|_| OpenError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    fn key(n: u8) -> SealKey {
        SealKey::new(Secret::new([n; 48]))
    }

    fn context() -> SealContext {
        SealContext { kind: SealedKind::Data, vault: VaultId::new([1; 32]), session: SessionId::new([2; 16]) }
    }

    #[test]
    fn sealed_data_opens_again_only_with_its_key_and_place() {
        let random = FixedRandom::new(1);
        let sealed = key(1).seal(&context(), &random, b"plain").unwrap();

        assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
        assert_eq!(key(1).open_in_place(&context(), &mut sealed.clone()).unwrap(), b"plain");
        assert!(key(2).open_in_place(&context(), &mut sealed.clone()).is_err());
        for other in [
            SealContext { kind: SealedKind::Tree, ..context() },
            SealContext { vault: VaultId::new([9; 32]), ..context() },
            SealContext { session: SessionId::new([9; 16]), ..context() },
        ] {
            assert!(key(1).open_in_place(&other, &mut sealed.clone()).is_err(), "{other:?}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let sealed = key(1).seal(&context(), &FixedRandom::new(1), b"plain").unwrap();

        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(key(1).open_in_place(&context(), &mut altered).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                key(1).open_in_place(&context(), &mut sealed[..length].to_vec()).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn sealing_the_same_twice_repeats_no_bytes_but_the_commitment() {
        let random = FixedRandom::new(1);
        let a = key(1).seal(&context(), &random, &[0; 64]).unwrap();
        let b = key(1).seal(&context(), &random, &[0; 64]).unwrap();

        assert_eq!(a[..COMMITMENT_BYTES], b[..COMMITMENT_BYTES]);
        assert_ne!(a[COMMITMENT_BYTES..][..NONCE_BYTES], b[COMMITMENT_BYTES..][..NONCE_BYTES]);
        assert!(a[28..].windows(16).all(|w| !b[28..].windows(16).any(|v| v == w)));
    }
}
