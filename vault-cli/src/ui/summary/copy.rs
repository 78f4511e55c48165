//! What `copy` did, for people.

use std::time::Duration;

use vault_core::bytes::ByteSize;
use vault_core::ops::copy::Copied;

use super::Lines;
use crate::ui::human::{counted, duration};

/// What `copy` did.
pub(crate) fn copy(copied: &[Copied], elapsed: Duration) -> String {
    let new: Vec<&Copied> = copied.iter().filter(|one| !one.was_there).collect();
    let count = counted(new.len() as u64, "snapshot");
    let mut lines = Lines::new(&format!("copied {count} in {}", duration(elapsed)));
    if new.len() < copied.len() {
        lines.row("there", &counted((copied.len() - new.len()) as u64, "snapshot"));
    }
    let (added, stored) =
        (new.iter().map(|one| one.added_bytes).sum(), new.iter().map(|one| one.stored_bytes).sum());
    lines.row("added", &format!("{}, stored {}", ByteSize(added), ByteSize(stored)));
    lines.0
}
