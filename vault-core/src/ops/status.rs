//! `status`: whether someone could restore today, as far as the log tells.
//!
//! Reads the log and a list of packs, and nothing else: it is quick, and works without keys. With a [`Reader`] it tells of hosts and
//! paths, without one of devices. Like retention it does not believe what is dated in the future.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::error::Error;
use crate::id::{DeviceId, DomainId, PackId, SnapshotId};
use crate::store::{ObjectKey, ObjectKind};
use crate::time::Timestamp;
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::check::verified_at;
use super::groups::{Group, GroupBy};
use super::retention::is_future;
use super::snapshots::info;

/// When a vault counts as overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusOptions {
    /// How old the newest complete snapshot of a group may be.
    pub max_age_seconds: u64,
    /// How long ago the last verification of any pack may be; `None` not to ask.
    pub verify_within_seconds: Option<u64>,
}

/// What is known of a vault's safety.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The present moment.
    pub now: Timestamp,
    /// What is backed up, by host and paths, or by device.
    pub groups: Vec<GroupStatus>,
    /// What is known of the packs.
    pub packs: PackStatus,
    /// Snapshots that are dated in the future: a clock is wrong, or a device was broken into.
    pub future_dated: u64,
    /// Why the vault is not safe; nothing if it is.
    pub overdue: Vec<Overdue>,
}

/// The snapshots of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// What they are of.
    pub subject: Subject,
    /// The newest complete one, and the time of its statement.
    pub newest: Option<(SnapshotId, Timestamp)>,
    /// How many complete ones there are.
    pub complete: u64,
    /// Whether the newest is missing or too old.
    pub overdue: bool,
}

/// What snapshots of a group are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Host and paths.
    Group(Group),
    /// Whatever this device backs up: without keys no more is known.
    Device(DeviceId),
}

/// What is known of the packs in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackStatus {
    /// How many there are.
    pub count: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// How many were never verified in full.
    pub never: u64,
    /// When the one was verified whose verification is longest ago; `None` if some never were, or there is none.
    pub verified_since: Option<Timestamp>,
}

/// Why a vault is not safe.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overdue {
    /// There is no complete snapshot at all.
    NoSnapshot,
    /// The newest complete snapshot of this is too old, or there is none.
    Snapshot {
        /// What it would be of.
        subject: Subject,
        /// The newest one's time.
        newest: Option<Timestamp>,
    },
    /// Packs were not verified for too long, or never.
    Verification {
        /// When all were verified last; `None` if some never were.
        since: Option<Timestamp>,
    },
}

/// Tells whether someone could restore today. `reader` adds host and paths where it is at hand.
pub fn status(
    vault: &Vault,
    reader: Option<&Reader>,
    options: StatusOptions,
    around: &Surroundings<'_>,
) -> Result<Status, Error> {
    let now = around.clock.now();
    let (groups, future_dated) = groups(vault, reader, options, now)?;
    let packs = packs(vault, reader, now)?;
    let mut overdue = Vec::new();
    if groups.iter().all(|group| group.newest.is_none()) {
        overdue.push(Overdue::NoSnapshot);
    } else {
        let late = groups.iter().filter(|group| group.overdue);
        overdue.extend(late.map(|group| Overdue::Snapshot {
            subject: group.subject.clone(),
            newest: group.newest.map(|(_, time)| time),
        }));
    }
    if let Some(limit) = options.verify_within_seconds
        && packs.count > 0
        && packs.verified_since.is_none_or(|since| is_older(since, limit, now))
    {
        overdue.push(Overdue::Verification { since: packs.verified_since });
    }
    Ok(Status { now, groups, packs, future_dated, overdue })
}

/// Whether a moment is more than so many seconds ago.
fn is_older(time: Timestamp, seconds: u64, now: Timestamp) -> bool {
    let limit = i64::try_from(seconds).unwrap_or(i64::MAX);
    time < Timestamp::new(now.seconds.saturating_sub(limit), now.nanos)
}

/// What is backed up, the longest ago first; and how many snapshots are dated in the future.
fn groups(
    vault: &Vault,
    reader: Option<&Reader>,
    options: StatusOptions,
    now: Timestamp,
) -> Result<(Vec<GroupStatus>, u64), Error> {
    let mut found = BTreeMap::<(DomainId, Subject), (Option<(Timestamp, SnapshotId)>, u64)>::new();
    let mut future_dated = 0;
    for snapshot in vault.state().snapshots() {
        if is_future(snapshot.time, now) {
            future_dated += 1;
            continue;
        }
        let subject = match reader {
            Some(reader) => Subject::Group(GroupBy::default().group_of(&info(reader, snapshot)?)),
            None => Subject::Device(snapshot.device),
        };
        let (newest, complete) = found.entry((snapshot.domain, subject)).or_default();
        if !snapshot.commit.partial {
            *newest = (*newest).max(Some((snapshot.time, snapshot.id)));
            *complete += 1;
        }
    }
    let status = |((_, subject), (newest, complete)): ((DomainId, Subject), _)| {
        let newest: Option<(Timestamp, SnapshotId)> = newest;
        let overdue = newest.is_none_or(|(time, _)| is_older(time, options.max_age_seconds, now));
        GroupStatus { subject, newest: newest.map(|(time, id)| (id, time)), complete, overdue }
    };
    let mut groups: Vec<GroupStatus> = found.into_iter().map(status).collect();
    groups.sort_by_key(|group| group.newest.map(|(_, time)| time));
    Ok((groups, future_dated))
}

/// What is known of the packs in use: those that index objects name, or, where these cannot be read, all that are stored.
fn packs(vault: &Vault, reader: Option<&Reader>, now: Timestamp) -> Result<PackStatus, Error> {
    let mut sizes = BTreeMap::<PackId, u64>::new();
    match reader {
        Some(reader) => sizes.extend(reader.packs().into_iter().map(|pack| (pack.id, u64::from(pack.bytes)))),
        None => vault.store().list(ObjectKind::Pack, &mut |key, bytes| {
            if let ObjectKey::Pack(id) = key {
                sizes.insert(id, bytes);
            }
            ControlFlow::Continue(())
        })?,
    }
    let condemned: &BTreeSet<PackId> = vault.state().condemned();
    sizes.retain(|id, _| !condemned.contains(id));
    let mut oldest = None;
    let mut status = PackStatus { count: sizes.len() as u64, ..PackStatus::default() };
    for (id, bytes) in sizes {
        status.bytes = status.bytes.saturating_add(bytes);
        match verified_at(vault.state(), &id, now) {
            Some(time) => oldest = Some(oldest.map_or(time, |oldest: Timestamp| oldest.min(time))),
            None => status.never += 1,
        }
    }
    status.verified_since = oldest.filter(|_| status.never == 0);
    Ok(status)
}
