//! Ranges: which bytes of which packs a grant gives, for whoever keeps the packs (`docs/format.md`, section 7.10).
//!
//! It stands in the clear beside the index objects, named by its hash, and a grant names it: so a server shows an addressee these bytes
//! and nothing else, and whoever deletes keeps these packs. It says nothing that the server does not know: no id of a chunk, no name.

use std::ops::Range;

use crate::bytes::{Reader, UnexpectedEnd, Writer};
use crate::id::{GrantId, PackId, VaultId};

const MAGIC: &[u8; 8] = b"VAULTRG1";

/// The largest such object: two million ranges.
pub const RANGES_BYTES: u64 = 32 << 20;

/// Bytes of packs that are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// The vault.
    pub vault: VaultId,
    /// The grant.
    pub grant: GrantId,
    /// Ascending by pack.
    pub packs: Vec<PackRanges>,
}

/// Bytes of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRanges {
    /// The pack.
    pub pack: PackId,
    /// Offset and length of each range, ascending and neither touching nor empty; none for the whole pack.
    pub parts: Vec<(u32, u32)>,
}

/// Bytes that are no such list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the list of ranges of a grant: {what}")]
pub struct RangesError {
    what: &'static str,
}

impl From<UnexpectedEnd> for RangesError {
    fn from(_: UnexpectedEnd) -> Self {
        Self { what: "it ends early" }
    }
}

impl Ranges {
    /// The encoding: magic, vault, grant, number of packs; for each its id, number of ranges, and offset and length of each.
    pub fn encode(&self) -> Vec<u8> {
        let parts: usize = self.packs.iter().map(|pack| pack.parts.len()).sum();
        let mut out = Vec::with_capacity(60 + self.packs.len() * 36 + parts * 8);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.vault.as_bytes());
        out.extend_from_slice(self.grant.as_bytes());
        out.put_u32(self.packs.len() as u32);
        for PackRanges { pack, parts } in &self.packs {
            out.extend_from_slice(pack.as_bytes());
            out.put_u32(parts.len() as u32);
            for (offset, length) in parts {
                out.put_u32(*offset);
                out.put_u32(*length);
            }
        }
        out
    }

    /// Decodes a list that fills the whole input. Memory grows only with what is really there.
    pub fn decode(bytes: &[u8]) -> Result<Self, RangesError> {
        let fault = |what| RangesError { what };
        let mut input = Reader::new(bytes);
        if &input.array()? != MAGIC {
            return Err(fault("it begins otherwise"));
        }
        let (vault, grant) = (VaultId::new(input.array()?), GrantId::new(input.array()?));
        let count = input.u32()?;
        let mut packs: Vec<PackRanges> = Vec::new();
        for _ in 0..count {
            let pack = PackId::new(input.array()?);
            if packs.last().is_some_and(|last| last.pack >= pack) {
                return Err(fault("its packs are not in order"));
            }
            let mut parts = Vec::new();
            let mut end = None;
            for _ in 0..input.u32()? {
                let (offset, length) = (input.u32()?, input.u32()?);
                let is_next = length > 0 && end.is_none_or(|end| offset > end);
                end = offset.checked_add(length).filter(|_| is_next);
                if end.is_none() {
                    return Err(fault("its ranges are not in order"));
                }
                parts.push((offset, length));
            }
            packs.push(PackRanges { pack, parts });
        }
        if !input.is_empty() {
            return Err(fault("something follows it"));
        }
        Ok(Self { vault, grant, packs })
    }

    /// The ranges of a pack; `None` if nothing of it is given.
    pub fn of(&self, pack: &PackId) -> Option<&PackRanges> {
        let at = self.packs.binary_search_by_key(pack, |pack| pack.pack).ok()?;
        self.packs.get(at)
    }

    /// Whether all these bytes of a pack are given.
    pub fn allow(&self, pack: &PackId, bytes: Range<u64>) -> bool {
        self.of(pack).is_some_and(|pack| pack.allow(bytes))
    }
}

impl PackRanges {
    /// Whether all these bytes of it are given. Of an empty range nothing is.
    pub fn allow(&self, bytes: Range<u64>) -> bool {
        if bytes.is_empty() {
            return false;
        }
        if self.parts.is_empty() {
            return true;
        }
        let after = self.parts.partition_point(|(offset, _)| u64::from(*offset) <= bytes.start);
        let before = after.checked_sub(1).and_then(|at| self.parts.get(at));
        before.is_some_and(|(offset, length)| bytes.end <= u64::from(*offset) + u64::from(*length))
    }

    /// Whether the whole pack is given.
    pub fn is_whole(&self) -> bool {
        self.parts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranges() -> Ranges {
        let pack = |number, parts: &[(u32, u32)]| PackRanges {
            pack: PackId::new([number; 32]),
            parts: parts.to_vec(),
        };
        let packs = vec![pack(1, &[]), pack(2, &[(100, 50), (200, 1)]), pack(3, &[(68, 10)])];
        Ranges { vault: VaultId::new([8; 32]), grant: GrantId::new([9; 16]), packs }
    }

    #[test]
    fn only_what_lies_within_one_range_is_allowed() {
        let ranges = ranges();
        let allow = |number, bytes| ranges.allow(&PackId::new([number; 32]), bytes);

        assert!(allow(1, 0..1) && allow(1, 5..u64::MAX));
        assert!(allow(2, 100..150) && allow(2, 120..121) && allow(2, 200..201));
        for bytes in [99..100, 99..101, 149..151, 150..151, 100..201, 0..u64::MAX, 120..120] {
            assert!(!allow(2, bytes.clone()), "{bytes:?}");
        }
        assert!(!allow(3, 0..68) && !allow(4, 0..1));
        assert!(!allow(1, 3..3));
    }

    #[test]
    fn a_list_decodes_to_itself_and_no_part_of_it_does() {
        let encoded = ranges().encode();

        assert_eq!(Ranges::decode(&encoded), Ok(ranges()));
        for length in 0..encoded.len() {
            assert!(Ranges::decode(&encoded[..length]).is_err(), "{length}");
        }
        assert!(Ranges::decode(&[encoded, vec![0]].concat()).is_err());
    }

    #[test]
    fn lists_out_of_order_are_refused() {
        for wrong in [
            vec![(5, 0)],
            vec![(5, 5), (10, 1)],
            vec![(5, 5), (4, 1)],
            vec![(5, 5), (5, 5)],
            vec![(u32::MAX, 1)],
        ] {
            let mut list = ranges();
            list.packs[1].parts.clone_from(&wrong);
            assert!(Ranges::decode(&list.encode()).is_err(), "{wrong:?}");
        }
        let mut list = ranges();
        list.packs.swap(0, 1);
        assert!(Ranges::decode(&list.encode()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Ranges::decode(&bytes);
            let _ = Ranges::decode(&[&MAGIC[..], &[0; 48], &bytes].concat());
        }
    }
}
