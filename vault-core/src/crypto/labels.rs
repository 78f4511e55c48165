//! Every label that separates one use of a key or hash from another.
//!
//! In use a label is always followed by one zero byte. The labels are unique and none is the beginning of another, so no two
//! uses can ever produce the same input.

/// `K_id`: turns chunk hashes into chunk ids. HKDF from `D`, info: domain.
pub const DOMAIN_ID: &str = "vault/1 domain id";
/// `K_cut`: root of the chunker's tables. HKDF from `D`, info: domain.
pub const DOMAIN_CUT: &str = "vault/1 domain cut";
/// `K_index`: root of the keys of tables and indexes. HKDF from `I_n`, info: domain.
pub const DOMAIN_INDEX: &str = "vault/1 domain index";
/// The chunker's Toeplitz table. HKDF from `K_cut`.
pub const CUT_TABLE: &str = "vault/1 cut table";
/// The chunker's AES-128 key. HKDF from `K_cut`.
pub const CUT_PRF: &str = "vault/1 cut prf";
/// A segment's key and commitment. HKDF from `S`, info: pack number, segment number.
pub const SEAL_SEGMENT: &str = "vault/1 seal segment";
/// A pack table's key and commitment. HKDF from `K_index`, info: session id, pack number.
pub const SEAL_TABLE: &str = "vault/1 seal table";
/// An index object's key and commitment. HKDF from `K_index`, info: session id, index number.
pub const SEAL_INDEX: &str = "vault/1 seal index";
/// A commit body's key and commitment. HKDF from `S`, info: commit number.
pub const SEAL_COMMIT: &str = "vault/1 seal commit";
/// An annotation's key and commitment. HKDF from `K_index`, info: session id, snapshot id.
pub const SEAL_ANNOTATION: &str = "vault/1 seal annotation";
/// First part of the authenticated data of everything sealed with AES-256-GCM.
pub const SEALED: &str = "vault/1 sealed";
/// First part of the message a statement's signatures cover.
pub const SIGN_STATEMENT: &str = "vault/1 sign statement";
/// First part of the message a device certificate's signature covers.
pub const SIGN_DEVICE: &str = "vault/1 sign device";
/// Vault id: BLAKE3 of this and the genesis payload.
pub const HASH_VAULT: &str = "vault/1 hash vault";
/// User id: BLAKE3 of this and the root public key.
pub const HASH_USER: &str = "vault/1 hash user";
/// Device id: BLAKE3 of this and the signing public key.
pub const HASH_DEVICE: &str = "vault/1 hash device";
/// Commitment to the deduplication root, public in the log: BLAKE3 of this, the vault id and `D`.
pub const HASH_DEDUP_ROOT: &str = "vault/1 hash dedup root";
/// Hard-link group of a file: BLAKE3 of this, its device and inode numbers.
pub const HASH_LINK_GROUP: &str = "vault/1 hash link group";
/// First part of the message a card entry's signature covers.
pub const SIGN_CARD: &str = "vault/1 sign card";
/// First part of the message by which a device agrees to be listed on a user's card.
pub const SIGN_CONSENT: &str = "vault/1 sign consent";
/// First part of the message a server's receipt covers.
pub const SIGN_RECEIPT: &str = "vault/1 sign receipt";
/// The link between card entries: BLAKE3 of this and the entry before.
pub const HASH_CARD: &str = "vault/1 hash card";
/// Fingerprint of a new device: BLAKE3 of this, its signing public key and its recipient.
pub const HASH_REQUEST: &str = "vault/1 hash request";
/// Fingerprint of a recipient without a card: BLAKE3 of this and its text.
pub const HASH_RECIPIENT: &str = "vault/1 hash recipient";
/// The key of an invite's MACs. HKDF from the invite's secret, salt: invite id.
pub const KDF_INVITE: &str = "vault/1 kdf invite";
/// The signing key of a user's recovery device. HKDF from the seed of the root key.
pub const KDF_RECOVERY: &str = "vault/1 kdf recovery device";
/// The token of a link. HKDF from the link's secret, salt: grant id.
pub const KDF_LINK_TOKEN: &str = "vault/1 kdf link token";
/// The key of a link's envelope. HKDF from the link's secret, salt: grant id.
pub const KDF_LINK_KEY: &str = "vault/1 kdf link key";
/// `K_id` of a grant. HKDF from its `S`, info: grant id.
pub const GRANT_ID: &str = "vault/1 grant id";
/// `K_index` of a grant. HKDF from its `S`, info: grant id.
pub const GRANT_INDEX: &str = "vault/1 grant index";
/// The key and commitment of what says where a grant's keys stand. HKDF from its `S`, info: grant id.
pub const SEAL_GRANT: &str = "vault/1 seal grant";
/// First part of the message that an answer to a new device is signed with.
pub const SIGN_ANSWER: &str = "vault/1 sign answer";

/// All of them, for the test that compares them and for `docs/crypto.md`.
pub const ALL: &[&str] = &[
    DOMAIN_ID,
    DOMAIN_CUT,
    DOMAIN_INDEX,
    CUT_TABLE,
    CUT_PRF,
    SEAL_SEGMENT,
    SEAL_TABLE,
    SEAL_INDEX,
    SEAL_COMMIT,
    SEAL_ANNOTATION,
    SEALED,
    SIGN_STATEMENT,
    SIGN_DEVICE,
    HASH_VAULT,
    HASH_USER,
    HASH_DEVICE,
    HASH_DEDUP_ROOT,
    HASH_LINK_GROUP,
    SIGN_CARD,
    SIGN_CONSENT,
    SIGN_RECEIPT,
    HASH_CARD,
    HASH_REQUEST,
    HASH_RECIPIENT,
    KDF_INVITE,
    KDF_RECOVERY,
    KDF_LINK_TOKEN,
    KDF_LINK_KEY,
    GRANT_ID,
    GRANT_INDEX,
    SEAL_GRANT,
    SIGN_ANSWER,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_the_beginning_of_another() {
        for (i, a) in ALL.iter().enumerate() {
            for (j, b) in ALL.iter().enumerate() {
                assert!(i == j || !b.starts_with(a), "{a:?} begins {b:?}");
            }
            assert!(a.is_ascii() && !a.contains('\0'));
        }
    }

    #[test]
    fn the_list_names_every_label_in_this_file() {
        let source = include_str!("labels.rs");
        let declared =
            source.lines().filter(|line| line.starts_with("pub const") && line.contains(": &str =")).count();

        assert_eq!(declared, ALL.len());
    }
}
