//! Streams files in the order in which somebody wants their bytes, and reads ahead of them on all processors.
//!
//! ```text
//! planner ──slots, in order──────────────────────────▶ consumer (the calling thread)
//!    └────jobs──▶ openers, as many as processors ──▶ each into the slot that it is for
//! ```
//!
//! 1. The planner cuts what is wanted into jobs: chunks that follow each other in a file and lie in one segment.
//! 2. Openers fetch and open the segment, unless another one has just done so, and verify each chunk.
//! 3. The consumer takes the slots in order. At a chunk that is damaged it ends, after everything that stands before it.
//!
//! Memory is bounded by the slots and the segments that are kept, whatever the size of the files.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::chunk::compress::Decompressor;
use crate::error::Error;
use crate::format::tree::{ChunkRef, Contents, Hole};
use crate::id::PackId;
use crate::surroundings::Stop;
use crate::vault::chunk_index::Place;
use crate::vault::reader::{DomainReader, chunk_in};

/// A job ends at so many bytes, so that a segment whose chunks repeat for ever does not become one job.
const JOB_BYTES: u64 = 2 << 20;
/// Slots that may wait for the consumer: with the usual segments, about as many MiB.
const SLOTS: usize = 24;
/// Opened segments that are kept for the next job: small files share them.
const KEPT_SEGMENTS: usize = 16;

/// What a hole reads as.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What receives the bytes, in order. It ends the stream by an error.
pub type Receive<'w> = dyn FnMut(&[u8]) -> Result<(), Error> + 'w;

/// Streams what `plan` asks for.
pub fn stream<'r>(
    domain: DomainReader<'r>,
    stop: &Stop,
    plan: impl FnOnce(&mut Planner<'r>) -> Result<(), Error> + Send,
    receive: &mut Receive<'_>,
) -> Result<(), Error> {
    let (slots_in, slots) = bounded(SLOTS);
    let (jobs_in, jobs) = bounded(SLOTS);
    let kept = Kept::default();
    thread::scope(|scope| {
        for _ in 0..domain.threads() {
            let (jobs, kept) = (jobs.clone(), &kept);
            scope.spawn(move || open_all(domain, &jobs, kept));
        }
        drop(jobs);
        let planning = scope.spawn(move || {
            let mut planner =
                Planner { domain, slots: slots_in, jobs: jobs_in, pieces: Vec::new(), bytes: 0 };
            plan(&mut planner)
        });
        let consumed = consume(slots, stop, receive);
        let planned = planning.join().map_err(|_| Error::WorkerLost)?;
        // Where the consumer ended, the planner was lost for that reason only.
        consumed.and(planned)
    })
}

/// One place in the stream.
enum Slot {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file with these holes follows.
    Begin(std::vec::IntoIter<Hole>),
    /// What an opener makes of a job.
    Job(Receiver<Opened>),
    /// The file ends.
    End,
}

/// The bytes of a job, and why they end early if they do.
struct Opened {
    bytes: Vec<u8>,
    failure: Option<Error>,
}

/// A chunk and where it lies.
struct Piece {
    place: Place,
    chunk: ChunkRef,
}

struct Job {
    pieces: Vec<Piece>,
    slot: Sender<Opened>,
}

/// Says what is to be streamed \[1\].
pub struct Planner<'r> {
    domain: DomainReader<'r>,
    slots: Sender<Slot>,
    jobs: Sender<Job>,
    pieces: Vec<Piece>,
    bytes: u64,
}

impl Planner<'_> {
    /// Adds bytes as they are.
    pub fn bytes(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        self.slot(Slot::Bytes(bytes))
    }

    /// Adds a file's bytes, with zeros for its holes.
    pub fn file(&mut self, contents: Contents, holes: Vec<Hole>) -> Result<(), Error> {
        self.slot(Slot::Begin(holes.into_iter()))?;
        for chunk in self.domain.chunks(contents) {
            let planned = chunk.and_then(|chunk| self.chunk(chunk));
            if let Err(error) = planned {
                // What stands before it is right, and is wanted.
                self.send()?;
                return Err(error);
            }
        }
        self.send()?;
        self.slot(Slot::End)
    }

    fn chunk(&mut self, chunk: ChunkRef) -> Result<(), Error> {
        let place = self.domain.place(&chunk.h)?;
        if place.length != chunk.length {
            return Err(self.domain.other_length());
        }
        let continues = self.pieces.last().is_none_or(|last| {
            (last.place.pack.id, last.place.segment.number) == (place.pack.id, place.segment.number)
        });
        if !continues || self.bytes + u64::from(chunk.length) > JOB_BYTES {
            self.send()?;
        }
        self.bytes += u64::from(chunk.length);
        self.pieces.push(Piece { place, chunk });
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error> {
        self.bytes = 0;
        let pieces = std::mem::take(&mut self.pieces);
        if pieces.is_empty() {
            return Ok(());
        }
        let (slot, opened) = bounded(1);
        self.slot(Slot::Job(opened))?;
        self.jobs.send(Job { pieces, slot }).map_err(|_| Error::WorkerLost)
    }

    fn slot(&self, slot: Slot) -> Result<(), Error> {
        self.slots.send(slot).map_err(|_| Error::WorkerLost)
    }
}

/// Opens jobs until there are no more \[2\].
fn open_all(domain: DomainReader<'_>, jobs: &Receiver<Job>, kept: &Kept) {
    let mut decompressor = Decompressor::new();
    for Job { pieces, slot } in jobs {
        let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.chunk.length as usize).sum());
        let failure = match &mut decompressor {
            Ok(decompressor) => open(domain, &pieces, kept, decompressor, &mut bytes).err(),
            Err(_) => Some(Error::WorkerLost),
        };
        // The consumer has gone if nobody takes it.
        let _ = slot.send(Opened { bytes, failure });
    }
}

fn open(
    domain: DomainReader<'_>,
    pieces: &[Piece],
    kept: &Kept,
    decompressor: &mut Decompressor,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    let Some(first) = pieces.first() else { return Ok(()) };
    match kept.segment(domain, &first.place, decompressor) {
        Ok(raw) => pieces.iter().try_for_each(|piece| {
            bytes.extend_from_slice(chunk_in(&raw, &piece.place, &piece.chunk.h)?);
            Ok(())
        }),
        // The pack may have been replaced: one chunk at a time is looked up again.
        Err(Error::Missing { .. }) => pieces.iter().try_for_each(|piece| {
            bytes.extend_from_slice(&domain.whole_chunk(&piece.chunk)?);
            Ok(())
        }),
        Err(error) => Err(error),
    }
}

/// Segments that were opened last, the last one used at the end.
#[derive(Default)]
struct Kept(Mutex<Vec<(PackId, u32, SharedSegment)>>);

/// A segment that is being opened by whoever holds the lock, or that is open.
type SharedSegment = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

impl Kept {
    /// The segment, opened once however many ask for it.
    fn segment(
        &self,
        domain: DomainReader<'_>,
        place: &Place,
        decompressor: &mut Decompressor,
    ) -> Result<Arc<Vec<u8>>, Error> {
        let shared = self.shared(place.pack.id, place.segment.number);
        let mut opened = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(raw) = &*opened {
            return Ok(Arc::clone(raw));
        }
        let raw = Arc::new(domain.reader().segment(&place.pack, &place.segment, decompressor)?);
        *opened = Some(Arc::clone(&raw));
        Ok(raw)
    }

    fn shared(&self, pack: PackId, number: u32) -> SharedSegment {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(id, n, _)| (*id, *n) == (pack, number));
        let entry = match known {
            Some(at) => kept.remove(at),
            None if kept.len() >= KEPT_SEGMENTS => {
                kept.remove(0);
                (pack, number, SharedSegment::default())
            }
            None => (pack, number, SharedSegment::default()),
        };
        let shared = Arc::clone(&entry.2);
        kept.push(entry);
        shared
    }
}

/// Takes the slots in order \[3\].
fn consume(slots: Receiver<Slot>, stop: &Stop, receive: &mut Receive<'_>) -> Result<(), Error> {
    let mut file = Layout::default();
    for slot in slots {
        if stop.requested() {
            return Err(Error::Interrupted);
        }
        match slot {
            Slot::Bytes(bytes) => receive(&bytes)?,
            Slot::Begin(holes) => file = Layout::new(holes),
            Slot::Job(opened) => {
                let opened = opened.recv().map_err(|_| Error::WorkerLost)?;
                file.data(&opened.bytes, receive)?;
                opened.failure.map_or(Ok(()), Err)?;
            }
            Slot::End => file.holes_here(receive)?,
        }
    }
    Ok(())
}

/// Puts zeros between data where a file has holes.
#[derive(Default)]
struct Layout {
    hole: Option<Hole>,
    holes: std::vec::IntoIter<Hole>,
    offset: u64,
}

impl Layout {
    fn new(mut holes: std::vec::IntoIter<Hole>) -> Self {
        Self { hole: holes.next(), holes, offset: 0 }
    }

    fn data(&mut self, mut bytes: &[u8], receive: &mut Receive<'_>) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.holes_here(receive)?;
            let room = self.hole.map_or(u64::MAX, |hole| hole.offset - self.offset);
            let (part, rest) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            receive(part)?;
            self.offset += part.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn holes_here(&mut self, receive: &mut Receive<'_>) -> Result<(), Error> {
        while let Some(hole) = self.hole.filter(|hole| hole.offset <= self.offset) {
            let mut left = hole.length;
            while left > 0 {
                let length = ZEROS.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                receive(&ZEROS[..length])?;
                left -= length as u64;
            }
            self.offset += hole.length;
            self.hole = self.holes.next();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(holes: &[(u64, u64)], parts: &[&[u8]]) -> Vec<u8> {
        let holes: Vec<_> = holes.iter().map(|&(offset, length)| Hole { offset, length }).collect();
        let mut layout = Layout::new(holes.into_iter());
        let mut out = Vec::new();
        let mut receive = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            Ok(())
        };
        parts.iter().for_each(|part| layout.data(part, &mut receive).unwrap());
        layout.holes_here(&mut receive).unwrap();
        out
    }

    #[test]
    fn holes_read_as_zeros_at_their_places() {
        assert_eq!(laid_out(&[], &[b"ab", b"c"]), b"abc");
        assert_eq!(laid_out(&[(0, 2), (3, 1), (6, 2)], &[b"ab", b"c"]), b"\0\0a\0bc\0\0");
        assert_eq!(laid_out(&[(0, 100_000)], &[]), vec![0; 100_000]);
    }
}
