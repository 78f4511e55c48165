//! From chunks to packs: a [`Gatherer`] collects chunks into segments, the [`Packer`] seals segments into the open pack.
//!
//! Each thread has its own gatherers, so that chunks which arrive together lie together, and compression runs in parallel. A
//! segment's key depends on its place, so sealing happens when the place is known: under the packer's lock, which is short beside
//! compression. A full pack goes to whoever stores packs; while nobody takes it, everyone who has more waits. That bounds memory.

use std::sync::{Mutex, PoisonError};

use crossbeam_channel::Sender;

use crate::chunk::compress::Compressor;
use crate::crypto::aead::SealKey;
use crate::crypto::random::Random;
use crate::error::Error;
use crate::format::pack::{PACK_TARGET_BYTES, PackBuilder};
use crate::format::table::{ChunkRow, SegmentKind, Table};
use crate::id::ChunkId;

use super::session::Session;

/// Raw bytes that a segment gathers before it is sealed. More would compress little better, and a reader of one small file opens all of it.
const SEGMENT_TARGET_BYTES: usize = 1 << 20;

/// Room in a pack's buffer beyond its target, for its last segment, table and padding.
const PACK_SLACK_BYTES: usize = 4 << 20;

/// A finished pack, not stored yet.
#[derive(Debug)]
pub struct FullPack {
    /// Its number in the session.
    pub number: u32,
    /// The object.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub table: Table,
}

/// Fills one pack after another with sealed segments.
pub struct Packer<'a> {
    session: &'a Session,
    random: &'a dyn Random,
    full: Sender<FullPack>,
    first_number: u32,
    open: Mutex<OpenPack>,
}

#[derive(Default)]
struct OpenPack {
    builder: Option<PackBuilder>,
    /// By this packer; the session may have had one before.
    handed_on: u32,
}

impl<'a> Packer<'a> {
    /// A packer that hands full packs to `full`.
    pub fn new(session: &'a Session, random: &'a dyn Random, full: Sender<FullPack>) -> Self {
        let first_number = session.next_pack_number();
        Self { session, random, full, first_number, open: Mutex::default() }
    }

    /// Seals a compressed segment into the open pack. `unit` has room for the seal in front, see [`SealKey::reserve`].
    fn add(&self, kind: SegmentKind, mut unit: Vec<u8>, chunks: &[ChunkRow]) -> Result<(), Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed_bytes = unit.len() + crate::crypto::aead::TAG_BYTES;
        if open.builder.as_ref().is_some_and(|pack| !has_room(pack, sealed_bytes, chunks.len())) {
            self.close(&mut open)?;
        }
        let number = self.first_number + open.handed_on;
        let pack = match &mut open.builder {
            Some(pack) => pack,
            none => none.insert(PackBuilder::new(
                &self.session.pack_header(number),
                PACK_TARGET_BYTES as usize + PACK_SLACK_BYTES,
            )?),
        };
        let seal = self.session.origin().segment(self.session.key(), kind, number, pack.segment_count());
        seal.seal_in_place(self.random, &mut unit)?;
        pack.push_segment(&unit, kind, chunks)?;
        Ok(())
    }

    /// Finishes the open pack, if there is one; returns how many packs were handed on in all.
    pub fn finish(&self) -> Result<u64, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.close(&mut open)?;
        Ok(u64::from(open.handed_on))
    }

    fn close(&self, open: &mut OpenPack) -> Result<(), Error> {
        let Some(builder) = open.builder.take() else { return Ok(()) };
        let number = self.first_number + open.handed_on;
        open.handed_on += 1;
        let (bytes, table) = builder.finish(|table| self.session.seal_table(table, number, self.random))?;
        self.full.send(FullPack { number, bytes, table }).map_err(|_| Error::WorkerLost)
    }
}

fn has_room(pack: &PackBuilder, sealed_bytes: usize, chunk_count: usize) -> bool {
    pack.bytes() + sealed_bytes <= PACK_TARGET_BYTES as usize && pack.fits(sealed_bytes, chunk_count)
}

/// Room that compressing may need for a moment, so that the unit is never copied to a larger place.
fn compressed_bound(raw_bytes: usize) -> usize {
    raw_bytes + raw_bytes / 64 + 1024
}

/// Collects chunks of one kind until they make a segment.
pub struct Gatherer {
    kind: SegmentKind,
    raw: Vec<u8>,
    chunks: Vec<ChunkRow>,
}

impl Gatherer {
    /// A gatherer that has nothing yet.
    pub fn new(kind: SegmentKind) -> Self {
        Self { kind, raw: Vec::new(), chunks: Vec::new() }
    }

    /// Adds a chunk; when that makes a segment, compresses it and gives it to the packer.
    pub fn push(
        &mut self,
        id: ChunkId,
        chunk: &[u8],
        compressor: &mut Compressor,
        packer: &Packer<'_>,
    ) -> Result<(), Error> {
        if !self.raw.is_empty()
            && self.raw.len() + chunk.len() > SEGMENT_TARGET_BYTES + SEGMENT_TARGET_BYTES / 4
        {
            self.flush(compressor, packer)?;
        }
        self.raw.extend_from_slice(chunk);
        self.chunks.push(ChunkRow { id, length: chunk.len() as u32 });
        if self.raw.len() >= SEGMENT_TARGET_BYTES { self.flush(compressor, packer) } else { Ok(()) }
    }

    /// Makes a segment of what there is, if there is anything.
    pub fn flush(&mut self, compressor: &mut Compressor, packer: &Packer<'_>) -> Result<(), Error> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let mut unit = SealKey::reserve(compressed_bound(self.raw.len()));
        compressor.pack(&self.raw, &mut unit)?;
        packer.add(self.kind, unit, &self.chunks)?;
        self.raw.clear();
        self.chunks.clear();
        Ok(())
    }
}
