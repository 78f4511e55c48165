//! What `doctor` found, a line for each check, ready to be sent to others.

use std::fmt::Write as _;

use super::super::human::{counted, message};
use crate::doctor::{Line, Verdict};

/// What was found.
pub(crate) fn doctor(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        let word = match line.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{word:4}  {:13}  {}", line.check, message(&line.text));
        if let Some(hint) = &line.hint {
            let _ = writeln!(text, "      {:13}  next: {}", "", message(hint));
        }
    }
    let count = |verdict| lines.iter().filter(|line| line.verdict == verdict).count() as u64;
    let (fails, warnings) = (count(Verdict::Fail), count(Verdict::Warn));
    let _ = match (fails, warnings) {
        (0, 0) => writeln!(text, "all is well"),
        (0, warnings) => writeln!(text, "{}", counted(warnings, "warning")),
        (fails, warnings) => writeln!(text, "{}, {}", counted(fails, "fault"), counted(warnings, "warning")),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_a_line_and_what_to_do() {
        let line = |verdict, hint: Option<&str>| Line {
            check: "clock",
            verdict,
            text: "it is wrong".to_owned(),
            hint: hint.map(str::to_owned),
        };

        assert_eq!(
            doctor(&[line(Verdict::Ok, None), line(Verdict::Fail, Some("set it"))]),
            "ok    clock          it is wrong\nFAIL  clock          it is wrong\n                     next: set it\n1 fault, 0 warnings\n"
        );
        assert_eq!(doctor(&[]), "all is well\n");
    }
}
