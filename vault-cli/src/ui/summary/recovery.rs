//! What `recovery` did.

use std::path::Path;

use jiff::tz::TimeZone;
use vault_core::ops::snapshots::SnapshotInfo;

use super::super::human::{count, counted, message, path, shell_word};
use super::super::time;
use super::Lines;
use crate::ui::recovery::OpensWith;

/// A kit was written.
pub(crate) fn recovery_kit(
    output: Option<&Path>,
    html: Option<&Path>,
    opens_with: OpensWith,
    codes: usize,
) -> String {
    let mut lines = Lines::new("recovery kit made");
    for file in output.into_iter().chain(html) {
        lines.row("file", &path(file));
    }
    lines.row("QR codes", &count(codes as u64));
    lines.row(
        "opens",
        match opens_with {
            OpensWith::Passphrase => "with your passphrase",
            OpensWith::Key => "with the key that your identity is sealed to",
            OpensWith::Nothing => "by itself: lock it away",
        },
    );
    if let Some(file) = output {
        lines.row(
            "next",
            &format!("try it: `vault recovery test --kit {}`", shell_word(&file.to_string_lossy())),
        );
    }
    lines.0
}

/// A kit opened its vault; `newer` statements were appended since it was made.
pub(crate) fn recovery_test(
    location: &str,
    snapshots: usize,
    newest: Option<&SnapshotInfo>,
    entries: u64,
    newer: u64,
) -> String {
    let mut lines = Lines::new(&format!("the kit opens the vault in {}", message(location)));
    lines.row("snapshots", &count(snapshots as u64));
    if let Some(newest) = newest {
        let when = time::human(newest.time, &TimeZone::system());
        lines.row(
            "newest",
            &format!("{} of {when}, {} in its root read", newest.id.short(), counted(entries, "entry")),
        );
    }
    lines.row(
        "history",
        &match newer {
            0 => "as when the kit was made".to_owned(),
            newer => format!("extends what the kit knows by {}", counted(newer, "statement")),
        },
    );
    lines.0
}

/// An identity was put into place.
pub(crate) fn recovery_restore(
    identity: &Path,
    location: &str,
    (reached, contacts): (bool, usize),
) -> String {
    let mut lines = Lines::new("identity put into place");
    lines.row("identity", &path(identity));
    lines.row("vault", &message(location));
    if contacts > 0 {
        lines.row("contacts", &contacts.to_string());
    }
    let vault = shell_word(location);
    lines.row(
        "next",
        &if reached {
            format!("restore: `vault restore latest --target ./restored --vault {vault}`")
        } else {
            "bring the vault within reach, then: `vault snapshots --vault LOCATION`".to_owned()
        },
    );
    lines.0
}
