//! Keys as text: Bech32 (BIP 173) without its limit of length, as age writes its keys.
//!
//! A key has exactly one text: decoding accepts what encoding writes, to the letter, and nothing else. Text and bytes pass only
//! through buffers that are wiped, because most of these keys are secret.

use age_core::primitives::{bech32_decode, bech32_encode_to_fmt};
use bech32::Hrp;
use zeroize::Zeroizing;

use super::secret::Secret;

/// Characters of the checksum, and the `1` between prefix and data.
const CHECKSUM_AND_SEPARATOR: usize = 7;

/// Text that is not the one form of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Bech32Error {
    /// The text begins otherwise: it is some other kind of key, or none.
    #[error("a key that begins with {expected:?} is expected")]
    Prefix {
        /// The beginning of every key of this kind.
        expected: &'static str,
    },
    /// A character or the checksum is wrong: mistyped or cut off.
    #[error("the key is mistyped: its checksum does not fit")]
    Checksum,
    /// The text is well formed, but not of a key's length.
    #[error("the key does not have {expected_bytes} bytes")]
    Length {
        /// Bytes of every key of this kind.
        expected_bytes: usize,
    },
}

/// One kind of key: what its text begins with, before the separating `1`.
///
/// The prefix's case is the case of the whole text: age writes secret keys in upper case and public ones in lower case.
#[derive(Debug, Clone, Copy)]
pub struct Prefix(&'static str);

impl Prefix {
    /// A prefix in one case; Bech32 allows at most 83 ASCII characters.
    pub const fn new(prefix: &'static str) -> Self {
        Self(prefix)
    }

    /// The prefix as it stands in the text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether `text` is, or is meant to be, a key of this kind.
    pub fn begins(self, text: &str) -> bool {
        text.strip_prefix(self.0).is_some_and(|rest| rest.starts_with('1'))
    }

    /// `prefix || "1" || data and checksum`, in the prefix's case.
    pub fn encode<const N: usize>(self, key: &[u8; N]) -> Zeroizing<String> {
        let length = self.0.len() + CHECKSUM_AND_SEPARATOR + (8 * N).div_ceil(5);
        // With the capacity known the text never moves, so it leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(length));
        bech32_encode_to_fmt(&mut *text, Hrp::parse_unchecked(self.0), key)
            .expect("writing to a string does not fail");
        if self.0.starts_with(|first: char| first.is_ascii_uppercase()) {
            text.make_ascii_uppercase();
        }
        text
    }

    /// The key of `N` bytes that [`encode`](Self::encode) writes as `text`.
    pub fn decode<const N: usize>(self, text: &str) -> Result<Secret<N>, Bech32Error> {
        if !self.begins(text) {
            return Err(Bech32Error::Prefix { expected: self.0 });
        }
        let key: Secret<N> = bech32_decode(
            text,
            |_| Bech32Error::Checksum,
            |_| Ok(()),
            |_, mut bytes| {
                let length = Bech32Error::Length { expected_bytes: N };
                let key = Secret::fill_with(|key: &mut [u8; N]| {
                    key.iter_mut()
                        .try_for_each(|slot| bytes.next().map(|byte| *slot = byte))
                        .ok_or_else(|| length.clone())
                })?;
                if bytes.next().is_none() { Ok(key) } else { Err(length) }
            },
        )?;
        // What is left to differ: unused bits at the end that are not zero.
        if *self.encode(key.expose()) == text { Ok(key) } else { Err(Bech32Error::Checksum) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Prefix = Prefix::new("TEST-KEY-");
    const PUBLIC: Prefix = Prefix::new("test");

    #[test]
    fn a_key_decodes_from_its_own_text() {
        for prefix in [SECRET, PUBLIC] {
            let text = prefix.encode(&[0xa5; 32]);

            assert_eq!(prefix.decode::<32>(&text).unwrap().expose(), &[0xa5; 32]);
        }
        assert!(SECRET.encode(&[1; 32]).starts_with("TEST-KEY-1"));
        assert!(PUBLIC.encode(&[1; 32]).starts_with("test1"));
    }

    #[test]
    fn the_text_in_the_other_case_is_refused() {
        let text = SECRET.encode(&[7; 32]);

        let refused = SECRET.decode::<32>(&text.to_lowercase());

        assert_eq!(refused.unwrap_err(), Bech32Error::Prefix { expected: "TEST-KEY-" });
    }

    #[test]
    fn every_single_mistyped_character_is_noticed() {
        let text = PUBLIC.encode(&[7; 32]);

        for at in PUBLIC.as_str().len() + 1..text.len() {
            let mut typed = text.as_bytes().to_vec();
            typed[at] = if typed[at] == b'q' { b'p' } else { b'q' };
            let typed = String::from_utf8(typed).unwrap();
            assert_eq!(PUBLIC.decode::<32>(&typed).unwrap_err(), Bech32Error::Checksum);
        }
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        let error = Bech32Error::Length { expected_bytes: 32 };

        assert_eq!(PUBLIC.decode::<32>(&PUBLIC.encode(&[1; 31])).unwrap_err(), error);
        assert_eq!(PUBLIC.decode::<32>(&PUBLIC.encode(&[1; 33])).unwrap_err(), error);
    }

    #[test]
    fn a_longer_prefix_is_another_kind_of_key() {
        let text = Prefix::new("testpq").encode(&[1; 32]);

        assert!(!PUBLIC.begins(&text));
        assert!(PUBLIC.decode::<32>(&text).is_err());
    }
}
