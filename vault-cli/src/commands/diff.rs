//! `vault diff`: what differs between two snapshots, or between a snapshot and the disk.
//!
//! Differences are written as they are found: a comparison of any length takes no memory.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use vault_core::error::Error;
use vault_core::ops::diff::{self, Change, DiffOptions, DiffSummary, DiskOptions, TreePath};
use vault_core::vault::Vault;

use super::backup::own_directories;
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::omit::OmitOptions;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{Ui, Verbosity, json, stdout, summary};

/// Compare two snapshots, or a snapshot with the disk
///
/// Each line is an entry that differs: `+` was added, `-` removed, `M` has other contents, `U` another mode, owner or attribute,
/// and `T` became something else.
///
/// With one SNAP it is compared with the disk as it is now. There a file of the same size and time is taken to be the same
/// unless --contents is given, and one of the same size and another time is read and compared.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault diff latest~1 latest --vault /mnt/disk/my-vault\n  \
    vault diff latest:/Trip --source ./restored --contents --vault ./my-vault")]
pub(crate) struct Diff {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    from: Spec,

    /// Snapshot that came after; without it, the disk is compared
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    to: Option<Spec>,

    /// Compare only what is at this path, in both
    #[arg(value_name = "PATH", value_parser = spec::path_parser())]
    below: Option<PathBuf>,

    /// Compare with what is in DIR, not where the snapshot is from
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    source: Option<PathBuf>,

    /// Read files on disk even if their size and time are the same
    #[arg(long, conflicts_with = "to")]
    contents: bool,

    /// Show entries of which only the time differs, too
    #[arg(long)]
    metadata: bool,

    /// Exit with 3 if there are differences
    #[arg(long)]
    exit_code: bool,

    #[command(flatten)]
    filter: FilterOptions,

    #[command(flatten)]
    omit: OmitOptions,
}

impl Diff {
    /// Compares and says what differs.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        if self.from.grant().is_some() && self.source.is_none() && self.to.is_none() {
            return Err(ShareError::NoOrigin.into());
        }
        let vault = context.open_for(&self.from)?;
        let reader = context.unlock(&vault)?;
        let find = |spec: &Spec| -> Result<TreePath, CliError> {
            let snapshot = context.snapshot_among(&vault, &reader, spec, &self.filter)?;
            let path = self.below.as_ref().map_or_else(|| spec.path.clone(), |below| spec.path.join(below));
            Ok(TreePath { snapshot, path })
        };
        let from = find(&self.from)?;
        let to = self.to.as_ref().map(find).transpose()?;

        // Lines of progress would stand between those of the result.
        let display = Display::new(Ui { progress: false, ..context.ui });
        let mut lines = Lines::begin(context.ui, &from, to.as_ref(), self.source.as_deref())?;
        let mut failure = None;
        let mut visit = |change: &Change<'_>| {
            lines.push(change).map_err(|error| {
                failure = Some(error);
                // Only stops the comparison: the failure is told instead.
                Error::Interrupted
            })
        };
        let around = context.around(&display)?;
        let compared = if let Some(to) = to {
            let options = DiffOptions { from, to, times: self.metadata };
            diff::diff(&vault, &reader, &options, &around, &mut visit)
        } else {
            let options = self.disk_options(context, &vault, from)?;
            diff::diff_disk(&vault, &reader, &options, &around, &mut visit)
        };
        if let Some(error) = failure {
            return Err(CliError::Output(error));
        }
        let summary = compared.map_err(|error| context.explain(error))?;
        let problems = display.finish();
        lines.finish(&summary, &problems).map_err(CliError::Output)?;
        let differs = self.exit_code && summary.differs();
        Ok(if differs || summary.failed_entries > 0 { Exit::Incomplete } else { Exit::Done })
    }

    fn disk_options(
        &self,
        context: &Context,
        vault: &Vault,
        from: TreePath,
    ) -> Result<DiskOptions, CliError> {
        let is_grant = self.from.grant().is_some();
        let own = if is_grant { Vec::new() } else { own_directories(context, &context.location()?, vault)? };
        Ok(DiskOptions {
            from,
            source: self.source.clone(),
            omit: self.omit.rules(own)?,
            contents: self.contents,
            times: self.metadata,
        })
    }
}

/// Where differences go: a document, or lines with a summary unless `--quiet`.
enum Lines<W: Write> {
    Json(json::DiffWriter<W>),
    Text(W, bool),
}

impl Lines<io::BufWriter<io::StdoutLock<'static>>> {
    fn begin(
        ui: Ui,
        from: &TreePath,
        to: Option<&TreePath>,
        source: Option<&Path>,
    ) -> Result<Self, CliError> {
        if !ui.json {
            return Ok(Self::Text(stdout(), ui.verbosity >= Verbosity::Normal));
        }
        json::DiffWriter::new(stdout(), from, to, source).map(Self::Json).map_err(CliError::Output)
    }
}

impl<W: Write> Lines<W> {
    fn push(&mut self, change: &Change<'_>) -> io::Result<()> {
        match self {
            Self::Json(writer) => writer.push(change),
            Self::Text(out, _) => writeln!(out, "{}", summary::change(change)),
        }
    }

    fn finish(self, summary: &DiffSummary, problems: &[json::Problem]) -> io::Result<()> {
        match self {
            Self::Json(writer) => writer.finish(summary, problems),
            Self::Text(mut out, with_summary) => {
                if with_summary {
                    out.write_all(summary::diff(summary).as_bytes())?;
                }
                out.flush()
            }
        }
    }
}
