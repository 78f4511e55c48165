//! What `export` wrote, for people.

use std::time::Duration;

use vault_core::bytes::ByteSize;

use super::Lines;
use crate::commands::export::Exported;
use crate::ui::human::{counted, duration, path};

/// What was written, and who opens it.
pub(crate) fn export(exported: &Exported, elapsed: Duration) -> String {
    let mut lines = Lines::new(&format!("sealed into {} in {}", path(&exported.output), duration(elapsed)));
    lines.row("size", &ByteSize(exported.bytes).to_string());
    for to in &exported.to {
        match &to.name {
            Some(name) => lines.row("for", name),
            None => lines.row("for", &shortened(to.recipient.as_str())),
        }
    }
    let unverified = exported.to.iter().filter(|to| !to.verified).filter_map(|to| to.name.as_deref());
    super::grants::unverified(&mut lines, unverified);
    if exported.summary.failed_entries > 0 {
        let missing = counted(exported.summary.failed_entries, "entry");
        lines.row("missing", &format!("{missing}, see above"));
    }
    lines.row("opens by", &format!("`age -d -i KEY {} | tar xf -`", path(&exported.output)));
    lines.0
}

/// A recipient as far as people look at it.
fn shortened(recipient: &str) -> String {
    match recipient.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &recipient[..at]),
        None => recipient.to_owned(),
    }
}
