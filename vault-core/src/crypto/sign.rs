//! Signatures: Ed25519 (RFC 8032) from ring.
//!
//! A signing key is born from its 32-byte seed and shows only its public half. Messages begin with a label and 0x00, so a
//! signature made for one purpose verifies for no other; signed requests alone have the form of their RFC instead.

use std::fmt;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::random::{Random, RandomUnavailable};
use super::secret::Secret;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A signature that does not belong to the message and key. Says no more, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not fit")]
pub struct BadSignature;

/// A public key; public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerifyingKey(pub [u8; 32]);

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", hex::encode(&self.0[..4]))
    }
}

impl VerifyingKey {
    /// Whether `signature` is this key's over `label || 0x00 || message`.
    pub fn verify(&self, label: &str, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(&labelled(label, message), signature)
            .map_err(|_| BadSignature)
    }

    /// Whether `signature` is this key's over a signature base of RFC 9421. See [`SigningKey::sign_base`].
    pub fn verify_base(&self, base: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(base, signature).map_err(|_| BadSignature)
    }
}

/// A signing key.
pub struct SigningKey {
    seed: Secret<32>,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The key that grows from `seed` (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: Secret<32>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("32 bytes are an Ed25519 seed");
        Self { seed, pair }
    }

    /// A new key.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomUnavailable> {
        Secret::generate(random).map(Self::from_seed)
    }

    /// The seed, for storing the key. **It is the secret key.**
    pub fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        VerifyingKey(key)
    }

    /// `Ed25519(label || 0x00 || message)`.
    pub fn sign(&self, label: &str, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(&labelled(label, message)).as_ref());
        signature
    }

    /// `Ed25519(base)`: the only message without a label, since RFC 9421 fixes its form.
    ///
    /// A base begins with a quotation mark and a label never does, so a signature made here verifies nowhere else. **The caller
    /// passes nothing but a signature base.**
    pub fn sign_base(&self, base: &[u8]) -> [u8; SIGNATURE_BYTES] {
        debug_assert!(base.starts_with(b"\""), "a signature base begins with a component");
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(base).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(…, {:?})", self.verifying_key())
    }
}

fn labelled(label: &str, message: &[u8]) -> Vec<u8> {
    let mut signed = Vec::with_capacity(label.len() + 1 + message.len());
    signed.extend_from_slice(label.as_bytes());
    signed.push(0);
    signed.extend_from_slice(message);
    signed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    #[test]
    fn a_signature_verifies_for_its_label_message_and_key_only() {
        let key = SigningKey::generate(&FixedRandom::new(1)).unwrap();
        let other = SigningKey::generate(&FixedRandom::new(2)).unwrap();
        let signature = key.sign("label", b"message");

        assert_eq!(key.verifying_key().verify("label", b"message", &signature), Ok(()));
        assert!(key.verifying_key().verify("lebal", b"message", &signature).is_err());
        assert!(key.verifying_key().verify("label", b"massage", &signature).is_err());
        assert!(other.verifying_key().verify("label", b"message", &signature).is_err());
        assert!(key.verifying_key().verify("label", b"message", &signature[..63]).is_err());
    }

    #[test]
    fn debug_output_shows_no_seed() {
        let key = SigningKey::from_seed(Secret::new([0x42; 32]));

        assert!(!format!("{key:?}").contains("42424242"));
    }
}
