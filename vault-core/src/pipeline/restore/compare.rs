//! Comparing what stands in the target with what belongs there: chunk by chunk, at the borders that the snapshot has.
//!
//! Nothing that stands there is changed. If a part is right and another is not, the right one is copied into the file's temporary
//! successor, and it is verified again as it is copied: what was right a moment ago may have been written to since.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use rustix::fs::{Advice, SeekFrom, Stat};
use rustix::io::Errno;

use crate::crypto::hash::chunk_hash;
use crate::error::Error;
use crate::format::tree::{ChunkRef, Hole};
use crate::progress::Amount;

use super::super::output::{File, parts};
use super::{Engine, chain, count};

/// Bytes that are read at once where zeros are looked for.
const ZEROS_BYTES: usize = 64 << 10;

/// A file for which a file stands in the target.
pub(super) struct Candidate<'e> {
    pub(super) file: Arc<File<'e>>,
    /// Whether what stands there may stay if it is right, or is another file's too.
    pub(super) may_stay: bool,
}

/// A file of which some chunks, or all, must be fetched.
pub(super) struct Compared<'e> {
    pub(super) file: Arc<File<'e>>,
    /// Which chunks are in the temporary file already; those beyond the end are not.
    pub(super) right: Vec<bool>,
}

/// What the planner waits for: given even if the comparison panics.
pub(super) struct Answer<'s, 'e> {
    to: &'s Sender<Option<Compared<'e>>>,
    compared: Option<Compared<'e>>,
}

impl<'s, 'e> Answer<'s, 'e> {
    pub(super) fn new(to: &'s Sender<Option<Compared<'e>>>) -> Self {
        Self { to, compared: None }
    }
}

impl Drop for Answer<'_, '_> {
    fn drop(&mut self) {
        // The planner has gone only if everything ends.
        let _ = self.to.send(self.compared.take());
    }
}

/// What was found in a file that stands in the target.
struct Found {
    right: Vec<bool>,
    /// Whether the file is what it should be, to the last byte.
    whole: bool,
}

impl Engine<'_> {
    /// Compares a file; takes what stands there if it is right, else prepares what can be used of it.
    pub(super) fn compare<'e>(&self, candidate: Candidate<'e>, mut answer: Answer<'_, 'e>) {
        let Candidate { file, may_stay } = candidate;
        if self.stopping() {
            return file.abandon();
        }
        // What cannot be opened or read is not right.
        let Ok((base, stat)) = file.open_standing() else {
            if self.manner.dry_run {
                return file.pretend();
            }
            return answer_with(&mut answer, file, Vec::new());
        };
        let found = match self.look_into(&file, base.as_fd(), Some(&stat)) {
            Ok(found) => found,
            Err(error) => return file.fail(&chain(&error)),
        };
        if self.verifying() && found.whole {
            count(&self.counts.verified_files, 1);
            return self.around.progress.advance(Amount { items: 1, bytes: file.size });
        }
        if found.whole && may_stay && file.keep(base.as_fd(), &stat) {
            return;
        }
        if self.verifying() {
            self.note(&file.path(), "does not hold what was written to it: written again");
        }
        file.repairs.store(!found.whole, Ordering::Relaxed);
        if self.manner.dry_run {
            count(&self.counts.reused_bytes, self.bytes_of(&file, &found.right));
            return file.pretend();
        }
        match self.copy_right(&file, base.as_fd(), found.right) {
            Ok(right) => answer_with(&mut answer, file, right),
            Err(Error::Local { source, .. }) => {
                file.fail_io(source);
                file.settle();
            }
            Err(error) => file.fail(&chain(&error)),
        }
    }

    /// Compares every chunk of the file with what is in `base`, and the holes with nothing.
    fn look_into(&self, file: &File<'_>, base: BorrowedFd<'_>, stat: Option<&Stat>) -> Result<Found, Error> {
        if self.verifying() {
            // What was flushed is read from the disk again, not from memory. Where that cannot be had, memory must do.
            let _ = rustix::fs::fadvise(base, 0, None, Advice::DontNeed);
        }
        let mut right = Vec::new();
        let mut buffer = Vec::new();
        self.for_each_chunk(file, &mut |chunk, at| {
            right.push(read_chunk(base, &file.holes, (chunk, at), &mut buffer).unwrap_or(false));
            Ok(())
        })?;
        let has_size = stat.is_none_or(|stat| stat.st_size as u64 == file.size);
        let whole = has_size
            && right.iter().all(|right| *right)
            && holes_are_empty(base, &file.holes).unwrap_or(false);
        Ok(Found { right, whole })
    }

    /// Copies the chunks that were found right into the temporary file; returns which of them are there.
    fn copy_right(
        &self,
        file: &File<'_>,
        base: BorrowedFd<'_>,
        mut right: Vec<bool>,
    ) -> Result<Vec<bool>, Error> {
        if !right.contains(&true) {
            return Ok(right);
        }
        let path = file.path();
        let local = |error: io::Error| Error::local("write", &path)(error);
        let cloned = file.clone_from(base).map_err(local)?;
        let temporary = file.temporary().map_err(local)?;
        let Some(from) = temporary.filter(|_| cloned).or(Some(base)) else { return Ok(right) };
        let (mut number, mut buffer) = (0, Vec::new());
        self.for_each_chunk(file, &mut |chunk, at| {
            if let Some(right) = right.get_mut(number).filter(|right| **right) {
                *right = read_chunk(from, &file.holes, (chunk, at), &mut buffer).unwrap_or(false);
                if *right && !cloned {
                    file.try_write(&buffer, at).map_err(local)?;
                } else if *right {
                    self.around.progress.advance(Amount { items: 0, bytes: chunk.length.into() });
                }
                count(&self.counts.reused_bytes, if *right { chunk.length.into() } else { 0 });
            }
            number += 1;
            Ok(())
        })?;
        Ok(right)
    }

    /// Reads back a file that was found wrong once after it had been written.
    pub(in super::super) fn read_back(&self, file: &File<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
        rustix::fs::fdatasync(fd)?;
        match self.look_into(file, fd, None) {
            Ok(found) if found.whole => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not hold what is written to it")),
        }
    }

    fn bytes_of(&self, file: &File<'_>, chosen: &[bool]) -> u64 {
        let (mut number, mut bytes) = (0, 0);
        // The lists were read a moment ago; only an estimate suffers if they cannot be read again.
        let _ = self.for_each_chunk(file, &mut |chunk, _| {
            if chosen.get(number) == Some(&true) {
                bytes += u64::from(chunk.length);
            }
            number += 1;
            Ok(())
        });
        bytes
    }

    /// Calls `each` with every chunk of a file and its position in the data.
    pub(super) fn for_each_chunk(
        &self,
        file: &File<'_>,
        each: &mut dyn FnMut(&ChunkRef, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut at = 0;
        self.domain.for_each_chunk(&file.contents, &mut |chunk| {
            each(chunk, at)?;
            at += u64::from(chunk.length);
            Ok(())
        })
    }
}

fn answer_with<'e>(answer: &mut Answer<'_, 'e>, file: Arc<File<'e>>, right: Vec<bool>) {
    answer.compared = Some(Compared { file, right });
}

/// Reads what stands in the place of a chunk into `buffer`; tells whether it is the chunk.
fn read_chunk(
    base: BorrowedFd<'_>,
    holes: &[Hole],
    (chunk, at): (&ChunkRef, u64),
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    buffer.resize(chunk.length as usize, 0);
    for (part, offset) in parts(holes, at, chunk.length.into()) {
        let bytes = &mut buffer[part.start as usize..part.end as usize];
        if !read_exactly(base, bytes, offset)? {
            return Ok(false);
        }
    }
    Ok(chunk_hash(buffer) == chunk.h)
}

/// Fills `bytes`; false if the file ends before.
fn read_exactly(base: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pread(base, &mut bytes[done..], offset + done as u64) {
            Ok(0) => return Ok(false),
            Ok(length) => done += length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Whether there is nothing but zeros in the holes.
fn holes_are_empty(base: BorrowedFd<'_>, holes: &[Hole]) -> io::Result<bool> {
    for hole in holes {
        let end = hole.offset + hole.length;
        // Where the file has data, if any; a file system that knows no holes says everywhere.
        let data = match rustix::fs::seek(base, SeekFrom::Data(hole.offset)) {
            Ok(data) => data,
            Err(Errno::NXIO) => continue,
            Err(_) => hole.offset,
        };
        if data < end && !is_zero(base, data, end)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_zero(base: BorrowedFd<'_>, from: u64, to: u64) -> io::Result<bool> {
    let mut buffer = vec![0; ZEROS_BYTES];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS_BYTES);
        if !read_exactly(base, &mut buffer[..length], at)? || buffer[..length].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += length as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_chunk_is_right_only_to_its_last_byte() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let chunk = |bytes: &[u8]| ChunkRef { h: chunk_hash(bytes), length: bytes.len() as u32 };
        let read = |bytes: &[u8], at, holes: &[Hole]| {
            read_chunk(file.as_fd(), holes, (&chunk(bytes), at), &mut Vec::new()).unwrap()
        };
        let hole = [Hole { offset: 3, length: 4 }];

        assert!(read(b"234", 2, &[]));
        assert!(read(b"2789", 2, &hole));
        assert!(!read(b"235", 2, &[]));
        assert!(!read(b"89x", 8, &[]), "the file ends before the chunk");
    }

    #[test]
    fn a_hole_must_hold_nothing_but_zeros() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let holes = [Hole { offset: 4096, length: 1 << 19 }];
        assert!(holes_are_empty(file.as_fd(), &holes).unwrap());

        file.write_all_at(&[0; 5000], 8192).unwrap();
        assert!(holes_are_empty(file.as_fd(), &holes).unwrap());

        file.write_all_at(&[1], 100_000).unwrap();
        assert!(!holes_are_empty(file.as_fd(), &holes).unwrap());
    }
}
