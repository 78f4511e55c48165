//! `vault ls`: lists what is in a snapshot.
//!
//! Entries are written as they are found: a listing of any length takes no memory, unless it is to be sorted.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::path::Path;

use jiff::tz::TimeZone;
use vault_core::error::Error;
use vault_core::format::tree::{Contents, Entry, EntryKind};
use vault_core::ops::list::{ListOptions, list};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::spec::{self, Spec};
use crate::ui::{json, listing, stdout};

/// List what is in a snapshot
///
/// SNAP is `latest`, `latest~2` (the second before it), the first digits of an id, or a date: 2026-11-22 or 2026-11-22T10:00
/// is the newest snapshot made by then. A path below the snapshot's root may follow after a colon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault ls latest --vault /mnt/disk/my-vault\n  \
    vault ls -l 2026-11-22:/Trip --vault /mnt/disk/my-vault")]
pub(crate) struct Ls {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    what: Spec,

    /// Show modes, owners, sizes and times
    #[arg(short, long)]
    long: bool,

    /// Go into directories
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Sort all that is listed: by name, or largest or newest first
    #[arg(long, value_name = "BY", value_enum, default_value_t = Sort::Name, hide_default_value = true)]
    sort: Sort,

    #[command(flatten)]
    filter: FilterOptions,
}

/// What a listing is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Name,
    Size,
    Time,
}

impl Ls {
    /// Lists the entries.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let vault = context.open_for(&self.what)?;
        let reader = context.unlock(&vault)?;
        let snapshot = context.snapshot_among(&vault, &reader, &self.what, &self.filter)?;
        let options = ListOptions { snapshot, path: self.what.path, recursive: self.recursive };

        let mut lines = if context.ui.json {
            Lines::Json(json::ListWriter::new(stdout(), &snapshot, &options.path).map_err(CliError::Output)?)
        } else {
            let zone = self.long.then(TimeZone::system);
            Lines::Text(stdout(), zone)
        };
        let mut failure = None;
        let mut kept = Vec::new();
        let listed = list(&vault, &reader, &options, &mut |path, entry| {
            if self.sort != Sort::Name {
                kept.push((path.to_owned(), without_contents(entry)));
                return Ok(());
            }
            lines.push(path, entry).map_err(|error| {
                failure = Some(error);
                // Only stops the listing: the failure is told instead.
                Error::Interrupted
            })
        });
        if let Some(error) = failure {
            return Err(CliError::Output(error));
        }
        listed?;
        match self.sort {
            // As they came.
            Sort::Name => {}
            Sort::Size => kept.sort_by_key(|(_, entry)| Reverse(entry.kind.size())),
            Sort::Time => kept.sort_by_key(|(_, entry)| Reverse(entry.metadata.mtime)),
        }
        kept.iter().try_for_each(|(path, entry)| lines.push(path, entry)).map_err(CliError::Output)?;
        lines.finish().map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

/// The entry without what no listing shows and takes the most memory.
fn without_contents(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if let EntryKind::File { contents, holes, .. } = &mut entry.kind {
        *contents = Contents::Chunks(Vec::new());
        holes.clear();
    }
    entry
}

/// Where entries go: a document, or lines that are long where there is a time zone.
enum Lines<W: Write> {
    Json(json::ListWriter<W>),
    Text(W, Option<TimeZone>),
}

impl<W: Write> Lines<W> {
    fn push(&mut self, path: &Path, entry: &Entry) -> io::Result<()> {
        match self {
            Self::Json(writer) => writer.push(path, entry),
            Self::Text(out, None) => writeln!(out, "{}", listing::name(path, entry)),
            Self::Text(out, Some(zone)) => writeln!(out, "{}", listing::long_line(path, entry, zone)),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Json(writer) => writer.finish(),
            Self::Text(mut out, _) => out.flush(),
        }
    }
}
