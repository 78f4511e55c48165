//! Key derivation: HKDF-SHA256, always with the vault id as salt and a label from [`labels`](super::labels).
//!
//! Info is `label || 0x00 || fields`, and under one label the fields always have the same lengths.

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};

use super::secret::Secret;
use crate::id::VaultId;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `HKDF-SHA256(ikm = key, salt = vault id, info = label || 0x00 || fields, N bytes)` (RFC 5869).
///
/// `N` is at most 8160, the limit of the function: 255 blocks of 32 bytes.
pub fn derive<const N: usize>(key: &Secret<32>, vault: &VaultId, label: &str, fields: &[&[u8]]) -> Secret<N> {
    const { assert!(N <= 255 * 32) };
    let mut info: Vec<&[u8]> = Vec::with_capacity(2 + fields.len());
    info.extend([label.as_bytes(), &[0]]);
    info.extend(fields);
    let prk = Salt::new(HKDF_SHA256, vault.as_bytes()).extract(key.expose());
    Secret::fill_with(|out| prk.expand(&info, Length(N)).and_then(|okm| okm.fill(out)))
        .expect("the length is below HKDF's limit, checked at compile time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_vault_label_and_fields() {
        let key = Secret::new([1; 32]);
        let vault = VaultId::new([2; 32]);
        let base: Secret<32> = derive(&key, &vault, "label", &[&[1, 2]]);

        for other in [
            derive::<32>(&key, &VaultId::new([3; 32]), "label", &[&[1, 2]]),
            derive(&key, &vault, "lebal", &[&[1, 2]]),
            derive(&key, &vault, "label", &[&[1, 3]]),
            derive(&Secret::new([4; 32]), &vault, "label", &[&[1, 2]]),
        ] {
            assert_ne!(base.expose(), other.expose());
        }
        assert_eq!(base.expose(), derive::<32>(&key, &vault, "label", &[&[1], &[2]]).expose());
    }
}
