//! Lists of snapshots and of files, for people.
//!
//! Names are escaped: a file name cannot write to the terminal more than itself.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use jiff::tz::TimeZone;
use vault_core::bytes::ByteSize;
use vault_core::format::tree::{Entry, EntryKind};
use vault_core::ops::groups::Group;
use vault_core::ops::snapshots::SnapshotInfo;

use super::table::{Align, Table};
use super::{human, time};

/// A table of snapshots.
pub(crate) fn snapshots(list: &[SnapshotInfo], zone: &TimeZone) -> Table<7> {
    let mut table = Table::new([
        ("Id", Align::Left),
        ("Time", Align::Left),
        ("Host", Align::Elastic),
        ("Files", Align::Right),
        ("Size", Align::Right),
        ("Tags", Align::Elastic),
        ("Paths", Align::Path),
    ]);
    for snapshot in list {
        let paths: Vec<String> = snapshot.paths.iter().map(|path| human::path(path)).collect();
        let mut tags: Vec<String> = snapshot.tags.iter().map(|tag| human::message(tag)).collect();
        if snapshot.partial {
            tags.insert(0, "(partial)".to_owned());
        }
        table.push([
            snapshot.id.short(),
            time::human(snapshot.time, zone),
            human::message(&snapshot.host),
            human::count(snapshot.files),
            ByteSize(snapshot.bytes).to_string(),
            tags.join(","),
            paths.join(" "),
        ]);
    }
    table
}

/// A table for each group, under a heading that says what its snapshots share.
pub(crate) fn groups(
    groups: &BTreeMap<Group, Vec<SnapshotInfo>>,
    zone: &TimeZone,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (number, (group, list)) in groups.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}:", group_name(group))?;
        snapshots(list, zone).write(out)?;
    }
    Ok(())
}

/// What the snapshots of a group share.
pub(crate) fn group_name(group: &Group) -> String {
    let mut parts: Vec<String> = group.host.iter().map(|host| human::message(host)).collect();
    parts.extend(group.paths.iter().flatten().map(|path| human::path(path)));
    parts.extend(group.tags.iter().flatten().map(|tag| format!("#{}", human::message(tag))));
    if parts.is_empty() { "all".to_owned() } else { parts.join(" ") }
}

/// The path of an entry below the snapshot's root; a directory's ends in a slash.
pub(crate) fn name(path: &Path, entry: &Entry) -> String {
    let slash = if matches!(entry.kind, EntryKind::Directory { .. }) { "/" } else { "" };
    human::path(path) + slash
}

/// The path of an entry with its mode, owners, size and time before it.
pub(crate) fn long_line(path: &Path, entry: &Entry, zone: &TimeZone) -> String {
    let metadata = &entry.metadata;
    let owner = |name: &Option<Vec<u8>>, number: u32| match name {
        Some(name) => human::name(name),
        None => number.to_string(),
    };
    let target = match &entry.kind {
        EntryKind::Symlink { target } => format!(" -> {}", human::path(Path::new(OsStr::from_bytes(target)))),
        _ => String::new(),
    };
    format!(
        "{}{} {:<8} {:<8} {:>11} {} {}{target}",
        kind_letter(&entry.kind),
        permissions(metadata.mode),
        owner(&metadata.user, metadata.uid),
        owner(&metadata.group, metadata.gid),
        size(&entry.kind),
        time::human(metadata.mtime, zone),
        name(path, entry),
    )
}

fn size(kind: &EntryKind) -> String {
    match kind {
        EntryKind::File { size, .. } => ByteSize(*size).to_string(),
        EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
            format!("{},{}", device.major, device.minor)
        }
        _ => "-".to_owned(),
    }
}

fn kind_letter(kind: &EntryKind) -> char {
    match kind {
        EntryKind::File { .. } => '-',
        EntryKind::Directory { .. } => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::CharDevice(_) => 'c',
        EntryKind::BlockDevice(_) => 'b',
        EntryKind::Socket => 's',
    }
}

/// Permission bits as `ls -l` writes them.
fn permissions(mode: u32) -> String {
    // For each of user, group and others: shift of its bits, its special bit, and the letter of that with `x`.
    const CLASSES: [(u32, u32, char); 3] = [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')];
    let mut text = String::with_capacity(9);
    for (shift, special, letter) in CLASSES {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_written_as_ls_does() {
        assert_eq!(permissions(0o644), "rw-r--r--");
        assert_eq!(permissions(0o4755), "rwsr-xr-x");
        assert_eq!(permissions(0o2644), "rw-r-Sr--");
        assert_eq!(permissions(0o1777), "rwxrwxrwt");
    }
}
