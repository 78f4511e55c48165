//! Which entries of a snapshot are restored: includes and excludes in gitignore syntax.
//!
//! What is excluded is out with everything below it. Of the rest all is in, or, where there are includes, what they match with
//! everything below; directories on the way to that are made only if something in them is in.

use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::Error;

use super::select::below_root;

/// What the user chose.
#[derive(Debug)]
pub struct Choice {
    includes: Gitignore,
    excludes: Gitignore,
}

/// What the choice says of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen {
    /// It is restored; a directory with what is below, unless excluded.
    In,
    /// A directory that is not chosen itself; something below it may be.
    Way,
    /// It is not restored, nor is anything below it.
    Out,
}

impl Choice {
    /// A choice by patterns. They are relative to what is restored, or absolute paths below `origin`, where that came from.
    pub fn new(include: &[String], exclude: &[String], origin: &Path) -> Result<Self, Error> {
        Ok(Self { includes: patterns(include, origin)?, excludes: patterns(exclude, origin)? })
    }

    /// Everything is in.
    pub fn everything() -> Self {
        Self { includes: Gitignore::empty(), excludes: Gitignore::empty() }
    }

    /// Whether anything is chosen by name; else all is in that is not excluded.
    pub fn has_includes(&self) -> bool {
        !self.includes.is_empty()
    }

    /// What becomes of the entry at `path`, below what is restored. `inside` says whether its directory is in.
    pub fn of(&self, path: &Path, is_directory: bool, inside: bool) -> Chosen {
        if !self.excludes.is_empty() && self.excludes.matched(path, is_directory).is_ignore() {
            return Chosen::Out;
        }
        if !self.has_includes() {
            return Chosen::In;
        }
        let chosen = match self.includes.matched(path, is_directory) {
            Match::Ignore(_) => true,
            Match::Whitelist(_) => false,
            Match::None => inside,
        };
        match (chosen, is_directory) {
            (true, _) => Chosen::In,
            (false, true) => Chosen::Way,
            (false, false) => Chosen::Out,
        }
    }
}

fn patterns(patterns: &[String], origin: &Path) -> Result<Gitignore, Error> {
    let mut builder = GitignoreBuilder::new(origin);
    // A bracket that is not closed is a typing mistake: as itself it would match next to nothing.
    builder.allow_unclosed_class(false);
    for pattern in patterns {
        let anchored = below_root(pattern, origin);
        builder
            .add_line(None, anchored.as_deref().unwrap_or(pattern))
            .map_err(|source| Error::Pattern { pattern: pattern.clone(), source })?;
    }
    builder.build().map_err(|source| Error::Pattern { pattern: patterns.join(" "), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(include: &[&str], exclude: &[&str]) -> Choice {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Choice::new(&own(include), &own(exclude), Path::new("/home/me")).unwrap()
    }

    fn of(choice: &Choice, path: &str, inside: bool) -> Chosen {
        choice.of(Path::new(path.trim_end_matches('/')), path.ends_with('/'), inside)
    }

    #[test]
    fn without_includes_all_is_in_but_what_is_excluded() {
        let choice = choice(&[], &["*.log", "!keep.log", "/build/"]);

        assert_eq!(of(&choice, "a/b", true), Chosen::In);
        assert_eq!(of(&choice, "a/b.log", true), Chosen::Out);
        assert_eq!(of(&choice, "a/keep.log", true), Chosen::In);
        assert_eq!(of(&choice, "build/", true), Chosen::Out);
        assert_eq!(of(&choice, "a/build/", true), Chosen::In);
    }

    #[test]
    fn with_includes_only_what_they_match_is_in_with_all_below() {
        let choice = choice(&["*.jpg", "/home/me/Trip/", "!raw.jpg"], &["*.tmp"]);

        assert_eq!(of(&choice, "a/", false), Chosen::Way);
        assert_eq!(of(&choice, "a/b.jpg", false), Chosen::In);
        assert_eq!(of(&choice, "a/b.png", false), Chosen::Out);
        assert_eq!(of(&choice, "Trip/", false), Chosen::In);
        assert_eq!(of(&choice, "a/Trip/", false), Chosen::Way);
        assert_eq!(of(&choice, "Trip/notes", true), Chosen::In);
        assert_eq!(of(&choice, "Trip/x.tmp", true), Chosen::Out);
        assert_eq!(of(&choice, "Trip/raw.jpg", true), Chosen::Out);
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        let bad = ["[z-a]".to_owned()];

        assert!(Choice::new(&bad, &[], Path::new("/")).is_err());
        assert!(Choice::new(&[], &bad, Path::new("/")).is_err());
    }
}
