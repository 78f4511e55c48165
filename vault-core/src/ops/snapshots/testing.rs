//! Snapshots as a list shows them, to test what is made of lists.
//!
//! None of them is in any vault.

use std::path::PathBuf;

use super::SnapshotInfo;
use crate::id::{DeviceId, DomainId, SnapshotId};
use crate::time::Timestamp;

/// A complete snapshot of one path without tags, all of whose id is the number.
pub fn snapshot(number: u8, seconds: i64, host: &str) -> SnapshotInfo {
    SnapshotInfo {
        id: SnapshotId::new([number; 32]),
        time: Timestamp::new(seconds, 0),
        committed: Timestamp::new(seconds, 0),
        host: host.to_owned(),
        paths: vec![PathBuf::from("/a")],
        tags: Vec::new(),
        device: DeviceId::new([0; 16]),
        domain: DomainId::new([0; 16]),
        partial: false,
        files: 0,
        bytes: 0,
        stored_bytes: 0,
    }
}
