//! What a device keeps of its backups of one set of paths: the stat cache of the last complete snapshot, that of the partial one after
//! it, and the ids of all partial ones that no complete one has replaced yet.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::id::SnapshotId;
use crate::vault::Vault;
use crate::vault::stat_cache::{StatCache, StatCacheWriter, Totals};

/// Where they are.
pub(super) struct Caches {
    complete: PathBuf,
    partial: PathBuf,
    /// Ids in hex, a line each.
    partial_ids: PathBuf,
}

impl Caches {
    /// The caches for these paths, in whatever order they were given.
    pub(super) fn of(vault: &Vault, paths: &[PathBuf]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for path in paths {
            hasher.update(path.as_os_str().as_bytes()).update(&[0]);
        }
        let name = &hasher.finalize().to_hex()[..32];
        let directory = vault.local().cache.join("stat");
        Self {
            complete: directory.join(name),
            partial: directory.join(format!("{name}.partial")),
            partial_ids: directory.join(format!("{name}.partials")),
        }
    }

    /// The caches whose snapshots are in the log: what they name is in the vault.
    pub(super) fn open(&self, vault: &Vault) -> Vec<StatCache> {
        [&self.partial, &self.complete]
            .into_iter()
            .filter_map(|path| StatCache::open(path))
            .filter(|cache| vault.state().snapshot_by_id(&cache.snapshot()).is_some())
            .collect()
    }

    /// A new cache, which is found only when it is saved.
    pub(super) fn begin(&self) -> Result<StatCacheWriter, Error> {
        StatCacheWriter::create(&self.complete)
    }

    /// The partial snapshots that a complete one replaces; what is not in the log is passed over there.
    pub(super) fn partial_ids(&self) -> Vec<SnapshotId> {
        let text = fs::read_to_string(&self.partial_ids).unwrap_or_default();
        text.lines().filter_map(|line| SnapshotId::parse(line).ok()).collect()
    }

    /// Keeps what is remembered of a partial snapshot, which replaces those in `replaced`.
    pub(super) fn save_partial(
        &self,
        remember: StatCacheWriter,
        (snapshot, totals): (SnapshotId, Totals),
        replaced: &[SnapshotId],
    ) -> Result<(), Error> {
        let mut ids = self.partial_ids();
        ids.retain(|id| !replaced.contains(id));
        ids.push(snapshot);
        let lines: Vec<String> = ids.iter().map(SnapshotId::to_hex).collect();
        fs::write(&self.partial_ids, lines.join("\n")).map_err(Error::local("write", &self.partial_ids))?;
        remember.finish(&self.partial, snapshot, totals)
    }

    /// Keeps what is remembered of a complete snapshot; of partial ones nothing is needed any more.
    pub(super) fn save_complete(
        &self,
        remember: StatCacheWriter,
        (snapshot, totals): (SnapshotId, Totals),
    ) -> Result<(), Error> {
        remember.finish(&self.complete, snapshot, totals)?;
        delete(&self.partial)?;
        delete(&self.partial_ids)
    }
}

fn delete(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::local("delete", path)(error)),
        _ => Ok(()),
    }
}
