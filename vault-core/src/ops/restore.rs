//! `restore`: writes a snapshot, or a path in it, into an empty directory.

use std::path::PathBuf;

use crate::error::Error;
use crate::id::SnapshotId;
use crate::pipeline::limits::raise_open_files;
use crate::pipeline::restore::Engine;
pub use crate::pipeline::restore::RestoreSummary;
use crate::pipeline::target;
use crate::progress::{Amount, Phase};
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::list::find_path;

/// What to restore, and where.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// A path below its root; empty for the root.
    pub path: PathBuf,
    /// A directory that is empty or does not exist.
    pub target: PathBuf,
    /// Whether owners and groups are restored; only the superuser can give files to others.
    pub owners: bool,
}

/// Restores. What cannot be restored is told as a notice and counted; wrong bytes are never left in place of right ones.
pub fn restore(
    vault: &Vault,
    reader: &Reader,
    options: &RestoreOptions,
    around: &Surroundings<'_>,
) -> Result<RestoreSummary, Error> {
    around.progress.phase(Phase::Open);
    let (domain, entry, path) = find_path(vault, reader, &options.snapshot, &options.path)?;
    raise_open_files();
    let root = target::prepare(&options.target)?;
    around.progress.phase(Phase::Restore);
    if path.as_os_str().is_empty()
        && let Some(record) = vault.state().snapshot_by_id(&options.snapshot)
    {
        let counts = reader.body(record)?.counts;
        let items = counts.files + counts.directories + counts.others;
        around.progress.expect(Amount { items, bytes: counts.bytes });
    }
    Engine::new(domain, *around, options.owners, (root, options.target.clone())).run(entry)
}
