//! What `status` found.

use serde::Serialize;
use vault_core::ops::status::{GroupStatus, Overdue, PackStatus, Status as Found, Subject};
use vault_core::time::Timestamp;

use super::{PathText, time};

/// Whether the vault is safe, and what that comes from.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    command: &'static str,
    vault: String,
    safe: bool,
    unlocked: bool,
    time: String,
    overdue: Vec<&'static str>,
    groups: Vec<StatusGroup>,
    packs: StatusPacks,
    future_dated: u64,
}

/// Host and paths are null where no keys were given, the device is where they were.
#[derive(Debug, Serialize)]
struct StatusGroup {
    host: Option<String>,
    paths: Option<Vec<PathText>>,
    device: Option<String>,
    newest: Option<StatusSnapshot>,
    complete: u64,
    overdue: bool,
}

#[derive(Debug, Serialize)]
struct StatusSnapshot {
    id: String,
    committed: String,
    age_seconds: i64,
}

#[derive(Debug, Serialize)]
struct StatusPacks {
    count: u64,
    bytes: u64,
    never_verified: u64,
    verified_since: Option<String>,
}

impl Status {
    pub(crate) fn new(vault: &str, found: &Found, unlocked: bool) -> Self {
        let mut overdue: Vec<_> = found.overdue.iter().map(kind).collect();
        overdue.dedup();
        Self {
            command: "status",
            vault: vault.to_owned(),
            safe: found.overdue.is_empty(),
            unlocked,
            time: time::iso(found.now),
            overdue,
            groups: found.groups.iter().map(|group| StatusGroup::new(group, found.now)).collect(),
            packs: StatusPacks::new(&found.packs),
            future_dated: found.future_dated,
        }
    }
}

fn kind(overdue: &Overdue) -> &'static str {
    match overdue {
        Overdue::NoSnapshot | Overdue::Snapshot { .. } => "snapshot",
        Overdue::Verification { .. } => "verification",
        _ => "other",
    }
}

impl StatusGroup {
    fn new(group: &GroupStatus, now: Timestamp) -> Self {
        let (host, paths, device) = match &group.subject {
            Subject::Device(device) => (None, None, Some(device.to_hex())),
            Subject::Group(of) => {
                let paths = of.paths.as_ref();
                let paths = paths.map(|paths| paths.iter().map(|path| PathText::new(path)).collect());
                (of.host.clone(), paths, None)
            }
        };
        let newest = group.newest.map(|(id, committed)| StatusSnapshot {
            id: id.to_hex(),
            committed: time::iso(committed),
            age_seconds: now.seconds.saturating_sub(committed.seconds),
        });
        Self { host, paths, device, newest, complete: group.complete, overdue: group.overdue }
    }
}

impl StatusPacks {
    fn new(packs: &PackStatus) -> Self {
        Self {
            count: packs.count,
            bytes: packs.bytes,
            never_verified: packs.never,
            verified_since: packs.verified_since.map(time::iso),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vault_core::id::{DeviceId, SnapshotId};
    use vault_core::ops::groups::Group;

    use super::*;

    #[test]
    fn status_has_these_fields() {
        let time = Timestamp::new(1_795_341_605, 0);
        let group = |subject, newest| GroupStatus { subject, newest, complete: 2, overdue: true };
        let of = Group { host: Some("h".to_owned()), paths: Some(vec!["/a".into()]), tags: None };
        let found = Found {
            now: Timestamp::new(time.seconds + 5, 0),
            groups: vec![
                group(Subject::Group(of), Some((SnapshotId::new([0xab; 32]), time))),
                group(Subject::Device(DeviceId::new([0xcd; 16])), None),
            ],
            packs: PackStatus { count: 1, bytes: 2, never: 3, verified_since: None },
            future_dated: 4,
            overdue: vec![Overdue::NoSnapshot, Overdue::Verification { since: None }],
        };

        assert_eq!(
            serde_json::to_value(Status::new("ef", &found, true)).unwrap(),
            json!({
                "command": "status", "vault": "ef", "safe": false, "unlocked": true,
                "time": "2026-11-22T10:00:10Z", "overdue": ["snapshot", "verification"],
                "groups": [
                    {
                        "host": "h", "paths": [{"path": "/a"}], "device": null,
                        "newest": {
                            "id": "ab".repeat(32), "committed": "2026-11-22T10:00:05Z", "age_seconds": 5,
                        },
                        "complete": 2, "overdue": true,
                    },
                    {
                        "host": null, "paths": null, "device": "cd".repeat(16), "newest": null,
                        "complete": 2, "overdue": true,
                    },
                ],
                "packs": {"count": 1, "bytes": 2, "never_verified": 3, "verified_since": null},
                "future_dated": 4,
            })
        );
    }
}
