//! The document of `export`.

use serde::Serialize;

use super::{PathText, Problem, Run};
use crate::commands::export::{Exported, To};

/// What `export` wrote.
#[derive(Debug, Serialize)]
pub(crate) struct Export<'a> {
    command: &'static str,
    snapshot: String,
    #[serde(flatten)]
    path: PathText,
    output: PathText,
    to: Vec<OneRecipient<'a>>,
    /// Of the archive.
    archive_bytes: u64,
    /// Of the sealed file.
    bytes: u64,
    failed_entries: u64,
    seconds: f64,
    problems: &'a [Problem],
}

#[derive(Debug, Serialize)]
struct OneRecipient<'a> {
    name: Option<&'a str>,
    verified: bool,
    recipient: &'a str,
    post_quantum: bool,
}

impl<'a> Export<'a> {
    pub(crate) fn new(exported: &'a Exported, run: Run<'a>) -> Self {
        let of = |to: &'a To| OneRecipient {
            name: to.name.as_deref(),
            verified: to.verified,
            recipient: to.recipient.as_str(),
            post_quantum: to.recipient.is_post_quantum(),
        };
        Self {
            command: "export",
            snapshot: exported.options.snapshot.to_hex(),
            path: PathText::new(&exported.options.path),
            output: PathText::new(&exported.output),
            to: exported.to.iter().map(of).collect(),
            archive_bytes: exported.summary.bytes,
            bytes: exported.bytes,
            failed_entries: exported.summary.failed_entries,
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
    use vault_core::keys::recipient::AnyRecipient;
    use vault_core::ops::cat::{CatOptions, CatSummary};

    use super::*;

    #[test]
    fn export_has_these_fields() {
        const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        let recipient = AnyRecipient::parse(RECIPIENT).unwrap();
        let exported = Exported {
            options: CatOptions { snapshot: SnapshotId::new([0xab; 32]), path: "a".into() },
            output: "out".into(),
            to: vec![To { name: Some("anna".to_owned()), verified: true, recipient }],
            summary: CatSummary { bytes: 1, failed_entries: 2 },
            bytes: 3,
        };
        let run = Run { created_vault: false, elapsed: Duration::from_secs(1), problems: &[] };

        assert_eq!(
            serde_json::to_value(Export::new(&exported, run)).unwrap(),
            json!({
                "command": "export", "snapshot": "ab".repeat(32), "path": "a", "output": {"path": "out"},
                "to": [{"name": "anna", "verified": true, "recipient": RECIPIENT, "post_quantum": false}],
                "archive_bytes": 1, "bytes": 3, "failed_entries": 2, "seconds": 1.0, "problems": [],
            })
        );
    }
}
