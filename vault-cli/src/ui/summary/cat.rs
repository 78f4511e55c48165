//! What `cat` wrote into a file, for people.

use std::path::Path;
use std::time::Duration;

use vault_core::bytes::ByteSize;
use vault_core::ops::cat::CatSummary;

use super::Lines;
use crate::ui::human::{counted, duration, path};

/// What was written.
pub(crate) fn cat(output: &Path, summary: &CatSummary, elapsed: Duration) -> String {
    let mut lines = Lines::new(&format!("written into {} in {}", path(output), duration(elapsed)));
    lines.row("size", &ByteSize(summary.bytes).to_string());
    if summary.failed_entries > 0 {
        lines.row("missing", &format!("{}, see above", counted(summary.failed_entries, "entry")));
    }
    lines.0
}
