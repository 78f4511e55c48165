//! The document of `restore`.

use std::path::Path;

use serde::Serialize;
use vault_core::id::SnapshotId;
use vault_core::ops::restore::RestoreSummary;

use super::{PathText, Problem, Run};

/// What `restore` did, or would do in a dry run.
#[derive(Debug, Serialize)]
pub(crate) struct Restore<'a> {
    command: &'static str,
    snapshot: String,
    target: PathText,
    dry_run: bool,
    resumed: bool,
    interrupted: bool,
    files: u64,
    directories: u64,
    others: u64,
    bytes: u64,
    repaired_files: u64,
    reused_bytes: u64,
    unchanged_entries: u64,
    updated_entries: u64,
    kept_entries: u64,
    deleted_entries: u64,
    verified_files: u64,
    failed_entries: u64,
    failed_attributes: u64,
    seconds: f64,
    problems: &'a [Problem],
}

impl<'a> Restore<'a> {
    pub(crate) fn new(snapshot: &SnapshotId, target: &Path, summary: &RestoreSummary, run: Run<'a>) -> Self {
        Self {
            command: "restore",
            snapshot: snapshot.to_hex(),
            target: PathText::new(target),
            dry_run: summary.dry_run,
            resumed: summary.resumed,
            interrupted: summary.interrupted,
            files: summary.files,
            directories: summary.directories,
            others: summary.others,
            bytes: summary.bytes,
            repaired_files: summary.repaired_files,
            reused_bytes: summary.reused_bytes,
            unchanged_entries: summary.unchanged_entries,
            updated_entries: summary.updated_entries,
            kept_entries: summary.kept_entries,
            deleted_entries: summary.deleted_entries,
            verified_files: summary.verified_files,
            failed_entries: summary.failed_entries,
            failed_attributes: summary.failed_attributes,
            seconds: run.elapsed.as_secs_f64(),
            problems: run.problems,
        }
    }

    /// The same as part of the document of another command.
    pub(super) fn of_command(self, command: &'static str) -> Self {
        Self { command, ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn restore_has_these_fields() {
        let summary = RestoreSummary {
            files: 1,
            directories: 2,
            others: 3,
            bytes: 4,
            repaired_files: 5,
            reused_bytes: 6,
            unchanged_entries: 7,
            updated_entries: 8,
            kept_entries: 9,
            deleted_entries: 10,
            verified_files: 11,
            failed_entries: 12,
            failed_attributes: 13,
            resumed: true,
            dry_run: false,
            interrupted: false,
        };
        let run = Run { created_vault: false, elapsed: Duration::ZERO, problems: &[] };
        let document = Restore::new(&SnapshotId::new([0xab; 32]), Path::new("out"), &summary, run);

        assert_eq!(
            serde_json::to_value(document).unwrap(),
            json!({
                "command": "restore", "snapshot": "ab".repeat(32), "target": {"path": "out"}, "dry_run": false,
                "resumed": true, "interrupted": false, "files": 1, "directories": 2, "others": 3, "bytes": 4,
                "repaired_files": 5, "reused_bytes": 6, "unchanged_entries": 7, "updated_entries": 8,
                "kept_entries": 9, "deleted_entries": 10, "verified_files": 11, "failed_entries": 12,
                "failed_attributes": 13, "seconds": 0.0, "problems": [],
            })
        );
    }
}
