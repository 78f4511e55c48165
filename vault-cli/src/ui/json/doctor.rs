//! The document of `doctor`.

use serde::Serialize;

use crate::doctor::{Line, Verdict, worst};

/// What `doctor` found.
#[derive(Debug, Serialize)]
pub(crate) struct Doctor<'a> {
    command: &'static str,
    result: &'static str,
    checks: Vec<Check<'a>>,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the fields are those of the document")]
struct Check<'a> {
    check: &'static str,
    result: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
}

impl<'a> Doctor<'a> {
    pub(crate) fn new(lines: &'a [Line]) -> Self {
        let check = |line: &'a Line| Check {
            check: line.check,
            result: word(line.verdict),
            message: &line.text,
            hint: line.hint.as_deref(),
        };
        Self { command: "doctor", result: word(worst(lines)), checks: lines.iter().map(check).collect() }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    }
}
