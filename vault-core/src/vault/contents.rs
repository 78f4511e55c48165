//! The bytes of a file in a snapshot, from front to back: its chunks, and zeros where it has holes.
//!
//! Every byte that is not of a hole comes from a chunk that has its hash. Memory is bounded by one chunk and one part of a chunk list.

use crate::error::Error;
use crate::format::tree::{Contents, Hole};

use super::reader::DomainReader;
use super::tree::Chunks;

/// What a hole reads as.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Reads one file, as [`BufRead`](std::io::BufRead) would.
pub struct FileBytes<'r> {
    domain: DomainReader<'r>,
    chunks: Chunks<'r>,
    /// The holes not passed yet; of the first one, what is left of it.
    holes: std::vec::IntoIter<Hole>,
    hole: Option<Hole>,
    /// Where in the file the next byte is.
    offset: u64,
    chunk: Vec<u8>,
    used: usize,
}

impl<'r> FileBytes<'r> {
    /// Begins at the first byte.
    pub fn new(domain: DomainReader<'r>, contents: Contents, holes: Vec<Hole>) -> Self {
        let mut holes = holes.into_iter();
        let hole = holes.next();
        Self { domain, chunks: domain.chunks(contents), holes, hole, offset: 0, chunk: Vec::new(), used: 0 }
    }

    /// The next bytes, as many as are at hand; none at the end of the file.
    pub fn window(&mut self) -> Result<&[u8], Error> {
        let until_hole = match self.hole {
            Some(hole) if hole.offset <= self.offset => {
                let length = usize::try_from(hole.length).unwrap_or(usize::MAX);
                return Ok(&ZEROS[..ZEROS.len().min(length)]);
            }
            Some(hole) => usize::try_from(hole.offset - self.offset).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        if self.used == self.chunk.len() {
            let Some(chunk) = self.chunks.next().transpose()? else { return Ok(&[]) };
            self.chunk = self.domain.whole_chunk(&chunk)?;
            self.used = 0;
        }
        let rest = &self.chunk[self.used..];
        Ok(&rest[..rest.len().min(until_hole)])
    }

    /// Goes on by at most as many bytes as the window had.
    pub fn consume(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        match &mut self.hole {
            Some(hole) if hole.offset < self.offset => {
                hole.offset = self.offset;
                hole.length -= bytes as u64;
                if hole.length == 0 {
                    self.hole = self.holes.next();
                }
            }
            _ => self.used += bytes,
        }
    }

    /// Whether two files have the same bytes; reads both up to the first difference.
    pub fn same(mut self, mut other: Self) -> Result<bool, Error> {
        loop {
            let (ours, theirs) = (self.window()?, other.window()?);
            let length = ours.len().min(theirs.len());
            if length == 0 {
                return Ok(ours.len() == theirs.len());
            }
            if ours[..length] != theirs[..length] {
                return Ok(false);
            }
            self.consume(length);
            other.consume(length);
        }
    }
}
