//! The document of `find`.

use serde::Serialize;
use vault_core::ops::find::{FindSummary, FoundKind, FoundPath, Version};

use super::{PathText, Problem};
use crate::ui::time;

/// What `find` found.
#[derive(Debug, Serialize)]
pub(crate) struct Find<'a> {
    command: &'static str,
    vault: String,
    snapshots: u64,
    truncated: bool,
    failed_entries: u64,
    found: Vec<FindPath>,
    problems: &'a [Problem],
}

#[derive(Debug, Serialize)]
struct FindPath {
    host: String,
    root: PathText,
    #[serde(flatten)]
    path: PathText,
    versions: Vec<FindVersion>,
}

#[derive(Debug, Serialize)]
struct FindVersion {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    mtime: String,
    first_snapshot: String,
    last_snapshot: String,
    snapshots: u64,
}

impl<'a> Find<'a> {
    pub(crate) fn new(vault: &str, summary: &FindSummary, problems: &'a [Problem]) -> Self {
        Self {
            command: "find",
            vault: vault.to_owned(),
            snapshots: summary.snapshots,
            truncated: summary.truncated,
            failed_entries: summary.failed_entries,
            found: summary.found.iter().map(FindPath::new).collect(),
            problems,
        }
    }
}

impl FindPath {
    fn new(found: &FoundPath) -> Self {
        Self {
            host: found.host.clone(),
            root: PathText::new(&found.root),
            path: PathText::new(&found.path),
            versions: found.versions.iter().map(FindVersion::new).collect(),
        }
    }
}

impl FindVersion {
    fn new(version: &Version) -> Self {
        Self {
            kind: match version.kind {
                FoundKind::File => "file",
                FoundKind::Directory => "directory",
                FoundKind::Symlink => "symlink",
                FoundKind::Special => "special",
            },
            size: (version.kind == FoundKind::File).then_some(version.size),
            mtime: time::iso(version.mtime),
            first_snapshot: version.first.to_hex(),
            last_snapshot: version.last.to_hex(),
            snapshots: version.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vault_core::id::SnapshotId;
    use vault_core::time::Timestamp;

    use super::*;

    #[test]
    fn find_has_these_fields() {
        let version = Version {
            kind: FoundKind::File,
            size: 5,
            mtime: Timestamp::new(0, 0),
            first: SnapshotId::new([0xab; 32]),
            last: SnapshotId::new([0xcd; 32]),
            count: 2,
        };
        let found =
            FoundPath { host: "h".into(), root: "/r".into(), path: "a/b".into(), versions: vec![version] };
        let summary = FindSummary { found: vec![found], snapshots: 3, failed_entries: 0, truncated: false };

        assert_eq!(
            serde_json::to_value(Find::new("ef", &summary, &[])).unwrap(),
            json!({
                "command": "find", "vault": "ef", "snapshots": 3, "truncated": false, "failed_entries": 0,
                "found": [{
                    "host": "h", "root": {"path": "/r"}, "path": "a/b",
                    "versions": [{
                        "type": "file", "size": 5, "mtime": "1970-01-01T00:00:00Z",
                        "first_snapshot": "ab".repeat(32), "last_snapshot": "cd".repeat(32), "snapshots": 2,
                    }],
                }],
                "problems": [],
            })
        );
    }
}
