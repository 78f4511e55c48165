//! Receipts: a server's word that it took a statement, and when.
//!
//! A receipt covers the vault, the place, the statement's hash and the time, so it can be shown for no other statement and no
//! other time.

use super::encoding::{Millis, Number, from_base64url, to_base64url};
use crate::crypto::labels::SIGN_RECEIPT;
use crate::crypto::sign::{BadSignature, SIGNATURE_BYTES, SigningKey, VerifyingKey};
use crate::id::VaultId;
use crate::log::Head;

/// When a server took a statement, and its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The time by the server's clock.
    pub time: Millis,
    /// `Ed25519("vault/1 sign receipt" || 0x00 || vault || seq (u64 LE) || hash || time (u64 LE))` by the receipt key.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Receipt {
    /// Signs for the statement that `head` names.
    pub fn sign(key: &SigningKey, vault: &VaultId, head: &Head, time: Millis) -> Self {
        Self { time, signature: key.sign(SIGN_RECEIPT, &message(vault, head, time)) }
    }

    /// The receipt of a card entry: a time without a signature.
    pub fn unsigned(time: Millis) -> Self {
        Self { time, signature: [0; SIGNATURE_BYTES] }
    }

    /// Whether the receipt is that key's for the statement that `head` names.
    pub fn verify(&self, key: &VerifyingKey, vault: &VaultId, head: &Head) -> Result<(), BadSignature> {
        key.verify(SIGN_RECEIPT, &message(vault, head, self.time), &self.signature)
    }

    /// The text of the header `vault-receipt`: `"<time> <signature in base64url>"`.
    pub fn to_header(&self) -> String {
        format!("{} {}", self.time, to_base64url(&self.signature))
    }

    /// Reads what [`Self::to_header`] writes; `None` for every other text.
    pub fn parse_header(text: &str) -> Option<Self> {
        let (time, signature) = text.split_once(' ')?;
        Some(Self { time: Millis(Number::parse(time)?.0), signature: from_base64url(signature)? })
    }
}

fn message(vault: &VaultId, head: &Head, time: Millis) -> Vec<u8> {
    let (seq, time) = (head.seq.0.to_le_bytes(), time.0.to_le_bytes());
    [vault.as_bytes().as_slice(), &seq, head.hash.as_bytes(), &time].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Secret;
    use crate::id::{Seq, StatementHash};

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(Secret::new([number; 32]))
    }

    fn head() -> Head {
        Head { seq: Seq(7), hash: StatementHash::new([3; 32]) }
    }

    #[test]
    fn a_receipt_holds_for_its_statement_time_vault_and_server_only() {
        let vault = VaultId::new([1; 32]);
        let receipt = Receipt::sign(&key(1), &vault, &head(), Millis(5));
        let server = key(1).verifying_key();
        let verify = |receipt: &Receipt, vault: [u8; 32], head: Head| {
            receipt.verify(&server, &VaultId::new(vault), &head).is_ok()
        };

        assert!(verify(&receipt, [1; 32], head()));
        assert!(!verify(&receipt, [2; 32], head()));
        assert!(!verify(&receipt, [1; 32], Head { seq: Seq(8), ..head() }));
        assert!(!verify(&receipt, [1; 32], Head { hash: StatementHash::new([4; 32]), ..head() }));
        assert!(!verify(&Receipt { time: Millis(6), ..receipt }, [1; 32], head()));
        assert!(receipt.verify(&key(2).verifying_key(), &vault, &head()).is_err());
        assert!(!verify(&Receipt::unsigned(Millis(5)), [1; 32], head()));
    }

    #[test]
    fn the_header_has_one_text() {
        let receipt = Receipt::sign(&key(1), &VaultId::new([1; 32]), &head(), Millis(1_790_000_000_123));
        let text = receipt.to_header();

        assert_eq!(Receipt::parse_header(&text), Some(receipt));
        for other in [
            format!("0{text}"),
            format!("{text} "),
            format!(" {text}"),
            text.replace(' ', "  "),
            text[1..].replace(' ', ""),
        ] {
            assert_eq!(Receipt::parse_header(&other), None, "{other:?}");
        }
    }
}
