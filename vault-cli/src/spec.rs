//! How people name a snapshot and a path in it: `latest:/Trip`, `3fa94c1e`, `2026-11-22T10:00:Fotos`.
//!
//! The text is split at the first colon; only a time of day takes colons of its own. A leading slash of the path says nothing.
//! The name of a vault may stand before it, as in `photos:latest:/Trip`: a word that cannot be a snapshot, before one that can. No vault
//! is called `inbox`: before the id of a grant it says that something is meant that one was given.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use vault_core::error::Error;
use vault_core::id::SnapshotId;
use vault_core::ops::snapshots::{SnapshotInfo, find};

/// A snapshot and a path below its root, as they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spec {
    /// The name of the vault, where it is given.
    pub(crate) vault: Option<String>,
    /// The snapshot: `latest`, the beginning of an id, a date.
    pub(crate) snapshot: String,
    /// The path below its root; empty for the root.
    pub(crate) path: PathBuf,
}

/// Stands in the place of a vault's name before a grant: `inbox:3fa94c1e:/Trip`.
pub(crate) const INBOX: &str = "inbox";

/// A path that does not stay below the root of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a path in a snapshot cannot contain `..`")]
pub(crate) struct LeavesRoot;

impl Spec {
    /// Reads `[VAULT:]SNAP[:PATH]` or `inbox:GRANT[:PATH]`.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, LeavesRoot> {
        let (mut snapshot, mut path) = split(text.as_bytes());
        let mut vault = None;
        if !is_snapshot(&String::from_utf8_lossy(snapshot)) && is_name(snapshot) {
            let (second, rest) = split(path);
            if is_snapshot(&String::from_utf8_lossy(second))
                || snapshot == INBOX.as_bytes() && !second.is_empty()
            {
                vault = Some(String::from_utf8_lossy(snapshot).into_owned());
                (snapshot, path) = (second, rest);
            }
        }
        Ok(Self {
            vault,
            snapshot: String::from_utf8_lossy(snapshot).into_owned(),
            path: below_root(Path::new(OsStr::from_bytes(path)))?,
        })
    }

    /// The grant that is meant, if it is one: the beginning of its id, as it was written.
    pub(crate) fn grant(&self) -> Option<&str> {
        self.vault.as_deref().filter(|name| *name == INBOX).map(|_| self.snapshot.as_str())
    }
}

/// What stands before the first colon that is not one of a time of day, and what after it.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let moment = moment_length(text);
    let end = text[moment..].iter().position(|&b| b == b':').map_or(text.len(), |at| moment + at);
    (&text[..end], text.get(end + 1..).unwrap_or_default())
}

/// Whether a text has the form of a snapshot: `latest`, digits of an id, a date.
pub(crate) fn is_snapshot(text: &str) -> bool {
    let is_latest = text.strip_prefix("latest").is_some_and(|back| back.is_empty() || back.starts_with('~'));
    let is_id = text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_latest || is_id || looks_like_date(text)
}

/// Whether a text has the form of a vault's name.
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Takes `SNAP[:PATH]` from the command line, where a path need not be UTF-8.
pub(crate) fn parser() -> impl TypedValueParser<Value = Spec> {
    OsStringValueParser::new().try_map(|text| Spec::parse(&text))
}

/// Takes a path below the root of a snapshot.
pub(crate) fn path_parser() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|text| below_root(Path::new(&text)))
}

/// The path without leading slash, `.` and repeated slashes.
fn below_root(path: &Path) -> Result<PathBuf, LeavesRoot> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => return Err(LeavesRoot),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

/// Length of the date and time of day that the text begins with; 0 if it does not begin with both.
fn moment_length(text: &[u8]) -> usize {
    const FORMS: [&[u8]; 3] = [b"0000-00-00T00:00:00", b"0000-00-00T00:00", b"0000-00-00T00"];
    let fits = |form: &&[u8]| {
        let alike =
            |(form, byte): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { form == byte };
        text.len() >= form.len()
            && form.iter().zip(text).all(alike)
            // `2026-11-22T10:05pm` is hour 10 and the path `05pm`.
            && matches!(text.get(form.len()), None | Some(b':'))
    };
    FORMS.into_iter().find(fits).map_or(0, <[u8]>::len)
}

/// Why a text names no snapshot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// There is none.
    #[error(transparent)]
    Find(#[from] Error),
    /// It looks like a date, but the calendar does not have it.
    #[error("{text:?} is not a date: expected one like 2026-11-22 or 2026-11-22T10:00")]
    NotADate {
        /// The text.
        text: String,
    },
}

/// Finds the snapshot that a text names. A date means the newest complete one before its end, in the given time zone.
pub(crate) fn resolve(
    snapshots: &[SnapshotInfo],
    wanted: &str,
    zone: &TimeZone,
) -> Result<SnapshotId, ResolveError> {
    if !looks_like_date(wanted) {
        return Ok(find(snapshots, wanted)?);
    }
    let not_a_date = || ResolveError::NotADate { text: wanted.to_owned() };
    let end = end_of(wanted, zone).ok_or_else(not_a_date)?;
    // A whole second: no finer unit can be named.
    let end = vault_core::time::Timestamp::new(end.as_second(), 0);
    let before = snapshots.iter().filter(|snapshot| !snapshot.partial && snapshot.time < end);
    before
        .max_by_key(|snapshot| snapshot.time)
        .map(|snapshot| snapshot.id)
        .ok_or_else(|| Error::NoSuchSnapshot { wanted: wanted.to_owned() }.into())
}

/// No id and no `latest` has four digits and a hyphen at the beginning.
fn looks_like_date(text: &str) -> bool {
    text.split_once('-').is_some_and(|(year, _)| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()))
}

/// The first moment after the day, hour, minute or second that a text names.
fn end_of(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (begin, unit) = moment(text)?;
    Some(begin.checked_add(unit).ok()?.to_zoned(zone.clone()).ok()?.timestamp())
}

/// Reads a date, or a date and time of day, in the local time zone: its first moment.
pub(crate) fn begin_of(text: &str) -> Result<vault_core::time::Timestamp, &'static str> {
    let begin = || Some(moment(text)?.0.to_zoned(TimeZone::system()).ok()?.timestamp());
    let begin = begin().ok_or("not a date: expected one like 2026-11-22 or 2026-11-22T10:00")?;
    Ok(vault_core::time::Timestamp::new(begin.as_second(), 0))
}

/// The day, hour, minute or second that a text names: its beginning and its length.
fn moment(text: &str) -> Option<(DateTime, Span)> {
    let (date, time) = match text.split_once('T') {
        None => (text, None),
        Some((date, time)) => (date, Some(time)),
    };
    let date = numbers::<3>(date, '-', &[4, 2, 2])?;
    let date = Date::new(date[0], i8::try_from(date[1]).ok()?, i8::try_from(date[2]).ok()?).ok()?;
    let (time, unit) = match time {
        None => (Time::midnight(), Span::new().days(1)),
        Some(time) => time_of_day(time)?,
    };
    Some((DateTime::from_parts(date, time), unit))
}

/// A time of day, and the length of the moment it names.
fn time_of_day(text: &str) -> Option<(Time, Span)> {
    let (parts, unit) = match text.len() {
        2 => (numbers::<1>(text, ':', &[2])?.to_vec(), Span::new().hours(1)),
        5 => (numbers::<2>(text, ':', &[2, 2])?.to_vec(), Span::new().minutes(1)),
        8 => (numbers::<3>(text, ':', &[2, 2, 2])?.to_vec(), Span::new().seconds(1)),
        _ => return None,
    };
    let part = |i: usize| parts.get(i).map_or(Some(0), |&number| i8::try_from(number).ok());
    Some((Time::new(part(0)?, part(1)?, part(2)?, 0).ok()?, unit))
}

/// Exactly `N` numbers with so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: &[usize; N]) -> Option<[i16; N]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let parts: [&str; N] = parts.try_into().ok()?;
    let mut numbers = [0; N];
    for (number, (part, digits)) in numbers.iter_mut().zip(parts.iter().zip(digits)) {
        if part.len() != *digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use vault_core::ops::snapshots::testing;

    use super::*;

    fn parse(text: &str) -> (String, String) {
        let spec = Spec::parse(OsStr::new(text)).unwrap();
        (spec.snapshot, spec.path.to_str().unwrap().to_owned())
    }

    fn pair(snapshot: &str, path: &str) -> (String, String) {
        (snapshot.to_owned(), path.to_owned())
    }

    fn snapshot(number: u8, time: &str, partial: bool) -> SnapshotInfo {
        let time: Timestamp = time.parse().unwrap();
        let time = vault_core::time::Timestamp::new(time.as_second(), time.subsec_nanosecond() as u32);
        SnapshotInfo { time, committed: time, partial, ..testing::snapshot(number, 0, "h") }
    }

    fn number(result: Result<SnapshotId, ResolveError>) -> Option<u8> {
        result.ok().map(|id| id.as_bytes()[0])
    }

    #[test]
    fn a_path_follows_the_first_colon() {
        assert_eq!(parse("latest"), pair("latest", ""));
        assert_eq!(parse("latest:"), pair("latest", ""));
        assert_eq!(parse("latest~2:/Trip"), pair("latest~2", "Trip"));
        assert_eq!(parse("3fa9:Trip/2026/./a:b"), pair("3fa9", "Trip/2026/a:b"));
        assert_eq!(parse(":/x"), pair("", "x"));
    }

    #[test]
    fn a_time_of_day_keeps_its_colons() {
        assert_eq!(parse("2026-11-22:/Trip"), pair("2026-11-22", "Trip"));
        assert_eq!(parse("2026-11-22T10"), pair("2026-11-22T10", ""));
        assert_eq!(parse("2026-11-22T10:00"), pair("2026-11-22T10:00", ""));
        assert_eq!(parse("2026-11-22T10:00:Trip"), pair("2026-11-22T10:00", "Trip"));
        assert_eq!(parse("2026-11-22T10:00:30:/05"), pair("2026-11-22T10:00:30", "05"));
        assert_eq!(parse("2026-11-22T10:/05"), pair("2026-11-22T10", "05"));
        assert_eq!(parse("2026-11-22T10:05pm"), pair("2026-11-22T10", "05pm"));
    }

    #[test]
    fn the_name_of_a_vault_may_stand_before_a_snapshot() {
        let named = |text: &str| {
            let spec = Spec::parse(OsStr::new(text)).unwrap();
            (spec.vault, spec.snapshot, spec.path.to_str().unwrap().to_owned())
        };
        let photos =
            |snapshot: &str, path: &str| (Some("photos".to_owned()), snapshot.to_owned(), path.to_owned());
        let none = |snapshot: &str, path: &str| (None, snapshot.to_owned(), path.to_owned());

        assert_eq!(named("photos:latest:/Trip"), photos("latest", "Trip"));
        assert_eq!(named("photos:latest"), photos("latest", ""));
        assert_eq!(named("photos:2026-11-22T10:00:/a:b"), photos("2026-11-22T10:00", "a:b"));
        assert_eq!(named("latest:photos:latest"), none("latest", "photos:latest"));
        assert_eq!(named("3fa9:latest"), none("3fa9", "latest"));
        assert_eq!(named("photos:/Trip"), none("photos", "Trip"));
        assert_eq!(named("a b:latest"), none("a b", "latest"));
    }

    #[test]
    fn a_grant_may_stand_where_a_snapshot_does() {
        let named = |text: &str| {
            let spec = Spec::parse(OsStr::new(text)).unwrap();
            (spec.grant().map(str::to_owned), spec.path.to_str().unwrap().to_owned())
        };
        let grant = |id: &str, path: &str| (Some(id.to_owned()), path.to_owned());

        assert_eq!(named("inbox:3fa94c1e:/Trip"), grant("3fa94c1e", "Trip"));
        assert_eq!(named("inbox:3fa9"), grant("3fa9", ""));
        assert_eq!(named("inbox:12"), grant("12", ""), "too short, which is said when it is looked for");
        assert_eq!(named("photos:3fa9").0, None);
        assert_eq!(named("3fa9").0, None);
    }

    #[test]
    fn a_path_stays_below_the_root() {
        assert_eq!(Spec::parse(OsStr::new("latest:a/../../b")), Err(LeavesRoot));
        assert_eq!(parse("latest:///a//b/"), pair("latest", "a/b"));
    }

    #[test]
    fn a_path_need_not_be_text() {
        let spec = Spec::parse(OsStr::from_bytes(b"latest:/caf\xe9")).unwrap();

        assert_eq!(spec.path.as_os_str().as_bytes(), b"caf\xe9");
    }

    #[test]
    fn a_date_means_the_newest_complete_snapshot_before_its_end() {
        let list = [
            snapshot(1, "2026-11-21T23:59:59.9Z", false),
            snapshot(2, "2026-11-22T09:00:59.9Z", false),
            snapshot(3, "2026-11-22T09:01:00Z", false),
            snapshot(4, "2026-11-22T12:00:00Z", true),
        ];
        let find = |wanted| number(resolve(&list, wanted, &TimeZone::UTC));

        assert_eq!(find("2026-11-20"), None);
        assert_eq!(find("2026-11-21"), Some(1));
        assert_eq!(find("2026-11-22"), Some(3));
        assert_eq!(find("2030-01-01"), Some(3));
        assert_eq!(find("2026-11-22T08"), Some(1));
        assert_eq!(find("2026-11-22T09:00"), Some(2));
        assert_eq!(find("2026-11-22T09:01"), Some(3));
        assert_eq!(find("2026-11-22T09:00:58"), Some(1));
    }

    #[test]
    fn a_date_is_one_of_the_local_time_zone() {
        let list = [snapshot(1, "2026-11-22T23:30:00Z", false)];

        assert_eq!(number(resolve(&list, "2026-11-22", &TimeZone::fixed(jiff::tz::offset(1)))), None);
        assert_eq!(number(resolve(&list, "2026-11-23", &TimeZone::fixed(jiff::tz::offset(1)))), Some(1));
    }

    #[test]
    fn a_date_that_the_calendar_does_not_have_is_refused() {
        let dates = [
            "2026-02-30",
            "2026-13-01",
            "2026-1-1",
            "2026-11-22T24:00",
            "2026-11-22T1:00",
            "2026-11-22T",
            "2026-11",
        ];

        for text in dates {
            let result = resolve(&[], text, &TimeZone::UTC);
            assert!(matches!(result, Err(ResolveError::NotADate { .. })), "{text}: {result:?}");
        }
    }
}
