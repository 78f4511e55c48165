//! Hours count from an imagined Thursday, 1970-01-01, in a calendar of 30 days a month and 12 months a year: simple enough for a
//! second implementation to compare with.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600;
const NOW: Timestamp = Timestamp::new(2_000 * 24 * HOUR, 0);

fn date(time: Timestamp) -> CivilHour {
    let hours = time.seconds.div_euclid(HOUR);
    let days = hours.div_euclid(24);
    let (months, weeks) = (days.div_euclid(30), days.div_euclid(7));
    CivilHour {
        year: months.div_euclid(12) as i16,
        month: months.rem_euclid(12) as i8 + 1,
        day: days.rem_euclid(30) as i8 + 1,
        hour: hours.rem_euclid(24) as i8,
        week_year: weeks.div_euclid(52) as i16,
        week: weeks.rem_euclid(52) as i8 + 1,
    }
}

fn candidate(seconds: i64) -> Candidate<'static> {
    let time = Timestamp::new(seconds, 0);
    Candidate { time, date: date(time), partial: false, tags: &[] }
}

fn partial(seconds: i64) -> Candidate<'static> {
    Candidate { partial: true, ..candidate(seconds) }
}

/// The reasons as they are shown, one text for each snapshot.
fn shown(rules: &Rules, candidates: &[Candidate<'_>]) -> Vec<String> {
    let texts = |reasons: Vec<Reason>| reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join(", ");
    decide(rules, candidates, NOW).into_iter().map(texts).collect()
}

fn kept(rules: &Rules, candidates: &[Candidate<'_>]) -> Vec<bool> {
    decide(rules, candidates, NOW).iter().map(|reasons| !reasons.is_empty()).collect()
}

#[test]
fn of_each_period_the_newest_is_kept() {
    let rules = Rules { daily: 2, ..Rules::default() };
    let day = 24 * HOUR;

    let shown = shown(
        &rules,
        &[
            candidate(day),
            candidate(4 * day),
            candidate(4 * day + HOUR),
            candidate(9 * day),
            candidate(2 * day),
        ],
    );

    assert_eq!(shown, ["", "", "daily 2", "daily 1", ""]);
}

#[test]
fn where_there_are_fewer_periods_than_asked_for_the_oldest_is_kept_too() {
    let rules = Rules { monthly: 3, ..Rules::default() };

    let shown = shown(&rules, &[candidate(0), candidate(HOUR), candidate(40 * 24 * HOUR)]);

    assert_eq!(shown, ["oldest monthly", "monthly 2", "monthly 1"]);
}

#[test]
fn the_oldest_is_named_once_where_it_is_the_newest_of_its_period() {
    let rules = Rules { yearly: 5, ..Rules::default() };

    assert_eq!(shown(&rules, &[candidate(0)]), ["yearly 1"]);
}

#[test]
fn rules_keep_what_they_keep_whatever_others_do() {
    let tags = ["gold".to_owned()];
    let rules =
        Rules { last: 1, weekly: 1, tags: tags.to_vec(), within_seconds: Some(60), ..Rules::default() };
    let tagged = Candidate { tags: &tags, ..candidate(0) };

    let shown = shown(&rules, &[tagged, candidate(HOUR), candidate(2 * HOUR - 60), candidate(2 * HOUR)]);

    assert_eq!(shown, ["tag gold", "", "within", "last 1, weekly 1, within"]);
}

#[test]
fn a_snapshot_of_the_future_is_kept_and_pushes_nothing_out() {
    let rules = Rules { last: 1, within_seconds: Some(0), ..Rules::default() };
    let late = NOW.seconds + FUTURE_SECONDS;

    let shown = shown(&rules, &[candidate(0), candidate(late), candidate(late + 1), partial(late + 2)]);

    assert_eq!(shown, ["", "last 1, within", "future-dated", "future-dated"]);
}

#[test]
fn a_partial_snapshot_is_kept_until_there_is_a_newer_complete_one() {
    let rules = Rules { last: 3, ..Rules::default() };
    let future = candidate(NOW.seconds + FUTURE_SECONDS + 1);

    assert_eq!(shown(&rules, &[partial(1), candidate(2), partial(3)]), ["", "last 1", "unfinished"]);
    assert_eq!(shown(&rules, &[partial(1), partial(2)]), ["unfinished", "unfinished"]);
    assert_eq!(shown(&rules, &[partial(1), future]), ["unfinished", "future-dated"]);
}

#[test]
fn of_two_with_the_same_time_the_later_counts_as_newer() {
    let rules = Rules { last: 1, ..Rules::default() };

    assert_eq!(shown(&rules, &[candidate(5), candidate(5)]), ["", "last 1"]);
    assert_eq!(shown(&rules, &[partial(5), candidate(5)]), ["", "last 1"]);
    assert_eq!(shown(&rules, &[candidate(5), partial(5)]), ["last 1", "unfinished"]);
}

#[test]
fn numbers_at_their_limits_do_no_harm() {
    let rules =
        Rules { last: u32::MAX, yearly: u32::MAX, within_seconds: Some(u64::MAX), ..Rules::default() };
    let ends =
        [i64::MIN, i64::MAX].map(|seconds| Candidate { time: Timestamp::new(seconds, 0), ..candidate(0) });

    assert_eq!(kept(&rules, &ends), [true, true]);
    assert!(!is_future(Timestamp::new(i64::MAX, 0), Timestamp::new(i64::MAX, 0)));
}

fn rules() -> impl Strategy<Value = Rules> {
    let counts = (0..4_u32, 0..4_u32, 0..4_u32, 0..4_u32, 0..4_u32, 0..4_u32);
    (counts, proptest::option::of(0..20 * 24 * 3_600_u64)).prop_map(|(counts, within_seconds)| {
        let (last, hourly, daily, weekly, monthly, yearly) = counts;
        Rules { last, hourly, daily, weekly, monthly, yearly, within_seconds, tags: Vec::new() }
    })
}

/// Snapshots of three years before now, some partial, some dated in the future.
fn candidates() -> impl Strategy<Value = Vec<Candidate<'static>>> {
    let one = (-1_000 * 24..200 * 24_i64, 0..5_u8);
    vec(one, 0..30).prop_map(|all| {
        let make = |(hours, kind)| {
            let at = candidate(NOW.seconds + hours * HOUR);
            Candidate { partial: kind == 0, ..at }
        };
        all.into_iter().map(make).collect()
    })
}

/// What the calendar rules keep, said in another way: sets of periods instead of one pass.
fn kept_by_model(rules: &Rules, candidates: &[Candidate<'_>]) -> BTreeSet<Timestamp> {
    let counted: BTreeSet<_> = candidates
        .iter()
        .filter(|one| !one.partial && !is_future(one.time, NOW))
        .map(|one| (one.time, one.date))
        .collect();
    let mut kept = BTreeSet::new();
    for (period, count) in rules.periods() {
        let periods: BTreeSet<_> = counted.iter().map(|(_, date)| period.of(*date)).collect();
        for chosen in periods.iter().rev().take(count as usize) {
            kept.extend(counted.iter().rfind(|(_, date)| period.of(*date) == *chosen).map(|(time, _)| *time));
        }
        if periods.len() < count as usize {
            kept.extend(counted.first().map(|(time, _)| *time));
        }
    }
    kept.extend(counted.iter().rev().take(rules.last as usize).map(|(time, _)| *time));
    if let (Some(seconds), Some((newest, _))) = (rules.within_seconds, counted.last()) {
        let begin = newest.seconds - seconds as i64;
        kept.extend(counted.iter().map(|(time, _)| *time).filter(|time| time.seconds >= begin));
    }
    kept
}

fn distinct(mut candidates: Vec<Candidate<'static>>) -> Vec<Candidate<'static>> {
    let mut seen = BTreeSet::new();
    candidates.retain(|one| seen.insert(one.time));
    candidates
}

proptest! {
    #[test]
    fn decisions_agree_with_a_model_of_sets(rules in rules(), candidates in candidates()) {
        let candidates = distinct(candidates);
        let model = kept_by_model(&rules, &candidates);

        for (one, kept) in candidates.iter().zip(kept(&rules, &candidates)) {
            if !one.partial && !is_future(one.time, NOW) {
                prop_assert_eq!(kept, model.contains(&one.time));
            }
        }
    }

    #[test]
    fn the_order_of_snapshots_decides_nothing(rules in rules(), candidates in candidates()) {
        let candidates = distinct(candidates);
        let reversed: Vec<_> = candidates.iter().rev().copied().collect();

        let mut backwards = decide(&rules, &reversed, NOW);
        backwards.reverse();

        prop_assert_eq!(decide(&rules, &candidates, NOW), backwards);
    }

    #[test]
    fn future_and_partial_snapshots_change_nothing_for_others(rules in rules(), candidates in candidates()) {
        let counts = |one: &&Candidate<'_>| !one.partial && !is_future(one.time, NOW);
        let counted: Vec<_> = candidates.iter().filter(counts).copied().collect();

        let all = kept(&rules, &candidates);
        let of_counted: Vec<_> = candidates.iter().zip(all).filter(|(one, _)| counts(one)).map(|(_, k)| k).collect();

        prop_assert_eq!(kept(&rules, &counted), of_counted);
    }

    #[test]
    fn asking_for_more_never_forgets_more(rules in rules(), more in rules(), candidates in candidates()) {
        let both = Rules {
            last: rules.last.max(more.last),
            hourly: rules.hourly.max(more.hourly),
            daily: rules.daily.max(more.daily),
            weekly: rules.weekly.max(more.weekly),
            monthly: rules.monthly.max(more.monthly),
            yearly: rules.yearly.max(more.yearly),
            within_seconds: rules.within_seconds.max(more.within_seconds),
            tags: Vec::new(),
        };

        for (few, many) in kept(&rules, &candidates).into_iter().zip(kept(&both, &candidates)) {
            prop_assert!(many || !few);
        }
    }

    #[test]
    fn deciding_again_forgets_nothing_more(rules in rules(), candidates in candidates()) {
        let first = kept(&rules, &candidates);
        let left: Vec<_> = candidates.iter().zip(first).filter(|(_, kept)| *kept).map(|(one, _)| *one).collect();

        prop_assert!(kept(&rules, &left).into_iter().all(|kept| kept));
    }

    #[test]
    fn any_count_keeps_the_newest_complete_snapshot(mut rules in rules(), candidates in candidates()) {
        rules.daily += 1;

        let of_counted = |one: &&Candidate<'_>| !one.partial && !is_future(one.time, NOW);
        let newest = candidates.iter().filter(of_counted).map(|one| one.time).max();
        let found = candidates.iter().zip(kept(&rules, &candidates)).any(|(one, kept)| kept && Some(one.time) == newest);

        prop_assert_eq!(found, newest.is_some());
    }
}
