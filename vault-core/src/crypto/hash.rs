//! Hashes: BLAKE3 for contents and chains, SHA-256 for the names of stored objects.
//!
//! `h = BLAKE3(plaintext)` and `id = BLAKE3-keyed(K_id, h)[..16]` are the only two hashes deduplication knows.

use sha2::{Digest, Sha256};

use super::labels;
use super::secret::Secret;
use crate::id::{CardHash, ChunkHash, ChunkId, DeviceId, StatementHash, UserId, VaultId};

/// `h = BLAKE3(plaintext)`.
pub fn chunk_hash(plaintext: &[u8]) -> ChunkHash {
    ChunkHash::new(*blake3::hash(plaintext).as_bytes())
}

/// `id = BLAKE3-keyed(K_id, h)`, first 16 bytes: a keyed value nobody can search collisions for, as `K_id` is secret.
pub fn chunk_id(k_id: &Secret<32>, h: &ChunkHash) -> ChunkId {
    let full = blake3::keyed_hash(k_id.expose(), h.as_bytes());
    let mut id = [0; ChunkId::LEN];
    id.copy_from_slice(&full.as_bytes()[..ChunkId::LEN]);
    ChunkId::new(id)
}

/// `SHA-256(bytes)`: the name of a stored object.
pub fn object_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Computes [`object_hash`] of an object that comes in parts.
#[derive(Debug, Default)]
pub struct ObjectHasher(Sha256);

impl ObjectHasher {
    /// Begins an object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds its next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes added.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// `BLAKE3(statement as stored)`: the next statement's `prev`.
pub fn statement_hash(stored: &[u8]) -> StatementHash {
    StatementHash::new(*blake3::hash(stored).as_bytes())
}

/// `BLAKE3("vault/1 hash card" || 0 || entry as stored)`: the next entry's `prev`.
pub fn card_hash(stored: &[u8]) -> CardHash {
    CardHash::new(labelled(labels::HASH_CARD, &[stored]))
}

/// `BLAKE3("vault/1 hash request" || 0 || signing public key || recipient)`: what people compare when a device is added.
pub fn device_fingerprint(signing_key: &[u8; 32], recipient: &str) -> [u8; 32] {
    labelled(labels::HASH_REQUEST, &[signing_key, recipient.as_bytes()])
}

/// `BLAKE3("vault/1 hash recipient" || 0 || text)`: what people compare of a recipient that has no card.
pub fn recipient_fingerprint(recipient: &str) -> [u8; 32] {
    labelled(labels::HASH_RECIPIENT, &[recipient.as_bytes()])
}

/// `BLAKE3("vault/1 hash vault" || 0 || genesis payload)`.
pub fn vault_id(genesis_payload: &[u8]) -> VaultId {
    VaultId::new(labelled(labels::HASH_VAULT, &[genesis_payload]))
}

/// `BLAKE3("vault/1 hash user" || 0 || root public key)[..16]`.
pub fn user_id(root_key: &[u8; 32]) -> UserId {
    UserId::new(first_half(labelled(labels::HASH_USER, &[root_key])))
}

/// `BLAKE3("vault/1 hash device" || 0 || signing public key)[..16]`.
pub fn device_id(signing_key: &[u8; 32]) -> DeviceId {
    DeviceId::new(first_half(labelled(labels::HASH_DEVICE, &[signing_key])))
}

/// `BLAKE3("vault/1 hash dedup root" || 0 || vault id || D)`: shows every member the same `D` without telling it.
pub fn dedup_root_commitment(vault: &VaultId, dedup_root: &Secret<32>) -> [u8; 32] {
    labelled(labels::HASH_DEDUP_ROOT, &[vault.as_bytes(), dedup_root.expose()])
}

/// `BLAKE3("vault/1 hash link group" || 0 || device || inode)[..8]`: the same for all names of one file, and telling nothing.
pub fn link_group(device: u64, inode: u64) -> u64 {
    let full = labelled(labels::HASH_LINK_GROUP, &[&device.to_le_bytes(), &inode.to_le_bytes()]);
    let mut group = [0; 8];
    group.copy_from_slice(&full[..8]);
    u64::from_le_bytes(group)
}

fn labelled(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(label.as_bytes()).update(&[0]);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

fn first_half(full: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&full[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ids_depend_on_key_and_content() {
        let h = chunk_hash(b"content");
        let key = Secret::new([1; 32]);

        assert_eq!(chunk_id(&key, &h), chunk_id(&key, &chunk_hash(b"content")));
        assert_ne!(chunk_id(&key, &h), chunk_id(&Secret::new([2; 32]), &h));
        assert_ne!(chunk_id(&key, &h), chunk_id(&key, &chunk_hash(b"contenT")));
    }

    #[test]
    fn a_user_and_a_device_with_the_same_key_have_different_ids() {
        assert_ne!(user_id(&[7; 32]).as_bytes(), device_id(&[7; 32]).as_bytes());
    }

    #[test]
    fn object_names_are_what_sha256sum_prints() {
        assert_eq!(
            hex::encode(object_hash(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn an_object_in_parts_has_the_hash_of_the_whole() {
        let mut hasher = ObjectHasher::new();
        ["", "an ", "object"].iter().for_each(|part| hasher.update(part.as_bytes()));

        assert_eq!(hasher.finish(), object_hash(b"an object"));
    }
}
