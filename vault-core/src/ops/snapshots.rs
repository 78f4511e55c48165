//! `snapshots`: what can be restored; and how a snapshot is named by people.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::Error;
use crate::format::commit::CommitBody;
use crate::id::{DeviceId, SnapshotId};
use crate::log::Snapshot;
use crate::time::Timestamp;
use crate::vault::{Reader, Vault};

/// One snapshot, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its id.
    pub id: SnapshotId,
    /// When the backup began, by the device's clock.
    pub time: Timestamp,
    /// The machine.
    pub host: String,
    /// What was backed up.
    pub paths: Vec<PathBuf>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The device that made it.
    pub device: DeviceId,
    /// Whether it is incomplete.
    pub partial: bool,
    /// Files in it.
    pub files: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

/// All snapshots, oldest first.
pub fn snapshots(vault: &Vault, reader: &Reader) -> Result<Vec<SnapshotInfo>, Error> {
    vault.state().snapshots().iter().map(|snapshot| Ok(info(snapshot, &reader.body(snapshot)?))).collect()
}

fn info(snapshot: &Snapshot, body: &CommitBody) -> SnapshotInfo {
    SnapshotInfo {
        id: snapshot.id,
        time: body.begin,
        host: body.host.clone(),
        paths: body.paths.iter().map(|path| PathBuf::from(OsStr::from_bytes(path))).collect(),
        tags: body.tags.clone(),
        device: snapshot.device,
        partial: snapshot.commit.partial,
        files: body.counts.files,
        bytes: body.counts.bytes,
        stored_bytes: body.counts.stored_bytes,
    }
}

/// Names a snapshot: `latest`, `latest~2` (the second before it), or the beginning of an id; a date comes with the front end.
///
/// `latest` is the newest complete snapshot; a partial one only where there is no complete one.
pub fn find(snapshots: &[SnapshotInfo], wanted: &str) -> Result<SnapshotId, Error> {
    let missing = || Error::NoSuchSnapshot { wanted: wanted.to_owned() };
    if let Some(back) = steps_back(wanted) {
        let has_complete = snapshots.iter().any(|snapshot| !snapshot.partial);
        let mut newest_first = snapshots.iter().rev().filter(|snapshot| !(has_complete && snapshot.partial));
        return newest_first.nth(back).map(|snapshot| snapshot.id).ok_or_else(missing);
    }
    let is_id = wanted.len() >= 4 && wanted.bytes().all(|b| b.is_ascii_hexdigit());
    let mut fitting = snapshots.iter().filter(|snapshot| is_id && snapshot.id.to_hex().starts_with(wanted));
    let first = fitting.next().ok_or_else(missing)?;
    match fitting.count() {
        0 => Ok(first.id),
        others => Err(Error::AmbiguousSnapshot { wanted: wanted.to_owned(), count: others + 1 }),
    }
}

/// `latest` is 0 steps back, `latest~2` two; `None` for anything else.
fn steps_back(wanted: &str) -> Option<usize> {
    match wanted.strip_prefix("latest")? {
        "" => Some(0),
        back => back.strip_prefix('~')?.parse().ok(),
    }
}
