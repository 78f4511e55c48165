//! The documents that `--json` prints: one for each command, and nothing else on stdout.
//!
//! They are a promise to scripts: fields may be added, but none is renamed, removed or given another meaning. Tests pin them.
//! Ids are full lower-case hex, sizes bytes, times ISO 8601 in UTC.

pub(crate) mod audit;
mod cat;
mod config;
pub(crate) mod contacts;
mod copy;
pub(crate) mod devices;
mod diff;
mod doctor;
mod export;
mod find;
mod forget;
pub(crate) mod grants;
mod lock;
mod ls;
pub(crate) mod members;
mod mount;
pub(crate) mod prune;
mod recovery;
mod restore;
mod schedule;
pub(crate) mod servers;
mod stats;
mod status;
mod tag;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use vault_core::id::SnapshotId;
use vault_core::ops::backup::BackupSummary;
use vault_core::ops::check::{CheckSummary, Finding};
use vault_core::ops::snapshots::SnapshotInfo;
use vault_core::progress::Notice;

pub(crate) use self::cat::Cat;
pub(crate) use self::config::{ConfigCheck, ConfigPath, ConfigShow, RunProfile};
pub(crate) use self::copy::Copy;
pub(crate) use self::diff::DiffWriter;
pub(crate) use self::doctor::Doctor;
pub(crate) use self::export::Export;
pub(crate) use self::find::Find;
pub(crate) use self::forget::Forget;
pub(crate) use self::lock::Lock;
pub(crate) use self::ls::ListWriter;
pub(crate) use self::mount::Mount;
pub(crate) use self::recovery::{RecoveryKit, RecoveryRestore, RecoveryTest};
pub(crate) use self::restore::Restore;
pub(crate) use self::schedule::{ScheduleChange, SchedulePlan, ScheduleShow};
pub(crate) use self::stats::{Stats, StatsByPath};
pub(crate) use self::status::Status;
pub(crate) use self::tag::Tag;

use super::time;
use crate::error::CliError;
use crate::report;

/// Writes one document and the end of its line.
pub(crate) fn write_document(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document)?;
    out.write_all(b"\n")
}

/// A path: as text, and where that is not all of it, its bytes as hex too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PathText {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
}

impl PathText {
    pub(crate) fn new(path: &Path) -> Self {
        let bytes = path.as_os_str().as_bytes();
        Self {
            path: String::from_utf8_lossy(bytes).into_owned(),
            path_bytes: str::from_utf8(bytes).is_err().then(|| hex(bytes)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An item that is missing from the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    #[serde(flatten)]
    path: PathText,
    message: String,
}

impl Problem {
    pub(crate) fn new(notice: &Notice<'_>) -> Self {
        Self { path: PathText::new(notice.subject), message: notice.message.to_owned() }
    }
}

/// What `init` made.
#[derive(Debug, Serialize)]
pub(crate) struct Init<'a> {
    command: &'static str,
    vault: String,
    location: &'a str,
    post_quantum: &'static str,
    identity: PathText,
}

impl<'a> Init<'a> {
    pub(crate) fn new(vault: &str, location: &'a str, post_quantum: &'static str, identity: &Path) -> Self {
        Self {
            command: "init",
            vault: vault.to_owned(),
            location,
            post_quantum,
            identity: PathText::new(identity),
        }
    }
}

/// What `backup` did.
#[derive(Debug, Serialize)]
pub(crate) struct Backup<'a> {
    command: &'static str,
    vault: String,
    /// `null` after a dry run.
    snapshot: Option<String>,
    dry_run: bool,
    partial: bool,
    created_vault: bool,
    files: u64,
    directories: u64,
    others: u64,
    bytes: u64,
    new_entries: u64,
    changed_entries: u64,
    unchanged_entries: u64,
    failed_entries: u64,
    skipped_entries: u64,
    read_bytes: u64,
    added_bytes: u64,
    stored_bytes: u64,
    seconds: f64,
    problems: &'a [Problem],
}

impl<'a> Backup<'a> {
    pub(crate) fn new(vault: &str, summary: &BackupSummary, run: Run<'a>) -> Self {
        let counts = &summary.counts;
        Self {
            command: "backup",
            vault: vault.to_owned(),
            snapshot: Some(summary.snapshot.to_hex()),
            dry_run: false,
            partial: summary.partial,
            created_vault: run.created_vault,
            files: counts.files,
            directories: counts.directories,
            others: counts.others,
            bytes: counts.bytes,
            new_entries: counts.new_entries,
            changed_entries: counts.changed_entries,
            unchanged_entries: counts.unchanged_entries,
            failed_entries: counts.failed_entries,
            skipped_entries: counts.skipped_entries,
            read_bytes: counts.read_bytes,
            added_bytes: counts.added_bytes,
            stored_bytes: counts.stored_bytes,
            seconds: run.elapsed.as_secs_f64(),
            problems: run.problems,
        }
    }

    /// The same of a dry run, if it was one.
    pub(crate) fn dry(self, dry_run: bool) -> Self {
        let snapshot = self.snapshot.filter(|_| !dry_run);
        Self { snapshot, dry_run, ..self }
    }
}

/// What `backup` did in several vaults.
#[derive(Debug, Serialize)]
pub(crate) struct Backups<'a> {
    command: &'static str,
    vaults: Vec<BackupOfMany<'a>>,
}

impl<'a> Backups<'a> {
    pub(crate) fn new(vaults: Vec<BackupOfMany<'a>>) -> Self {
        Self { command: "backup", vaults }
    }
}

/// What it did in one of them, or why not.
#[derive(Debug, Serialize)]
pub(crate) struct BackupOfMany<'a> {
    location: String,
    backup: Option<Backup<'a>>,
    error: Option<String>,
    exit: Option<u8>,
}

impl<'a> BackupOfMany<'a> {
    pub(crate) fn new(location: String, result: Result<Backup<'a>, &CliError>) -> Self {
        let (error, exit) = match &result {
            Ok(_) => (None, None),
            Err(error) => (Some(report::in_one_line(error)), Some(error.exit().code())),
        };
        Self { location, backup: result.ok(), error, exit }
    }
}

/// What the front end knows about a run that the operation does not tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) created_vault: bool,
    pub(crate) elapsed: Duration,
    pub(crate) problems: &'a [Problem],
}

/// What `snapshots` found.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the fields are those of the document")]
pub(crate) struct Snapshots {
    command: &'static str,
    vault: String,
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, Serialize)]
struct Snapshot {
    id: String,
    time: String,
    committed: String,
    host: String,
    paths: Vec<PathText>,
    tags: Vec<String>,
    device: String,
    partial: bool,
    files: u64,
    bytes: u64,
    stored_bytes: u64,
}

impl Snapshots {
    pub(crate) fn new(vault: &str, snapshots: &[SnapshotInfo]) -> Self {
        let snapshots = snapshots.iter().map(Snapshot::new).collect();
        Self { command: "snapshots", vault: vault.to_owned(), snapshots }
    }
}

impl Snapshot {
    fn new(info: &SnapshotInfo) -> Self {
        Self {
            id: info.id.to_hex(),
            time: time::iso(info.time),
            committed: time::iso(info.committed),
            host: info.host.clone(),
            paths: info.paths.iter().map(|path| PathText::new(path)).collect(),
            tags: info.tags.clone(),
            device: info.device.to_hex(),
            partial: info.partial,
            files: info.files,
            bytes: info.bytes,
            stored_bytes: info.stored_bytes,
        }
    }
}

/// What `check` found.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    command: &'static str,
    vault: String,
    interrupted: bool,
    objects: u64,
    bytes: u64,
    snapshots: u64,
    chunks: u64,
    verified_packs: u64,
    left_packs: u64,
    attested: bool,
    orphans: u64,
    seconds: f64,
    findings: Vec<CheckFinding>,
}

#[derive(Debug, Serialize)]
struct CheckFinding {
    object: Option<String>,
    snapshots: Vec<String>,
    message: String,
    causes: Vec<String>,
}

impl Check {
    pub(crate) fn new(vault: &str, summary: &CheckSummary, attested: bool, elapsed: Duration) -> Self {
        Self {
            command: "check",
            vault: vault.to_owned(),
            interrupted: summary.interrupted,
            objects: summary.objects,
            bytes: summary.bytes,
            snapshots: summary.snapshots,
            chunks: summary.chunks,
            verified_packs: summary.verified.len() as u64,
            left_packs: summary.left,
            attested,
            orphans: summary.orphans,
            seconds: elapsed.as_secs_f64(),
            findings: summary.findings.iter().map(CheckFinding::new).collect(),
        }
    }
}

impl CheckFinding {
    fn new(finding: &Finding) -> Self {
        Self {
            object: finding.object.as_ref().map(ToString::to_string),
            snapshots: finding.snapshots.iter().map(SnapshotId::to_hex).collect(),
            message: finding.error.to_string(),
            causes: report::causes(&finding.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use serde_json::{Value, json};
    use vault_core::error::Error;
    use vault_core::id::{DeviceId, PackId};
    use vault_core::ops::backup::BackupCounts;
    use vault_core::ops::snapshots::testing::snapshot;
    use vault_core::progress::Severity;
    use vault_core::time::Timestamp;

    use super::*;

    const SNAPSHOT: SnapshotId = SnapshotId::new([0xab; 32]);

    fn value(document: &impl Serialize) -> Value {
        serde_json::to_value(document).unwrap()
    }

    fn problem() -> Problem {
        let subject = Path::new(OsStr::from_bytes(b"caf\xe9"));
        Problem::new(&Notice { severity: Severity::Problem, subject, message: "permission denied" })
    }

    #[test]
    fn init_has_these_fields() {
        let document = Init::new("ab", "./v", "required", Path::new("/c/identity.age"));

        assert_eq!(
            value(&document),
            json!({
                "command": "init", "vault": "ab", "location": "./v", "post_quantum": "required",
                "identity": {"path": "/c/identity.age"},
            })
        );
    }

    #[test]
    fn backup_has_these_fields() {
        let counts = BackupCounts {
            files: 1,
            directories: 2,
            others: 3,
            bytes: 4,
            new_entries: 5,
            changed_entries: 6,
            unchanged_entries: 7,
            failed_entries: 8,
            skipped_entries: 9,
            read_bytes: 10,
            added_bytes: 11,
            stored_bytes: 12,
        };
        let summary = BackupSummary { snapshot: SNAPSHOT, partial: true, counts };
        let problems = [problem()];
        let run = Run { created_vault: true, elapsed: Duration::from_millis(1_500), problems: &problems };

        assert_eq!(
            value(&Backup::new("cd", &summary, run)),
            json!({
                "command": "backup", "vault": "cd", "snapshot": "ab".repeat(32), "partial": true, "dry_run": false,
                "created_vault": true, "files": 1, "directories": 2, "others": 3, "bytes": 4,
                "new_entries": 5, "changed_entries": 6, "unchanged_entries": 7, "failed_entries": 8,
                "skipped_entries": 9, "read_bytes": 10, "added_bytes": 11, "stored_bytes": 12, "seconds": 1.5,
                "problems": [{"path": "caf\u{fffd}", "path_bytes": "636166e9", "message": "permission denied"}],
            })
        );
    }

    #[test]
    fn snapshots_has_these_fields() {
        let info = SnapshotInfo {
            committed: Timestamp::new(1_795_341_700, 0),
            paths: vec![PathBuf::from("/home/a")],
            tags: vec!["daily".to_owned()],
            device: DeviceId::new([0xcd; 16]),
            files: 1,
            bytes: 2,
            stored_bytes: 3,
            ..snapshot(0xab, 1_795_341_605, "laptop")
        };

        assert_eq!(
            value(&Snapshots::new("ef", &[info])),
            json!({
                "command": "snapshots", "vault": "ef",
                "snapshots": [{
                    "id": "ab".repeat(32), "time": "2026-11-22T10:00:05Z",
                    "committed": "2026-11-22T10:01:40Z", "host": "laptop",
                    "paths": [{"path": "/home/a"}], "tags": ["daily"], "device": "cd".repeat(16),
                    "partial": false, "files": 1, "bytes": 2, "stored_bytes": 3,
                }],
            })
        );
    }

    #[test]
    fn check_has_these_fields() {
        let finding = Finding { object: None, snapshots: vec![SNAPSHOT], error: Error::Interrupted };
        let summary = CheckSummary {
            objects: 1,
            bytes: 2,
            snapshots: 3,
            chunks: 4,
            verified: vec![PackId::new([1; 32])],
            left: 6,
            orphans: 5,
            findings: vec![finding],
            interrupted: false,
        };

        assert_eq!(
            value(&Check::new("ef", &summary, true, Duration::from_secs(2))),
            json!({
                "command": "check", "vault": "ef", "interrupted": false, "objects": 1, "bytes": 2, "snapshots": 3,
                "chunks": 4, "verified_packs": 1, "left_packs": 6, "attested": true, "orphans": 5, "seconds": 2.0,
                "findings": [{
                    "object": null, "snapshots": ["ab".repeat(32)], "message": "interrupted", "causes": [],
                }],
            })
        );
    }
}
