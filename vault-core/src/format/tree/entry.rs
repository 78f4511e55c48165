//! One entry of a directory: a name, what it is, and what is known about it (`docs/format.md`, section 6).
//!
//! [`Entry::check`] holds all rules. Encoding and decoding both apply it, so no entry is stored that could not be restored.

use crate::cbor::Decoder;
use crate::format::tree::contents::{Contents, Hole};
use crate::format::{DecodeError, at_most};
use crate::id::ChunkHash;
use crate::time::Timestamp;

/// Longest name, in bytes: the limit of the usual file systems.
pub const NAME_MAX_BYTES: usize = 255;
/// Longest target of a symlink, in bytes.
pub const TARGET_MAX_BYTES: usize = 4_095;
/// All permission bits.
pub const MODE_MAX: u32 = 0o7777;

/// A directory's entry. The root of a snapshot is one as well: a directory without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in its directory, as it is on disk; empty for the root.
    pub name: Vec<u8>,
    /// What it is, and what only that kind of thing has.
    pub kind: EntryKind,
    /// What every kind has.
    pub metadata: Metadata,
    /// The same number for all names of one file in the snapshot; `None` for a file with one name, and for directories.
    pub link_group: Option<u64>,
    /// Whether the file changed while it was read, so that its contents may be of no one moment.
    pub changed_while_read: bool,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its size: of all chunks and holes together.
        size: u64,
        /// Where its bytes are; they go into the places that no hole covers.
        contents: Contents,
        /// The holes, in order; empty for a file that is not sparse.
        holes: Vec<Hole>,
    },
    /// A directory.
    Directory {
        /// The hash of the node with its entries.
        subtree: ChunkHash,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, as it is on disk.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
    /// A socket.
    Socket,
}

/// Which device a device file stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device among the driver's.
    pub minor: u32,
}

/// What every entry has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits, at most [`MODE_MAX`].
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The owner's name, if it is known.
    pub user: Option<Vec<u8>>,
    /// The group's name, if it is known.
    pub group: Option<Vec<u8>>,
    /// When the contents last changed.
    pub mtime: Timestamp,
    /// Extended attributes, by ascending name; POSIX ACLs are among them.
    pub xattrs: Vec<Xattr>,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Its name with the name space.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl EntryKind {
    /// How many bytes a file has; 0 for anything else.
    pub fn size(&self) -> u64 {
        if let Self::File { size, .. } = self { *size } else { 0 }
    }

    /// The number that stands for the kind.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::File { .. } => 0,
            Self::Directory { .. } => 1,
            Self::Symlink { .. } => 2,
            Self::Fifo => 3,
            Self::CharDevice(_) => 4,
            Self::BlockDevice(_) => 5,
            Self::Socket => 6,
        }
    }
}

impl Entry {
    /// Whether the entry is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, EntryKind::Directory { .. })
    }

    /// Checks everything that a reader refuses: what passes can be encoded, decoded and restored.
    pub fn check(&self) -> Result<(), DecodeError> {
        let root = self.name.is_empty() && self.is_directory();
        if !root && !is_name(&self.name) {
            return Err(DecodeError::Invalid { field: "the name of an entry" });
        }
        match &self.kind {
            EntryKind::File { size, contents, holes } => contents.check(holes, *size)?,
            EntryKind::Directory { .. } if self.link_group.is_some() => {
                return Err(DecodeError::ForeignField { key: super::codec::LINK_GROUP });
            }
            EntryKind::Symlink { target } if !(1..=TARGET_MAX_BYTES).contains(&target.len()) => {
                return Err(DecodeError::Invalid { field: "the target of a symlink" });
            }
            _ => {}
        }
        self.metadata.check()
    }
}

impl Metadata {
    fn check(&self) -> Result<(), DecodeError> {
        at_most("the mode of an entry", self.mode.into(), MODE_MAX.into())?;
        at_most("the nanoseconds of a time", self.mtime.nanos.into(), 999_999_999)?;
        if self.xattrs.is_sorted_by(|a, b| a.name < b.name) {
            Ok(())
        } else {
            Err(DecodeError::Order { field: "the extended attributes" })
        }
    }
}

/// Whether bytes are the name of one file in a directory: 1 to 255 of them, no `/`, no NUL, not `.` or `..`.
pub fn is_name(name: &[u8]) -> bool {
    (1..=NAME_MAX_BYTES).contains(&name.len())
        && !name.iter().any(|&byte| byte == b'/' || byte == 0)
        && name != b"."
        && name != b".."
}

/// The name in an encoded entry: the value of its first key, 0.
pub fn encoded_name(encoded: &[u8]) -> Option<&[u8]> {
    let mut decoder = Decoder::new(encoded);
    let mut map = decoder.map().ok()?;
    (map.key(&mut decoder).ok()? == Some(0)).then_some(())?;
    decoder.bytes().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symlink(target: &[u8]) -> Entry {
        Entry {
            name: b"name".to_vec(),
            kind: EntryKind::Symlink { target: target.to_vec() },
            metadata: Metadata::default(),
            link_group: None,
            changed_while_read: false,
        }
    }

    #[test]
    fn names_that_lead_out_of_their_directory_are_refused() {
        for bad in [&b""[..], b".", b"..", b"/", b"a/b", b"a\0b", &[b'x'; 256]] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for good in [&b"..."[..], b".a", b"a", b"\xff\xfe", b" ", b"a\\b", &[b'x'; 255]] {
            assert!(is_name(good), "{good:?}");
        }
    }

    #[test]
    fn only_a_directory_may_have_no_name() {
        let root = EntryKind::Directory { subtree: ChunkHash::new([1; 32]) };

        assert_eq!(Entry { name: Vec::new(), kind: root, ..symlink(b"x") }.check(), Ok(()));
        assert!(Entry { name: Vec::new(), ..symlink(b"x") }.check().is_err());
    }

    #[test]
    fn targets_outside_their_limits_are_refused() {
        assert_eq!(symlink(&[b'x'; 4_095]).check(), Ok(()));
        assert!(symlink(&[b'x'; 4_096]).check().is_err());
        assert!(symlink(b"").check().is_err());
    }

    #[test]
    fn metadata_outside_its_limits_is_refused() {
        let with = |metadata| Entry { metadata, ..symlink(b"x") }.check();
        let xattr = |name: &[u8]| Xattr { name: name.to_vec(), value: Vec::new() };

        assert!(with(Metadata { mode: 0o10000, ..Metadata::default() }).is_err());
        let mtime = Timestamp { seconds: 0, nanos: 1_000_000_000 };
        assert!(with(Metadata { mtime, ..Metadata::default() }).is_err());
        assert!(with(Metadata { xattrs: vec![xattr(b"b"), xattr(b"a")], ..Metadata::default() }).is_err());
        assert!(with(Metadata { xattrs: vec![xattr(b"a"), xattr(b"a")], ..Metadata::default() }).is_err());
        assert!(with(Metadata { xattrs: vec![xattr(b"a"), xattr(b"b")], ..Metadata::default() }).is_ok());
    }
}
