//! The patterns of a search: globs of names and of paths.
//!
//! A star never matches a slash; two stars do.

use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::{FindOptions, fits};
use crate::error::Error;
use crate::format::tree::Entry;
use crate::pipeline::os_str;

/// What an entry is compared with.
#[derive(Debug)]
pub(super) struct Patterns<'o> {
    options: &'o FindOptions,
    names: GlobSet,
    /// Those with a slash, compared with the path below the root.
    paths: GlobSet,
    /// Those that begin with a slash, compared with the absolute path.
    absolute: GlobSet,
}

impl<'o> Patterns<'o> {
    pub(super) fn new(options: &'o FindOptions) -> Result<Self, Error> {
        let [mut names, mut paths, mut absolute] = std::array::from_fn(|_| GlobSetBuilder::new());
        for pattern in &options.patterns {
            let trimmed = pattern.trim_end_matches('/');
            let below_root = trimmed.trim_start_matches('/');
            let glob = |text: &str| compile(text, options.ignore_case, pattern);
            if trimmed.contains('/') {
                paths.add(glob(below_root)?);
            } else {
                names.add(glob(trimmed)?);
            }
            if trimmed.starts_with('/') {
                absolute.add(glob(trimmed)?);
            }
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|source| Error::Glob { pattern: options.patterns.join(" "), source })
        };
        Ok(Self { options, names: build(names)?, paths: build(paths)?, absolute: build(absolute)? })
    }

    /// Whether it matters where a directory stands, and not only what is in it.
    pub(super) fn depend_on_path(&self) -> bool {
        !self.paths.is_empty() || !self.absolute.is_empty()
    }

    /// Whether an entry fits; `directory` is the path of its directory below the root.
    pub(super) fn fit(&self, root: &Path, directory: &Path, entry: &Entry) -> bool {
        if !fits(self.options, entry) {
            return false;
        }
        let name = os_str(&entry.name);
        if self.names.is_match(name) {
            return true;
        }
        if !self.depend_on_path() {
            return false;
        }
        let path = directory.join(name);
        self.paths.is_match(&path) || (!self.absolute.is_empty() && self.absolute.is_match(root.join(path)))
    }
}

fn compile(text: &str, ignore_case: bool, pattern: &str) -> Result<Glob, Error> {
    GlobBuilder::new(text)
        .literal_separator(true)
        .case_insensitive(ignore_case)
        .build()
        .map_err(|source| Error::Glob { pattern: pattern.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::{EntryKind, Metadata};
    use crate::ops::find::FoundKind;
    use crate::time::Timestamp;

    fn entry(name: &[u8]) -> Entry {
        Entry {
            name: name.to_vec(),
            kind: EntryKind::Fifo,
            metadata: Metadata { mtime: Timestamp::new(100, 5), ..Metadata::default() },
            link_group: None,
            changed_while_read: false,
        }
    }

    fn fit(options: &FindOptions, directory: &str, name: &[u8]) -> bool {
        let patterns = Patterns::new(options).unwrap();
        patterns.fit(Path::new("/home/ann"), Path::new(directory), &entry(name))
    }

    fn with(pattern: &str) -> FindOptions {
        FindOptions { patterns: vec![pattern.to_owned()], ..FindOptions::default() }
    }

    #[test]
    fn a_pattern_without_slash_is_of_the_name() {
        assert!(fit(&with("*.txt"), "deep/down", b"a.txt"));
        assert!(fit(&with("a*"), "", b"a.txt"));
        assert!(!fit(&with("txt"), "", b"a.txt"));
        assert!(fit(&with("caf*"), "", b"caf\xe9"));
        assert!(fit(&with("{a,b}[0-9]/"), "", b"b7"));
    }

    #[test]
    fn a_pattern_with_slash_is_of_the_whole_path() {
        assert!(fit(&with("Trip/*.jpg"), "Trip", b"1.jpg"));
        assert!(!fit(&with("Trip/*.jpg"), "2026/Trip", b"1.jpg"));
        assert!(!fit(&with("Trip/*.jpg"), "Trip/raw", b"1.jpg"));
        assert!(fit(&with("**/Trip/**/*.jpg"), "2026/Trip/raw", b"1.jpg"));
        assert!(fit(&with("/Trip/1.jpg"), "Trip", b"1.jpg"));
        assert!(fit(&with("/home/ann/Trip/1.jpg"), "Trip", b"1.jpg"));
        assert!(!fit(&with("home/ann/Trip/1.jpg"), "Trip", b"1.jpg"));
    }

    #[test]
    fn case_matters_unless_told_otherwise() {
        let pattern = with("*.JPG");

        assert!(!fit(&pattern, "", b"a.jpg"));
        assert!(fit(&FindOptions { ignore_case: true, ..pattern }, "", b"a.jpg"));
    }

    #[test]
    fn other_conditions_hold_as_well() {
        let any = with("*");

        assert!(fit(
            &FindOptions { kinds: vec![FoundKind::File, FoundKind::Special], ..any.clone() },
            "",
            b"a"
        ));
        assert!(!fit(&FindOptions { kinds: vec![FoundKind::Directory], ..any.clone() }, "", b"a"));
        assert!(!fit(&FindOptions { min_size: Some(0), ..any.clone() }, "", b"a"));
        assert!(fit(&FindOptions { newer: Some(Timestamp::new(100, 5)), ..any.clone() }, "", b"a"));
        assert!(!fit(&FindOptions { older: Some(Timestamp::new(100, 5)), ..any.clone() }, "", b"a"));
        assert!(fit(&FindOptions { older: Some(Timestamp::new(100, 6)), ..any }, "", b"a"));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        assert!(matches!(Patterns::new(&with("[a")), Err(Error::Glob { .. })));
    }
}
