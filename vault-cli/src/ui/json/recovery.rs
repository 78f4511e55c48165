//! The documents of `recovery`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use vault_core::keys::kit::{Kit, KitIdentity};
use vault_core::ops::snapshots::SnapshotInfo;
use zeroize::Zeroizing;

use super::PathText;
use crate::ui::time;

/// A kit that was made; `kit` and `codes` only where no file was asked for.
#[derive(Debug, Serialize)]
pub(crate) struct RecoveryKit<'a> {
    command: &'static str,
    vault: String,
    location: String,
    head: u64,
    plain: bool,
    output: Option<PathText>,
    html: Option<PathText>,
    kit: Option<&'a str>,
    codes: Option<Vec<&'a str>>,
}

impl<'a> RecoveryKit<'a> {
    pub(crate) fn new(
        kit: &Kit,
        codes: &'a [Zeroizing<String>],
        text: Option<&'a str>,
        [output, html]: [&Option<PathBuf>; 2],
    ) -> Self {
        Self {
            command: "recovery kit",
            vault: kit.vault.to_hex(),
            location: String::from_utf8_lossy(&kit.location).into_owned(),
            head: kit.head.seq.0,
            plain: matches!(kit.identity, KitIdentity::Plain(_)),
            output: output.as_deref().map(PathText::new),
            html: html.as_deref().map(PathText::new),
            kit: text,
            codes: text.map(|_| codes.iter().map(|code| code.as_str()).collect()),
        }
    }
}

/// What a kit opened.
#[derive(Debug, Serialize)]
pub(crate) struct RecoveryTest {
    command: &'static str,
    vault: String,
    location: String,
    snapshots: usize,
    newest_snapshot: Option<String>,
    newest_time: Option<String>,
    root_entries: u64,
}

impl RecoveryTest {
    pub(crate) fn new(
        kit: &Kit,
        location: &str,
        snapshots: usize,
        newest: Option<&SnapshotInfo>,
        root_entries: u64,
    ) -> Self {
        Self {
            command: "recovery test",
            vault: kit.vault.to_hex(),
            location: location.to_owned(),
            snapshots,
            newest_snapshot: newest.map(|snapshot| snapshot.id.to_hex()),
            newest_time: newest.map(|snapshot| time::iso(snapshot.time)),
            root_entries,
        }
    }
}

/// An identity that was put into place.
#[derive(Debug, Serialize)]
pub(crate) struct RecoveryRestore {
    command: &'static str,
    vault: String,
    location: String,
    identity: PathText,
    reached: bool,
    contacts: usize,
}

impl RecoveryRestore {
    pub(crate) fn new(
        kit: &Kit,
        location: &str,
        identity: &Path,
        (reached, contacts): (bool, usize),
    ) -> Self {
        Self {
            command: "recovery restore",
            vault: kit.vault.to_hex(),
            location: location.to_owned(),
            identity: PathText::new(identity),
            reached,
            contacts,
        }
    }
}
