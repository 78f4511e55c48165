//! Moments as text: in the local time zone for people, in ISO 8601 and UTC for programs.
//!
//! A moment outside what a calendar can hold is shown as seconds, never refused: it may come from a damaged clock.

use jiff::tz::TimeZone;
use vault_core::ops::retention::CivilHour;
use vault_core::time::Timestamp;

/// `2026-11-22 10:00:05` in the given time zone.
pub(crate) fn human(time: Timestamp, zone: &TimeZone) -> String {
    match calendar(time) {
        Some(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => format!("@{}", time.seconds),
    }
}

/// `2026-11-22T10-00-05` in the given time zone: a name for a file, sorted by time.
pub(crate) fn name(time: Timestamp, zone: &TimeZone) -> String {
    match calendar(time) {
        Some(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H-%M-%S").to_string(),
        None => format!("@{}", time.seconds),
    }
}

/// `2026-11-22T09:00:05.25Z`.
pub(crate) fn iso(time: Timestamp) -> String {
    match calendar(time) {
        Some(moment) => moment.to_string(),
        None => format!("@{}", time.seconds),
    }
}

/// The hour of the calendar in the given time zone. A moment that no calendar holds is in no hour of another's.
pub(crate) fn civil_hour(time: Timestamp, zone: &TimeZone) -> CivilHour {
    let Some(moment) = calendar(time) else {
        let year = if time.seconds < 0 { i16::MIN } else { i16::MAX };
        return CivilHour { year, week_year: year, ..CivilHour::default() };
    };
    let local = moment.to_zoned(zone.clone());
    let week = local.date().iso_week_date();
    CivilHour {
        year: local.year(),
        month: local.month(),
        day: local.day(),
        hour: local.hour(),
        week_year: week.year(),
        week: week.week(),
    }
}

/// The moment as the calendar library has it; `None` outside its years -9999 to 9999.
fn calendar(time: Timestamp) -> Option<jiff::Timestamp> {
    let whole = jiff::Timestamp::from_second(time.seconds).ok()?;
    whole.checked_add(jiff::SignedDuration::new(0, i32::try_from(time.nanos).ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_iso_8601() {
        assert_eq!(iso(Timestamp::new(1_795_341_605, 250_000_000)), "2026-11-22T10:00:05.25Z");
        assert_eq!(iso(Timestamp::new(-1, 500_000_000)), "1969-12-31T23:59:59.5Z");
        assert_eq!(iso(Timestamp::new(i64::MAX, 0)), "@9223372036854775807");
    }

    #[test]
    fn days_and_weeks_begin_by_the_local_clock() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        // 2027-01-03 22:30 UTC is Monday, the 4th, in the zone: the first week of 2027.
        let monday = civil_hour(Timestamp::new(1_799_015_400, 0), &zone);
        let sunday = civil_hour(Timestamp::new(1_799_015_400, 0), &TimeZone::UTC);

        let hour = CivilHour { year: 2027, month: 1, day: 4, hour: 0, week_year: 2027, week: 1 };
        assert_eq!(monday, hour);
        assert_eq!(sunday, CivilHour { day: 3, hour: 22, week_year: 2026, week: 53, ..hour });
        assert_eq!(civil_hour(Timestamp::new(i64::MAX, 0), &zone).year, i16::MAX);
    }

    #[test]
    fn people_see_their_own_time_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));

        assert_eq!(human(Timestamp::new(1_795_341_605, 0), &zone), "2026-11-22 12:00:05");
        assert_eq!(name(Timestamp::new(1_795_341_605, 0), &zone), "2026-11-22T12-00-05");
    }
}
