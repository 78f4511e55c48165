//! What `find` found, for people: a path, and below it each version with the snapshots that have it.

use std::io::{self, Write};

use jiff::tz::TimeZone;
use vault_core::bytes::ByteSize;
use vault_core::ops::find::{FindSummary, FoundKind, FoundPath, Version};

use crate::ui::human::{count, counted, message, path};
use crate::ui::time;

/// Writes everything that was found.
pub(crate) fn find(out: &mut dyn Write, summary: &FindSummary) -> io::Result<()> {
    let zone = TimeZone::system();
    let several = summary.found.windows(2).any(|pair| pair[0].host != pair[1].host);
    for found in &summary.found {
        writeln!(out, "{}", name(found, several))?;
        for version in &found.versions {
            writeln!(out, "{}", line(version, &zone))?;
        }
    }
    if !summary.found.is_empty() {
        let paths = counted(summary.found.len() as u64, "path");
        writeln!(out, "{paths} in {}", counted(summary.snapshots, "snapshot"))?;
    }
    Ok(())
}

/// The absolute path, after the machine where there are several.
fn name(found: &FoundPath, with_host: bool) -> String {
    let path = path(&found.root.join(&found.path));
    let is_directory = |version: &Version| version.kind == FoundKind::Directory;
    let slash = if found.versions.iter().all(is_directory) { "/" } else { "" };
    if with_host { format!("{}:{path}{slash}", message(&found.host)) } else { path + slash }
}

/// When it changed, its size, and which snapshots have it so.
fn line(version: &Version, zone: &TimeZone) -> String {
    let size = match version.kind {
        FoundKind::File => ByteSize(version.size).to_string(),
        FoundKind::Directory => "directory".to_owned(),
        FoundKind::Symlink => "link".to_owned(),
        FoundKind::Special => "special".to_owned(),
    };
    let snapshots = match version.count {
        1 => format!("in {}", version.first.short()),
        many => {
            format!("in {} … {} ({})", version.first.short(), version.last.short(), count(many))
        }
    };
    format!("  {}  {size:>10}  {snapshots}", time::human(version.mtime, zone))
}

#[cfg(test)]
mod tests {
    use vault_core::id::SnapshotId;
    use vault_core::time::Timestamp;

    use super::*;

    #[test]
    fn a_version_names_the_first_and_the_last_snapshot_that_has_it() {
        let version = Version {
            kind: FoundKind::File,
            size: 1_234_567_890,
            mtime: Timestamp::new(1_795_341_605, 0),
            first: SnapshotId::new([0xab; 32]),
            last: SnapshotId::new([0xcd; 32]),
            count: 1_200,
        };

        let text = line(&version, &TimeZone::UTC);

        assert_eq!(text, "  2026-11-22 10:00:05     1.1 GiB  in abababab … cdcdcdcd (1,200)");
        let once = Version { count: 1, kind: FoundKind::Directory, ..version };
        assert_eq!(line(&once, &TimeZone::UTC), "  2026-11-22 10:00:05   directory  in abababab");
    }

    #[test]
    fn a_path_names_its_machine_where_there_are_several() {
        let found = FoundPath { host: "a\x1b".into(), root: "/r".into(), path: "p".into(), versions: vec![] };

        assert_eq!(name(&found, true), "a\\u{1b}:/r/p/");
    }
}
