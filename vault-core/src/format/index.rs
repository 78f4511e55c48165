//! The index object: the tables of many packs (`docs/format.md`, section 5.3).
//!
//! An index says nothing that its packs do not, so it can be rebuilt from them; every pack in it is within the limits of one.

use crate::bytes::{Reader, Writer, padme};
use crate::crypto::aead::SealedKind;
use crate::format::pack::{PACK_MAX_BYTES, TRAILER_BYTES};
use crate::format::seal::Origin;
use crate::format::table::Table;
use crate::format::{
    DecodeError, UNIT_MIN_BYTES, adds_up, all_zero, at_most, nothing_follows, raw_limit, stored_limit,
};
use crate::id::{Epoch, PackId, SessionId, VaultId};

const MAGIC: &[u8; 8] = b"VAULTIX1";

/// Length of the header.
pub const HEADER_BYTES: usize = 68;
/// Length of a body without packs.
pub const BODY_MIN_BYTES: usize = 4;

const PACK_HEAD_BYTES: usize = PackId::LEN + 4 + SessionId::LEN + 4 + 4 + 4;

/// Whose index it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexHeader {
    /// The vault it is part of.
    pub vault: VaultId,
    /// The session that wrote it.
    pub session: SessionId,
    /// Its number in the session, from 0.
    pub index_number: u32,
    /// The epoch whose index key seals it.
    pub epoch: Epoch,
}

impl IndexHeader {
    /// The vault and session that the body is sealed for.
    pub fn origin(&self) -> Origin {
        Origin { vault: self.vault, session: self.session }
    }
}

/// Encodes an index object around its sealed body.
pub fn encode(header: &IndexHeader, sealed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    at_most("the length of the index body", sealed.len() as u64, stored_limit(SealedKind::Index).into())?;
    let padded_bytes = padme((HEADER_BYTES + sealed.len()) as u64) as usize;
    let mut out = Vec::with_capacity(padded_bytes);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(header.vault.as_bytes());
    out.extend_from_slice(header.session.as_bytes());
    out.put_u32(header.index_number);
    out.put_u32(header.epoch.0);
    out.put_u32(sealed.len() as u32);
    out.extend_from_slice(sealed);
    out.resize(padded_bytes, 0);
    Ok(out)
}

/// Decodes an index object into its header and its sealed body.
pub fn decode(object: &[u8]) -> Result<(IndexHeader, &[u8]), DecodeError> {
    let mut input = Reader::new(object);
    if &input.array()? != MAGIC {
        return Err(DecodeError::Magic { expected: "an index object" });
    }
    let vault = VaultId::new(input.array()?);
    let session = SessionId::new(input.array()?);
    let (index_number, epoch) = (input.u32()?, Epoch(input.u32()?));
    let sealed_bytes = input.u32()?;
    if sealed_bytes < UNIT_MIN_BYTES {
        return Err(DecodeError::Value { field: "the length of the index body", value: sealed_bytes.into() });
    }
    at_most("the length of the index body", sealed_bytes.into(), stored_limit(SealedKind::Index).into())?;
    let sealed = input.take(sealed_bytes as usize)?;
    adds_up(
        "the size of the index object",
        object.len() as u64,
        padme((HEADER_BYTES + sealed.len()) as u64),
    )?;
    all_zero(input.remaining())?;
    Ok((IndexHeader { vault, session, index_number, epoch }, sealed))
}

/// A pack and its table, as an index has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedPack {
    /// The pack.
    pub id: PackId,
    /// Its size.
    pub bytes: u32,
    /// The session that wrote it, which is not always that of the index.
    pub session: SessionId,
    /// Its number in that session.
    pub pack_number: u32,
    /// The epoch whose recipient its session envelope is for.
    pub epoch: Epoch,
    /// What it holds, and where.
    pub table: Table,
}

impl IndexedPack {
    /// What the pack adds to the length of a body, in bytes; a writer splits before [`raw_limit`].
    pub fn encoded_bytes(&self) -> usize {
        PACK_HEAD_BYTES + self.table.encoded_bytes()
    }

    fn check(&self) -> Result<(), DecodeError> {
        at_most("the size of the pack", self.bytes.into(), PACK_MAX_BYTES.into())?;
        adds_up("the size of the pack", self.bytes.into(), padme(self.bytes.into()))?;
        let room = self.bytes.saturating_sub(TRAILER_BYTES + UNIT_MIN_BYTES);
        at_most("the end of the last segment", self.table.ends_at().into(), room.into())
    }
}

/// Encodes the body of an index that has these packs; more than a body can hold is an error.
pub fn encode_body(packs: &[IndexedPack]) -> Result<Vec<u8>, DecodeError> {
    let bytes = BODY_MIN_BYTES + packs.iter().map(IndexedPack::encoded_bytes).sum::<usize>();
    at_most("the length of the index body", bytes as u64, raw_limit(SealedKind::Index).into())?;
    let mut out = Vec::with_capacity(bytes);
    out.put_u32(packs.len() as u32);
    for pack in packs {
        pack.check()?;
        out.extend_from_slice(pack.id.as_bytes());
        out.put_u32(pack.bytes);
        out.extend_from_slice(pack.session.as_bytes());
        out.put_u32(pack.pack_number);
        out.put_u32(pack.epoch.0);
        out.put_u32(pack.table.encoded_bytes() as u32);
        pack.table.encode(&mut out);
    }
    Ok(out)
}

/// Decodes the packs of a body one at a time: no more than one table is in memory.
///
/// After an error, and after the last pack, it yields nothing more.
#[derive(Debug, Clone)]
pub struct IndexedPacks<'a> {
    input: Reader<'a>,
    left: u32,
}

impl<'a> IndexedPacks<'a> {
    /// Begins to decode an index body.
    pub fn new(body: &'a [u8]) -> Result<Self, DecodeError> {
        at_most("the length of the index body", body.len() as u64, raw_limit(SealedKind::Index).into())?;
        let mut input = Reader::new(body);
        let left = input.u32()?;
        if left == 0 {
            nothing_follows(input.remaining())?;
        }
        Ok(Self { input, left })
    }

    fn pack(&mut self) -> Result<IndexedPack, DecodeError> {
        let input = &mut self.input;
        let id = PackId::new(input.array()?);
        let bytes = input.u32()?;
        let session = SessionId::new(input.array()?);
        let (pack_number, epoch) = (input.u32()?, Epoch(input.u32()?));
        let table_bytes = input.u32()?;
        let table = Table::decode(input.take(table_bytes as usize)?)?;
        let pack = IndexedPack { id, bytes, session, pack_number, epoch, table };
        pack.check()?;
        if self.left == 1 {
            nothing_follows(input.remaining())?;
        }
        Ok(pack)
    }
}

impl Iterator for IndexedPacks<'_> {
    type Item = Result<IndexedPack, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let pack = self.pack();
        self.left = if pack.is_ok() { self.left - 1 } else { 0 };
        Some(pack)
    }
}

/// Decodes all packs of a body at once.
pub fn decode_body(body: &[u8]) -> Result<Vec<IndexedPack>, DecodeError> {
    IndexedPacks::new(body)?.collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::format::damage;
    use crate::format::table::{ChunkRow, SegmentKind, SegmentRow};
    use crate::format::testing::any_table;
    use crate::id::ChunkId;

    fn header() -> IndexHeader {
        IndexHeader {
            vault: VaultId::new([1; 32]),
            session: SessionId::new([2; 16]),
            index_number: 3,
            epoch: Epoch(4),
        }
    }

    fn indexed(table: Table) -> IndexedPack {
        let bytes = padme(u64::from(table.ends_at()) + 100) as u32;
        let session = SessionId::new([6; 16]);
        IndexedPack { id: PackId::new([5; 32]), bytes, session, pack_number: 7, epoch: Epoch(8), table }
    }

    fn one_pack() -> IndexedPack {
        let mut table = Table::new(68).unwrap();
        let row = SegmentRow { stored_bytes: 60, raw_bytes: 9, kind: SegmentKind::Data, chunk_count: 1 };
        table.push(row, &[ChunkRow { id: ChunkId::new([9; 16]), length: 9 }]).unwrap();
        indexed(table)
    }

    fn object_again(object: &[u8]) -> Option<Vec<u8>> {
        let (header, sealed) = decode(object).ok()?;
        encode(&header, sealed).ok()
    }

    fn body_again(body: &[u8]) -> Option<Vec<u8>> {
        encode_body(&decode_body(body).ok()?).ok()
    }

    #[test]
    fn an_object_decodes_to_its_header_and_sealed_body() {
        let object = encode(&header(), &[0xcc; 100]).unwrap();

        assert_eq!(decode(&object), Ok((header(), &[0xcc; 100][..])));
        assert_eq!(object.len() as u64, padme(168));
    }

    #[test]
    fn a_damaged_object_is_refused_or_is_another_object() {
        damage::survives(&encode(&header(), &[0xcc; 101]).unwrap(), object_again);
    }

    #[test]
    fn padding_that_is_not_zero_is_refused() {
        let mut object = encode(&header(), &[0xcc; 101]).unwrap();
        *object.last_mut().unwrap() = 1;

        assert_eq!(decode(&object), Err(DecodeError::Padding));
    }

    #[test]
    fn a_body_length_outside_its_limits_is_refused() {
        for length in [0, 48, (64 << 20) + 50, u32::MAX] {
            let mut object = encode(&header(), &[0xcc; 100]).unwrap();
            object[64..68].copy_from_slice(&length.to_le_bytes());
            assert!(
                matches!(decode(&object), Err(DecodeError::Value { .. } | DecodeError::Limit { .. })),
                "{length}"
            );
        }
    }

    #[test]
    fn a_damaged_body_is_refused_or_is_another_body() {
        damage::survives(&encode_body(&[]).unwrap(), body_again);
        damage::survives(&encode_body(&[one_pack(), one_pack()]).unwrap(), body_again);
    }

    #[test]
    fn a_count_of_packs_beyond_the_body_costs_nothing() {
        let mut body = encode_body(&[one_pack()]).unwrap();
        body[..4].copy_from_slice(&u32::MAX.to_le_bytes());

        let mut packs = IndexedPacks::new(&body).unwrap();

        assert!(packs.next().unwrap().is_ok());
        assert!(matches!(packs.next(), Some(Err(DecodeError::CutOff(_)))));
        assert!(packs.next().is_none(), "nothing follows an error");
    }

    #[test]
    fn a_pack_whose_size_is_impossible_is_refused() {
        let good = one_pack();
        for bytes in [0, good.table.ends_at(), good.bytes + 1, PACK_MAX_BYTES + 1, u32::MAX] {
            assert!(encode_body(&[IndexedPack { bytes, ..good.clone() }]).is_err(), "{bytes}");
            let mut body = encode_body(std::slice::from_ref(&good)).unwrap();
            body[36..40].copy_from_slice(&bytes.to_le_bytes());
            assert!(decode_body(&body).is_err(), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn any_body_decodes_to_its_packs(tables in vec(any_table(), 0..4)) {
            let packs: Vec<_> = tables.into_iter().map(indexed).collect();

            let body = encode_body(&packs).unwrap();

            let bytes = BODY_MIN_BYTES + packs.iter().map(IndexedPack::encoded_bytes).sum::<usize>();
            prop_assert_eq!(body.len(), bytes);
            prop_assert_eq!(decode_body(&body), Ok(packs));
        }
    }
}
