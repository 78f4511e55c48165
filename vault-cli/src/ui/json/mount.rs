//! The document of `mount`, which is printed when the vault is mounted, not when the command ends.

use std::path::Path;

use serde::Serialize;

use super::PathText;

/// What `mount` shows, and where.
#[derive(Debug, Serialize)]
pub(crate) struct Mount {
    command: &'static str,
    mountpoint: PathText,
    snapshots: u64,
}

impl Mount {
    pub(crate) fn new(mountpoint: &Path, snapshots: u64) -> Self {
        Self { command: "mount", mountpoint: PathText::new(mountpoint), snapshots }
    }
}
