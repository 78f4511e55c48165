//! What `member` and `rekey` say to people.
//!
//! People are called by name where this machine has one, and always by the beginning of their id too.

use std::io::{self, Write};

use vault_core::bytes::ByteSize;
use vault_core::id::{Epoch, UserId};
use vault_core::log::Role;

use super::super::human::{counted, duration};
use super::super::table::{Align, Table};
use super::Lines;
use crate::commands::member::{Admitted, Expelled, Listed};
use crate::commands::rekey::Rekeyed;

fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner: changes everything",
        Role::Editor => "editor: backs up, reads",
        Role::Reader => "reader: reads",
    }
}

/// The members of a vault.
pub(crate) fn list(out: &mut dyn Write, listed: &[Listed]) -> io::Result<()> {
    let mut table = Table::new([
        ("Member", Align::Left),
        ("Id", Align::Left),
        ("Role", Align::Left),
        ("Devices", Align::Right),
        ("Reads", Align::Left),
    ]);
    for member in listed {
        let name = match (&member.name, member.is_me) {
            (_, true) => "you".to_owned(),
            (Some(name), false) => name.clone(),
            (None, false) => "-".to_owned(),
        };
        let reads = match member.reads_from {
            Epoch::FIRST => "everything".to_owned(),
            later => format!("from epoch {later} on"),
        };
        let devices = member.devices.to_string();
        table.push([name, member.user.short(), role(member.role).to_owned(), devices, reads]);
    }
    table.write(out)
}

/// Somebody is a member now.
pub(crate) fn added(admitted: &Admitted) -> String {
    let name = &admitted.name;
    let Some(added) = admitted.added else {
        return Lines::new(&format!("{name} has that role already; nothing was changed")).0;
    };
    let is_now = if added.was_member { "has another role or more history" } else { "is a member" };
    let mut lines = Lines::new(&format!("{name} ({}) {is_now}", added.user.short()));
    lines.row("role", role(admitted.role));
    match (added.reads_from, added.begins_epoch) {
        (Epoch::FIRST, _) => lines.row("reads", "every snapshot"),
        (_, true) => {
            lines.row("reads", "what is backed up from now on");
            lines.row("note", "the next backups store everything once more, so that they can read it");
        }
        (later, false) => lines.row("reads", &format!("what was backed up from epoch {later} on")),
    }
    if !admitted.verified {
        lines.row("note", &format!("unverified: compare words with them: `vault contact verify {name}`"));
    }
    lines.0
}

/// Somebody is a member no more.
pub(crate) fn removed(expelled: &Expelled) -> String {
    let removed = &expelled.removed;
    let mut lines = Lines::new(&format!("{} is no member any more", expelled.who));
    let devices = counted(removed.devices, "device");
    lines.row("new keys", &format!("from now on, epoch {}; without {devices} of theirs", removed.epoch));
    let kept = counted(removed.snapshots_read, "snapshot");
    lines.row("note", &format!("what they could read before, {kept}, they may have kept"));
    grants(&mut lines, expelled);
    lines.row(
        "next",
        "seal again what is there, if somebody may give them the packs: `vault rekey --rewrite`",
    );
    lines.0
}

/// What somebody gave away or was given, who is no member any more.
fn grants(lines: &mut Lines, expelled: &Expelled) {
    let ids = |given: bool| {
        let ids = expelled.grants.iter().filter(|one| one.given == given).map(|one| one.grant.short());
        ids.collect::<Vec<_>>().join(", ")
    };
    let is_over = if expelled.revoked.is_empty() { "holds" } else { "taken back" };
    for (label, ids) in [("gave away", ids(true)), ("was given", ids(false))] {
        if !ids.is_empty() {
            lines.row(label, &format!("{ids}: {is_over}"));
        }
    }
    if expelled.revoked.is_empty() && !expelled.grants.is_empty() {
        lines.row("next", "take it back: `vault revoke GRANT`; what was fetched stays fetched");
    }
}

/// New keys, and who could read what.
pub(crate) fn rekeyed(rekeyed: &Rekeyed) -> String {
    let mut lines = match (rekeyed.epoch, &rekeyed.rewritten) {
        (Some(epoch), _) => Lines::new(&format!("new keys from now on: epoch {epoch}")),
        (None, Some(_)) => Lines::new("the keys stay; what was sealed under earlier ones is sealed again"),
        (None, None) => Lines::new("who could read what, from the keys they were given"),
    };
    if let Some(rewritten) = &rekeyed.rewritten {
        let summary = &rewritten.summary;
        let (packs, bytes) = (counted(summary.repacked_packs, "pack"), ByteSize(summary.repacked_bytes));
        let state = if summary.pruned.interrupted { "interrupted after" } else { "in" };
        lines.row("rewritten", &format!("{packs}, {bytes} {state} {}", duration(rewritten.elapsed)));
    }
    for reach in &rekeyed.reach {
        let held = format!("{} in {}", ByteSize(reach.bytes), counted(reach.packs, "pack"));
        lines.row(&format!("epoch {}", reach.epoch), &held);
        lines.row("  members", &people(&reach.members, &rekeyed.names));
        if !reach.others.is_empty() && reach.packs > 0 {
            lines.row(
                "  others",
                &format!("{} (if they come by the packs)", people(&reach.others, &rekeyed.names)),
            );
        }
    }
    lines.0
}

fn people(users: &[UserId], names: &[(UserId, String)]) -> String {
    let called = |user: &UserId| {
        let name = names.iter().find(|(known, _)| known == user).map(|(_, name)| name);
        name.map_or_else(|| user.short(), |name| format!("{name} ({})", user.short()))
    };
    users.iter().map(called).collect::<Vec<_>>().join(", ")
}
