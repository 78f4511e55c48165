//! The document of `ls`, written entry by entry.
//!
//! Whatever is pushed, what was written is one well-formed document once it is finished.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;
use vault_core::format::tree::{Entry, EntryKind};
use vault_core::id::SnapshotId;

use super::PathText;
use crate::ui::time;

/// One entry that `ls` found.
#[derive(Debug, Serialize)]
pub(crate) struct ListEntry {
    #[serde(flatten)]
    path: PathText,
    #[serde(flatten)]
    facts: EntryFacts,
}

impl ListEntry {
    pub(crate) fn new(path: &Path, entry: &Entry) -> Self {
        Self { path: PathText::new(path), facts: EntryFacts::new(entry) }
    }
}

/// What an entry is, but for its path.
#[derive(Debug, Serialize)]
pub(super) struct EntryFacts {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Permission bits in octal, as `chmod` takes them.
    mode: String,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<PathText>,
}

impl EntryFacts {
    pub(super) fn new(entry: &Entry) -> Self {
        let lossy = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
        let metadata = &entry.metadata;
        Self {
            kind: kind(&entry.kind),
            size: size(&entry.kind),
            mode: format!("{:04o}", metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            user: metadata.user.as_ref().map(lossy),
            group: metadata.group.as_ref().map(lossy),
            mtime: time::iso(metadata.mtime),
            target: target(&entry.kind),
        }
    }
}

pub(super) fn kind(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::File { .. } => "file",
        EntryKind::Directory { .. } => "directory",
        EntryKind::Symlink { .. } => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::CharDevice(_) => "char-device",
        EntryKind::BlockDevice(_) => "block-device",
        EntryKind::Socket => "socket",
    }
}

fn size(kind: &EntryKind) -> Option<u64> {
    if let EntryKind::File { size, .. } = kind { Some(*size) } else { None }
}

fn target(kind: &EntryKind) -> Option<PathText> {
    let EntryKind::Symlink { target } = kind else { return None };
    Some(PathText::new(Path::new(OsStr::from_bytes(target))))
}

/// Writes the document of `ls` entry by entry, so that a listing of any length takes no memory.
pub(crate) struct ListWriter<W: Write> {
    out: W,
    is_first: bool,
}

impl<W: Write> ListWriter<W> {
    /// Begins the document.
    pub(crate) fn new(mut out: W, snapshot: &SnapshotId, path: &Path) -> io::Result<Self> {
        let path = serde_json::to_string(&PathText::new(path))?;
        // The fields of the path without the braces around them.
        let path = path.trim_start_matches('{').trim_end_matches('}');
        write!(out, r#"{{"command":"ls","snapshot":"{snapshot}",{path},"entries":["#)?;
        Ok(Self { out, is_first: true })
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, path: &Path, entry: &Entry) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_all(b",")?;
        }
        self.out.write_all(b"\n")?;
        serde_json::to_writer(&mut self.out, &ListEntry::new(path, entry))?;
        Ok(())
    }

    /// Ends the document.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vault_core::format::tree::Metadata;

    use super::*;

    const SNAPSHOT: SnapshotId = SnapshotId::new([0xab; 32]);

    #[test]
    fn ls_is_one_document_however_it_is_written() {
        let entry = Entry {
            name: b"link".to_vec(),
            kind: EntryKind::Symlink { target: b"\xff".to_vec() },
            metadata: Metadata { mode: 0o777, uid: 1, user: Some(b"ann".to_vec()), ..Metadata::default() },
            link_group: None,
            changed_while_read: false,
        };
        for count in [0, 1, 2] {
            let mut out = Vec::new();
            let mut writer = ListWriter::new(&mut out, &SNAPSHOT, Path::new("Trip{}")).unwrap();
            for _ in 0..count {
                writer.push(Path::new("Trip{}/link"), &entry).unwrap();
            }
            writer.finish().unwrap();

            let expected = json!({
                "path": "Trip{}/link", "type": "symlink", "mode": "0777", "uid": 1, "gid": 0, "user": "ann",
                "mtime": "1970-01-01T00:00:00Z", "target": {"path": "\u{fffd}", "path_bytes": "ff"},
            });
            assert_eq!(
                serde_json::from_slice::<Value>(&out).unwrap(),
                json!({
                    "command": "ls", "snapshot": "ab".repeat(32), "path": "Trip{}",
                    "entries": vec![expected; count],
                })
            );
        }
    }
}
