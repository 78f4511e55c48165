//! Bounded little-endian reading and writing of byte slices, used by every binary decoder.
//!
//! A reader never reads past its slice, and never allocates: what it returns borrows from the input.

use std::fmt;

/// The input ended before the value did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("input ends {missing_bytes} bytes too early")]
pub struct UnexpectedEnd {
    /// How many more bytes the value needs.
    pub missing_bytes: usize,
}

/// Reads fixed-size values from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// What has not been read yet.
    pub fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], UnexpectedEnd> {
        let (head, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| UnexpectedEnd { missing_bytes: length - self.rest.len() })?;
        self.rest = rest;
        Ok(head)
    }

    /// Takes the next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], UnexpectedEnd> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| UnexpectedEnd { missing_bytes: N - self.rest.len() })?;
        self.rest = rest;
        Ok(*head)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, UnexpectedEnd> {
        self.array::<1>().map(|[b]| b)
    }

    /// Takes a 16-bit number.
    pub fn u16(&mut self) -> Result<u16, UnexpectedEnd> {
        self.array().map(u16::from_le_bytes)
    }

    /// Takes a 32-bit number.
    pub fn u32(&mut self) -> Result<u32, UnexpectedEnd> {
        self.array().map(u32::from_le_bytes)
    }

    /// Takes a 64-bit number.
    pub fn u64(&mut self) -> Result<u64, UnexpectedEnd> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes a signed 64-bit number.
    pub fn i64(&mut self) -> Result<i64, UnexpectedEnd> {
        self.array().map(i64::from_le_bytes)
    }
}

/// Appends little-endian values to a growing buffer.
pub trait Writer {
    /// Appends one byte.
    fn put_u8(&mut self, value: u8);
    /// Appends a 16-bit number.
    fn put_u16(&mut self, value: u16);
    /// Appends a 32-bit number.
    fn put_u32(&mut self, value: u32);
    /// Appends a 64-bit number.
    fn put_u64(&mut self, value: u64);
    /// Appends a signed 64-bit number.
    fn put_i64(&mut self, value: i64);
}

impl Writer for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
}

/// A number of bytes, shown to people in powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// One kibibyte.
    pub const KIB: u64 = 1 << 10;
    /// One mebibyte.
    pub const MIB: u64 = 1 << 20;
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        write!(f, "{value:.1} {}", UNITS[unit])
    }
}

/// Rounds a length up so that it reveals only `O(log log L)` bits of itself: Padmé.
///
/// `E = ⌊log₂ L⌋, S = ⌊log₂ E⌋ + 1`, rounded up to a multiple of `2^(E-S)` (Nikitin et al., "Reducing Metadata Leakage from
/// Encrypted Files and Communication with PURBs", section 4). Costs at most 12 %, about 1.5 % at 32 MiB.
pub fn padme(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let kept_bits = if exponent == 0 { 1 } else { exponent.ilog2() + 1 };
    let mask = (1u64 << exponent.saturating_sub(kept_bits)) - 1;
    length.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_stops_at_the_end_of_its_input() {
        let mut reader = Reader::new(&[1, 2, 0, 9]);

        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Err(UnexpectedEnd { missing_bytes: 3 }));
        assert_eq!(reader.remaining(), [9]);
    }

    #[test]
    fn padme_follows_the_published_examples_and_never_shrinks() {
        // Values computed by hand from the formula: L=9: E=3, S=2, so multiples of 2.
        assert_eq!(padme(9), 10);
        assert_eq!(padme(1 << 25), 1 << 25);
        assert_eq!(padme((1 << 25) + 1), (1 << 25) + (1 << 20));
        for length in 0..100_000 {
            let padded = padme(length);
            assert!(padded >= length && padded as f64 <= length as f64 * 1.12 + 1.0, "{length} -> {padded}");
            assert_eq!(padme(padded), padded);
        }
    }

    #[test]
    fn sizes_are_shown_in_powers_of_1024() {
        assert_eq!(ByteSize(1023).to_string(), "1023 B");
        assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteSize(1 << 40).to_string(), "1.0 TiB");
    }
}
