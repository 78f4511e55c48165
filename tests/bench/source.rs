//! Makes what `scale.sh` backs up: files as large and as many as it likes, without the disk to hold them.
//!
//! The rule: every byte is a function of where it stands and of the edition, so a stream can be made again and compared. Large
//! files exist only while they are read, through FUSE; their contents shrink to about a tenth, and no two lines in them are equal.
//!
//! ```text
//! scale-source serve DIR FILES BYTES [EDITION]   shows FILES files of BYTES bytes on DIR, until it is unmounted
//! scale-source print NUMBER BYTES [EDITION]      writes one of these files to the standard output
//! scale-source small DIR FILES [EDITION]         makes FILES small files below DIR, 1000 in a directory
//! ```
//!
//! Edition 0 is the first. In edition N one kibibyte in each eight mebibytes of a large file differs from it, and one small file in
//! a hundred is written anew.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request,
};

/// What follows the number of a line: with it a line has 64 bytes, as many as decide about a cut, so that each such window has
/// all digits of some number in it.
const TEXT: &[u8; 56] = b" the quick brown fox jumps over the lazy dog, and again\n";
/// Bytes of a line.
const LINE: u64 = 64;
/// Lines that differ between editions, together; and one such group in so many.
const GROUP_LINES: u64 = 16;
const GROUPS_TO_ONE: u64 = 8192;
/// How long the kernel may keep what it was told.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", directory, files, bytes, ref edition @ ..] => {
            serve(directory, Source { files: number(files)?, bytes: number(bytes)?, edition: last(edition)? })
        }
        ["print", file, bytes, ref edition @ ..] => {
            let file = number(file)?;
            print(file, &Source { files: file + 1, bytes: number(bytes)?, edition: last(edition)? })
        }
        ["small", directory, files, ref edition @ ..] => small(directory, number(files)?, last(edition)?),
        _ => {
            Err(io::Error::other("scale-source serve DIR FILES BYTES | print NUMBER BYTES | small DIR FILES"))
        }
    }
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| io::Error::other(format!("{text} is not a number")))
}

fn last(edition: &[&str]) -> io::Result<u64> {
    edition.first().map_or(Ok(0), |text| number(text))
}

/// The large files.
struct Source {
    files: u64,
    bytes: u64,
    edition: u64,
}

impl Source {
    /// Appends `length` bytes of a file from `offset` on, or those up to its end.
    fn read(&self, file: u64, offset: u64, length: u64, out: &mut Vec<u8>) {
        let end = self.bytes.min(offset.saturating_add(length));
        if offset >= end {
            return;
        }
        let first = offset / LINE;
        let begin = out.len();
        let lines_of_file = self.bytes.div_ceil(LINE);
        for line in first..end.div_ceil(LINE) {
            out.extend_from_slice(&self.line(file * lines_of_file + line));
        }
        out.drain(begin..begin + (offset - first * LINE) as usize);
        out.truncate(begin + (end - offset) as usize);
    }

    /// A line of all that there are: eight digits that no other line has, and the text.
    fn line(&self, number: u64) -> [u8; LINE as usize] {
        let changed = self.edition > 0 && (number / GROUP_LINES + self.edition).is_multiple_of(GROUPS_TO_ONE);
        let digits = if changed { b"ghijklmnopqrstuv" } else { b"0123456789abcdef" };
        let salt = if changed { self.edition as u32 } else { 0 };
        let mut scattered = scatter(number as u32 ^ salt);
        let mut line = [0; LINE as usize];
        for digit in &mut line[..8] {
            *digit = digits[(scattered & 15) as usize];
            scattered >>= 4;
        }
        line[8..].copy_from_slice(TEXT);
        line
    }

    fn attr(&self, inode: u64) -> Option<FileAttr> {
        let is_root = inode == INodeNo::ROOT.0;
        if !is_root && !(2..self.files + 2).contains(&inode) {
            return None;
        }
        let changed: SystemTime = UNIX_EPOCH + Duration::from_secs(1_600_000_000 + self.edition);
        Some(FileAttr {
            ino: INodeNo(inode),
            size: if is_root { 0 } else { self.bytes },
            blocks: if is_root { 0 } else { self.bytes.div_ceil(512) },
            atime: changed,
            mtime: changed,
            ctime: changed,
            crtime: changed,
            kind: if is_root { FileType::Directory } else { FileType::RegularFile },
            perm: if is_root { 0o755 } else { 0o644 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

/// A number from another, one to one, such that neighbours have nothing in common.
fn scatter(number: u32) -> u32 {
    let mixed = number.wrapping_mul(0x9E37_79B1);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85EB_CA77);
    mixed ^ (mixed >> 13)
}

fn name(file: u64) -> String {
    format!("large-{file:04}")
}

fn serve(directory: &str, source: Source) -> io::Result<()> {
    if source.files.saturating_mul(source.bytes / LINE + 1) > u64::from(u32::MAX) {
        return Err(io::Error::other("there are no more than 2^32 different lines"));
    }
    let mut options = Config::default();
    options.mount_options = vec![MountOption::RO, MountOption::FSName("scale-source".to_owned())];
    options.n_threads = Some(thread::available_parallelism().map_or(1, usize::from));
    fuser::mount(source, directory, &options)
}

fn print(file: u64, source: &Source) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let mut buffer = Vec::new();
    for offset in (0..source.bytes).step_by(1 << 20) {
        buffer.clear();
        source.read(file, offset, 1 << 20, &mut buffer);
        out.write_all(&buffer)?;
    }
    out.flush()
}

fn small(directory: &str, files: u64, edition: u64) -> io::Result<()> {
    for file in 0..files {
        let folder = Path::new(directory).join(format!("{:04}", file / 1000));
        if file % 1000 == 0 {
            fs::create_dir_all(&folder)?;
        }
        if edition == 0 || file % 100 == edition % 100 {
            let line = format!("{file} of edition {edition}\n");
            fs::write(folder.join(format!("{:03}", file % 1000)), line.repeat(file as usize % 8 + 1))?;
        }
    }
    Ok(())
}

impl Filesystem for Source {
    fn lookup(&self, _: &Request, _: INodeNo, wanted: &OsStr, reply: ReplyEntry) {
        let file = wanted.to_str().and_then(|text| text.strip_prefix("large-")).and_then(|n| n.parse().ok());
        match file.and_then(|file: u64| self.attr(file + 2)).filter(|_| wanted.len() == name(0).len()) {
            Some(attr) => reply.entry(&FOREVER, &attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(inode.0) {
            Some(attr) => reply.attr(&FOREVER, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Kept by nobody: the page cache has better things to hold.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = Vec::with_capacity(size as usize + 2 * LINE as usize);
        self.read(inode.0 - 2, offset, size.into(), &mut bytes);
        reply.data(&bytes);
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        for at in offset..self.files + 2 {
            let full = match at {
                0 => reply.add(INodeNo::ROOT, 1, FileType::Directory, "."),
                1 => reply.add(INodeNo::ROOT, 2, FileType::Directory, ".."),
                _ => reply.add(INodeNo(at), at + 1, FileType::RegularFile, name(at - 2)),
            };
            if full {
                break;
            }
        }
        reply.ok();
    }
}
