//! The document of `cat` into a file.

use std::path::Path;

use serde::Serialize;
use vault_core::ops::cat::{CatOptions, CatSummary};

use super::{PathText, Problem, Run};

/// What `cat` wrote.
#[derive(Debug, Serialize)]
pub(crate) struct Cat<'a> {
    command: &'static str,
    snapshot: String,
    #[serde(flatten)]
    path: PathText,
    output: PathText,
    format: &'static str,
    bytes: u64,
    failed_entries: u64,
    seconds: f64,
    problems: &'a [Problem],
}

impl<'a> Cat<'a> {
    pub(crate) fn new(
        options: &CatOptions,
        output: &Path,
        is_archive: bool,
        (summary, run): (&CatSummary, Run<'a>),
    ) -> Self {
        Self {
            command: "cat",
            snapshot: options.snapshot.to_hex(),
            path: PathText::new(&options.path),
            output: PathText::new(output),
            format: if is_archive { "tar" } else { "file" },
            bytes: summary.bytes,
            failed_entries: summary.failed_entries,
            seconds: run.elapsed.as_secs_f64(),
            problems: run.problems,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use vault_core::id::SnapshotId;

    use super::*;

    #[test]
    fn cat_has_these_fields() {
        let options = CatOptions { snapshot: SnapshotId::new([0xab; 32]), path: "a".into() };
        let summary = CatSummary { bytes: 1, failed_entries: 2 };
        let run = Run { created_vault: false, elapsed: Duration::from_secs(1), problems: &[] };

        assert_eq!(
            serde_json::to_value(Cat::new(&options, Path::new("out"), true, (&summary, run))).unwrap(),
            json!({
                "command": "cat", "snapshot": "ab".repeat(32), "path": "a", "output": {"path": "out"},
                "format": "tar", "bytes": 1, "failed_entries": 2, "seconds": 1.0, "problems": [],
            })
        );
    }
}
