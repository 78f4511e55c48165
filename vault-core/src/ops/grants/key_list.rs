//! The list of keys of a grant: those of the segments that are given as they lie (`docs/format.md`, section 7.9).
//!
//! It is stored as chunks of the grant itself, so it is as long as it must be, and whoever cannot open the grant sees nothing of it.

use crate::bytes::{Reader, UnexpectedEnd, Writer};
use crate::crypto::secret::Secret;
use crate::id::PackId;
use crate::keys::keyring::SegmentKeys;

/// Where the list is cut into chunks.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// The longest list that is taken: the keys of 5 million segments.
const LONGEST: usize = 256 << 20;

/// Bytes of one segment: its number, its key and commitment.
const SEGMENT_BYTES: usize = 4 + 48;

/// Puts a list together.
#[derive(Default)]
pub(super) struct KeyList(zeroize::Zeroizing<Vec<u8>>);

impl KeyList {
    /// Adds the keys of a pack's segments, ascending by number.
    pub(super) fn add(&mut self, pack: &PackId, segments: &[(u32, Secret<48>)]) {
        self.0.extend_from_slice(pack.as_bytes());
        self.0.put_u32(segments.len() as u32);
        for (number, key) in segments {
            self.0.put_u32(*number);
            self.0.extend_from_slice(key.expose());
        }
    }

    /// The list, in chunks.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.0.chunks(CHUNK_BYTES)
    }
}

/// Whether a list of that length is taken.
pub(super) fn is_taken(bytes: u64) -> bool {
    bytes <= LONGEST as u64
}

/// Reads a list; `None` if it is not one.
pub(super) fn decode(list: &[u8]) -> Option<SegmentKeys> {
    decode_all(list).ok().flatten()
}

fn decode_all(list: &[u8]) -> Result<Option<SegmentKeys>, UnexpectedEnd> {
    let mut input = Reader::new(list);
    let mut keys = SegmentKeys::default();
    while !input.is_empty() {
        let pack = PackId::new(input.array()?);
        let count = input.u32()? as usize;
        let mut of_pack = Reader::new(input.take(count.saturating_mul(SEGMENT_BYTES))?);
        let mut segments: Vec<(u32, Secret<48>)> = Vec::with_capacity(count);
        while !of_pack.is_empty() {
            let number = of_pack.u32()?;
            if segments.last().is_some_and(|(last, _)| *last >= number) {
                return Ok(None);
            }
            let Some(key) = Secret::from_slice(of_pack.take(48)?) else { return Ok(None) };
            segments.push((number, key));
        }
        keys.add(pack, segments);
    }
    Ok(Some(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<u8> {
        let mut list = KeyList::default();
        list.add(&PackId::new([1; 32]), &[(0, Secret::new([1; 48])), (7, Secret::new([2; 48]))]);
        list.add(&PackId::new([2; 32]), &[(3, Secret::new([3; 48]))]);
        list.chunks().collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_list_gives_each_segment_its_key() {
        let keys = decode(&list()).unwrap();
        let key = |pack, segment| keys.get(&PackId::new([pack; 32]), segment).map(|key| key.expose()[0]);

        assert_eq!((key(1, 0), key(1, 7), key(2, 3)), (Some(1), Some(2), Some(3)));
        assert_eq!((key(1, 3), key(2, 0), key(3, 0)), (None, None, None));
    }

    #[test]
    fn a_list_that_is_cut_off_or_out_of_order_is_none() {
        let list = list();
        let whole_packs = [0, 32 + 4 + 2 * SEGMENT_BYTES, list.len()];
        for length in 0..=list.len() {
            assert_eq!(decode(&list[..length]).is_some(), whole_packs.contains(&length), "{length}");
        }
        let mut twice = list;
        twice[36..40].copy_from_slice(&7_u32.to_le_bytes());
        assert!(decode(&twice).is_none());
    }
}
