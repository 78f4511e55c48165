//! Spans of time as people write them: `30d`, `12h`, `1y6mo`.
//!
//! A span is a number of seconds; months and years have a fixed length here, so that a span never depends on a date. A bare `m` is
//! refused: what one program takes for minutes is months to another, and snapshots are forgotten by it.

/// A text that is no span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a span of time: expected numbers with s, min, h, d, w, mo or y, as in 30min, 12h, 30d or 1y6mo")]
pub(crate) struct NotADuration;

/// A thousand years: sums with today's date stay within what a calendar holds.
const LONGEST: u64 = 1_000 * 365 * 86_400;

/// Reads a span, in seconds: `90s`, `30min`, `12h`, `30d`, `2w`, `6mo` (of 30 days), `1y` (of 365 days), several of them together, or `0`.
pub(crate) fn duration(text: &str) -> Result<u64, NotADuration> {
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut seconds) = (text, 0_u64);
    while !rest.is_empty() {
        let is_digit = |c: char| c.is_ascii_digit();
        let (number, after) = rest.split_at(rest.find(|c| !is_digit(c)).ok_or(NotADuration)?);
        let (unit, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        let unit = match unit.trim_end() {
            "s" => 1,
            "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            "mo" => 30 * 86_400,
            "y" => 365 * 86_400,
            _ => return Err(NotADuration),
        };
        let number: u64 = number.parse().map_err(|_| NotADuration)?;
        let part = number.checked_mul(unit).filter(|part| *part <= LONGEST).ok_or(NotADuration)?;
        seconds = seconds.checked_add(part).filter(|sum| *sum <= LONGEST).ok_or(NotADuration)?;
        rest = after;
    }
    if text.is_empty() { Err(NotADuration) } else { Ok(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let hours = |text| duration(text).map(|seconds| seconds / 3_600);

        assert_eq!(hours("12h"), Ok(12));
        assert_eq!(hours("30d"), Ok(720));
        assert_eq!(hours("2w"), Ok(336));
        assert_eq!(hours("1y6mo"), Ok((365 + 180) * 24));
        assert_eq!(hours("120min"), Ok(2));
        assert_eq!((hours("1h 30min"), duration("90s")), (Ok(1), Ok(90)));
        assert_eq!((hours(" 0d "), hours("0")), (Ok(0), Ok(0)));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "d",
            "5",
            "5m",
            "1y6m",
            "-1d",
            "1.5d",
            "5d3",
            "5 d",
            "99999999999999999999d",
            "9999999999999999y",
            "5é",
        ] {
            assert_eq!(duration(text), Err(NotADuration), "{text}");
        }
    }
}
