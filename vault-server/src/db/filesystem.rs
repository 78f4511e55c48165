//! Which file systems a database must not lie on.

use std::io;
use std::path::Path;

/// The numbers that `statfs` gives, and names for people.
const NOT_LOCAL: [(u32, &str); 10] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB2"),
    (0xff53_4d42, "CIFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0bd0_0bd0, "Lustre"),
];

/// The name of the file system that a directory is on, if SQLite's locks and shared memory cannot be trusted there.
pub(super) fn not_local(directory: &Path) -> io::Result<Option<&'static str>> {
    let number = rustix::fs::statfs(directory)?.f_type as u32;
    Ok(NOT_LOCAL.iter().find(|(known, _)| *known == number).map(|(_, name)| *name))
}
