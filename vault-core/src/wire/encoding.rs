//! How values stand in JSON: ids as hexadecimal, bytes as base64url without padding, times as milliseconds, objects as paths.
//!
//! Each value has one text; every other one is refused.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crypto::sign::VerifyingKey;
use crate::id::{Id, Kind, Seq};
use crate::object::ObjectKey;
use crate::time::Timestamp;

/// `N` bytes that are public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary<const N: usize>(pub [u8; N]);

/// Any number of bytes; whoever takes them bounds the body they come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ByteText(pub Vec<u8>);

/// A time by the server's clock: milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// A number in a path or query: decimal, without sign or leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(pub u64);

impl Millis {
    /// The millisecond of a moment; moments before 1970 become 0.
    pub fn from_timestamp(time: Timestamp) -> Self {
        let seconds = u64::try_from(time.seconds).unwrap_or(0);
        let nanos = if time.seconds < 0 { 0 } else { time.nanos };
        Self(seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000)))
    }

    /// The moment.
    pub fn to_timestamp(self) -> Timestamp {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        Timestamp::new(seconds, (self.0 % 1000) as u32 * 1_000_000)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Number {
    /// Parses the one text of a number; `None` for every other text.
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = text == "0" || !text.starts_with('0');
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (canonical && digits).then(|| text.parse().ok().map(Self)).flatten()
    }
}

/// The base64url text of bytes, without padding.
pub fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads exactly `N` bytes from their one base64url text.
pub fn from_base64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Compared first, so that nothing of another length is ever decoded.
    if text.len() != (N * 4).div_ceil(3) {
        return None;
    }
    let mut bytes = [0; N];
    // The crate refuses padding, other alphabets, and bits that no byte has.
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == N).then_some(bytes)
}

/// Reads a value from a text through `parse`.
struct Text<F>(&'static str, F);

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).ok_or_else(|| E::invalid_value(Unexpected::Other("another text"), &self.0))
    }
}

impl<K: Kind, const N: usize> Serialize for Id<K, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind, const N: usize> Deserialize<'de> for Id<K, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Text("an id in lower-case hexadecimal", |text: &str| Self::parse(text).ok()))
    }
}

impl Serialize for Seq {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("the path of an object", Self::parse))
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Binary(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for VerifyingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Binary::deserialize(deserializer).map(|Binary(bytes)| Self(bytes))
    }
}

impl<const N: usize> Serialize for Binary<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64url(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Binary<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "bytes in base64url without padding, of the right number";
        deserializer.deserialize_str(Text(expected, |text: &str| from_base64url(text).map(Self)))
    }
}

impl Serialize for ByteText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64url(&self.0))
    }
}

impl<'de> Deserialize<'de> for ByteText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "bytes in base64url without padding";
        deserializer.deserialize_str(Text(expected, |text: &str| URL_SAFE_NO_PAD.decode(text).ok().map(Self)))
    }
}

/// Reads a list of at most `MAX` items, and stops at the first item too many.
pub(super) fn at_most<'de, const MAX: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Bounded<T, const MAX: usize>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} items")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                if list.len() == MAX {
                    return Err(A::Error::invalid_length(MAX + 1, &self));
                }
                list.push(item);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(Bounded::<T, MAX>(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{PackId, UserId, VaultId};

    #[test]
    fn ids_are_hexadecimal_and_bytes_are_base64url() {
        let user = UserId::new([0xab; 16]);

        assert_eq!(serde_json::to_string(&user).unwrap(), format!("\"{}\"", "ab".repeat(16)));
        assert_eq!(serde_json::from_str::<UserId>(&format!("\"{}\"", "ab".repeat(16))).unwrap(), user);
        assert!(serde_json::from_str::<UserId>(&format!("\"{}\"", "AB".repeat(16))).is_err());
        assert!(serde_json::from_str::<VaultId>(&format!("\"{}\"", "ab".repeat(16))).is_err());
        assert_eq!(serde_json::to_string(&Binary([0xfb, 0xff])).unwrap(), "\"-_8\"");
        assert_eq!(serde_json::from_str::<Binary<2>>("\"-_8\"").unwrap(), Binary([0xfb, 0xff]));
    }

    #[test]
    fn bytes_have_one_text() {
        for other in ["-_9", "-_8=", "+/8", "-_", "-_8A", "-_8 ", ""] {
            assert_eq!(from_base64url::<2>(other), None, "{other:?}");
            if !matches!(other, "-_" | "-_8A" | "") {
                assert!(serde_json::from_str::<ByteText>(&format!("\"{other}\"")).is_err(), "{other:?}");
            }
        }
        assert_eq!(from_base64url::<2>("-_8"), Some([0xfb, 0xff]));
    }

    #[test]
    fn an_object_is_its_path() {
        let key = ObjectKey::Pack(PackId::new([0xab; 32]));
        let text = serde_json::to_string(&key).unwrap();

        assert_eq!(text, format!("\"packs/ab/{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<ObjectKey>(&text).unwrap(), key);
        assert!(serde_json::from_str::<ObjectKey>("\"packs/../VAULT\"").is_err());
    }

    #[test]
    fn numbers_have_one_text() {
        assert_eq!(Number::parse("0"), Some(Number(0)));
        assert_eq!(Number::parse("18446744073709551615"), Some(Number(u64::MAX)));
        for other in ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "18446744073709551616", "١"] {
            assert_eq!(Number::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn moments_keep_their_millisecond() {
        let time = Timestamp::new(1_790_000_000, 123_456_789);

        assert_eq!(Millis::from_timestamp(time), Millis(1_790_000_000_123));
        assert_eq!(Millis(1_790_000_000_123).to_timestamp(), Timestamp::new(1_790_000_000, 123_000_000));
        assert_eq!(Millis::from_timestamp(Timestamp::new(-5, 999_999_999)), Millis(0));
        assert_eq!(Millis(u64::MAX).to_timestamp().seconds, i64::try_from(u64::MAX / 1000).unwrap());
    }
}
