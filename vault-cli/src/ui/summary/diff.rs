//! What `diff` found, for people: a line for each difference, then sums.

use vault_core::bytes::ByteSize;
use vault_core::ops::diff::{Change, ChangeKind, DiffSummary, Tally};

use super::Lines;
use crate::ui::human::counted;
use crate::ui::listing;

/// One difference: a letter and the path.
pub(crate) fn change(change: &Change<'_>) -> String {
    let letter = match change.kind {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Contents => 'M',
        ChangeKind::Metadata => 'U',
        ChangeKind::Type => 'T',
    };
    let name = match change.after.or(change.before) {
        // The root has no name of its own.
        Some(_) if change.path.as_os_str().is_empty() => "./".to_owned(),
        Some(entry) => listing::name(change.path, entry),
        None => String::new(),
    };
    format!("{letter} {name}")
}

/// All differences together.
pub(crate) fn diff(summary: &DiffSummary) -> String {
    let headline = if summary.differs() { "differences" } else { "no differences" };
    let mut lines = Lines::new(headline);
    let rows = [
        ("added", &summary.added),
        ("removed", &summary.removed),
        ("changed", &summary.changed),
        ("metadata", &summary.metadata),
    ];
    for (label, tally) in rows.into_iter().filter(|(_, tally)| !tally.is_empty()) {
        lines.row(label, &amount(tally));
    }
    if summary.failed_entries > 0 {
        let failed = counted(summary.failed_entries, "entry");
        lines.row("unknown", &format!("{failed} on disk, see above"));
    }
    lines.0
}

/// `3 files, 1.2 MiB; 1 directory`.
fn amount(tally: &Tally) -> String {
    let mut parts = Vec::new();
    if tally.files > 0 {
        parts.push(format!("{}, {}", counted(tally.files, "file"), ByteSize(tally.bytes)));
    }
    if tally.directories > 0 {
        parts.push(counted(tally.directories, "directory"));
    }
    if tally.others > 0 {
        parts.push(
            counted(tally.others, "link or special file")
                .replace("link or special files", "links and special files"),
        );
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_name_only_what_there_is() {
        let summary = DiffSummary {
            added: Tally { files: 2, directories: 1, others: 0, bytes: 1536 },
            metadata: Tally { others: 2, ..Tally::default() },
            ..DiffSummary::default()
        };

        assert_eq!(
            diff(&summary),
            "differences\n  added      2 files, 1.5 KiB; 1 directory\n  metadata   2 links and special files\n"
        );
        assert_eq!(diff(&DiffSummary::default()), "no differences\n");
    }
}
