//! The pack: an object of many segments, then their sealed table (`docs/format.md`, section 5.1).
//!
//! The size of a pack is always `padme(t + l + 16)` for a table of l bytes at offset t, and never above [`PACK_MAX_BYTES`].

use crate::bytes::{Reader, UnexpectedEnd, Writer, padme};
use crate::crypto::aead::SealedKind;
use crate::format::seal::Origin;
use crate::format::table::{CHUNKS_MAX, ChunkRow, SEGMENTS_MAX, SegmentKind, SegmentRow, Table, rows_bytes};
use crate::format::{DecodeError, UNIT_MIN_BYTES, adds_up, all_zero, at_most, stored_limit};
use crate::id::{Epoch, SessionId, VaultId};

/// The size writers aim at: large enough that requests cost nothing, small enough to fetch or repeat whole.
pub const PACK_TARGET_BYTES: u32 = 32 << 20;
/// The size no pack exceeds: proxies in front of servers refuse bodies above 100 MB.
pub const PACK_MAX_BYTES: u32 = 100_000_000;
/// Longest session envelope; a post-quantum age file to one recipient has about 2 KiB.
pub const ENVELOPE_MAX_BYTES: u32 = 16_384;
/// Length of a header without its envelope.
pub const HEADER_MIN_BYTES: u32 = 68;
/// Length of the longest header: who has read this much of a pack can decode it.
pub const HEADER_MAX_BYTES: u32 = HEADER_MIN_BYTES + ENVELOPE_MAX_BYTES;
/// Length of the trailer.
pub const TRAILER_BYTES: u32 = 16;

const MAGIC: &[u8; 8] = b"VAULTPK1";
const END_MAGIC: &[u8; 8] = b"VAULTEND";

/// What stands in front of a pack's segments: whose they are, and the key to them in an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackHeader {
    /// The vault the pack is part of.
    pub vault: VaultId,
    /// The session that wrote it.
    pub session: SessionId,
    /// Its number in the session, from 0.
    pub pack_number: u32,
    /// The epoch whose recipient the envelope is for.
    pub epoch: Epoch,
    /// The session envelope, an age file.
    pub envelope: Vec<u8>,
}

impl PackHeader {
    /// The vault and session that the pack's units are sealed for.
    pub fn origin(&self) -> Origin {
        Origin { vault: self.vault, session: self.session }
    }

    /// Length of the encoding, in bytes: the offset of the first segment.
    pub fn encoded_bytes(&self) -> usize {
        HEADER_MIN_BYTES as usize + self.envelope.len()
    }

    /// Appends the encoding to `out`; an envelope above [`ENVELOPE_MAX_BYTES`] is an error.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let envelope_bytes = self.envelope.len() as u64;
        at_most("the length of the session envelope", envelope_bytes, ENVELOPE_MAX_BYTES.into())?;
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.vault.as_bytes());
        out.extend_from_slice(self.session.as_bytes());
        out.put_u32(self.pack_number);
        out.put_u32(self.epoch.0);
        out.put_u32(envelope_bytes as u32);
        out.extend_from_slice(&self.envelope);
        Ok(())
    }

    /// Decodes the header at the start of a pack, of which `pack` is all or the first part.
    ///
    /// [`DecodeError::CutOff`] says how many more bytes are needed; [`HEADER_MAX_BYTES`] always suffice.
    pub fn decode(pack: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(pack);
        if &input.array()? != MAGIC {
            return Err(DecodeError::Magic { expected: "a pack" });
        }
        let vault = VaultId::new(input.array()?);
        let session = SessionId::new(input.array()?);
        let (pack_number, epoch) = (input.u32()?, Epoch(input.u32()?));
        let envelope_bytes = input.u32()?;
        at_most("the length of the session envelope", envelope_bytes.into(), ENVELOPE_MAX_BYTES.into())?;
        let envelope = input.take(envelope_bytes as usize)?.to_vec();
        Ok(Self { vault, session, pack_number, epoch, envelope })
    }
}

/// The last bytes of a pack: they say where its table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Where the table begins in the pack.
    pub table_offset: u32,
    /// Length of the table, sealed.
    pub table_bytes: u32,
}

impl Trailer {
    /// The encoding.
    pub fn encode(&self) -> [u8; TRAILER_BYTES as usize] {
        let mut out = [0; TRAILER_BYTES as usize];
        out[..4].copy_from_slice(&self.table_offset.to_le_bytes());
        out[4..8].copy_from_slice(&self.table_bytes.to_le_bytes());
        out[8..].copy_from_slice(END_MAGIC);
        out
    }

    /// Decodes the last [`TRAILER_BYTES`] of a pack of `pack_bytes`, which must be the padded size of what it holds.
    pub fn decode(end: &[u8; TRAILER_BYTES as usize], pack_bytes: u64) -> Result<Self, DecodeError> {
        let mut input = Reader::new(end);
        let trailer = Self { table_offset: input.u32()?, table_bytes: input.u32()? };
        if &input.array()? != END_MAGIC {
            return Err(DecodeError::Magic { expected: "the end of a pack" });
        }
        at_most("the size of the pack", pack_bytes, PACK_MAX_BYTES.into())?;
        if trailer.table_offset < HEADER_MIN_BYTES {
            return Err(DecodeError::Value {
                field: "the offset of the table",
                value: trailer.table_offset.into(),
            });
        }
        if trailer.table_bytes < UNIT_MIN_BYTES {
            return Err(DecodeError::Value {
                field: "the length of the table",
                value: trailer.table_bytes.into(),
            });
        }
        let limit = stored_limit(SealedKind::Table).into();
        at_most("the length of the table", trailer.table_bytes.into(), limit)?;
        adds_up("the size of the pack", pack_bytes, trailer.pack_bytes())?;
        Ok(trailer)
    }

    /// Decodes the trailer of a whole pack, and checks that the padding in front of it is zero.
    pub fn of_pack(pack: &[u8]) -> Result<Self, DecodeError> {
        let end = pack
            .last_chunk()
            .ok_or(UnexpectedEnd { missing_bytes: (TRAILER_BYTES as usize).saturating_sub(pack.len()) })?;
        let trailer = Self::decode(end, pack.len() as u64)?;
        let padding = trailer.table_end()..pack.len() - end.len();
        all_zero(pack.get(padding).unwrap_or_default())?;
        Ok(trailer)
    }

    /// The sealed table within a whole pack; `None` if the pack is another one.
    pub fn table_in<'a>(&self, pack: &'a [u8]) -> Option<&'a [u8]> {
        pack.get(self.table_offset as usize..self.table_end())
    }

    /// Checks that a pack's opened table begins after its header of `header_bytes` and ends at or before its own offset.
    pub fn check_table(&self, table: &Table, header_bytes: usize) -> Result<(), DecodeError> {
        adds_up("the offset of the first segment", table.first_offset().into(), header_bytes as u64)?;
        at_most("the end of the last segment", table.ends_at().into(), self.table_offset.into())
    }

    fn table_end(self) -> usize {
        self.table_offset as usize + self.table_bytes as usize
    }

    /// `padme(t + l + 16)`.
    fn pack_bytes(self) -> u64 {
        padme(u64::from(self.table_offset) + u64::from(self.table_bytes) + u64::from(TRAILER_BYTES))
    }
}

/// Puts a pack together in one buffer.
///
/// You **must** call [`finish`](Self::finish): what is dropped before is no pack.
#[derive(Debug)]
pub struct PackBuilder {
    pack: Vec<u8>,
    table: Table,
}

impl PackBuilder {
    /// Begins a pack; its buffer of `capacity` bytes is allocated once, so that a pack within it is never copied.
    pub fn new(header: &PackHeader, capacity: usize) -> Result<Self, DecodeError> {
        let mut pack = Vec::with_capacity(capacity);
        header.encode(&mut pack)?;
        let table = Table::new(pack.len() as u32)?;
        Ok(Self { pack, table })
    }

    /// How many bytes stand in the pack so far, without its table.
    pub fn bytes(&self) -> usize {
        self.pack.len()
    }

    /// How many segments stand in the pack: the number that the next one gets.
    pub fn segment_count(&self) -> u32 {
        self.table.segment_rows().len() as u32
    }

    /// Whether a segment still fits the limits of a pack with its table, trailer and padding.
    pub fn fits(&self, sealed_bytes: usize, chunk_count: usize) -> bool {
        if sealed_bytes > PACK_MAX_BYTES as usize || chunk_count > CHUNKS_MAX as usize {
            return false;
        }
        let table_bytes = UNIT_MIN_BYTES as usize + self.table.encoded_bytes() + rows_bytes(1, chunk_count);
        let bytes = self.pack.len() + sealed_bytes + table_bytes + TRAILER_BYTES as usize;
        self.segment_count() < SEGMENTS_MAX
            && self.table.chunk_rows().len() + chunk_count <= CHUNKS_MAX as usize
            && padme(bytes as u64) <= PACK_MAX_BYTES.into()
    }

    /// Appends a sealed segment that holds `chunks`, one after another, and returns its number.
    ///
    /// It must be sealed for that number, see [`Origin::segment`]. On an error the pack is as before.
    pub fn push_segment(
        &mut self,
        sealed: &[u8],
        kind: SegmentKind,
        chunks: &[ChunkRow],
    ) -> Result<u32, DecodeError> {
        at_most("the stored length of a segment", sealed.len() as u64, stored_limit(kind.sealed()).into())?;
        at_most("the number of chunks", chunks.len() as u64, CHUNKS_MAX.into())?;
        let raw_bytes = chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
        let row = SegmentRow {
            stored_bytes: sealed.len() as u32,
            raw_bytes: u32::try_from(raw_bytes).unwrap_or(u32::MAX),
            kind,
            chunk_count: chunks.len() as u32,
        };
        let number = self.table.push(row, chunks)?;
        self.pack.extend_from_slice(sealed);
        Ok(number)
    }

    /// Appends the table, sealed by `seal_table`, the padding and the trailer; returns the pack and its table.
    ///
    /// Fails if `seal_table` does, or if the pack is above [`PACK_MAX_BYTES`], which it is not if every segment
    /// [`fits`](Self::fits).
    pub fn finish<E: From<DecodeError>>(
        mut self,
        seal_table: impl FnOnce(&Table) -> Result<Vec<u8>, E>,
    ) -> Result<(Vec<u8>, Table), E> {
        let sealed = seal_table(&self.table)?;
        at_most("the length of the table", sealed.len() as u64, stored_limit(SealedKind::Table).into())?;
        let trailer = Trailer { table_offset: self.pack.len() as u32, table_bytes: sealed.len() as u32 };
        let pack_bytes = trailer.pack_bytes();
        at_most("the size of the pack", pack_bytes, PACK_MAX_BYTES.into())?;
        self.pack.reserve_exact(pack_bytes as usize - self.pack.len());
        self.pack.extend_from_slice(&sealed);
        self.pack.resize((pack_bytes - u64::from(TRAILER_BYTES)) as usize, 0);
        self.pack.extend_from_slice(&trailer.encode());
        Ok((self.pack, self.table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::damage;
    use crate::id::ChunkId;

    fn header() -> PackHeader {
        PackHeader {
            vault: VaultId::new([1; 32]),
            session: SessionId::new([2; 16]),
            pack_number: 3,
            epoch: Epoch(4),
            envelope: b"an age file".to_vec(),
        }
    }

    fn encoded(header: &PackHeader) -> Vec<u8> {
        let mut out = Vec::new();
        header.encode(&mut out).unwrap();
        out
    }

    /// A pack of two segments, with a table that is encoded but not sealed.
    fn pack() -> (Vec<u8>, Table) {
        let mut builder = PackBuilder::new(&header(), 4096).unwrap();
        let chunk = |n, length| ChunkRow { id: ChunkId::new([n; 16]), length };
        builder.push_segment(&[0xaa; 100], SegmentKind::Data, &[chunk(1, 10), chunk(2, 20)]).unwrap();
        builder.push_segment(&[0xbb; 70], SegmentKind::Tree, &[chunk(3, 5)]).unwrap();
        finish(builder)
    }

    fn finish(builder: PackBuilder) -> (Vec<u8>, Table) {
        let plain_table = |table: &Table| {
            let mut out = Vec::new();
            table.encode(&mut out);
            Ok::<_, DecodeError>(out)
        };
        builder.finish(plain_table).unwrap()
    }

    #[test]
    fn a_header_decodes_from_the_beginning_of_a_pack() {
        let (pack, _) = pack();

        assert_eq!(PackHeader::decode(&pack), Ok(header()));
        assert_eq!(PackHeader::decode(&pack[..79]), Ok(header()));
        assert_eq!(header().encoded_bytes(), 79);
    }

    #[test]
    fn a_header_that_is_cut_off_says_how_much_is_missing() {
        let error = PackHeader::decode(&encoded(&header())[..70]);

        assert_eq!(error, Err(DecodeError::CutOff(UnexpectedEnd { missing_bytes: 9 })));
    }

    #[test]
    fn a_damaged_header_is_refused_or_is_another_header() {
        let bytes = encoded(&header());
        damage::survives(&bytes, |bytes| {
            // A header is a prefix, so what follows is not its business.
            let header = PackHeader::decode(bytes).ok().filter(|h| h.encoded_bytes() == bytes.len());
            header.map(|header| encoded(&header))
        });
    }

    #[test]
    fn an_envelope_above_its_limit_is_refused() {
        let long = PackHeader { envelope: vec![0; 16_385], ..header() };
        let mut bytes = encoded(&header());
        bytes[64..68].copy_from_slice(&16_385_u32.to_le_bytes());

        assert!(matches!(long.encode(&mut Vec::new()), Err(DecodeError::Limit { .. })));
        assert!(matches!(PackHeader::decode(&bytes), Err(DecodeError::Limit { .. })));
    }

    #[test]
    fn a_finished_pack_tells_where_its_table_and_segments_are() {
        let (pack, table) = pack();

        let trailer = Trailer::of_pack(&pack).unwrap();
        let found = Table::decode(trailer.table_in(&pack).unwrap()).unwrap();

        assert_eq!(found, table);
        assert_eq!(trailer.check_table(&found, header().encoded_bytes()), Ok(()));
        assert_eq!(trailer.table_offset, table.ends_at());
        for (segment, byte) in table.segments().zip([0xaa, 0xbb]) {
            let stored = &pack[segment.offset as usize..][..segment.row.stored_bytes as usize];
            assert!(stored.iter().all(|&b| b == byte));
        }
        assert_eq!(pack.len() as u64, padme(pack.len() as u64));
    }

    #[test]
    fn a_pack_is_not_copied_within_its_capacity() {
        let builder = PackBuilder::new(&header(), 4096).unwrap();
        let buffer = builder.pack.as_ptr();

        let (pack, _) = finish(builder);

        assert_eq!(pack.as_ptr(), buffer);
    }

    #[test]
    fn a_truncated_or_extended_pack_is_refused() {
        let (pack, _) = pack();

        for length in 0..pack.len() {
            assert!(Trailer::of_pack(&pack[..length]).is_err(), "{length} bytes");
        }
        let mut extended = pack.clone();
        extended.splice(290..290, [0; 8]);
        assert!(matches!(Trailer::of_pack(&extended), Err(DecodeError::Sum { .. })));
    }

    #[test]
    fn padding_that_is_not_zero_is_refused() {
        let (mut pack, _) = pack();
        let trailer = Trailer::of_pack(&pack).unwrap();
        assert!(trailer.table_end() < pack.len() - 16, "this pack has padding");

        pack[trailer.table_end()] = 1;

        assert_eq!(Trailer::of_pack(&pack), Err(DecodeError::Padding));
    }

    #[test]
    fn a_damaged_trailer_is_refused_or_says_what_the_size_allows() {
        let (pack, _) = pack();
        let end: [u8; 16] = *pack.last_chunk().unwrap();

        for bit in 0..end.len() * 8 {
            let mut damaged = end;
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(trailer) = Trailer::decode(&damaged, pack.len() as u64) {
                assert_eq!(trailer.encode(), damaged);
                assert_eq!(trailer.pack_bytes(), pack.len() as u64);
            }
        }
    }

    #[test]
    fn a_trailer_outside_the_limits_is_refused() {
        let decode = |table_offset, table_bytes| {
            let trailer = Trailer { table_offset, table_bytes };
            Trailer::decode(&trailer.encode(), trailer.pack_bytes())
        };

        assert!(decode(68, 49).is_ok());
        assert!(decode(67, 49).is_err(), "table within the header");
        assert!(decode(68, 48).is_err(), "table too short to be sealed");
        assert!(decode(68, (16 << 20) + 50).is_err(), "table too long");
        assert!(decode(99_999_900, 100).is_err(), "pack too large");
        assert!(decode(u32::MAX, u32::MAX).is_err(), "no overflow");
    }

    #[test]
    fn a_table_that_reaches_beyond_its_own_offset_is_refused() {
        let (pack, table) = pack();
        let trailer = Trailer::of_pack(&pack).unwrap();
        let earlier = Trailer { table_offset: trailer.table_offset - 1, ..trailer };

        assert!(matches!(earlier.check_table(&table, 79), Err(DecodeError::Limit { .. })));
        assert!(matches!(trailer.check_table(&table, 80), Err(DecodeError::Sum { .. })));
    }

    #[test]
    fn a_builder_says_when_a_pack_is_full() {
        let mut builder = PackBuilder::new(&header(), 0).unwrap();
        let chunk = [ChunkRow { id: ChunkId::new([1; 16]), length: 1 }];

        while builder.fits(16 << 20, 1) {
            builder.push_segment(&vec![0; 16 << 20], SegmentKind::Data, &chunk).unwrap();
        }

        assert_eq!(builder.segment_count(), 5);
        assert!(builder.fits(1 << 20, 1) && !builder.fits(1 << 20, 400_000) && !builder.fits(usize::MAX, 1));
        assert!(finish(builder).0.len() <= PACK_MAX_BYTES as usize);
    }
}
