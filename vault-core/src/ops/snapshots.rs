//! `snapshots`: what can be restored; and how a snapshot is named by people.

#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::Error;
use crate::format::commit::CommitBody;
use crate::id::{DeviceId, DomainId, SnapshotId};
use crate::keys::device::DeviceKeys;
use crate::log::{Refusal, Snapshot, State};
use crate::time::Timestamp;
use crate::vault::{Reader, Vault};

/// One snapshot, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its id.
    pub id: SnapshotId,
    /// When the backup began, by the device's clock.
    pub time: Timestamp,
    /// When it was added to the log, by the device's clock: what retention goes by.
    pub committed: Timestamp,
    /// The machine.
    pub host: String,
    /// What was backed up.
    pub paths: Vec<PathBuf>,
    /// Its tags in force; those of its commit where the annotation that should say them is damaged.
    pub tags: Vec<String>,
    /// The device that made it.
    pub device: DeviceId,
    /// The domain that it deduplicates in.
    pub domain: DomainId,
    /// Whether it is incomplete.
    pub partial: bool,
    /// Files in it.
    pub files: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

/// All snapshots of which the reader has the keys, oldest first.
pub fn snapshots(vault: &Vault, reader: &Reader) -> Result<Vec<SnapshotInfo>, Error> {
    let readable = vault.state().snapshots().iter().filter(|snapshot| reader.reads(snapshot));
    readable.map(|snapshot| info(reader, snapshot)).collect()
}

/// What a list shows of one snapshot.
pub(crate) fn info(reader: &Reader, snapshot: &Snapshot) -> Result<SnapshotInfo, Error> {
    info_with(reader, snapshot, &reader.body(snapshot)?)
}

/// The same of a snapshot whose body is open.
pub(crate) fn info_with(
    reader: &Reader,
    snapshot: &Snapshot,
    body: &CommitBody,
) -> Result<SnapshotInfo, Error> {
    let tags = tags_as_far_as_known(reader, snapshot, body)?.0;
    Ok(SnapshotInfo {
        id: snapshot.id,
        time: body.begin,
        committed: snapshot.time,
        host: body.host.clone(),
        paths: body.paths.iter().map(|path| PathBuf::from(OsStr::from_bytes(path))).collect(),
        tags,
        device: snapshot.device,
        domain: snapshot.domain,
        partial: snapshot.commit.partial,
        files: body.counts.files,
        bytes: body.counts.bytes,
        stored_bytes: body.counts.stored_bytes,
    })
}

/// The tags in force and `true`; those of the commit and `false` where the annotation that should say them is damaged.
///
/// An annotation that does not open must not hide a snapshot that is whole: `check` reports it, and new tags replace it. Whoever
/// deletes by tags must know them all, and asks [`Reader::tags`].
pub(super) fn tags_as_far_as_known(
    reader: &Reader,
    snapshot: &Snapshot,
    body: &CommitBody,
) -> Result<(Vec<String>, bool), Error> {
    if snapshot.annotation.is_none() {
        return Ok((body.tags.clone(), true));
    }
    match reader.tags(snapshot) {
        Ok(tags) => Ok((tags, true)),
        Err(Error::Damaged { .. }) => Ok((body.tags.clone(), false)),
        Err(error) => Err(error),
    }
}

/// Whether the device may change what a domain holds.
pub(super) fn check_right(state: &State, device: &DeviceKeys, domain: &DomainId) -> Result<(), Error> {
    let vault = state.vault();
    state.right_to_change(&device.device_id(), domain).map_err(|reason| match reason {
        Refusal::UnknownDevice => Error::DeviceUnknown { vault },
        reason => Error::NoRight(reason),
    })
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
