//! The document of `diff`, written change by change.
//!
//! Whatever is pushed, what was written is one well-formed document once it is finished.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use vault_core::ops::diff::{Change, ChangeKind, DiffSummary, Tally, TreePath};

use super::ls::EntryFacts;
use super::{PathText, Problem};

/// What was compared.
#[derive(Debug, Serialize)]
struct Head<'a> {
    command: &'static str,
    from: At,
    /// Nothing where the disk was compared.
    to: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a PathText>,
}

#[derive(Debug, Serialize)]
struct At {
    snapshot: String,
    #[serde(flatten)]
    path: PathText,
}

impl At {
    fn new(at: &TreePath) -> Self {
        Self { snapshot: at.snapshot.to_hex(), path: PathText::new(&at.path) }
    }
}

#[derive(Debug, Serialize)]
struct DiffChange {
    #[serde(flatten)]
    path: PathText,
    change: &'static str,
    before: Option<EntryFacts>,
    after: Option<EntryFacts>,
}

/// What follows the changes.
#[derive(Debug, Serialize)]
struct Sums<'a> {
    added: Amount,
    removed: Amount,
    changed: Amount,
    metadata: Amount,
    failed_entries: u64,
    problems: &'a [Problem],
}

#[derive(Debug, Serialize)]
struct Amount {
    files: u64,
    directories: u64,
    others: u64,
    bytes: u64,
}

impl Amount {
    fn new(tally: &Tally) -> Self {
        Self { files: tally.files, directories: tally.directories, others: tally.others, bytes: tally.bytes }
    }
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Contents => "contents",
        ChangeKind::Metadata => "metadata",
        ChangeKind::Type => "type",
    }
}

/// Writes the document of `diff` change by change, so that a comparison of any length takes no memory.
pub(crate) struct DiffWriter<W: Write> {
    out: W,
    is_first: bool,
}

impl<W: Write> DiffWriter<W> {
    /// Begins the document.
    pub(crate) fn new(
        mut out: W,
        from: &TreePath,
        to: Option<&TreePath>,
        source: Option<&Path>,
    ) -> io::Result<Self> {
        let source = source.map(PathText::new);
        let head =
            Head { command: "diff", from: At::new(from), to: to.map(At::new), source: source.as_ref() };
        let head = serde_json::to_string(&head)?;
        // Left open, since more follows.
        write!(out, "{},\"changes\":[", head.strip_suffix('}').unwrap_or(&head))?;
        Ok(Self { out, is_first: true })
    }

    /// Adds a change.
    pub(crate) fn push(&mut self, change: &Change<'_>) -> io::Result<()> {
        if !std::mem::take(&mut self.is_first) {
            self.out.write_all(b",")?;
        }
        self.out.write_all(b"\n")?;
        let document = DiffChange {
            path: PathText::new(change.path),
            change: word(change.kind),
            before: change.before.map(EntryFacts::new),
            after: change.after.map(EntryFacts::new),
        };
        Ok(serde_json::to_writer(&mut self.out, &document)?)
    }

    /// Ends the document with the sums.
    pub(crate) fn finish(mut self, summary: &DiffSummary, problems: &[Problem]) -> io::Result<()> {
        let sums = Sums {
            added: Amount::new(&summary.added),
            removed: Amount::new(&summary.removed),
            changed: Amount::new(&summary.changed),
            metadata: Amount::new(&summary.metadata),
            failed_entries: summary.failed_entries,
            problems,
        };
        let sums = serde_json::to_string(&sums)?;
        writeln!(self.out, "\n],{}", sums.strip_prefix('{').unwrap_or(&sums))?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vault_core::format::tree::{Entry, EntryKind, Metadata};
    use vault_core::id::SnapshotId;

    use super::*;

    #[test]
    fn diff_is_one_document_however_it_is_written() {
        let at = TreePath { snapshot: SnapshotId::new([0xab; 32]), path: "Trip".into() };
        let fifo = Entry {
            name: b"pipe".to_vec(),
            kind: EntryKind::Fifo,
            metadata: Metadata { mode: 0o640, ..Metadata::default() },
            link_group: None,
            changed_while_read: false,
        };
        let change = Change {
            path: Path::new("Trip/pipe"),
            kind: ChangeKind::Added,
            before: None,
            after: Some(&fifo),
        };
        let summary =
            DiffSummary { added: Tally { others: 1, ..Tally::default() }, ..DiffSummary::default() };
        let none = json!({"files": 0, "directories": 0, "others": 0, "bytes": 0});
        for count in [0, 1, 2] {
            let mut out = Vec::new();
            let mut writer = DiffWriter::new(&mut out, &at, None, Some(Path::new("out"))).unwrap();
            for _ in 0..count {
                writer.push(&change).unwrap();
            }
            writer.finish(&summary, &[]).unwrap();

            let expected = json!({
                "path": "Trip/pipe", "change": "added", "before": null,
                "after": {"type": "fifo", "mode": "0640", "uid": 0, "gid": 0, "mtime": "1970-01-01T00:00:00Z"},
            });
            assert_eq!(
                serde_json::from_slice::<Value>(&out).unwrap(),
                json!({
                    "command": "diff", "from": {"snapshot": "ab".repeat(32), "path": "Trip"}, "to": null,
                    "source": {"path": "out"}, "changes": vec![expected; count],
                    "added": {"files": 0, "directories": 0, "others": 1, "bytes": 0},
                    "removed": none, "changed": none, "metadata": none, "failed_entries": 0, "problems": [],
                })
            );
        }
    }
}
