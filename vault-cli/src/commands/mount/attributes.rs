//! Attributes of files from the form of the library into that of FUSE, and on to the kernel.
//!
//! Nothing is lost on the way that the kernel can hold: times keep their nanoseconds, and devices their numbers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use vault_core::format::tree::DeviceNumber;
use vault_core::ops::browse::{Attributes, FileKind};
use vault_core::time::Timestamp;

/// What a block is taken to be where sizes are told in blocks.
pub(super) const BLOCK_BYTES: u32 = 4096;

/// Attributes in the form in which FUSE has them.
pub(super) fn file_attr(attributes: &Attributes) -> FileAttr {
    let changed = system_time(attributes.mtime);
    FileAttr {
        ino: INodeNo(attributes.inode.0),
        size: attributes.size,
        blocks: attributes.data_bytes.div_ceil(512),
        atime: changed,
        mtime: changed,
        ctime: changed,
        crtime: changed,
        kind: file_type(attributes.kind),
        perm: (attributes.mode & 0o7777) as u16,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: match attributes.kind {
            FileKind::CharDevice(number) | FileKind::BlockDevice(number) => device(number),
            _ => 0,
        },
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// What a listing says of a directory under one of its two other names.
pub(super) fn dot_attr(inode: u64) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::Directory,
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// A kind of file as FUSE has it.
pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::CharDevice(_) => FileType::CharDevice,
        FileKind::BlockDevice(_) => FileType::BlockDevice,
        FileKind::Socket => FileType::Socket,
    }
}

/// The number as the kernel takes it: 12 bits of the driver's number between the lower 8 and the upper 12 of the device's.
fn device(number: DeviceNumber) -> u32 {
    (number.minor & 0xff) | (number.major & 0xfff) << 8 | (number.minor & 0xf_ff00) << 12
}

/// The moment as the standard library has it; one that it cannot hold becomes the beginning of 1970.
fn system_time(time: Timestamp) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole =
        if time.seconds < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nanos.into()))).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_split_as_the_kernel_does() {
        let number = |major, minor| device(DeviceNumber { major, minor });

        assert_eq!(number(1, 3), 0x103);
        assert_eq!(number(0xfff, 0xf_ffff), 0xffff_ffff);
        assert_eq!(number(8, 0x1_23), 0x10_0823);
    }

    #[test]
    fn moments_keep_their_nanoseconds_also_before_1970() {
        assert_eq!(system_time(Timestamp::new(1, 5)), UNIX_EPOCH + Duration::new(1, 5));
        assert_eq!(system_time(Timestamp::new(-2, 999_999_999)), UNIX_EPOCH - Duration::new(1, 1));
        assert!(system_time(Timestamp::new(i64::MAX, 999_999_999)) >= UNIX_EPOCH);
    }
}
