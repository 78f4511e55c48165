//! Deterministic CBOR (RFC 8949, section 4.2.1): one encoding for each value.
//!
//! The decoder accepts only that encoding: shortest lengths and integers, definite lengths, map keys that are unsigned integers
//! in ascending order, no floats, no tags, no simple values but `false` and `true`. Whatever it accepts, encoding again gives the
//! same bytes. It borrows from its input, and no count it reads is larger than the input could hold.

use crate::bytes::{Reader, UnexpectedEnd};

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const SIMPLE: u8 = 7;
const FALSE: u64 = 20;
const TRUE: u64 = 21;

/// Map keys from this number on may be unknown to a reader; below it an unknown key is an error.
pub const FIRST_IGNORABLE_KEY: u64 = 128;

/// How deep an ignored value may be nested.
const MAX_SKIPPED_DEPTH: u32 = 16;

/// Bytes that are not the one encoding of an expected value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The input is shorter than the value.
    #[error("value is cut off")]
    CutOff(#[from] UnexpectedEnd),
    /// A value of one type stands where another is expected.
    #[error("expected {expected}, found major type {found}")]
    Type {
        /// What the structure has there.
        expected: &'static str,
        /// The CBOR major type found.
        found: u8,
    },
    /// A number or length is not in its shortest form, or of a form that deterministic CBOR does not have.
    #[error("not the deterministic encoding")]
    NotDeterministic,
    /// Map keys are not strictly ascending.
    #[error("map key {key} is out of order or repeated")]
    KeyOrder {
        /// The key at fault.
        key: u64,
    },
    /// A key that this version does not know and must not ignore.
    #[error("unknown map key {key}")]
    UnknownKey {
        /// The key at fault.
        key: u64,
    },
    /// A key that must be there is not.
    #[error("map key {key} is missing")]
    MissingKey {
        /// The key at fault.
        key: u64,
    },
    /// A value outside what its field allows.
    #[error("{field} is out of range")]
    Range {
        /// The field at fault.
        field: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Something follows the value.
    #[error("{bytes} bytes follow the value")]
    Trailing {
        /// How many bytes follow.
        bytes: usize,
    },
}

/// Writes values one after another.
#[derive(Debug, Default)]
pub struct Encoder {
    out: Vec<u8>,
}

impl Encoder {
    /// An encoder that has written nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An encoder that does not move what it writes before `bytes` are exceeded: for secrets, which would leave copies behind.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// What has been written.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Begins an array of `count` items.
    pub fn array(&mut self, count: usize) -> &mut Self {
        self.head(ARRAY, count as u64)
    }

    /// Begins a map of `count` pairs; the caller writes keys in ascending order.
    pub fn map(&mut self, count: usize) -> &mut Self {
        self.head(MAP, count as u64)
    }

    /// Writes an unsigned number, or a map key.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        self.head(UINT, value)
    }

    /// Writes a signed number.
    pub fn int(&mut self, value: i64) -> &mut Self {
        match u64::try_from(value) {
            Ok(positive) => self.head(UINT, positive),
            Err(_) => self.head(NEGATIVE, !value as u64),
        }
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(BYTES, value.len() as u64);
        self.out.extend_from_slice(value);
        self
    }

    /// Writes a text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(TEXT, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    /// Writes `false` or `true`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.head(SIMPLE, if value { TRUE } else { FALSE })
    }

    /// Writes values that are encoded already.
    pub fn raw(&mut self, encoded: &[u8]) -> &mut Self {
        self.out.extend_from_slice(encoded);
        self
    }

    fn head(&mut self, major: u8, value: u64) -> &mut Self {
        let major = major << 5;
        if value < 24 {
            self.out.push(major | value as u8);
        } else if let Ok(value) = u8::try_from(value) {
            self.out.extend_from_slice(&[major | 0x18, value]);
        } else if let Ok(value) = u16::try_from(value) {
            self.out.push(major | 0x19);
            self.out.extend_from_slice(&value.to_be_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.out.push(major | 0x1a);
            self.out.extend_from_slice(&value.to_be_bytes());
        } else {
            self.out.push(major | 0x1b);
            self.out.extend_from_slice(&value.to_be_bytes());
        }
        self
    }
}

/// Reads values one after another.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    input: Reader<'a>,
}

impl<'a> Decoder<'a> {
    /// Reads from the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input: Reader::new(input) }
    }

    /// Decodes exactly one value that fills the whole input.
    pub fn decode_all<T>(
        input: &'a [u8],
        decode: impl FnOnce(&mut Self) -> Result<T, CborError>,
    ) -> Result<T, CborError> {
        let mut decoder = Self::new(input);
        let value = decode(&mut decoder)?;
        match decoder.input.remaining().len() {
            0 => Ok(value),
            bytes => Err(CborError::Trailing { bytes }),
        }
    }

    /// What has not been read yet; with the same call later, the bytes of a value in between can be told.
    pub fn remaining(&self) -> &'a [u8] {
        self.input.remaining()
    }

    /// Begins an array and tells its length, which is at most the number of bytes left.
    pub fn array(&mut self) -> Result<usize, CborError> {
        let count = self.expect(ARRAY, "an array")?;
        self.bounded(count, 1)
    }

    /// Begins an array that must have `count` items.
    pub fn array_of(&mut self, count: usize, field: &'static str) -> Result<(), CborError> {
        if self.array()? == count { Ok(()) } else { Err(CborError::Range { field }) }
    }

    /// Begins a map; read it with [`MapReader::key`].
    pub fn map(&mut self) -> Result<MapReader, CborError> {
        let count = self.expect(MAP, "a map")?;
        Ok(MapReader { left: self.bounded(count, 2)?, last: None })
    }

    /// Reads an unsigned number.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        self.expect(UINT, "an unsigned number")
    }

    /// Reads an unsigned number that fits `T`.
    pub fn uint_as<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, CborError> {
        T::try_from(self.uint()?).map_err(|_| CborError::Range { field })
    }

    /// Reads a signed number.
    pub fn int(&mut self) -> Result<i64, CborError> {
        let (major, value) = self.head()?;
        let magnitude = i64::try_from(value).map_err(|_| CborError::Range { field: "number" })?;
        match major {
            UINT => Ok(magnitude),
            NEGATIVE => Ok(!magnitude),
            found => Err(CborError::Type { expected: "a number", found }),
        }
    }

    /// Reads a byte string.
    pub fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let length = self.expect(BYTES, "bytes")?;
        self.take(length)
    }

    /// Reads a byte string of exactly `N` bytes.
    pub fn bytes_array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CborError> {
        self.bytes()?.try_into().map_err(|_| CborError::Range { field })
    }

    /// Reads a text string.
    pub fn text(&mut self) -> Result<&'a str, CborError> {
        let length = self.expect(TEXT, "text")?;
        std::str::from_utf8(self.take(length)?).map_err(|_| CborError::NotUtf8)
    }

    /// Reads `false` or `true`.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        match self.head()? {
            (SIMPLE, FALSE) => Ok(false),
            (SIMPLE, TRUE) => Ok(true),
            (found, _) => Err(CborError::Type { expected: "true or false", found }),
        }
    }

    /// Handles a key the structure does not have: passes over the value where that is allowed.
    pub fn unknown_key(&mut self, key: u64) -> Result<(), CborError> {
        if key < FIRST_IGNORABLE_KEY {
            return Err(CborError::UnknownKey { key });
        }
        self.skip(MAX_SKIPPED_DEPTH)
    }

    fn skip(&mut self, depth: u32) -> Result<(), CborError> {
        let deeper = depth.checked_sub(1).ok_or(CborError::Range { field: "nesting" })?;
        match self.clone().head()?.0 {
            UINT | NEGATIVE => self.head().map(drop),
            BYTES => self.bytes().map(drop),
            TEXT => self.text().map(drop),
            SIMPLE => self.bool().map(drop),
            ARRAY => {
                for _ in 0..self.array()? {
                    self.skip(deeper)?;
                }
                Ok(())
            }
            MAP => {
                let mut map = self.map()?;
                while map.key(self)?.is_some() {
                    self.skip(deeper)?;
                }
                Ok(())
            }
            _ => Err(CborError::NotDeterministic),
        }
    }

    fn expect(&mut self, major: u8, expected: &'static str) -> Result<u64, CborError> {
        match self.head()? {
            (found, value) if found == major => Ok(value),
            (found, _) => Err(CborError::Type { expected, found }),
        }
    }

    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let first = self.input.u8()?;
        let (value, smallest) = match first & 0x1f {
            short @ 0..24 => (u64::from(short), 0),
            24 => (u64::from(self.input.u8()?), 24),
            25 => (u64::from(u16::from_be_bytes(self.input.array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.input.array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.input.array()?), 1 << 32),
            _ => return Err(CborError::NotDeterministic),
        };
        if value < smallest {
            return Err(CborError::NotDeterministic);
        }
        Ok((first >> 5, value))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], CborError> {
        let length = usize::try_from(length).map_err(|_| CborError::Range { field: "length" })?;
        Ok(self.input.take(length)?)
    }

    fn bounded(&self, count: u64, bytes_each: u64) -> Result<usize, CborError> {
        let available = self.input.remaining().len() as u64;
        if count > available / bytes_each {
            return Err(CborError::Range { field: "count" });
        }
        Ok(count as usize)
    }
}

/// Reads the keys of one map, in order.
#[derive(Debug)]
pub struct MapReader {
    left: usize,
    last: Option<u64>,
}

impl MapReader {
    /// The next key, whose value the caller reads from `decoder`; `None` after the last pair.
    pub fn key(&mut self, decoder: &mut Decoder<'_>) -> Result<Option<u64>, CborError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let key = decoder.uint()?;
        if self.last.is_some_and(|last| key <= last) {
            return Err(CborError::KeyOrder { key });
        }
        self.left = left;
        self.last = Some(key);
        Ok(Some(key))
    }
}

/// The value of a key that must be there.
pub fn required<T>(value: Option<T>, key: u64) -> Result<T, CborError> {
    value.ok_or(CborError::MissingKey { key })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values and encodings of RFC 8949, appendix A.
    #[test]
    fn numbers_are_encoded_as_the_rfc_shows() {
        for (value, expected) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
            (-1, "20"),
            (-1000, "3903e7"),
            (i64::MIN, "3b7fffffffffffffff"),
        ] {
            let mut encoder = Encoder::new();
            encoder.int(value);
            let bytes = encoder.finish();
            assert_eq!(hex::encode(&bytes), expected);
            assert_eq!(Decoder::decode_all(&bytes, Decoder::int), Ok(value));
        }
    }

    #[test]
    fn longer_forms_of_a_number_are_refused() {
        for longer in ["1817", "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff"] {
            let bytes = hex::decode(longer).unwrap();
            assert_eq!(Decoder::new(&bytes).uint(), Err(CborError::NotDeterministic), "{longer}");
        }
    }

    #[test]
    fn indefinite_lengths_floats_and_tags_are_refused() {
        for other in ["9fff", "5f4100ff", "f93c00", "c000", "f6", "f7", "bf00ff"] {
            let bytes = hex::decode(other).unwrap();
            assert!(Decoder::new(&bytes).skip(8).is_err(), "{other}");
        }
    }

    #[test]
    fn map_keys_must_ascend() {
        let decode = |text: &str| {
            let bytes = hex::decode(text).unwrap();
            Decoder::decode_all(&bytes, |d| d.skip(4))
        };

        assert_eq!(decode("a200000100"), Ok(()));
        assert_eq!(decode("a201000000"), Err(CborError::KeyOrder { key: 0 }));
        assert_eq!(decode("a200000000"), Err(CborError::KeyOrder { key: 0 }));
    }

    #[test]
    fn counts_beyond_the_input_are_refused_before_anything_is_allocated() {
        let array = hex::decode("9b00ffffffffffffff").unwrap();
        let map = hex::decode("bb00ffffffffffffff").unwrap();

        assert_eq!(Decoder::new(&array).array(), Err(CborError::Range { field: "count" }));
        assert!(matches!(Decoder::new(&map).map(), Err(CborError::Range { field: "count" })));
    }

    #[test]
    fn unknown_keys_are_ignored_only_from_128_on() {
        let value = hex::decode("8201a10203").unwrap();

        assert_eq!(Decoder::new(&value).unknown_key(127), Err(CborError::UnknownKey { key: 127 }));
        assert_eq!(Decoder::new(&value).unknown_key(128), Ok(()));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = [0x81; 1000];

        assert!(Decoder::new(&deep).unknown_key(128).is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(Decoder::decode_all(&[0, 0], Decoder::uint), Err(CborError::Trailing { bytes: 1 }));
    }
}
