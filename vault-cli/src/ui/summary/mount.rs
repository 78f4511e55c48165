//! What `mount` shows, for people, at the moment when it is there to be looked at.

use std::path::Path;

use super::Lines;
use crate::ui::human::{counted, message, path, shell_word};

/// Where a vault is mounted, and how to end that.
pub(crate) fn mount(point: &Path, snapshots: u64) -> String {
    let mut lines = Lines::new(&format!("mounted on {}", path(point)));
    lines.row("shows", &counted(snapshots, "snapshot"));
    let word = shell_word(&point.to_string_lossy());
    lines.row("ends", &message(&format!("with Ctrl-C here, or `fusermount3 -u {word}`")));
    lines.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_says_how_it_ends() {
        assert_eq!(
            mount(Path::new("/mnt/my vault"), 1),
            "mounted on /mnt/my vault\n  \
               shows      1 snapshot\n  \
               ends       with Ctrl-C here, or `fusermount3 -u '/mnt/my vault'`\n"
        );
    }
}
