//! A directory as a tar archive: POSIX pax interchange format (IEEE Std 1003.1, `pax`).
//!
//! The same directory gives the same bytes in every run: entries stand in the order of the tree, and nothing comes from a clock. What
//! does not fit a ustar header (long names, attributes, parts of seconds) stands in an extended header before it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tar::{EntryType, Header};

use crate::error::Error;
use crate::format::tree::{Entry, EntryKind};
use crate::pipeline::os_str;
use crate::pipeline::stream::{Planner, Receive, stream};
use crate::progress::{Notice, Severity};
use crate::surroundings::Surroundings;
use crate::time::Timestamp;
use crate::vault::reader::DomainReader;

/// Headers and contents are padded to a multiple of this.
const BLOCK: usize = 512;
/// What a numeric field of seven octal digits holds.
const OCTAL_7_MAX: u32 = 0o7_777_777;
/// What one of eleven holds: a size or a time.
const OCTAL_11_MAX: u64 = 0o77_777_777_777;

/// Streams the archive of a directory, or of anything else alone under its name; returns how many entries it cannot have.
pub(super) fn write(
    domain: DomainReader<'_>,
    root: &Entry,
    around: &Surroundings<'_>,
    receive: &mut Receive<'_>,
) -> Result<u64, Error> {
    let left_out = AtomicU64::new(0);
    let mut archive = Archive { names: HashMap::new(), around, left_out: &left_out };
    stream(domain, around.stop, move |planner| archive.plan(domain, root, planner), receive)?;
    Ok(left_out.load(Ordering::Relaxed))
}

struct Archive<'a> {
    /// The first name of each file that has several.
    names: HashMap<u64, PathBuf>,
    around: &'a Surroundings<'a>,
    left_out: &'a AtomicU64,
}

impl Archive<'_> {
    fn plan(
        &mut self,
        domain: DomainReader<'_>,
        root: &Entry,
        planner: &mut Planner<'_>,
    ) -> Result<(), Error> {
        let EntryKind::Directory { subtree } = root.kind else {
            self.plan_entry(Path::new(os_str(&root.name)), root.clone(), planner)?;
            return planner.bytes(vec![0; 2 * BLOCK]);
        };
        planner.bytes(headers(Path::new("."), root, None))?;
        let mut open = vec![(PathBuf::new(), domain.entries(&subtree))];
        while let Some((directory, entries)) = open.last_mut() {
            let Some(entry) = entries.next().transpose()? else {
                open.pop();
                continue;
            };
            let path = directory.join(os_str(&entry.name));
            if let EntryKind::Directory { subtree } = entry.kind {
                planner.bytes(headers(&path, &entry, None))?;
                open.push((path, domain.entries(&subtree)));
            } else {
                self.plan_entry(&path, entry, planner)?;
            }
        }
        // Two empty blocks are the end of an archive.
        planner.bytes(vec![0; 2 * BLOCK])
    }

    fn plan_entry(&mut self, path: &Path, entry: Entry, planner: &mut Planner<'_>) -> Result<(), Error> {
        if matches!(entry.kind, EntryKind::Socket) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            let message = "is a socket, which an archive cannot have";
            self.around.progress.notice(&Notice { severity: Severity::Problem, subject: path, message });
            return Ok(());
        }
        if let Some(group) = entry.link_group {
            if let Some(first) = self.names.get(&group) {
                return planner.bytes(headers(path, &entry, Some(first)));
            }
            self.names.insert(group, path.to_owned());
        }
        planner.bytes(headers(path, &entry, None))?;
        if let EntryKind::File { size, contents, holes } = entry.kind {
            planner.file(contents, holes)?;
            let padding = size.next_multiple_of(BLOCK as u64) - size;
            planner.bytes(vec![0; padding as usize])?;
        }
        Ok(())
    }
}

/// The header of an entry, and before it an extended one if something does not fit. `first` is another name of the same file.
fn headers(path: &Path, entry: &Entry, first: Option<&Path>) -> Vec<u8> {
    let mut records = Records::default();
    let mut name = path.as_os_str().as_encoded_bytes().to_vec();
    if entry.is_directory() {
        name.push(b'/');
    }
    let mut header = Header::new_ustar();
    header.set_entry_type(entry_type(entry, first));
    let link = match (&entry.kind, first) {
        (_, Some(first)) => first.as_os_str().as_encoded_bytes(),
        (EntryKind::Symlink { target }, None) => target,
        _ => b"",
    };
    let metadata = &entry.metadata;
    header.set_mode(metadata.mode);
    for (key, id) in [("uid", metadata.uid), ("gid", metadata.gid)] {
        if id > OCTAL_7_MAX {
            records.push(key, id.to_string().as_bytes());
        }
    }
    header.set_uid(metadata.uid.min(OCTAL_7_MAX).into());
    header.set_gid(metadata.gid.min(OCTAL_7_MAX).into());
    let size = if first.is_some() { 0 } else { entry.kind.size() };
    if size > OCTAL_11_MAX {
        records.push("size", size.to_string().as_bytes());
    }
    header.set_size(size);
    set_time(&mut header, &mut records, metadata.mtime);
    if let EntryKind::CharDevice(number) | EntryKind::BlockDevice(number) = entry.kind {
        set_device(&mut header, &mut records, (number.major, number.minor));
    }
    if let Some(ustar) = header.as_ustar_mut() {
        records.fill("path", &mut ustar.name, &name);
        records.fill("linkpath", &mut ustar.linkname, link);
        records.fill("uname", &mut ustar.uname, metadata.user.as_deref().unwrap_or_default());
        records.fill("gname", &mut ustar.gname, metadata.group.as_deref().unwrap_or_default());
    }
    if first.is_none() {
        for xattr in &metadata.xattrs {
            records.push_bytes(&[b"SCHILY.xattr.", &escaped(&xattr.name)[..]].concat(), &xattr.value);
        }
    }
    header.set_cksum();
    let mut bytes = records.into_blocks(&name);
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

fn entry_type(entry: &Entry, first: Option<&Path>) -> EntryType {
    if first.is_some() {
        return EntryType::Link;
    }
    match entry.kind {
        EntryKind::Directory { .. } => EntryType::Directory,
        EntryKind::Symlink { .. } => EntryType::Symlink,
        EntryKind::Fifo => EntryType::Fifo,
        EntryKind::CharDevice(_) => EntryType::Char,
        EntryKind::BlockDevice(_) => EntryType::Block,
        EntryKind::File { .. } | EntryKind::Socket => EntryType::Regular,
    }
}

fn set_time(header: &mut Header, records: &mut Records, time: Timestamp) {
    let whole = u64::try_from(time.seconds).ok().filter(|&seconds| seconds <= OCTAL_11_MAX);
    header.set_mtime(whole.unwrap_or(0));
    if whole.is_none() || time.nanos != 0 {
        let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
        let sign = if nanos < 0 { "-" } else { "" };
        let (seconds, part) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
        records.push("mtime", format!("{sign}{seconds}.{part:09}").as_bytes());
    }
}

fn set_device(header: &mut Header, records: &mut Records, (major, minor): (u32, u32)) {
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(major.min(OCTAL_7_MAX));
        ustar.set_device_minor(minor.min(OCTAL_7_MAX));
    }
    for (key, number) in [("SCHILY.devmajor", major), ("SCHILY.devminor", minor)] {
        if number > OCTAL_7_MAX {
            records.push(key, number.to_string().as_bytes());
        }
    }
}

/// An attribute's name with what would end it written as GNU tar does.
fn escaped(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'%' => escaped.extend_from_slice(b"%25"),
            b'=' => escaped.extend_from_slice(b"%3D"),
            _ => escaped.push(byte),
        }
    }
    escaped
}

/// The records of an extended header: `LENGTH KEY=VALUE\n`, where the length counts itself.
#[derive(Debug, Default)]
struct Records(Vec<u8>);

impl Records {
    fn push(&mut self, key: &str, value: &[u8]) {
        self.push_bytes(key.as_bytes(), value);
    }

    fn push_bytes(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while rest + length.to_string().len() != length {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        for part in [key, b"=", value, b"\n"] {
            self.0.extend_from_slice(part);
        }
    }

    /// Puts text into a field of the header, or, where it does not fit, as much as fits there and all of it into a record.
    fn fill(&mut self, key: &str, field: &mut [u8], text: &[u8]) {
        let length = text.len().min(field.len());
        field[..length].copy_from_slice(&text[..length]);
        if text.len() > field.len() {
            self.push(key, text);
        }
    }

    /// The extended header with the records; nothing if there are none.
    fn into_blocks(self, name: &[u8]) -> Vec<u8> {
        let Self(records) = self;
        if records.is_empty() {
            return records;
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        // Only programs that do not know extended headers show this name.
        let name = [b"PaxHeaders/", name].concat();
        if let Some(ustar) = header.as_ustar_mut() {
            let length = name.len().min(ustar.name.len());
            ustar.name[..length].copy_from_slice(&name[..length]);
        }
        header.set_cksum();
        let mut blocks = header.as_bytes().to_vec();
        blocks.extend_from_slice(&records);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::{DeviceNumber, Metadata, Xattr};

    fn entry(kind: EntryKind, metadata: Metadata) -> Entry {
        Entry { name: b"x".to_vec(), kind, metadata, link_group: None, changed_while_read: false }
    }

    fn records(bytes: &[u8]) -> String {
        String::from_utf8_lossy(&bytes[BLOCK..bytes.len() - BLOCK]).trim_end_matches('\0').to_owned()
    }

    #[test]
    fn what_fits_needs_no_extended_header() {
        let metadata =
            Metadata { mode: 0o4755, uid: 7, mtime: Timestamp::new(1_000, 0), ..Metadata::default() };

        let bytes = headers(Path::new("a/pipe"), &entry(EntryKind::Fifo, metadata), None);

        assert_eq!(bytes.len(), BLOCK);
        let header = Header::from_byte_slice(&bytes);
        assert_eq!(
            (header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap()),
            (0o4755, 7, 1_000)
        );
        assert_eq!((header.entry_type(), &*header.path_bytes()), (EntryType::Fifo, &b"a/pipe"[..]));
    }

    #[test]
    fn what_does_not_fit_stands_before_it() {
        let xattr = Xattr { name: b"user.a=%".to_vec(), value: b"\0v".to_vec() };
        let metadata = Metadata {
            uid: u32::MAX,
            mtime: Timestamp::new(-2, 500_000_000),
            xattrs: vec![xattr],
            ..Metadata::default()
        };
        let device = EntryKind::BlockDevice(DeviceNumber { major: u32::MAX, minor: 1 });
        let path = "d".repeat(150);

        let bytes = headers(Path::new(&path), &entry(device, metadata), None);

        assert_eq!(bytes.len() % BLOCK, 0);
        assert_eq!(
            records(&bytes),
            format!(
                "18 uid=4294967295\n22 mtime=-1.500000000\n30 SCHILY.devmajor=4294967295\n160 path={path}\n\
                 32 SCHILY.xattr.user.a%3D%25=\0v\n"
            )
        );
    }

    #[test]
    fn a_record_counts_the_digits_of_its_own_length() {
        for length in 80..120 {
            let mut records = Records::default();
            records.push("k", &vec![b'v'; length]);

            let text = String::from_utf8(records.0).unwrap();
            assert_eq!(text.split_once(' ').unwrap().0.parse::<usize>().unwrap(), text.len());
        }
    }
}
