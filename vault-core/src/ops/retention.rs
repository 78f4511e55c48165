//! Retention: which snapshots of a group some rules keep, and why.
//!
//! Pure: times, calendar dates and the present moment are passed in. A decision never depends on the order in which the snapshots
//! come, nor on anything that the maker of a snapshot may choose but the time of its statement. So:
//!
//! - A snapshot dated more than [`FUTURE_SECONDS`] after now is kept, counts for no rule, and is never the newest: a wrong clock, or
//!   a device that was broken into, cannot push the others out.
//! - A partial snapshot counts for no rule. It is kept until its group has a newer complete one.
//! - Of each period (hour, day, week, month, year) the newest snapshot counts; periods without one do not. Where there are fewer
//!   periods than a rule asks for, it keeps the oldest snapshot too. Both are as restic does it.

use std::fmt;

use crate::time::Timestamp;

/// How far in the future a snapshot may be dated before it counts as dated wrongly.
pub const FUTURE_SECONDS: i64 = 600;

/// What is kept. Each rule keeps what it keeps, whatever the others do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// So many of the newest.
    pub last: u32,
    /// The newest of each of so many hours.
    pub hourly: u32,
    /// The newest of each of so many days.
    pub daily: u32,
    /// The newest of each of so many weeks, as ISO 8601 numbers them.
    pub weekly: u32,
    /// The newest of each of so many months.
    pub monthly: u32,
    /// The newest of each of so many years.
    pub yearly: u32,
    /// All that are not more seconds older than the newest.
    pub within_seconds: Option<u64>,
    /// All that have one of these tags, partial ones too.
    pub tags: Vec<String>,
}

/// A snapshot, as far as retention looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The time of its statement.
    pub time: Timestamp,
    /// The same in the calendar of whoever decides.
    pub date: CivilHour,
    /// Whether it is partial.
    pub partial: bool,
    /// Its tags in force.
    pub tags: &'a [String],
}

/// An hour of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct CivilHour {
    /// The year.
    pub year: i16,
    /// The month, from 1.
    pub month: i8,
    /// The day of the month, from 1.
    pub day: i8,
    /// The hour, from 0.
    pub hour: i8,
    /// The year that the week belongs to (ISO 8601).
    pub week_year: i16,
    /// The week, from 1.
    pub week: i8,
}

/// A period of which one snapshot counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// An hour.
    Hourly,
    /// A day.
    Daily,
    /// A week.
    Weekly,
    /// A month.
    Monthly,
    /// A year.
    Yearly,
}

/// Why a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is that one of the newest, from 1.
    Last(u32),
    /// It is the newest of that period, from 1.
    Newest(Period, u32),
    /// It is the oldest, and there are fewer periods than the rule asks for.
    Oldest(Period),
    /// It is not older than the rule asks for.
    Within,
    /// It has this tag.
    Tag(String),
    /// It is dated in the future.
    FutureDated,
    /// It is partial, and there is no complete one after it.
    Unfinished,
}

impl Rules {
    /// Whether there is no rule at all: then nothing would be kept.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn periods(&self) -> [(Period, u32); 5] {
        [
            (Period::Hourly, self.hourly),
            (Period::Daily, self.daily),
            (Period::Weekly, self.weekly),
            (Period::Monthly, self.monthly),
            (Period::Yearly, self.yearly),
        ]
    }
}

impl Period {
    /// What two moments of one period have in common.
    fn of(self, date: CivilHour) -> (i16, i8, i8, i8) {
        let CivilHour { year, month, day, hour, week_year, week } = date;
        match self {
            Self::Hourly => (year, month, day, hour),
            Self::Daily => (year, month, day, 0),
            Self::Weekly => (week_year, week, 0, 0),
            Self::Monthly => (year, month, 0, 0),
            Self::Yearly => (year, 0, 0, 0),
        }
    }
}

/// Whether a time is so far after `now` that it cannot be right.
pub fn is_future(time: Timestamp, now: Timestamp) -> bool {
    time > Timestamp::new(now.seconds.saturating_add(FUTURE_SECONDS), now.nanos)
}

/// Why each of the snapshots of one group is kept, in their order; one without a reason is not. The later of two with the same time
/// counts as newer.
pub fn decide(rules: &Rules, candidates: &[Candidate<'_>], now: Timestamp) -> Vec<Vec<Reason>> {
    let mut reasons: Vec<Vec<Reason>> = candidates.iter().map(|_| Vec::new()).collect();
    let mut newest_first: Vec<usize> = (0..candidates.len()).collect();
    newest_first.sort_by_key(|&at| std::cmp::Reverse((candidates[at].time, at)));

    let is_dated = |&at: &usize| !is_future(candidates[at].time, now);
    let (dated, future): (Vec<_>, Vec<_>) = newest_first.into_iter().partition(is_dated);
    let (partial, complete): (Vec<_>, Vec<_>) = dated.into_iter().partition(|&at| candidates[at].partial);
    for at in future {
        reasons[at].push(Reason::FutureDated);
    }
    for at in partial {
        let is_newer = |&newest: &usize| (candidates[newest].time, newest) > (candidates[at].time, at);
        if !complete.first().is_some_and(is_newer) {
            reasons[at].push(Reason::Unfinished);
        }
    }
    for (number, &at) in (1..=rules.last).zip(&complete) {
        reasons[at].push(Reason::Last(number));
    }
    for (period, count) in rules.periods() {
        keep_by_period((period, count), candidates, &complete, &mut reasons);
    }
    keep_within(rules, candidates, &complete, &mut reasons);
    for (candidate, reasons) in candidates.iter().zip(&mut reasons) {
        let has = |tag: &&String| candidate.tags.contains(tag);
        reasons.extend(rules.tags.iter().filter(has).cloned().map(Reason::Tag));
    }
    reasons
}

/// Keeps the newest of each of the first `count` periods, and the oldest of all where there are fewer.
fn keep_by_period(
    (period, count): (Period, u32),
    candidates: &[Candidate<'_>],
    newest_first: &[usize],
    reasons: &mut [Vec<Reason>],
) {
    let (mut number, mut last) = (0, None);
    for &at in newest_first {
        if number == count {
            return;
        }
        let this = Some(period.of(candidates[at].date));
        if this != last {
            number += 1;
            last = this;
            reasons[at].push(Reason::Newest(period, number));
        }
    }
    if let Some(&oldest) = newest_first.last()
        && number < count
        && !reasons[oldest].iter().any(|reason| matches!(reason, Reason::Newest(of, _) if *of == period))
    {
        reasons[oldest].push(Reason::Oldest(period));
    }
}

fn keep_within(
    rules: &Rules,
    candidates: &[Candidate<'_>],
    newest_first: &[usize],
    reasons: &mut [Vec<Reason>],
) {
    let (Some(seconds), Some(&newest)) = (rules.within_seconds, newest_first.first()) else { return };
    let newest = candidates[newest].time;
    let begin = newest.seconds.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX));
    for &at in newest_first.iter().filter(|&&at| candidates[at].time >= Timestamp::new(begin, newest.nanos)) {
        reasons[at].push(Reason::Within);
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last(number) => write!(f, "last {number}"),
            Self::Newest(period, number) => write!(f, "{period} {number}"),
            Self::Oldest(period) => write!(f, "oldest {period}"),
            Self::Within => f.write_str("within"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::FutureDated => f.write_str("future-dated"),
            Self::Unfinished => f.write_str("unfinished"),
        }
    }
}

#[cfg(test)]
mod tests;
