//! Options by which several commands choose and group snapshots.
//!
//! They mean the same in every command that has them.

use std::path::PathBuf;

use vault_core::ops::groups::{Filter, GroupBy};
use vault_core::ops::snapshots::SnapshotInfo;

/// Which snapshots a command is about.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which snapshots")]
pub(crate) struct FilterOptions {
    /// Only snapshots of this machine (may be repeated: any of them)
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// Only snapshots of this path (may be repeated: all of them)
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,

    /// Only snapshots with this tag (may be repeated: any of them)
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
}

impl FilterOptions {
    /// The snapshots that the filter takes.
    pub(crate) fn narrow(&self, mut snapshots: Vec<SnapshotInfo>) -> Vec<SnapshotInfo> {
        let filter = self.filter();
        snapshots.retain(|snapshot| filter.takes(snapshot));
        snapshots
    }

    /// The filter; a relative path is taken as one below the current directory.
    pub(crate) fn filter(&self) -> Filter {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Filter {
            hosts: self.host.clone(),
            paths: self.path.iter().map(absolute).collect(),
            tags: self.tag.clone(),
        }
    }
}

/// A text that names nothing to group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected host, paths and tags with commas between, or none")]
pub(crate) struct NotAGrouping;

/// Reads what to group by: `host,paths,tags`, some of them, or `none`.
pub(crate) fn group_by(text: &str) -> Result<GroupBy, NotAGrouping> {
    let mut by = GroupBy::NONE;
    if text == "none" {
        return Ok(by);
    }
    for word in text.split(',') {
        let part = match word {
            "host" => &mut by.host,
            "paths" => &mut by.paths,
            "tags" => &mut by.tags,
            _ => return Err(NotAGrouping),
        };
        *part = true;
    }
    Ok(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groupings_are_lists_of_words() {
        assert_eq!(group_by("host,paths"), Ok(GroupBy::default()));
        assert_eq!(group_by("tags"), Ok(GroupBy { tags: true, ..GroupBy::NONE }));
        assert_eq!(group_by("none"), Ok(GroupBy::NONE));
        for text in ["", "host,", "hosts", "host,none", "Host"] {
            assert_eq!(group_by(text), Err(NotAGrouping), "{text}");
        }
    }
}
