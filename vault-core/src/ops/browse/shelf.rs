//! How the snapshots of a vault are laid out as directories and links, and what they are called.
//!
//! Each snapshot stands in one place, `by-date`; all other names are links to there. So a program that visits everything visits
//! each snapshot once.
//!
//! ```text
//! by-date/2026-11-22T10-00-00/…      the snapshot
//! by-id/3fa94c1e                     -> ../by-date/2026-11-22T10-00-00
//! by-host/laptop/2026-11-22T10-00-00 -> ../../by-date/2026-11-22T10-00-00
//! latest                             -> by-date/2026-11-22T10-00-00
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::format::tree::{Entry, is_name};
use crate::id::SnapshotId;
use crate::ops::snapshots::{SnapshotInfo, find};
use crate::time::Timestamp;

use super::inodes::{Attributes, FileKind, Inode, hashed};
use super::source::View;

/// What follows the date of a snapshot that an interruption ended early.
const PARTIAL: &str = ".partial";

/// What stands in no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Virtual {
    Root,
    ByDate,
    ById,
    ByHost,
    Host(Box<[u8]>),
    Latest,
    /// A link with this target.
    Link(Box<[u8]>),
}

impl Virtual {
    /// The number of what is always there; `None` for what comes and goes.
    fn fixed(&self) -> Option<u64> {
        match self {
            Self::Root => Some(Inode::ROOT.0),
            Self::ByDate => Some(2),
            Self::ById => Some(3),
            Self::ByHost => Some(4),
            Self::Latest => Some(5),
            Self::Host(_) | Self::Link(_) => None,
        }
    }

    /// What has a number that is always taken.
    pub(super) fn of_fixed(inode: Inode) -> Option<Self> {
        [Self::Root, Self::ByDate, Self::ById, Self::ByHost, Self::Latest]
            .into_iter()
            .find(|one| one.fixed() == Some(inode.0))
    }

    pub(super) fn inode(&self) -> Inode {
        self.fixed().map_or_else(|| hashed(self), Inode)
    }

    pub(super) fn is_link(&self) -> bool {
        matches!(self, Self::Latest | Self::Link(_))
    }

    /// The directory that it is in.
    pub(super) fn parent(&self) -> Inode {
        match self {
            Self::Host(_) => Self::ByHost.inode(),
            _ => Inode::ROOT,
        }
    }
}

/// A snapshot on the shelf.
pub(super) struct Shown {
    pub(super) info: SnapshotInfo,
    pub(super) view: View,
    /// Its root directory.
    pub(super) root: Entry,
    /// When it was made, as its name should tell.
    pub(super) date: String,
}

/// What a name on the shelf stands for.
#[derive(Clone)]
pub(super) enum Item {
    Virtual(Virtual),
    Snapshot(Arc<Shown>),
}

/// All snapshots by their names.
#[derive(Default)]
pub(super) struct Shelf {
    /// In the order of the log.
    pub(super) snapshots: Vec<Arc<Shown>>,
    by_date: BTreeMap<Vec<u8>, Arc<Shown>>,
    by_id: BTreeMap<Vec<u8>, Vec<u8>>,
    by_host: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    /// The date of the newest complete snapshot.
    latest: Option<Vec<u8>>,
    dates: HashMap<SnapshotId, Vec<u8>>,
}

impl Shelf {
    /// Names snapshots, which are given in the order of the log.
    pub(super) fn new(snapshots: Vec<Arc<Shown>>) -> Self {
        let mut shelf = Self::default();
        for shown in &snapshots {
            let date = shelf.date_name(shown);
            let short = shown.info.id.short().into_bytes();
            let id =
                if shelf.by_id.contains_key(&short) { shown.info.id.to_hex().into_bytes() } else { short };
            shelf.by_host.entry(host_name(&shown.info.host)).or_default().push(date.clone());
            shelf.by_id.insert(id, date.clone());
            shelf.dates.insert(shown.info.id, date.clone());
            shelf.by_date.insert(date, Arc::clone(shown));
        }
        let infos: Vec<SnapshotInfo> = snapshots.iter().map(|shown| shown.info.clone()).collect();
        shelf.latest = find(&infos, "latest").ok().and_then(|id| shelf.dates.get(&id).cloned());
        shelf.snapshots = snapshots;
        shelf
    }

    /// A name that no snapshot has yet: the date, and the id where two were made in one second.
    fn date_name(&self, shown: &Shown) -> Vec<u8> {
        let suffix = if shown.info.partial { PARTIAL } else { "" };
        let plain = format!("{}{suffix}", shown.date).into_bytes();
        if is_name(&plain) && !self.by_date.contains_key(&plain) {
            return plain;
        }
        let date = if is_name(&plain) { &shown.date } else { "undated" };
        format!("{date}_{}{suffix}", shown.info.id.to_hex()).into_bytes()
    }

    /// What a directory of the shelf has under a name.
    pub(super) fn find(&self, directory: &Virtual, name: &[u8]) -> Option<Item> {
        match directory {
            Virtual::ByDate => self.by_date.get(name).map(|shown| Item::Snapshot(Arc::clone(shown))),
            Virtual::ById => self.by_id.get(name).map(|date| link("../by-date/", date)),
            Virtual::ByHost => {
                self.by_host.contains_key(name).then(|| Item::Virtual(Virtual::Host(name.into())))
            }
            Virtual::Host(host) => {
                let date = self.by_host.get(&host[..])?.iter().find(|date| *date == name)?;
                Some(link("../../by-date/", date))
            }
            Virtual::Root => {
                self.items(directory).into_iter().find(|(at, _)| at == name).map(|(_, item)| item)
            }
            Virtual::Latest | Virtual::Link(_) => None,
        }
    }

    /// Everything in a directory of the shelf.
    pub(super) fn items(&self, directory: &Virtual) -> Vec<(Vec<u8>, Item)> {
        match directory {
            Virtual::Root => {
                let latest = self.latest.is_some().then_some(("latest", Virtual::Latest));
                let directories =
                    [("by-date", Virtual::ByDate), ("by-host", Virtual::ByHost), ("by-id", Virtual::ById)];
                let all = directories.into_iter().chain(latest);
                all.map(|(name, of)| (name.as_bytes().to_vec(), Item::Virtual(of))).collect()
            }
            Virtual::ByDate => self
                .by_date
                .iter()
                .map(|(name, shown)| (name.clone(), Item::Snapshot(Arc::clone(shown))))
                .collect(),
            Virtual::ById => {
                self.by_id.iter().map(|(name, date)| (name.clone(), link("../by-date/", date))).collect()
            }
            Virtual::ByHost => self
                .by_host
                .keys()
                .map(|name| (name.clone(), Item::Virtual(Virtual::Host(name[..].into()))))
                .collect(),
            Virtual::Host(host) => self
                .by_host
                .get(&host[..])
                .into_iter()
                .flatten()
                .map(|date| (date.clone(), link("../../by-date/", date)))
                .collect(),
            Virtual::Latest | Virtual::Link(_) => Vec::new(),
        }
    }

    /// What a link of the shelf points to; `None` for what is no link, or points to nothing any more.
    pub(super) fn target(&self, link: &Virtual) -> Option<Vec<u8>> {
        match link {
            Virtual::Link(target) => Some(target.to_vec()),
            Virtual::Latest => self.latest.as_ref().map(|date| [b"by-date/", &date[..]].concat()),
            _ => None,
        }
    }

    /// The name of a snapshot in `by-date`.
    pub(super) fn date_of(&self, snapshot: &SnapshotId) -> Option<&[u8]> {
        self.dates.get(snapshot).map(Vec::as_slice)
    }

    /// What is known of a directory or link of the shelf.
    pub(super) fn attributes(&self, of: &Virtual, (uid, gid): (u32, u32)) -> Attributes {
        let target = if of.is_link() { self.target(of) } else { None };
        let (kind, mode) =
            if of.is_link() { (FileKind::Symlink, 0o777) } else { (FileKind::Directory, 0o555) };
        Attributes {
            inode: of.inode(),
            kind,
            mode,
            uid,
            gid,
            mtime: self.snapshots.last().map_or_else(Timestamp::default, |shown| shown.info.time),
            size: target.map_or(0, |target| target.len() as u64),
            data_bytes: 0,
            links: 1,
            lasting: false,
        }
    }
}

fn link(prefix: &str, date: &[u8]) -> Item {
    Item::Virtual(Virtual::Link([prefix.as_bytes(), date].concat().into()))
}

/// The host as the name of a directory.
fn host_name(host: &str) -> Vec<u8> {
    let safe: String = host.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
    if is_name(safe.as_bytes()) { safe.into_bytes() } else { b"_".to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::{EntryKind, Metadata};
    use crate::id::ChunkHash;
    use crate::ops::snapshots::testing::snapshot;

    fn shown(id: u8, date: &str, host: &str, partial: bool) -> Arc<Shown> {
        let info = SnapshotInfo { partial, ..snapshot(id, 0, host) };
        let root = Entry {
            name: Vec::new(),
            kind: EntryKind::Directory { subtree: ChunkHash::new([1; 32]) },
            metadata: Metadata::default(),
            link_group: None,
            changed_while_read: false,
        };
        let view = View { snapshot: info.id, domain: info.domain };
        Arc::new(Shown { info, view, root, date: date.to_owned() })
    }

    fn names(shelf: &Shelf, directory: &Virtual) -> Vec<String> {
        let items = shelf.items(directory);
        for (name, _) in &items {
            assert!(shelf.find(directory, name).is_some());
        }
        items.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn snapshots_of_one_second_have_names_of_their_own() {
        let shelf = Shelf::new(vec![shown(1, "d", "h", false), shown(2, "d", "h", false)]);

        assert_eq!(names(&shelf, &Virtual::ByDate), ["d".to_owned(), format!("d_{}", "02".repeat(32))]);
    }

    #[test]
    fn latest_is_the_newest_complete_snapshot() {
        let shelf = |more: Vec<Arc<Shown>>| Shelf::new(more).target(&Virtual::Latest);

        assert_eq!(shelf(vec![]), None);
        assert_eq!(
            shelf(vec![shown(1, "a", "h", false), shown(2, "b", "h", true)]),
            Some(b"by-date/a".to_vec())
        );
        assert_eq!(shelf(vec![shown(2, "b", "h", true)]), Some(b"by-date/b.partial".to_vec()));
    }

    #[test]
    fn hosts_have_names_that_directories_can_have() {
        let hosts = ["laptop", "..", "a/b\n", ""];
        let shown = hosts.iter().zip(1..).map(|(host, id)| shown(id, &id.to_string(), host, false));
        let shelf = Shelf::new(shown.collect());

        assert_eq!(names(&shelf, &Virtual::ByHost), ["_", "a_b_", "laptop"]);
        assert_eq!(names(&shelf, &Virtual::Host(b"_"[..].into())), ["2", "4"]);
        assert_eq!(names(&shelf, &Virtual::ById).len(), 4);
    }

    #[test]
    fn a_shelf_without_snapshots_has_no_latest() {
        assert_eq!(names(&Shelf::default(), &Virtual::Root), ["by-date", "by-host", "by-id"]);
    }
}
