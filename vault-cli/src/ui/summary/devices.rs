//! What `device` says to people.

use std::io::{self, Write};

use vault_core::id::DeviceId;
use vault_core::log::DeviceKind;
use vault_core::wire::fingerprint::user_words;

use super::super::table::{Align, Table};
use super::Lines;
use crate::commands::device::{Added, Listed, Removed};
use crate::servers::Joined;

pub(super) fn kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Full => "reads and backs up",
        DeviceKind::AppendOnly => "backs up only",
    }
}

/// The devices of the user.
pub(crate) fn list(out: &mut dyn Write, listed: &[Listed]) -> io::Result<()> {
    let mut table =
        Table::new([("Device", Align::Left), ("What it may", Align::Left), ("Server", Align::Elastic)]);
    for device in listed {
        let mut what =
            if device.recovery { "recovery, by your identity" } else { kind(device.kind) }.to_owned();
        if device.this {
            what += " (this machine)";
        }
        table.push([device.id.short(), what, device.server.to_string()]);
    }
    table.write(out)
}

/// This device was taken on.
pub(crate) fn requested(joined: &Joined, device: &DeviceId, of_kind: DeviceKind) -> String {
    let mut lines = Lines::new(&format!("this machine is one of yours on {}", joined.url));
    lines.row("you", &format!("{} ({})", joined.user.short(), user_words(&joined.user).join(" ")));
    lines.row("device", &format!("{}, {}", device.short(), kind(of_kind)));
    lines.row("vaults", &names(joined.vaults.keys()));
    lines.row("next", "back up: `vault backup --vault NAME PATH`");
    lines.0
}

/// Another device was taken on.
pub(crate) fn added(added: &Added) -> String {
    let mut lines =
        Lines::new(&format!("device {} is one of yours on {}", added.device.id().short(), added.server));
    lines.row("it", kind(added.device.kind));
    lines.row("vaults", &names(added.vaults.iter()));
    if !added.failed.is_empty() {
        lines.row("failed", &names(added.failed.iter()));
    }
    lines.0
}

/// A device was cut off.
pub(crate) fn removed(removed: &Removed) -> String {
    let from = removed.server.as_ref().map_or_else(|| "the vault".to_owned(), ToString::to_string);
    let mut lines = Lines::new(&format!("device {} is cut off from {from}", removed.device.short()));
    lines.row("new keys", &names(removed.vaults.iter()));
    if !removed.failed.is_empty() {
        lines.row("failed", &names(removed.failed.iter()));
    }
    lines.row("note", "what it has read before it may have kept");
    lines.0
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
