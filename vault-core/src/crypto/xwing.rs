//! X-Wing: the key encapsulation of ML-KEM-768 and X25519 together (draft-connolly-cfrg-xwing-kem).
//!
//! The shared secret stands as long as either of the two does. Public keys and shares whose X25519 part is of low order are
//! refused: with them the X25519 half would contribute nothing.

use ml_kem::kem::{Decapsulate as _, DecapsulationKey, EncapsulationKey};
use ml_kem::{EncapsulateDeterministic as _, EncodedSizeUser as _, KemCore as _, MlKem768, MlKem768Params};
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use sha3::{Digest as _, Sha3_256, Shake256};
use x25519_dalek::{PublicKey as XPublicKey, StaticSecret};
use zeroize::Zeroize as _;

use super::secret::Secret;

/// Bytes of the secret key.
pub(super) const SEED_BYTES: usize = 32;
/// Bytes of the public key: ML-KEM-768's 1184, then X25519's 32.
pub(super) const PUBLIC_KEY_BYTES: usize = M_PUBLIC_BYTES + 32;
/// Bytes of an encapsulated share: ML-KEM-768's 1088, then X25519's 32.
pub(super) const SHARE_BYTES: usize = M_SHARE_BYTES + 32;

const M_PUBLIC_BYTES: usize = 1184;
const M_SHARE_BYTES: usize = 1088;

/// `XWingLabel` of the draft: the end of what the combiner hashes.
const LABEL: &[u8; 6] = br"\.//^\";

/// The X25519 half of a public key or share is of low order, or the ML-KEM half is not reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WeakKey;

/// A public key that has been checked.
#[derive(Clone)]
pub(super) struct PublicKey {
    m: Box<EncapsulationKey<MlKem768Params>>,
    x: XPublicKey,
}

impl PublicKey {
    /// Checks `bytes` as FIPS 203, section 7.2 ("modulus check") demands, and that the X25519 half can contribute.
    pub(super) fn from_bytes(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<Self, WeakKey> {
        let (m_bytes, x_bytes) = halves(bytes);
        let m = Box::new(EncapsulationKey::from_bytes(&m_bytes.into()));
        let x = XPublicKey::from(x_bytes);
        // A point of low order times any clamped scalar is zero, so one scalar tells.
        let contributes = StaticSecret::from([1; 32]).diffie_hellman(&x).was_contributory();
        if contributes && m.as_bytes()[..] == m_bytes { Ok(Self { m, x }) } else { Err(WeakKey) }
    }

    /// `pk = pk_M || pk_X`.
    pub(super) fn to_bytes(&self) -> Box<[u8; PUBLIC_KEY_BYTES]> {
        let mut bytes = Box::new([0; PUBLIC_KEY_BYTES]);
        bytes[..M_PUBLIC_BYTES].copy_from_slice(&self.m.as_bytes());
        bytes[M_PUBLIC_BYTES..].copy_from_slice(self.x.as_bytes());
        bytes
    }

    /// `EncapsulateDerand(pk, seed)`: the share, and the secret it carries to the owner of the key.
    ///
    /// `seed` is 64 random bytes, never used twice: 32 for ML-KEM's message, 32 for the ephemeral X25519 key.
    pub(super) fn encapsulate(&self, seed: &Secret<64>) -> (Box<[u8; SHARE_BYTES]>, Secret<32>) {
        let (mut message, mut ephemeral) = halves::<64, 32>(seed.expose());
        let (m_share, mut m_secret) =
            self.m.encapsulate_deterministic(&message.into()).expect("encapsulation has no error");
        let ephemeral_key = StaticSecret::from(ephemeral);
        let x_share = XPublicKey::from(&ephemeral_key);
        let x_secret = ephemeral_key.diffie_hellman(&self.x);

        let secret = combine(&m_secret, x_secret.as_bytes(), &x_share, &self.x);
        message.zeroize();
        ephemeral.zeroize();
        m_secret.as_mut_slice().zeroize();
        let mut share = Box::new([0; SHARE_BYTES]);
        share[..M_SHARE_BYTES].copy_from_slice(&m_share);
        share[M_SHARE_BYTES..].copy_from_slice(x_share.as_bytes());
        (share, secret)
    }
}

/// A secret key, expanded.
pub(super) struct SecretKey {
    m: DecapsulationKey<MlKem768Params>,
    x: StaticSecret,
    x_public: XPublicKey,
}

impl SecretKey {
    /// `SHAKE256(seed, 96) = d || z || sk_X`, and `ML-KEM.KeyGen_internal(d, z)`.
    pub(super) fn from_seed(seed: &Secret<SEED_BYTES>) -> Self {
        let mut hasher = Shake256::default();
        hasher.update(seed.expose());
        let mut output = hasher.finalize_xof();
        let [mut d, mut z, mut x_bytes] = [[0; 32]; 3];
        for part in [&mut d, &mut z, &mut x_bytes] {
            output.read(part);
        }
        let (m, _) = MlKem768::generate_deterministic(&d.into(), &z.into());
        let x = StaticSecret::from(x_bytes);
        let x_public = XPublicKey::from(&x);
        for part in [&mut d, &mut z, &mut x_bytes] {
            part.zeroize();
        }
        Self { m, x, x_public }
    }

    /// The public half.
    pub(super) fn public_key(&self) -> PublicKey {
        PublicKey { m: Box::new(self.m.encapsulation_key().clone()), x: self.x_public }
    }

    /// `Decapsulate(share)`: the secret. A share made for another key gives some other secret, not an error.
    pub(super) fn decapsulate(&self, share: &[u8; SHARE_BYTES]) -> Result<Secret<32>, WeakKey> {
        let (m_share, x_share) = halves::<SHARE_BYTES, M_SHARE_BYTES>(share);
        let x_share = XPublicKey::from(x_share);
        let x_secret = self.x.diffie_hellman(&x_share);
        if !x_secret.was_contributory() {
            return Err(WeakKey);
        }
        let mut m_secret = self.m.decapsulate(&m_share.into()).expect("decapsulation has no error");
        let secret = combine(&m_secret, x_secret.as_bytes(), &x_share, &self.x_public);
        m_secret.as_mut_slice().zeroize();
        Ok(secret)
    }
}

/// `SHA3-256(ss_M || ss_X || ct_X || pk_X || XWingLabel)`.
fn combine(m_secret: &[u8], x_secret: &[u8; 32], x_share: &XPublicKey, x_public: &XPublicKey) -> Secret<32> {
    let mut hasher = Sha3_256::new();
    for part in [m_secret, x_secret, x_share.as_bytes(), x_public.as_bytes(), LABEL] {
        sha3::Digest::update(&mut hasher, part);
    }
    Secret::new(hasher.finalize().into())
}

/// Splits `N` bytes into the first `A` and the last 32.
fn halves<const N: usize, const A: usize>(bytes: &[u8; N]) -> ([u8; A], [u8; 32]) {
    const { assert!(A + 32 == N) };
    let (mut first, mut last) = ([0; A], [0; 32]);
    first.copy_from_slice(&bytes[..A]);
    last.copy_from_slice(&bytes[A..]);
    (first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> Secret<N> {
        Secret::from_slice(&hex::decode(text).unwrap()).unwrap()
    }

    /// First test vector of draft-connolly-cfrg-xwing-kem, appendix C.
    #[test]
    fn the_drafts_test_vector_gives_its_shared_secret() {
        let key =
            SecretKey::from_seed(&bytes("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"));
        let seed = bytes(concat!(
            "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2",
            "35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2"
        ));

        let (share, sent) = key.public_key().encapsulate(&seed);

        let expected = "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384";
        assert_eq!(hex::encode(sent.expose()), expected);
        assert_eq!(key.decapsulate(&share).unwrap().expose(), sent.expose());
    }

    #[test]
    fn a_public_key_is_read_back_from_its_bytes() {
        let key = SecretKey::from_seed(&Secret::new([3; 32])).public_key();

        let again = PublicKey::from_bytes(&key.to_bytes()).unwrap();

        assert_eq!(again.to_bytes(), key.to_bytes());
    }

    #[test]
    fn low_order_points_and_unreduced_numbers_are_refused() {
        let good = SecretKey::from_seed(&Secret::new([3; 32]));
        let mut low_order = good.public_key().to_bytes();
        low_order[M_PUBLIC_BYTES..].fill(0);
        let mut unreduced = good.public_key().to_bytes();
        unreduced[..3].fill(0xff);

        assert_eq!(PublicKey::from_bytes(&low_order).err(), Some(WeakKey));
        assert_eq!(PublicKey::from_bytes(&unreduced).err(), Some(WeakKey));
        assert_eq!(good.decapsulate(&[0; SHARE_BYTES]).err(), Some(WeakKey));
    }

    #[test]
    fn a_share_for_another_key_gives_another_secret() {
        let (mine, other) =
            (SecretKey::from_seed(&Secret::new([1; 32])), SecretKey::from_seed(&Secret::new([2; 32])));

        let (share, sent) = other.public_key().encapsulate(&Secret::new([9; 64]));

        assert_ne!(mine.decapsulate(&share).unwrap().expose(), sent.expose());
    }
}
