//! What `stats` found, for people: sums, and tables of snapshots, directories and sizes of files.

use std::fmt::Write as _;
use std::io::{self, Write};

use jiff::tz::TimeZone;
use vault_core::bytes::ByteSize;
use vault_core::ops::stats::{Profile, Room, StatsSummary};

use super::Lines;
use crate::ui::human::{count, counted, message, path};
use crate::ui::table::{Align, Table};
use crate::ui::time;

/// The snapshots, and what they take together; `is_all` if there are no others.
pub(crate) fn stats(out: &mut dyn Write, sums: &StatsSummary, is_all: bool) -> io::Result<()> {
    let zone = TimeZone::system();
    let mut table = Table::new([
        ("Id", Align::Left),
        ("Time", Align::Left),
        ("Host", Align::Elastic),
        ("Files", Align::Right),
        ("Restored", Align::Right),
        ("Frees", Align::Right),
    ]);
    for snapshot in &sums.snapshots {
        table.push([
            snapshot.id.short(),
            time::human(snapshot.time, &zone),
            message(&snapshot.host),
            count(snapshot.files),
            ByteSize(snapshot.bytes).to_string(),
            ByteSize(snapshot.only.stored_bytes).to_string(),
        ]);
    }
    table.write(out)?;
    out.write_all(together(sums, is_all).as_bytes())
}

fn together(sums: &StatsSummary, is_all: bool) -> String {
    let mut lines = Lines::new(&counted(sums.snapshots.len() as u64, "snapshot"));
    lines.row("restored", &ByteSize(sums.restored_bytes()).to_string());
    let distinct = format!(
        "{}{}",
        ByteSize(sums.data.bytes),
        times(sums.restored_bytes(), sums.data.bytes, "times less by deduplication")
    );
    lines.row("distinct", &distinct);
    let stored = format!(
        "{}{}",
        ByteSize(sums.data.stored_bytes),
        times(sums.data.bytes, sums.data.stored_bytes, "times less by compression")
    );
    lines.row("stored", &stored);
    lines.row(
        "trees",
        &format!("{}, stored {}", ByteSize(sums.trees.bytes), ByteSize(sums.trees.stored_bytes)),
    );
    let mut store = format!("{} in {}", ByteSize(sums.pack_bytes), counted(sums.packs, "pack"));
    if is_all {
        let used = sums.data.stored_bytes + sums.trees.stored_bytes;
        let rest = ByteSize(sums.pack_bytes.saturating_sub(used));
        // Writing to a `String` cannot fail.
        let _ = write!(store, ", {rest} of it overhead or not needed");
    }
    lines.row("packs", &store);
    lines.0
}

/// `, 2.4 times less …`, if it is noticeably less.
fn times(more: u64, less: u64, text: &str) -> String {
    let ratio = more as f64 / less.max(1) as f64;
    if less > 0 && ratio >= 1.05 { format!(", {ratio:.1} {text}") } else { String::new() }
}

/// The directories of one snapshot, and its files by size.
pub(crate) fn by_path(out: &mut dyn Write, profile: &Profile) -> io::Result<()> {
    let mut table = Table::new([
        ("Files", Align::Right),
        ("Restored", Align::Right),
        ("Only here", Align::Right),
        ("Stored", Align::Right),
        ("Directory", Align::Path),
    ]);
    for directory in &profile.directories {
        let Room { bytes, stored_bytes, .. } = directory.only;
        table.push([
            count(directory.files),
            ByteSize(directory.bytes).to_string(),
            ByteSize(bytes).to_string(),
            ByteSize(stored_bytes).to_string(),
            format!(
                "{}/",
                if directory.path.as_os_str().is_empty() { ".".into() } else { path(&directory.path) }
            ),
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    let mut table = Table::new([("Size", Align::Right), ("Files", Align::Right), ("Restored", Align::Right)]);
    let mut above = 0;
    for class in
        profile.sizes.iter().filter(|class| class.up_to.is_none_or(|limit| limit > 0) || class.files > 0)
    {
        let size = match class.up_to {
            Some(0) => "empty".to_owned(),
            Some(limit) => format!("up to {}", ByteSize(limit)),
            None => format!("above {}", ByteSize(above)),
        };
        above = class.up_to.unwrap_or(above);
        if class.files > 0 {
            table.push([size, count(class.files), ByteSize(class.bytes).to_string()]);
        }
    }
    table.write(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_told_where_something_was_saved() {
        let sums = StatsSummary {
            data: Room { chunks: 10, bytes: 3 << 20, stored_bytes: 2 << 20 },
            pack_bytes: 4 << 20,
            packs: 1,
            ..StatsSummary::default()
        };

        assert_eq!(
            together(&sums, true),
            "0 snapshots\n  restored   0 B\n  distinct   3.0 MiB\n  stored     2.0 MiB, 1.5 times less by compression\n  \
             trees      0 B, stored 0 B\n  packs      4.0 MiB in 1 pack, 2.0 MiB of it overhead or not needed\n"
        );
    }
}
