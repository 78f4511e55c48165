//! What this machine remembers in small JSON files: read by their owner only, replaced whole, changed by one process at a time.
//!
//! A file that is not understood is never passed over: whoever could make us forget could put something else in its place.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use crate::error::CliError;
use crate::identity::make_directory;

/// The files of a directory, which need not exist.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |source| CliError::ReadFile { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Keeps other processes from changing files of the directory until the result goes.
pub(crate) fn lock(directory: &Path) -> Result<File, CliError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::WriteFile { path, source }
    };
    make_directory(directory).map_err(failed(directory))?;
    let path = directory.join(".lock");
    let file = File::options().create(true).append(true).open(&path).map_err(failed(&path))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(&path)(error.into()))?;
    Ok(file)
}

/// Writes a file anew, in its directory, which exists.
pub(crate) fn replace(path: &Path, kept: &impl Serialize) -> Result<(), CliError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        serde_json::to_writer_pretty(&mut file, kept)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| CliError::WriteFile { path: path.to_owned(), source })
}
