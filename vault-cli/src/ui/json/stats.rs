//! The documents of `stats`: of snapshots, and of the directories of one.

use serde::Serialize;
use vault_core::id::SnapshotId;
use vault_core::ops::stats::{DirectoryStats, Profile, Room, SizeClass, SnapshotStats, StatsSummary};

use super::PathText;
use crate::ui::time;

/// What snapshots hold together.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    command: &'static str,
    vault: String,
    restored_bytes: u64,
    data: RoomFields,
    trees: RoomFields,
    packs: u64,
    pack_bytes: u64,
    snapshots: Vec<StatsSnapshot>,
}

#[derive(Debug, Serialize)]
struct RoomFields {
    chunks: u64,
    bytes: u64,
    stored_bytes: u64,
}

#[derive(Debug, Serialize)]
struct StatsSnapshot {
    id: String,
    time: String,
    host: String,
    files: u64,
    bytes: u64,
    only: RoomFields,
}

impl RoomFields {
    fn new(room: &Room) -> Self {
        Self { chunks: room.chunks, bytes: room.bytes, stored_bytes: room.stored_bytes }
    }
}

impl Stats {
    pub(crate) fn new(vault: &str, sums: &StatsSummary) -> Self {
        Self {
            command: "stats",
            vault: vault.to_owned(),
            restored_bytes: sums.restored_bytes(),
            data: RoomFields::new(&sums.data),
            trees: RoomFields::new(&sums.trees),
            packs: sums.packs,
            pack_bytes: sums.pack_bytes,
            snapshots: sums.snapshots.iter().map(StatsSnapshot::new).collect(),
        }
    }
}

impl StatsSnapshot {
    fn new(stats: &SnapshotStats) -> Self {
        Self {
            id: stats.id.to_hex(),
            time: time::iso(stats.time),
            host: stats.host.clone(),
            files: stats.files,
            bytes: stats.bytes,
            only: RoomFields::new(&stats.only),
        }
    }
}

/// What is big in one snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct StatsByPath {
    command: &'static str,
    snapshot: String,
    directories: Vec<StatsDirectory>,
    sizes: Vec<StatsSize>,
}

#[derive(Debug, Serialize)]
struct StatsDirectory {
    #[serde(flatten)]
    path: PathText,
    files: u64,
    bytes: u64,
    only: RoomFields,
}

#[derive(Debug, Serialize)]
struct StatsSize {
    up_to: Option<u64>,
    files: u64,
    bytes: u64,
}

impl StatsByPath {
    pub(crate) fn new(snapshot: &SnapshotId, profile: &Profile) -> Self {
        let directory = |stats: &DirectoryStats| StatsDirectory {
            path: PathText::new(&stats.path),
            files: stats.files,
            bytes: stats.bytes,
            only: RoomFields::new(&stats.only),
        };
        let size =
            |class: &SizeClass| StatsSize { up_to: class.up_to, files: class.files, bytes: class.bytes };
        Self {
            command: "stats",
            snapshot: snapshot.to_hex(),
            directories: profile.directories.iter().map(directory).collect(),
            sizes: profile.sizes.iter().map(size).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vault_core::time::Timestamp;

    use super::*;

    const ID: SnapshotId = SnapshotId::new([0xab; 32]);
    const ROOM: Room = Room { chunks: 1, bytes: 2, stored_bytes: 3 };

    #[test]
    fn stats_has_these_fields() {
        let snapshot = SnapshotStats {
            id: ID,
            time: Timestamp::new(0, 0),
            host: "h".into(),
            files: 4,
            bytes: 5,
            only: ROOM,
        };
        let sums =
            StatsSummary { snapshots: vec![snapshot], data: ROOM, trees: ROOM, packs: 6, pack_bytes: 7 };

        let room = json!({"chunks": 1, "bytes": 2, "stored_bytes": 3});
        assert_eq!(
            serde_json::to_value(Stats::new("ef", &sums)).unwrap(),
            json!({
                "command": "stats", "vault": "ef", "restored_bytes": 5, "data": room, "trees": room, "packs": 6,
                "pack_bytes": 7,
                "snapshots": [{
                    "id": "ab".repeat(32), "time": "1970-01-01T00:00:00Z", "host": "h", "files": 4, "bytes": 5,
                    "only": room,
                }],
            })
        );
    }

    #[test]
    fn stats_by_path_has_these_fields() {
        let directory = DirectoryStats { path: "a".into(), files: 1, bytes: 2, only: ROOM };
        let sizes = vec![
            SizeClass { up_to: Some(0), files: 1, bytes: 0 },
            SizeClass { up_to: None, files: 2, bytes: 3 },
        ];
        let profile = Profile { directories: vec![directory], sizes };

        assert_eq!(
            serde_json::to_value(StatsByPath::new(&ID, &profile)).unwrap(),
            json!({
                "command": "stats", "snapshot": "ab".repeat(32),
                "directories": [{
                    "path": "a", "files": 1, "bytes": 2, "only": {"chunks": 1, "bytes": 2, "stored_bytes": 3},
                }],
                "sizes": [
                    {"up_to": 0, "files": 1, "bytes": 0}, {"up_to": null, "files": 2, "bytes": 3},
                ],
            })
        );
    }
}
