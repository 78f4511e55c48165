//! Message authentication: HMAC-SHA256 (RFC 2104), with the key of an invite; and the keys that HKDF gives where there is no vault.
//!
//! A message begins with a word and 0x00, so a MAC made for one purpose verifies for no other. Comparing takes the same time
//! whatever differs.

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;

use super::labels::{KDF_INVITE, KDF_LINK_KEY, KDF_LINK_TOKEN, KDF_RECOVERY};
use super::secret::Secret;
use crate::id::{GrantId, InviteId};

/// Bytes of a MAC.
pub const MAC_BYTES: usize = 32;

/// A MAC that does not belong to the message and key. Says no more, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the MAC does not fit")]
pub struct BadMac;

/// `HKDF-SHA256(ikm = secret, salt = invite id, info = "vault/1 kdf invite" || 0x00, 32 bytes)`.
pub fn invite_key(secret: &Secret<32>, invite: &InviteId) -> Secret<32> {
    let prk = Salt::new(HKDF_SHA256, invite.as_bytes()).extract(secret.expose());
    Secret::fill_with(|out| {
        prk.expand(&[KDF_INVITE.as_bytes(), &[0]], HKDF_SHA256).and_then(|okm| okm.fill(out))
    })
    .expect("the length is that of one block")
}

/// `HKDF-SHA256(ikm = root seed, no salt, info = "vault/1 kdf recovery device" || 0x00, 32 bytes)`.
pub fn recovery_seed(root: &Secret<32>) -> Secret<32> {
    let prk = Salt::new(HKDF_SHA256, &[]).extract(root.expose());
    Secret::fill_with(|out| {
        prk.expand(&[KDF_RECOVERY.as_bytes(), &[0]], HKDF_SHA256).and_then(|okm| okm.fill(out))
    })
    .expect("the length is that of one block")
}

/// `HKDF-SHA256(ikm = secret, salt = grant id, info = "vault/1 kdf link token" || 0x00, 32 bytes)`.
pub fn link_token(secret: &Secret<32>, grant: &GrantId) -> Secret<32> {
    of_link(secret, grant, KDF_LINK_TOKEN)
}

/// `HKDF-SHA256(ikm = secret, salt = grant id, info = "vault/1 kdf link key" || 0x00, 48 bytes)`.
pub fn link_key(secret: &Secret<32>, grant: &GrantId) -> Secret<48> {
    of_link(secret, grant, KDF_LINK_KEY)
}

fn of_link<const N: usize>(secret: &Secret<32>, grant: &GrantId, label: &str) -> Secret<N> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    const { assert!(N <= 64) };
    let prk = Salt::new(HKDF_SHA256, grant.as_bytes()).extract(secret.expose());
    Secret::fill_with(|out| prk.expand(&[label.as_bytes(), &[0]], Length(N)).and_then(|okm| okm.fill(out)))
        .expect("the length is that of two blocks at most")
}

/// `HMAC-SHA256(key, word || 0x00 || fields)`; under one word all fields but the last have fixed lengths.
pub fn sign(key: &Secret<32>, word: &str, fields: &[&[u8]]) -> [u8; MAC_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), &message(word, fields));
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(tag.as_ref());
    mac
}

/// Whether `mac` is [`sign`] of the same; takes the same time for every `mac`.
pub fn verify(key: &Secret<32>, word: &str, fields: &[&[u8]], mac: &[u8; MAC_BYTES]) -> Result<(), BadMac> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    hmac::verify(&key, &message(word, fields), mac).map_err(|_| BadMac)
}

fn message(word: &str, fields: &[&[u8]]) -> Vec<u8> {
    [&[word.as_bytes(), &[0]], fields].concat().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_holds_for_its_key_word_and_fields_only() {
        let key = Secret::new([1; 32]);
        let mac = sign(&key, "join", &[b"a", b"b"]);

        assert_eq!(verify(&key, "join", &[b"ab"], &mac), Ok(()));
        assert_eq!(verify(&key, "join", &[b"ac"], &mac), Err(BadMac));
        assert_eq!(verify(&key, "joined", &[b"ab"], &mac), Err(BadMac));
        assert_eq!(verify(&Secret::new([2; 32]), "join", &[b"ab"], &mac), Err(BadMac));
        let mut other = mac;
        other[31] ^= 1;
        assert_eq!(verify(&key, "join", &[b"ab"], &other), Err(BadMac));
    }

    #[test]
    fn the_mac_is_that_of_rfc_2104() {
        // Computed with Python: hmac.new(bytes([1])*32, b"join\0entry", "sha256").
        let mac = sign(&Secret::new([1; 32]), "join", &[b"entry"]);

        assert_eq!(hex::encode(mac), "aeda4919e3c6f495d80fde25ef36632605a73acfb46a794e02593f2000940f61");
    }

    #[test]
    fn every_invite_has_a_key_of_its_own() {
        let secret = Secret::new([1; 32]);
        let key = |id: u8| *invite_key(&secret, &InviteId::new([id; 16])).expose();

        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
        assert_ne!(key(1), [1; 32]);
    }
}
