//! `vault cat`: a file's bytes on stdout, or a directory as a tar archive.
//!
//! Only verified bytes are written. Into a file they are written whole or not at all.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::NamedTempFile;
use vault_core::error::Error;
use vault_core::ops::cat::{Cat as Source, CatOptions, CatSummary};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{Ui, json, summary};

/// Write a file to standard output, or a directory as a tar archive
///
/// Each piece is verified before it is written: where the vault is damaged, the output ends and the exit code is 8.
///
/// What is in a directory stands in the archive as in the directory itself, with owners, times, attributes, links and devices.
/// Holes of sparse files become zeros.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault cat latest:/notes.txt --vault /mnt/disk/my-vault\n  \
    vault cat latest:/Trip --vault /mnt/disk/my-vault | tar xf - -C ./trip")]
pub(crate) struct Cat {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    what: Spec,

    /// Write into FILE, which must not exist, not to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    filter: FilterOptions,
}

impl Cat {
    /// Writes the bytes.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        if context.ui.json && self.output.is_none() {
            return Err(CliError::JsonNeedsOutput);
        }
        let vault = context.fetch_for(&self.what)?;
        let reader = context.unlock(&vault)?;
        let snapshot = context.snapshot_among(&vault, &reader, &self.what, &self.filter)?;
        let options = CatOptions { snapshot, path: self.what.path };
        let source = Source::find(&vault, &reader, &options).map_err(|error| context.explain(error))?;
        let is_archive = source.is_archive();
        let Some(path) = &self.output else {
            return to_stdout(context, source);
        };
        let begun = Instant::now();
        let (summary, problems) = to_file(context, source, path)?;
        let run = json::Run { created_vault: false, elapsed: begun.elapsed(), problems: &problems };
        let document = json::Cat::new(&options, path, is_archive, (&summary, run));
        let text = summary::cat(path, &summary, run.elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(exit(&summary))
    }
}

fn exit(summary: &CatSummary) -> Exit {
    if summary.failed_entries == 0 { Exit::Done } else { Exit::Incomplete }
}

fn to_stdout(context: &Context, source: Source<'_>) -> Result<Exit, CliError> {
    let mut out = io::stdout().lock();
    let terminal = out.is_terminal();
    if terminal && source.is_archive() {
        return Err(CliError::ArchiveToTerminal);
    }
    // Lines of progress would stand among the contents.
    let display = Display::new(Ui { progress: context.ui.progress && !terminal, ..context.ui });
    let summary = copy(context, source, &display, &mut out).map_err(|error| error.or(CliError::Output))?;
    out.flush().map_err(CliError::Output)?;
    display.finish();
    Ok(exit(&summary))
}

/// Writes a file beside the one that is wanted, and gives it the name when it is whole.
fn to_file(
    context: &Context,
    source: Source<'_>,
    path: &Path,
) -> Result<(CatSummary, Vec<json::Problem>), CliError> {
    let failed = |source| CliError::WriteFile { path: path.to_owned(), source };
    let mut file = file_beside(path)?;
    let display = Display::new(context.ui);
    let summary = copy(context, source, &display, file.as_file_mut()).map_err(|error| error.or(failed))?;
    let problems = display.finish();
    give_name(file, path)?;
    Ok((summary, problems))
}

/// A file in the directory of one that is wanted, and that must not be there.
pub(super) fn file_beside(path: &Path) -> Result<NamedTempFile, CliError> {
    let failed = |source| CliError::WriteFile { path: path.to_owned(), source };
    if path.symlink_metadata().is_ok() {
        return Err(CliError::FileExists { path: path.to_owned() });
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Where the directory is missing that is said of it, not of the temporary file.
    directory.metadata().map_err(failed)?;
    tempfile::Builder::new().prefix(".vault-").tempfile_in(directory).map_err(failed)
}

/// Gives a file that is whole its name.
pub(super) fn give_name(file: NamedTempFile, path: &Path) -> Result<(), CliError> {
    let failed = |source| CliError::WriteFile { path: path.to_owned(), source };
    file.as_file().sync_data().map_err(failed)?;
    file.persist_noclobber(path).map(drop).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => CliError::FileExists { path: path.to_owned() },
        _ => failed(error.error),
    })
}

/// Why a copy ended early.
enum CopyError {
    Source(CliError),
    Target(io::Error),
}

impl CopyError {
    fn or(self, target: impl FnOnce(io::Error) -> CliError) -> CliError {
        match self {
            Self::Source(error) => error,
            Self::Target(error) => target(error),
        }
    }
}

fn copy(
    context: &Context,
    source: Source<'_>,
    display: &Display,
    out: &mut impl Write,
) -> Result<CatSummary, CopyError> {
    let around = context.around(display).map_err(CopyError::Source)?;
    let mut failure = None;
    let copied = source.write(&around, &mut |bytes| {
        out.write_all(bytes).map_err(|error| {
            failure = Some(error);
            // Only stops the copy: the failure is told instead.
            Error::Interrupted
        })
    });
    match failure {
        Some(error) => Err(CopyError::Target(error)),
        None => copied.map_err(|error| CopyError::Source(context.explain(error))),
    }
}
