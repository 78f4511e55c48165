//! `vault find`: where something is, and was, in all snapshots.
//!
//! What is told of a version holds for every snapshot in which it is counted.

use vault_core::ops::find::{FindOptions, FoundKind, find};
use vault_core::ops::snapshots::snapshots;
use vault_core::time::Timestamp;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::values;

/// Find files in all snapshots
///
/// A PATTERN is a name, in which `*`, `?`, `[a-z]` and `{a,b}` stand for others. If it has a slash, it is the whole path, from the
/// snapshot's root or from `/`, and `**` stands for any directories.
///
/// Each path is shown with its versions: when it changed, its size, the first and the last snapshot that has it so, and how many.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault find '*.odt' --newer 2026-11-01 --vault /mnt/disk/my-vault\n  \
    vault find 'Trip/**/*.jpg' -i --size +5M --host laptop --vault ./my-vault")]
pub(crate) struct Find {
    /// Name or path to find
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<String>,

    /// Take upper and lower case as the same
    #[arg(short, long)]
    ignore_case: bool,

    /// Only files (f), directories (d), symbolic links (l) or others (s)
    #[arg(long, value_name = "TYPE", value_parser = kind, value_delimiter = ',')]
    r#type: Vec<FoundKind>,

    /// Only what changed at DATE or later, as in 2026-11-22T10:00
    #[arg(long, value_name = "DATE", value_parser = spec::begin_of)]
    newer: Option<Timestamp>,

    /// Only what changed before DATE
    #[arg(long, value_name = "DATE", value_parser = spec::begin_of)]
    older: Option<Timestamp>,

    /// Only files larger (+1M) or smaller (-1M) than SIZE, or of SIZE
    #[arg(long, value_name = "SIZE", value_parser = sizes, allow_hyphen_values = true)]
    size: Vec<Sizes>,

    /// Search only this snapshot; may be given several times
    #[arg(long, value_name = "SNAP", value_parser = spec::parser(), help_heading = "Which snapshots")]
    snapshot: Vec<Spec>,

    #[command(flatten)]
    filter: FilterOptions,
}

impl Find {
    /// Searches and shows what was found.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let vault = match self.snapshot.first() {
            Some(spec) => context.open_for(spec)?,
            None => context.open(&context.location()?)?,
        };
        let reader = context.unlock(&vault)?;
        let mut list = self.filter.narrow(snapshots(&vault, &reader)?);
        if !self.snapshot.is_empty() {
            let find = |spec| context.snapshot_among(&vault, &reader, spec, &self.filter);
            let wanted: Vec<_> = self.snapshot.iter().map(find).collect::<Result<_, _>>()?;
            list.retain(|snapshot| wanted.contains(&snapshot.id));
        }
        let options = FindOptions {
            patterns: self.patterns,
            ignore_case: self.ignore_case,
            kinds: self.r#type,
            min_size: self.size.iter().map(|sizes| sizes.least).max(),
            max_size: self.size.iter().map(|sizes| sizes.most).min(),
            newer: self.newer,
            older: self.older,
            snapshots: list.iter().map(|snapshot| snapshot.id).collect(),
        };

        let display = Display::new(context.ui);
        let summary = find(&vault, &reader, &options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        let problems = display.finish();

        if summary.truncated {
            context.ui.warn("more was found than can be shown: what follows is not all; search for less");
        }
        let document = json::Find::new(&vault.id().to_hex(), &summary, &problems);
        context.ui.listing(&document, |out| summary::find(out, &summary)).map_err(CliError::Output)?;
        if summary.found.is_empty() {
            context.ui.note("nothing fits in any snapshot");
        }
        Ok(if summary.truncated || summary.failed_entries > 0 { Exit::Incomplete } else { Exit::Done })
    }
}

/// The sizes that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    least: u64,
    most: u64,
}

/// Reads `+1M`, `-1M` or `1M`.
fn sizes(text: &str) -> Result<Sizes, values::NotASize> {
    let (least, most) = if let Some(above) = text.strip_prefix('+') {
        (values::size(above)?.checked_add(1).ok_or(values::NotASize)?, u64::MAX)
    } else if let Some(below) = text.strip_prefix('-') {
        (0, values::size(below)?.checked_sub(1).ok_or(values::NotASize)?)
    } else {
        let size = values::size(text)?;
        (size, size)
    };
    Ok(Sizes { least, most })
}

fn kind(text: &str) -> Result<FoundKind, &'static str> {
    match text {
        "f" | "file" => Ok(FoundKind::File),
        "d" | "directory" => Ok(FoundKind::Directory),
        "l" | "symlink" => Ok(FoundKind::Symlink),
        "s" | "special" => Ok(FoundKind::Special),
        _ => Err("expected f, d, l or s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_says_on_which_side_of_a_size() {
        assert_eq!(sizes("+1K"), Ok(Sizes { least: 1025, most: u64::MAX }));
        assert_eq!(sizes("-1K"), Ok(Sizes { least: 0, most: 1023 }));
        assert_eq!(sizes("1K"), Ok(Sizes { least: 1024, most: 1024 }));
        for text in ["", "+", "-0", "+x", "--1"] {
            assert!(sizes(text).is_err(), "{text}");
        }
    }
}
