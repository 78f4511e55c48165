//! HPKE base mode (RFC 9180) for one message, with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305: what age's `mlkem768x25519` uses.
//!
//! Each shared secret seals one message, so the sequence number is always 0 and the nonce is the base nonce.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use super::secret::Secret;

/// `"HPKE" || KEM id || KDF id || AEAD id`: X-Wing 0x647a, HKDF-SHA256 0x0001, ChaCha20-Poly1305 0x0003.
const SUITE_ID: &[u8; 10] = b"HPKE\x64\x7a\x00\x01\x00\x03";
const VERSION: &[u8] = b"HPKE-v1";
const MODE_BASE: u8 = 0;

/// Bytes that sealing adds.
pub(super) const TAG_BYTES: usize = 16;

/// `Seal(key, base_nonce, aad = "", plaintext)` under the schedule of `shared` and `info` (RFC 9180, sections 5.1 and 5.2).
pub(super) fn seal(shared: &Secret<32>, info: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let (key, nonce) = key_schedule(shared, info);
    let mut sealed = Vec::with_capacity(plaintext.len() + TAG_BYTES);
    sealed.extend_from_slice(plaintext);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed)
        .expect("a message of age is far below the cipher's limit");
    sealed
}

/// `Open(key, base_nonce, aad = "", sealed)`; `None` if it was not sealed under this secret.
pub(super) fn open(shared: &Secret<32>, info: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (key, nonce) = key_schedule(shared, info);
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::empty(), &mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

/// `KeySchedule(mode_base, shared, info, psk = "", psk_id = "")` (RFC 9180, section 5.1).
fn key_schedule(shared: &Secret<32>, info: &[u8]) -> (LessSafeKey, Nonce) {
    let mut context = vec![MODE_BASE];
    context.extend_from_slice(labeled_extract(&[], b"psk_id_hash", b"").as_ref());
    context.extend_from_slice(labeled_extract(&[], b"info_hash", info).as_ref());
    let secret = labeled_extract(shared.expose(), b"secret", b"");

    let key: Secret<32> = labeled_expand(&secret, b"key", &context);
    let nonce: Secret<12> = labeled_expand(&secret, b"base_nonce", &context);
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.expose()).expect("32 bytes are a ChaCha20 key");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(*nonce.expose()))
}

/// `HKDF-Extract(salt, "HPKE-v1" || suite_id || label || ikm)`, which is one HMAC (RFC 5869, section 2.2).
fn labeled_extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    for part in [VERSION, SUITE_ID, label, ikm] {
        context.update(part);
    }
    context.sign()
}

/// `HKDF-Expand(prk, N as u16 || "HPKE-v1" || suite_id || label || info, N)`; with `N` up to 32 it is one HMAC, whose input
/// ends with the block number 1 (RFC 5869, section 2.3).
fn labeled_expand<const N: usize>(prk: &hmac::Tag, label: &[u8], info: &[u8]) -> Secret<N> {
    const { assert!(N <= 32) };
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, prk.as_ref()));
    for part in [&(N as u16).to_be_bytes()[..], VERSION, SUITE_ID, label, info, &[1]] {
        context.update(part);
    }
    Secret::from_slice(&context.sign().as_ref()[..N]).expect("the slice has N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_opens_under_its_secret_and_info_only() {
        let shared = Secret::new([1; 32]);
        let sealed = seal(&shared, b"info", b"message");

        assert_eq!(open(&shared, b"info", &sealed).unwrap().as_slice(), b"message");
        assert!(open(&Secret::new([2; 32]), b"info", &sealed).is_none());
        assert!(open(&shared, b"else", &sealed).is_none());
        assert!(open(&shared, b"info", &sealed[1..]).is_none());
        assert!(open(&shared, b"info", &[]).is_none());
    }
}
