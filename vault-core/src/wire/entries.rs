//! Lists of entries: statements of a log, or entries of a card, in one binary body.
//!
//! `for each entry: length (u32) || server time (u64, ms) || receipt signature (64; zeros for cards) || bytes`, numbers
//! little-endian. A reader compares each length with the limit of the kind before it looks at the bytes, and copies nothing.

use super::encoding::Millis;
use super::limits::ENTRIES_BYTES;
use super::receipt::Receipt;
use crate::bytes::{Reader, UnexpectedEnd, Writer};
use crate::crypto::sign::SIGNATURE_BYTES;

/// Bytes of an entry besides its own.
const HEAD_BYTES: usize = 4 + 8 + SIGNATURE_BYTES;

/// One entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The server's time and signature; the signature is zero for cards.
    pub receipt: Receipt,
    /// The statement or card entry, as it is stored.
    pub bytes: &'a [u8],
}

/// A body that is not a list of entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntriesError {
    /// The body ends within an entry.
    #[error("the list of entries is cut off")]
    CutOff(#[from] UnexpectedEnd),
    /// An entry is larger than its kind may be.
    #[error("an entry of {bytes} bytes is larger than one may be")]
    TooLarge {
        /// The length it names.
        bytes: u32,
    },
}

/// Writes a list, as many entries as fit.
#[derive(Debug, Default)]
pub struct EntriesWriter {
    out: Vec<u8>,
}

impl EntriesWriter {
    /// A list of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry, unless the list would exceed 4 MiB by it and has entries already; tells whether it was appended.
    ///
    /// An entry of 4 GiB or more is never appended.
    pub fn push(&mut self, receipt: &Receipt, bytes: &[u8]) -> bool {
        let Ok(length) = u32::try_from(bytes.len()) else { return false };
        let size = self.out.len().saturating_add(HEAD_BYTES).saturating_add(bytes.len());
        if size > ENTRIES_BYTES && !self.out.is_empty() {
            return false;
        }
        self.out.put_u32(length);
        self.out.put_u64(receipt.time.0);
        self.out.extend_from_slice(&receipt.signature);
        self.out.extend_from_slice(bytes);
        true
    }

    /// The body.
    pub fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Reads the entries of a body one after another; none may be larger than `max_bytes`.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    input: Reader<'a>,
    max_bytes: u64,
}

impl<'a> Entries<'a> {
    /// Reads from the start of `body`.
    pub fn new(body: &'a [u8], max_bytes: u64) -> Self {
        Self { input: Reader::new(body), max_bytes }
    }

    fn read(&mut self) -> Result<Entry<'a>, EntriesError> {
        let length = self.input.u32()?;
        if u64::from(length) > self.max_bytes {
            return Err(EntriesError::TooLarge { bytes: length });
        }
        let receipt = Receipt { time: Millis(self.input.u64()?), signature: self.input.array()? };
        Ok(Entry { receipt, bytes: self.input.take(length as usize)? })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, EntriesError>;

    /// The next entry. After an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.input.is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.input = Reader::new(&[]);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt(number: u8) -> Receipt {
        Receipt { time: Millis(u64::from(number)), signature: [number; SIGNATURE_BYTES] }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(list in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut writer = EntriesWriter::new();
            for (number, bytes) in &list {
                prop_assert!(writer.push(&receipt(*number), bytes));
            }
            let body = writer.finish();

            let read: Result<Vec<_>, _> = Entries::new(&body, 40).collect();

            let read: Vec<_> = read.unwrap().iter().map(|e| (e.receipt.signature[0], e.bytes.to_vec())).collect();
            prop_assert_eq!(read, list);
        }

        #[test]
        fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
            for entry in Entries::new(&body, 100) {
                prop_assert!(entry.is_err() || entry.is_ok_and(|entry| entry.bytes.len() <= 100));
            }
        }
    }

    #[test]
    fn every_beginning_but_the_boundaries_is_refused_once() {
        let mut writer = EntriesWriter::new();
        writer.push(&receipt(1), b"one");
        writer.push(&receipt(2), b"two");
        let body = writer.finish();

        for length in 1..body.len() {
            let errors = Entries::new(&body[..length], 3).filter(Result::is_err).count();
            assert_eq!(errors, usize::from(length != body.len() / 2), "{length}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_the_bytes_are_missed() {
        let error = Entries::new(&[0xff; 76], 1 << 20).next();

        assert_eq!(error, Some(Err(EntriesError::TooLarge { bytes: u32::MAX })));
    }

    #[test]
    fn a_list_holds_at_least_one_entry_and_no_more_than_fit() {
        let large = vec![0; ENTRIES_BYTES];
        let mut writer = EntriesWriter::new();

        assert!(writer.push(&receipt(1), &large));
        assert!(!writer.push(&receipt(2), b""));
        let mut writer = EntriesWriter::new();
        assert!(writer.push(&receipt(1), b"small"));
        assert!(!writer.push(&receipt(2), &large));
    }
}
