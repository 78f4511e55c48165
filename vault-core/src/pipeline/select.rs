//! What belongs to a snapshot: its root, the paths below it that were asked for, and what is left out by rule.
//!
//! The root is the deepest directory that contains all paths: for one directory that directory itself, for one file its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::Error;

/// The first line of a CACHEDIR.TAG file (Cache Directory Tagging Specification).
pub const CACHE_TAG_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
/// The name of such a file.
pub const CACHE_TAG_NAME: &[u8] = b"CACHEDIR.TAG";

/// Which entries of a directory were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    All,
    /// These, each with its own selection.
    Only(BTreeMap<Vec<u8>, Arc<Selection>>),
}

impl Selection {
    /// What was asked for below `root`, from the absolute paths that were; needs nothing to be there any more.
    pub fn recorded(root: &Path, paths: &[PathBuf]) -> Arc<Self> {
        Arc::new(select(paths.iter().map(|path| components_below(root, path)).collect()))
    }

    /// The selection below the entry with this name; `None` if it was not asked for.
    pub fn below(self: &Arc<Self>, name: &[u8]) -> Option<Arc<Selection>> {
        match &**self {
            Self::All => Some(Arc::clone(self)),
            Self::Only(names) => names.get(name).cloned(),
        }
    }
}

/// The paths of a backup, made absolute and free of symlinks.
#[derive(Debug)]
pub struct Sources {
    /// The directory that the snapshot's root stands for.
    pub root: PathBuf,
    /// What was asked for below it.
    pub selection: Arc<Selection>,
    /// The paths themselves, sorted, without those that lie in another.
    pub paths: Vec<PathBuf>,
}

impl Sources {
    /// Resolves paths as the user gave them. All must exist: a typing mistake must not pass for an empty backup.
    pub fn resolve(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut resolved = BTreeSet::new();
        for path in paths {
            let absolute =
                path.canonicalize().map_err(|source| Error::Source { path: path.clone(), source })?;
            resolved.insert(absolute);
        }
        let nested = |path: &Path| path.ancestors().skip(1).any(|above| resolved.contains(above));
        let paths: Vec<PathBuf> = resolved.iter().filter(|path| !nested(path)).cloned().collect();
        let [first, others @ ..] = &paths[..] else {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "no path was given");
            return Err(Error::Source { path: PathBuf::new(), source });
        };
        let mut root = first.clone();
        while !others.iter().all(|path| path.starts_with(&root)) || !root.is_dir() {
            root.pop();
        }
        let selection = Arc::new(select(paths.iter().map(|path| components_below(&root, path)).collect()));
        Ok(Self { root, selection, paths })
    }
}

fn components_below<'a>(root: &Path, path: &'a Path) -> Vec<&'a [u8]> {
    path.components()
        .skip(root.components().count())
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.as_bytes()),
            _ => None,
        })
        .collect()
}

fn select(paths: Vec<Vec<&[u8]>>) -> Selection {
    if paths.iter().any(Vec::is_empty) {
        return Selection::All;
    }
    let mut by_first: BTreeMap<&[u8], Vec<Vec<&[u8]>>> = BTreeMap::new();
    for path in paths {
        if let [first, rest @ ..] = &path[..] {
            by_first.entry(first).or_default().push(rest.to_vec());
        }
    }
    Selection::Only(
        by_first.into_iter().map(|(name, below)| (name.to_vec(), Arc::new(select(below)))).collect(),
    )
}

/// What is to be left out, as the user says it.
#[derive(Debug, Clone, Default)]
pub struct Omissions {
    /// Patterns in gitignore syntax, relative to the snapshot's root or absolute.
    pub patterns: Vec<String>,
    /// Directories that are never backed up: the vault itself, when it lies below the paths, and its cache.
    pub directories: Vec<PathBuf>,
    /// Whether directories tagged as caches (CACHEDIR.TAG) are left out but for the tag.
    pub caches: bool,
    /// Files above this many bytes are left out.
    pub larger_than: Option<u64>,
    /// Whether other file systems mounted below the paths are left out.
    pub other_file_systems: bool,
}

/// The rules that leave entries out.
#[derive(Debug)]
pub struct Rules {
    root: PathBuf,
    excludes: Gitignore,
    has_excludes: bool,
    /// Device and inode of directories that are never entered.
    never: BTreeSet<(u64, u64)>,
    /// Whether directories tagged as caches are left out.
    pub exclude_caches: bool,
    /// The size above which files are left out.
    pub larger_than: Option<u64>,
    /// Whether other file systems are left out.
    pub one_file_system: bool,
}

impl Rules {
    /// The rules of a backup whose root is `root`.
    pub fn new(omit: &Omissions, root: &Path) -> Result<Self, Error> {
        let mut builder = GitignoreBuilder::new(root);
        // A bracket that is not closed is a typing mistake: as itself it would match next to nothing.
        builder.allow_unclosed_class(false);
        for pattern in &omit.patterns {
            let anchored = below_root(pattern, root);
            builder
                .add_line(None, anchored.as_deref().unwrap_or(pattern))
                .map_err(|source| Error::Pattern { pattern: pattern.clone(), source })?;
        }
        let excludes =
            builder.build().map_err(|source| Error::Pattern { pattern: omit.patterns.join(" "), source })?;
        let never = omit
            .directories
            .iter()
            .filter_map(|path| path.metadata().ok())
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .collect();
        Ok(Self {
            root: root.to_owned(),
            has_excludes: !excludes.is_empty(),
            excludes,
            never,
            exclude_caches: omit.caches,
            larger_than: omit.larger_than,
            one_file_system: omit.other_file_systems,
        })
    }

    /// Rules that leave nothing out.
    #[cfg(test)]
    pub(crate) fn nothing(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            excludes: Gitignore::empty(),
            has_excludes: false,
            never: BTreeSet::new(),
            exclude_caches: false,
            larger_than: None,
            one_file_system: false,
        }
    }

    /// Whether a pattern leaves this entry out. `directory` is its parent's absolute path.
    pub fn excludes(&self, directory: &Path, name: &[u8], is_directory: bool) -> bool {
        if !self.has_excludes {
            return false;
        }
        let path = directory.join(std::ffi::OsStr::from_bytes(name));
        let relative = path.strip_prefix(&self.root).unwrap_or(&path);
        self.excludes.matched(relative, is_directory).is_ignore()
    }

    /// Whether there are directories that are never backed up.
    pub fn has_forbidden(&self) -> bool {
        !self.never.is_empty()
    }

    /// Whether this directory is never backed up: the vault itself, or its cache.
    pub fn forbids(&self, device: u64, inode: u64) -> bool {
        self.never.contains(&(device, inode))
    }
}

/// Anchors an absolute pattern at the root, as people write paths; `None` for any other pattern.
pub(super) fn below_root(pattern: &str, root: &Path) -> Option<String> {
    let (negation, path) = pattern.strip_prefix('!').map_or(("", pattern), |rest| ("!", rest));
    let root = root.to_str()?.trim_end_matches('/');
    let rest = path.strip_prefix(root)?;
    (!root.is_empty() && rest.starts_with('/')).then(|| format!("{negation}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("a/b")).unwrap();
        std::fs::create_dir_all(tree.path().join("c")).unwrap();
        std::fs::write(tree.path().join("a/file"), "x").unwrap();
        tree
    }

    #[test]
    fn one_directory_is_its_own_root() {
        let tree = tree();
        let sources = Sources::resolve(&[tree.path().join("a")]).unwrap();

        assert_eq!(sources.root, tree.path().canonicalize().unwrap().join("a"));
        assert_eq!(*sources.selection, Selection::All);
    }

    #[test]
    fn one_file_has_its_parent_as_root() {
        let tree = tree();
        let sources = Sources::resolve(&[tree.path().join("a/file")]).unwrap();

        assert!(sources.root.ends_with("a"));
        assert!(sources.selection.below(b"file").is_some());
        assert!(sources.selection.below(b"b").is_none());
    }

    #[test]
    fn several_paths_have_their_deepest_common_directory_as_root() {
        let tree = tree();
        let paths = ["a/b", "c", "a/b"].map(|path| tree.path().join(path));
        let sources = Sources::resolve(&paths).unwrap();

        assert_eq!(sources.root, tree.path().canonicalize().unwrap());
        assert_eq!(sources.paths.len(), 2);
        let a = sources.selection.below(b"a").unwrap();
        assert_eq!(a.below(b"b").as_deref(), Some(&Selection::All));
        assert!(a.below(b"file").is_none());
    }

    #[test]
    fn a_path_inside_another_adds_nothing() {
        let tree = tree();
        let sources = Sources::resolve(&[tree.path().join("a/b"), tree.path().join("a")]).unwrap();

        assert_eq!(sources.paths.len(), 1);
        assert_eq!(*sources.selection, Selection::All);
    }

    #[test]
    fn a_path_that_does_not_exist_is_an_error() {
        let missing = PathBuf::from("/nonexistent/for/this/test");

        assert!(matches!(Sources::resolve(&[missing]), Err(Error::Source { .. })));
        assert!(matches!(Sources::resolve(&[]), Err(Error::Source { .. })));
    }

    #[test]
    fn absolute_patterns_are_anchored_at_the_root() {
        let root = Path::new("/home/me");

        assert_eq!(below_root("/home/me/tmp", root).as_deref(), Some("/tmp"));
        assert_eq!(below_root("!/home/me/tmp", root).as_deref(), Some("!/tmp"));
        assert_eq!(below_root("/tmp", root), None);
        assert_eq!(below_root("/home/meadow", root), None);
    }
}
