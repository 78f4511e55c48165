//! Reading one table of the configuration: typed values, and every problem with the line it stands on.
//!
//! Reading never stops at a problem: what is wrong is noted, and the rest is read, so that one look shows all of it. A key that
//! nobody asked for is a problem.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key is taken for a mistyped one from this likeness on, of 1.
const ALIKE: f64 = 0.8;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// The file cannot be used.
    Error,
    /// Something will not work as it stands.
    Warning,
}

/// Something wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line in the file, from 1; 0 where it concerns the whole file.
    pub(crate) line: usize,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong.
    pub(crate) message: String,
}

/// The text of a configuration, and what was found wrong with it.
#[derive(Debug)]
pub(super) struct Source<'t> {
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, problems: RefCell::default() }
    }

    /// Notes an error at a place in the text.
    pub(super) fn error(&self, at: &Range<usize>, message: String) {
        self.error_on(self.line(at), message);
    }

    /// Notes an error on a line.
    pub(super) fn error_on(&self, line: usize, message: String) {
        self.problems.borrow_mut().push(Problem { line, severity: Severity::Error, message });
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..at.start).unwrap_or_default();
        before.split(|&byte| byte == b'\n').count()
    }

    /// All problems, in the order of the text.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }
}

/// A value and the line where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

/// One table.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    /// Its name with those above it, as in `profiles.home`; empty for the whole file.
    name: String,
    /// Line of its heading.
    pub(super) line: usize,
    known: RefCell<Vec<&'static str>>,
    /// Whether every key is right, because keys are names that the user gives.
    names: Cell<bool>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self {
            source,
            table,
            name: String::new(),
            line: 1,
            known: RefCell::default(),
            names: Cell::new(false),
        }
    }

    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().push(key);
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// Notes that a value is not what it should be.
    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, message: &dyn Display) {
        self.source.error(&value.span(), format!("{}: {message}", self.path(key)));
    }

    /// The full name of a key here.
    pub(super) fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Whether something is set, right or wrong.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// A text.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong(key, value, &expected("a text in quotes", value.get_ref()));
        }
        text
    }

    /// A text that means something else.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let value = self.value(key)?;
        parse(text).map_err(|error| self.wrong(key, value, &error)).ok()
    }

    /// A list of texts; one text alone is a list of one.
    pub(super) fn list<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<Located<T>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let read = |item: &Spanned<DeValue<'_>>| {
            let Some(text) = item.get_ref().as_str() else {
                self.wrong(key, item, &expected("texts in quotes", item.get_ref()));
                return None;
            };
            let value = parse(text).map_err(|error| self.wrong(key, item, &error)).ok()?;
            Some(Located { value, line: self.source.line(&item.span()) })
        };
        items.into_iter().filter_map(read).collect()
    }

    /// `true` or `false`; `false` where it is not set.
    pub(super) fn flag(&self, key: &'static str) -> bool {
        let Some(value) = self.value(key) else { return false };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong(key, value, &expected("true or false", value.get_ref()));
            false
        })
    }

    /// A whole number from 0.
    pub(super) fn number(&self, key: &'static str) -> Option<u32> {
        let value = self.value(key)?;
        let number = value.get_ref().as_integer();
        let number = number.and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        if number.is_none() {
            self.wrong(key, value, &expected("a whole number", value.get_ref()));
        }
        number
    }

    /// A compression level, which may be a word or a number.
    pub(super) fn text_or_number<T, E: Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Integer(number) => number.as_str(),
            other => other.as_str().unwrap_or_default(),
        };
        parse(text).map_err(|error| self.wrong(key, value, &error)).ok()
    }

    /// A table in this one.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        let at = self.table.keys().find(|name| name.get_ref() == key).map_or(value.span(), Spanned::span);
        self.below(key, at, value)
    }

    /// The tables in this one, whose keys are names.
    pub(super) fn named_sections(&self) -> Vec<(&'a str, Section<'a>)> {
        self.names.set(true);
        let below = |(key, value): (&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)| {
            Some((&**key.get_ref(), self.below(key.get_ref(), key.span(), value)?))
        };
        self.table.iter().filter_map(below).collect()
    }

    fn below(&self, key: &str, at: Range<usize>, value: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong(key, value, &expected(&format!("a section [{}]", self.path(key)), value.get_ref()));
            return None;
        };
        Some(Section {
            source: self.source,
            table,
            name: self.path(key),
            line: self.source.line(&at),
            known: RefCell::default(),
            names: Cell::new(false),
        })
    }

    /// Notes keys that were not asked for, each with the one that was probably meant.
    pub(super) fn finish(self) {
        if self.names.get() {
            return;
        }
        let known = self.known.borrow();
        for key in self.table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            let meant = alike(key.get_ref(), known.iter().copied());
            let hint = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            let path = self.path(key.get_ref());
            self.source.error(&key.span(), format!("{path}: there is no such setting{hint}"));
        }
    }

    /// Notes an error on the heading of this section.
    pub(super) fn error(&self, message: &str) {
        self.source.error_on(self.line, format!("{}: {message}", self.name));
    }
}

/// The word that is most like another, if any is like it.
pub(crate) fn alike<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.replace('_', "-");
    let likeness = |known: &str| {
        // `excludes`, `tag`: one word begins with the other.
        let prefix = known.starts_with(&word) || word.starts_with(known);
        strsim::jaro_winkler(&word, known).max(if prefix && word.len() > 2 { ALIKE } else { 0.0 })
    };
    let best = known.map(|known| (likeness(known), known)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}

fn expected(what: &str, found: &DeValue<'_>) -> String {
    format!("expected {what}, found {}", found.type_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_finds_the_one_that_was_meant() {
        let known = || ["sources", "exclude", "exclude-file", "exclude-larger-than", "tags"].into_iter();

        assert_eq!(alike("source", known()), Some("sources"));
        assert_eq!(alike("exclude_file", known()), Some("exclude-file"));
        assert_eq!(alike("exlude", known()), Some("exclude"));
        assert_eq!(alike("passwort", known()), None);
    }
}
