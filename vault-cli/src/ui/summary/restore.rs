//! What `restore` did, for people.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use vault_core::bytes::ByteSize;
use vault_core::ops::restore::RestoreSummary;

use super::Lines;
use crate::ui::human::{count, counted, duration, path};

/// What `restore` did, or would do in a dry run.
pub(crate) fn restore(target: &Path, summary: &RestoreSummary, elapsed: Duration) -> String {
    let mut lines = Lines::new(&headline(target, summary, elapsed));
    lines.row("files", &files(summary));
    let mut others = counted(summary.directories, "directory");
    if summary.others > 0 {
        let _ = write!(others, ", {}", counted(summary.others, "link or special file"));
    }
    lines.row("and", &others.replace("link or special files", "links and special files"));
    if summary.unchanged_entries + summary.updated_entries > 0 {
        lines.row("unchanged", &unchanged(summary));
    }
    if summary.kept_entries > 0 {
        lines.row("kept", &format!("{} that stood there", counted(summary.kept_entries, "entry")));
    }
    if summary.deleted_entries > 0 {
        lines.row("deleted", &counted(summary.deleted_entries, "entry"));
    }
    if summary.verified_files > 0 {
        lines.row("verified", &counted(summary.verified_files, "file"));
    }
    if summary.failed_entries > 0 {
        lines.row("missing", &format!("{}, see above", counted(summary.failed_entries, "entry")));
    }
    if summary.failed_attributes > 0 {
        lines.row("not set", &format!("{}, see above", counted(summary.failed_attributes, "attribute")));
    }
    if summary.interrupted && !summary.dry_run {
        lines.row("next", "run the same restore again: it continues from here");
    }
    lines.0
}

fn headline(target: &Path, summary: &RestoreSummary, elapsed: Duration) -> String {
    let (target, elapsed) = (path(target), duration(elapsed));
    if summary.dry_run {
        return format!("would restore into {target}, looked at in {elapsed}");
    }
    let headline = match (summary.interrupted, summary.failed_entries) {
        (true, _) => "restored in part, then interrupted, into",
        (false, 0) if summary.resumed => "restored the rest into",
        (false, 0) => "restored into",
        (false, _) => "restored, except for some entries, into",
    };
    format!("{headline} {target} in {elapsed}")
}

fn files(summary: &RestoreSummary) -> String {
    let mut text = format!("{}, {}", count(summary.files), ByteSize(summary.bytes));
    if summary.repaired_files > 0 {
        let _ = write!(text, "; {} repaired", count(summary.repaired_files));
    }
    if summary.reused_bytes > 0 {
        let _ = write!(text, ", {} of it there already", ByteSize(summary.reused_bytes));
    }
    text
}

fn unchanged(summary: &RestoreSummary) -> String {
    let entries = counted(summary.unchanged_entries + summary.updated_entries, "entry");
    match summary.updated_entries {
        0 => entries,
        updated => format!("{entries}, attributes set on {}", count(updated)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(summary: &RestoreSummary) -> String {
        restore(Path::new("./out"), summary, Duration::from_secs(90))
    }

    #[test]
    fn a_restore_counts_what_is_missing() {
        let summary = RestoreSummary {
            files: 2,
            bytes: 4096,
            directories: 1,
            others: 2,
            failed_entries: 3,
            failed_attributes: 1,
            ..RestoreSummary::default()
        };

        assert_eq!(
            told(&summary),
            "restored, except for some entries, into ./out in 1 min 30 s\n  \
               files      2, 4.0 KiB\n  \
               and        1 directory, 2 links and special files\n  \
               missing    3 entries, see above\n  \
               not set    1 attribute, see above\n"
        );
    }

    #[test]
    fn a_restore_into_what_is_there_says_what_became_of_it() {
        let summary = RestoreSummary {
            files: 3,
            bytes: 8192,
            repaired_files: 2,
            reused_bytes: 4096,
            unchanged_entries: 10,
            updated_entries: 1,
            kept_entries: 1,
            deleted_entries: 2,
            verified_files: 3,
            resumed: true,
            ..RestoreSummary::default()
        };

        assert_eq!(
            told(&summary),
            "restored the rest into ./out in 1 min 30 s\n  \
               files      3, 8.0 KiB; 2 repaired, 4.0 KiB of it there already\n  \
               and        0 directories\n  \
               unchanged  11 entries, attributes set on 1\n  \
               kept       1 entry that stood there\n  \
               deleted    2 entries\n  \
               verified   3 files\n"
        );
    }

    #[test]
    fn an_interrupted_restore_says_how_to_go_on_and_a_dry_one_that_nothing_was_done() {
        let interrupted = RestoreSummary { interrupted: true, ..RestoreSummary::default() };
        let dry = RestoreSummary { dry_run: true, ..RestoreSummary::default() };

        assert!(
            told(&interrupted).ends_with("  next       run the same restore again: it continues from here\n")
        );
        assert!(told(&dry).starts_with("would restore into ./out, looked at"));
    }
}
