//! Which snapshots belong together, and which a command is about.
//!
//! Pure: grouping and filtering look at what a list of snapshots shows and at nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::ops::snapshots::SnapshotInfo;

/// Which snapshots a command is about; one that says nothing takes all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Machines: a snapshot is of one of them.
    pub hosts: Vec<String>,
    /// Paths: a snapshot was asked for all of them.
    pub paths: Vec<PathBuf>,
    /// Tags: a snapshot has one of them.
    pub tags: Vec<String>,
}

/// What snapshots of one group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// The machine.
    pub host: bool,
    /// The paths that were backed up.
    pub paths: bool,
    /// All tags.
    pub tags: bool,
}

/// What the snapshots of one group have in common; `None` where they need not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Group {
    /// The machine.
    pub host: Option<String>,
    /// The paths that were backed up, in order.
    pub paths: Option<Vec<PathBuf>>,
    /// All tags, in order.
    pub tags: Option<Vec<String>>,
}

impl Filter {
    /// Whether it takes a snapshot.
    pub fn takes(&self, snapshot: &SnapshotInfo) -> bool {
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && self.paths.iter().all(|path| snapshot.paths.contains(path))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| snapshot.tags.contains(tag)))
    }

    /// Whether it takes every snapshot.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.paths.is_empty() && self.tags.is_empty()
    }
}

impl Default for GroupBy {
    /// By machine and paths: snapshots of one group are of the same thing at several moments.
    fn default() -> Self {
        Self { host: true, paths: true, tags: false }
    }
}

impl GroupBy {
    /// Everything in one group.
    pub const NONE: Self = Self { host: false, paths: false, tags: false };

    /// The group of a snapshot.
    pub fn group_of(self, snapshot: &SnapshotInfo) -> Group {
        fn sorted<T: Ord + Clone>(items: &[T]) -> Vec<T> {
            let mut items = items.to_vec();
            items.sort();
            items.dedup();
            items
        }
        Group {
            host: self.host.then(|| snapshot.host.clone()),
            paths: self.paths.then(|| sorted(&snapshot.paths)),
            tags: self.tags.then(|| sorted(&snapshot.tags)),
        }
    }

    /// The snapshots by their groups, each in the order in which they came.
    pub fn divide(self, snapshots: Vec<SnapshotInfo>) -> BTreeMap<Group, Vec<SnapshotInfo>> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for snapshot in snapshots {
            groups.entry(self.group_of(&snapshot)).or_default().push(snapshot);
        }
        groups
    }
}

impl fmt::Display for Group {
    /// Shows host, paths and tags with a space between; `all snapshots` where the group is of everything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.host.iter().cloned().collect();
        parts.extend(self.paths.iter().flatten().map(|path| path.to_string_lossy().into_owned()));
        parts.extend(self.tags.iter().flatten().map(|tag| format!("#{tag}")));
        if parts.is_empty() { f.write_str("all snapshots") } else { f.write_str(&parts.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::snapshots::testing::snapshot;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().copied().map(str::to_owned).collect()
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn a_filter_takes_any_host_any_tag_and_all_paths() {
        let one =
            SnapshotInfo { paths: paths(&["/a", "/b"]), tags: owned(&["x", "y"]), ..snapshot(1, 0, "h") };
        let takes = |hosts: &[&str], asked: &[&str], tags: &[&str]| {
            Filter { hosts: owned(hosts), paths: paths(asked), tags: owned(tags) }.takes(&one)
        };

        assert!(takes(&[], &[], &[]) && takes(&["g", "h"], &[], &[]) && takes(&[], &[], &["z", "y"]));
        assert!(takes(&[], &["/a"], &[]) && takes(&["h"], &["/b", "/a"], &["x"]));
        assert!(!takes(&["g"], &[], &[]) && !takes(&[], &["/a", "/c"], &[]) && !takes(&[], &[], &["z"]));
        assert!(!takes(&[], &["/"], &[]));
    }

    #[test]
    fn the_order_of_paths_and_tags_makes_no_other_group() {
        let one =
            SnapshotInfo { paths: paths(&["/a", "/b"]), tags: owned(&["x", "y"]), ..snapshot(1, 0, "h") };
        let other =
            SnapshotInfo { paths: paths(&["/b", "/a"]), tags: owned(&["y", "x"]), ..snapshot(2, 0, "h") };
        let by = GroupBy { tags: true, ..GroupBy::default() };

        assert_eq!(by.group_of(&one), by.group_of(&other));
        assert_eq!(by.group_of(&one).to_string(), "h /a /b #x #y");
    }

    #[test]
    fn snapshots_are_divided_by_what_they_need_have_in_common() {
        let list = vec![snapshot(1, 0, "h"), snapshot(2, 1, "g"), snapshot(3, 2, "h")];

        let by_host = GroupBy::default().divide(list.clone());
        let sizes: Vec<_> = by_host.values().map(Vec::len).collect();
        let together = GroupBy::NONE.divide(list);

        assert_eq!(sizes, [1, 2]);
        assert_eq!(together.keys().map(ToString::to_string).collect::<Vec<_>>(), ["all snapshots"]);
    }
}
