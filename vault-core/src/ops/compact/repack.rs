//! Repacking: needed chunks out of old packs, verified, into new ones, in the order in which they lay.
//!
//! One thread reads, opens and seals, another stores; between them one pack waits. Memory is bounded by three packs and a few
//! segments. When it returns, every new pack and the index objects that name them are durable.

use std::collections::BTreeSet;
use std::thread;

use crossbeam_channel::{Receiver, bounded};

use crate::chunk::compress::{Compressor, Decompressor, Level};
use crate::crypto::hash::{chunk_hash, chunk_id};
use crate::error::{Error, Fault};
use crate::format::table::{ChunkPlace, SegmentKind, SegmentPlace};
use crate::id::{DomainId, Epoch, IndexId, PackId};
use crate::ops::contribution::begin_session;
use crate::ops::prune::{Kept, Pruner, Survey, writer_keys_of};
use crate::progress::Amount;
use crate::store::{ObjectKey, StoreError};
use crate::vault::chunk_index::PackPlace;
use crate::vault::orphans::read_table;
use crate::vault::packer::{FullPack, Gatherer, Packer};
use crate::vault::session::Session;

/// What was written, and what it stands for.
pub(super) struct Repacked {
    /// The packs of which everything needed was copied: all, unless the run was asked to stop.
    pub(super) old: Vec<PackId>,
    /// The new packs.
    pub(super) packs: Vec<PackId>,
    /// Bytes in them.
    pub(super) bytes: u64,
    /// The index objects that name them.
    pub(super) indexes: Vec<IndexId>,
}

/// Copies what is marked in some packs of a domain to new packs, which are added to `written` even if it fails later.
pub(super) fn repack(
    pruner: &Pruner<'_>,
    survey: &Survey,
    (domain, round): (DomainId, &[Kept]),
    (level, written): (Level, &mut BTreeSet<PackId>),
) -> Result<Repacked, Error> {
    let epoch = round.first().map_or(Epoch::FIRST, |kept| pruner.sealed_in(kept.pack.epoch));
    let writer = writer_keys_of(pruner, domain, epoch)?;
    let session = begin_session(pruner.vault, pruner.device, writer, pruner.around)?;
    let (full_in, full) = bounded(0);
    let (copied, stored) = thread::scope(|scope| {
        let uploader = scope.spawn(|| upload(pruner, &session, full));
        let packer = Packer::new(&session, pruner.around.random, full_in);
        let copied = copy_all(pruner, survey, (&session, &packer, level), round);
        // The uploader ends when the packer does.
        drop(packer);
        (copied, uploader.join().unwrap_or(Err(Error::WorkerLost)))
    });
    // Why the uploader failed says more than that the packer could not hand on a pack.
    let (packs, bytes) = stored?;
    written.extend(&packs);
    let old = copied?;
    let indexes = session.write_indexes(pruner.vault.store(), pruner.around.random)?;
    Ok(Repacked { old, packs, bytes, indexes: indexes.iter().map(|index| index.id).collect() })
}

/// Stores packs until there are no more; takes none after a failure.
fn upload(
    pruner: &Pruner<'_>,
    session: &Session,
    full: Receiver<FullPack>,
) -> Result<(Vec<PackId>, u64), Error> {
    let (mut packs, mut bytes) = (Vec::new(), 0);
    for pack in full {
        packs.push(PackId::new(crate::crypto::hash::object_hash(&pack.bytes)));
        bytes += session.store_pack(pruner.vault.store(), pack)?;
    }
    Ok((packs, bytes))
}

fn copy_all(
    pruner: &Pruner<'_>,
    survey: &Survey,
    (session, packer, level): (&Session, &Packer<'_>, Level),
    round: &[Kept],
) -> Result<Vec<PackId>, Error> {
    let mut copier = Copier {
        pruner,
        survey,
        session,
        packer,
        compressor: Compressor::new(level)?,
        decompressor: Decompressor::new()?,
        data: Gatherer::new(SegmentKind::Data),
        tree: Gatherer::new(SegmentKind::Tree),
    };
    let mut old = Vec::new();
    for kept in round {
        // What is copied so far makes a round too.
        if pruner.around.stop.requested() {
            break;
        }
        copier.copy(&kept.pack)?;
        old.push(kept.pack.id);
        pruner.around.progress.advance(Amount { items: 1, bytes: kept.pack.bytes.into() });
    }
    copier.finish()?;
    Ok(old)
}

struct Copier<'a> {
    pruner: &'a Pruner<'a>,
    survey: &'a Survey,
    session: &'a Session,
    packer: &'a Packer<'a>,
    compressor: Compressor,
    decompressor: Decompressor,
    data: Gatherer,
    tree: Gatherer,
}

impl Copier<'_> {
    /// Copies what is marked in one pack.
    fn copy(&mut self, pack: &PackPlace) -> Result<(), Error> {
        let bytes = u64::from(pack.bytes);
        let named = read_table(self.pruner.vault, self.session.writer(), pack.id, bytes);
        let named = named.map_err(|error| missing(pack.id, error))?;
        for (segment, chunks) in named.table.segments_with_chunks() {
            let mut marked = Vec::new();
            for chunk in chunks {
                if self.survey.marks.is_marked_at(&pack.id, &chunk)? {
                    marked.push(chunk);
                }
            }
            if !marked.is_empty() {
                self.copy_segment(pack, &segment, &marked)?;
            }
        }
        Ok(())
    }

    fn copy_segment(
        &mut self,
        pack: &PackPlace,
        segment: &SegmentPlace,
        marked: &[ChunkPlace],
    ) -> Result<(), Error> {
        let raw = self.pruner.reader.segment(pack, segment, &mut self.decompressor)?;
        let gatherer = match segment.row.kind {
            SegmentKind::Data => &mut self.data,
            SegmentKind::Tree => &mut self.tree,
        };
        for chunk in marked {
            let start = chunk.offset_in_segment as usize;
            let k_id = &self.session.writer().k_id;
            let plaintext = raw
                .get(start..start + chunk.length as usize)
                .filter(|plaintext| chunk_id(k_id, &chunk_hash(plaintext)) == chunk.id)
                .ok_or_else(|| Error::pack(pack.id, Fault::Chunk { segment: segment.number }))?;
            gatherer.push(chunk.id, plaintext, &mut self.compressor, self.packer)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Error> {
        self.data.flush(&mut self.compressor, self.packer)?;
        self.tree.flush(&mut self.compressor, self.packer)?;
        self.packer.finish()?;
        Ok(())
    }
}

/// A pack that was there when it was surveyed is missing now.
fn missing(id: PackId, error: Error) -> Error {
    match error {
        Error::Store(StoreError::NotFound { .. }) => Error::Missing { object: ObjectKey::Pack(id) },
        error => error,
    }
}
