//! `restore`: writes a snapshot, or a path in it, into a directory, or back to where it came from.
//!
//! What is right already is neither fetched nor written, so a restore that was interrupted goes on where it was when it is run
//! again.

mod marker;
mod place;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::commit::CommitBody;
use crate::id::SnapshotId;
use crate::log::Snapshot;
use crate::pipeline::choose::Choice;
use crate::pipeline::limits::raise_open_files;
use crate::pipeline::restore::{Deletion, Engine, Manner, Target};
pub use crate::pipeline::restore::{Overwrite, RestoreSummary};
use crate::progress::{Amount, Notice, Phase, Severity};
use crate::vault::{Reader, Vault};

use super::Surroundings;
use super::list::find_path;
#[cfg(feature = "testing")]
pub use marker::decode_any as decode_any_note;
use marker::{Marker, Previous, Request};
use place::Place;

/// What to restore, where, and how.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct RestoreOptions {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// A path below its root; empty for the root.
    pub path: PathBuf,
    /// Where to.
    pub destination: Destination,
    /// What is done about what stands there. `None`: the directory must be empty, unless an interrupted restore of the same into
    /// it is continued; where the destination is the origin, as [`Overwrite::IfChanged`].
    pub overwrite: Option<Overwrite>,
    /// Whether owners and groups are restored; only the superuser can give files to others.
    pub owners: bool,
    /// Patterns in gitignore syntax of what is restored; none for everything. Relative to what is restored, or absolute.
    pub include: Vec<String>,
    /// Patterns of what is not restored.
    pub exclude: Vec<String>,
    /// What is removed that the snapshot does not have.
    pub delete: Delete,
    /// Files and directories that are never removed: those of the program and the vault.
    pub protect: Vec<PathBuf>,
    /// Whether contents are compared even where size and time are right, and everything written is read again. Not together with
    /// [`Overwrite::Never`], where what is kept cannot be told from what was written.
    pub verify: bool,
    /// Whether blocks of zeros become holes, besides the holes that the snapshot has.
    pub sparse: bool,
    /// Whether it is only told what would be done.
    pub dry_run: bool,
}

/// Where to restore to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// This directory. What is in the directory that is restored comes straight into it.
    Directory(PathBuf),
    /// The path where it was when it was backed up.
    Origin,
}

/// What a restore removes from its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delete {
    /// Nothing.
    #[default]
    Nothing,
    /// What the snapshot does not have, as far as it is chosen by the patterns.
    Surplus,
    /// That, and what the patterns leave out.
    SurplusAndUnchosen,
}

impl RestoreOptions {
    /// Restores all of a snapshot into an empty directory, without owners.
    pub fn new(snapshot: SnapshotId, target: impl Into<PathBuf>) -> Self {
        Self {
            snapshot,
            path: PathBuf::new(),
            destination: Destination::Directory(target.into()),
            overwrite: None,
            owners: false,
            include: Vec::new(),
            exclude: Vec::new(),
            delete: Delete::Nothing,
            protect: Vec::new(),
            verify: false,
            sparse: false,
            dry_run: false,
        }
    }

    fn manner(&self, overwrite: Overwrite, choice: Choice) -> Manner {
        Manner {
            owners: self.owners,
            overwrite,
            fresh: false,
            verify: self.verify && overwrite != Overwrite::Never,
            sparse: self.sparse,
            dry_run: self.dry_run,
            choice,
            deletion: None,
            protected: Vec::new(),
            stale_runs: Vec::new(),
        }
    }

    /// What may be removed, below what is restored.
    fn deletion(&self, record: &Snapshot, body: &CommitBody, path: &Path) -> Result<Option<Deletion>, Error> {
        if self.delete == Delete::Nothing {
            return Ok(None);
        }
        if record.commit.partial {
            return Err(Error::DeletesByPartial { snapshot: self.snapshot });
        }
        let within = known_within(body, path);
        Ok(Some(Deletion { within, unchosen_too: self.delete == Delete::SurplusAndUnchosen }))
    }

    fn protected(&self) -> Vec<(u64, u64)> {
        let metadata = self.protect.iter().filter_map(|path| path.symlink_metadata().ok());
        metadata.map(|metadata| (metadata.dev(), metadata.ino())).collect()
    }
}

/// The directories below `path` of which the snapshot knows everything: the paths that were backed up.
///
/// Of a directory that only leads to them it knows nothing but that.
fn known_within(body: &CommitBody, path: &Path) -> Vec<PathBuf> {
    let origin = place::origin(body, path);
    let paths = body.paths.iter().map(|path| place::path_of(path));
    paths
        .filter_map(|known| {
            if origin.starts_with(&known) {
                return Some(PathBuf::new());
            }
            known.strip_prefix(&origin).ok().map(Path::to_owned)
        })
        .collect()
}

/// The path where something was when it was backed up.
pub fn origin(vault: &Vault, reader: &Reader, snapshot: &SnapshotId, path: &Path) -> Result<PathBuf, Error> {
    let (_, _, path) = find_path(vault, reader, snapshot, path)?;
    let body = body_of(vault, reader, snapshot)?.1;
    Ok(place::origin(&body, &path))
}

fn body_of<'v>(
    vault: &'v Vault,
    reader: &Reader,
    snapshot: &SnapshotId,
) -> Result<(&'v Snapshot, CommitBody), Error> {
    let record = vault
        .state()
        .snapshot_by_id(snapshot)
        .ok_or_else(|| Error::NoSuchSnapshot { wanted: snapshot.to_hex() })?;
    Ok((record, reader.body(record)?))
}

/// Restores. What cannot be restored is told as a notice and counted; wrong bytes are never left in place of right ones.
///
/// # Errors
///
/// [`Error::TargetNotEmpty`] or [`Error::TargetUnfinished`] if something stands in the target and nothing says what to do about
/// it; [`Error::TargetBusy`] if another process restores there; [`Error::DeletesByPartial`].
pub fn restore(
    vault: &Vault,
    reader: &Reader,
    options: &RestoreOptions,
    around: &Surroundings<'_>,
) -> Result<RestoreSummary, Error> {
    around.progress.phase(Phase::Open);
    let (domain, entry, path) = find_path(vault, reader, &options.snapshot, &options.path)?;
    let (record, body) = body_of(vault, reader, &options.snapshot)?;
    let choice = Choice::new(&options.include, &options.exclude, &place::origin(&body, &path))?;
    let deletion = options.deletion(record, &body, &path)?;
    raise_open_files();
    let place = Place::open(options, &domain, &body, &path)?;
    let request = Request::new(options, &path, &place)?;
    let previous = Previous::read(&vault.local().state, &request);
    let overwrite = overwrite(options, &place, &previous)?;
    let marker = open_marker(vault, options, &request, around)?;
    let run: [u8; 8] = around.random.bytes()?;
    let run = hex::encode(run);
    if let Some(marker) = &marker {
        marker.begin(&run, place.empty)?;
    }

    around.progress.phase(Phase::Restore);
    if path.as_os_str().is_empty() && options.include.is_empty() {
        let items = body.counts.files + body.counts.directories + body.counts.others;
        around.progress.expect(Amount { items, bytes: body.counts.bytes });
    }
    let manner = Manner {
        fresh: place.empty && options.overwrite.is_none(),
        deletion,
        protected: options.protected(),
        stale_runs: previous.runs,
        ..options.manner(overwrite, choice)
    };
    let target = Target { root: place.root, path: place.shown.clone(), run };
    let mut summary = Engine::new(domain, *around, manner, target).run(&entry)?;
    summary.failed_attributes += place.way.finish(options.owners, around);
    summary.resumed = previous.same && !place.empty;
    if let Some(marker) = marker.filter(|_| !summary.interrupted && summary.failed_entries == 0) {
        marker.remove();
    }
    Ok(summary)
}

/// What is done about what stands in the target.
fn overwrite(options: &RestoreOptions, place: &Place, previous: &Previous) -> Result<Overwrite, Error> {
    match (options.overwrite, &options.destination, previous.snapshot) {
        (Some(overwrite), ..) => Ok(overwrite),
        (None, Destination::Origin, _) => Ok(Overwrite::IfChanged),
        _ if place.empty || previous.same => Ok(Overwrite::IfChanged),
        (.., Some(snapshot)) => Err(Error::TargetUnfinished { path: place.shown.clone(), snapshot }),
        _ => Err(Error::TargetNotEmpty { path: place.shown.clone() }),
    }
}

/// The note of this restore; `None` in a dry run, and where none can be made, which is no reason not to restore.
fn open_marker(
    vault: &Vault,
    options: &RestoreOptions,
    request: &Request,
    around: &Surroundings<'_>,
) -> Result<Option<Marker>, Error> {
    if options.dry_run {
        return Ok(None);
    }
    match Marker::open(&vault.local().state, request) {
        Ok(marker) => Ok(Some(marker)),
        Err(Error::Local { path, source, .. }) => {
            let message = format!(
                "cannot be written: this restore, if interrupted, is not continued by itself: {source}"
            );
            around.progress.notice(&Notice { severity: Severity::Note, subject: &path, message: &message });
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
