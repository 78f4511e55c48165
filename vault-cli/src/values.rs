//! Values of options as people write them: sizes, compression levels, sizes of chunks.
//!
//! What is not understood is refused with what would be; nothing is guessed.

pub(crate) mod duration;
pub(crate) mod until;

use std::time::Duration;

use vault_core::chunk::compress::{InvalidLevel, Level};
use vault_core::chunk::cut::Params;
use vault_core::ops::check::Budget;
use vault_core::wire::UserName;
use vault_core::wire::name::ParseNameError;

use duration::NotADuration;

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a size: expected a number of bytes, or one with K, M, G or T (powers of 1024), as in 500M or 1.5GiB"
)]
pub(crate) struct NotASize;

/// Reads the name of a person.
pub(crate) fn user_name(text: &str) -> Result<UserName, ParseNameError> {
    UserName::parse(text)
}

/// Reads a number of bytes: `1048576`, `500M`, `1.5 GiB`, `10MB`.
///
/// `K`, `KiB` and so on are powers of 1024, `KB` and so on of 1000; upper and lower case mean the same.
pub(crate) fn size(text: &str) -> Result<u64, NotASize> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = unit_factor(unit.trim_start()).ok_or(NotASize)?;
    let (whole, fraction) = match number.split_once('.') {
        None => (number, ""),
        Some((_, "")) => return Err(NotASize),
        Some(parts) => parts,
    };
    // Nine digits keep the product below far within 128 bits.
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotASize);
    }
    let whole: u64 = whole.parse().map_err(|_| NotASize)?;
    let parts: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| NotASize)? };
    let scale = 10u128.pow(fraction.len() as u32);
    let bytes = u128::from(whole) * u128::from(factor) + u128::from(parts) * u128::from(factor) / scale;
    u64::try_from(bytes).map_err(|_| NotASize)
}

fn unit_factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let Some(prefix) = unit.chars().next() else { return Some(1) };
    let (exponent, base) = match (prefix, &unit[prefix.len_utf8()..]) {
        ('b', "") => return Some(1),
        ('k', rest) => (1, base(rest)?),
        ('m', rest) => (2, base(rest)?),
        ('g', rest) => (3, base(rest)?),
        ('t', rest) => (4, base(rest)?),
        _ => return None,
    };
    Some(u64::pow(base, exponent))
}

fn base(rest: &str) -> Option<u64> {
    match rest {
        "" | "ib" => Some(1024),
        "b" => Some(1000),
        _ => None,
    }
}

/// A text that is no budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a size or share: expected one as in 500M, 20G, 5% or 0.5%")]
pub(crate) struct NotABudget;

/// Reads how much may be read: a size, or a share of all with up to two decimals, as in `5%` or `0.25%`.
pub(crate) fn budget(text: &str) -> Result<Budget, NotABudget> {
    let Some(share) = text.trim().strip_suffix('%') else {
        return size(text).map(Budget::Bytes).map_err(|_| NotABudget);
    };
    let (whole, fraction) = share.split_once('.').unwrap_or((share, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 2 {
        return Err(NotABudget);
    }
    let points = format!("{whole}{fraction:0<2}").parse().map_err(|_| NotABudget)?;
    if points > 10_000 { Err(NotABudget) } else { Ok(Budget::BasisPoints(points)) }
}

/// Reads a span of time, as [`duration`](duration::duration) does.
pub(crate) fn span(text: &str) -> Result<Duration, NotADuration> {
    duration::duration(text).map(Duration::from_secs)
}

/// A time span as [`span`] reads it, with the largest unit that divides it.
pub(crate) fn span_text(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(7 * DAY, "w"), (DAY, "d"), (3_600, "h"), (60, "min")];
    let fits = units.iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A text that is no compression level.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotALevel {
    /// Neither a word nor a number.
    #[error("expected fast, default, best, or a zstd level from -7 to 19")]
    Word,
    /// A number outside the range.
    #[error(transparent)]
    Range(#[from] InvalidLevel),
}

/// Reads a compression level: `fast`, `default`, `best` or a number.
pub(crate) fn level(text: &str) -> Result<Level, NotALevel> {
    match text {
        "fast" => Ok(Level::FAST),
        "default" => Ok(Level::DEFAULT),
        "best" => Ok(Level::BEST),
        number => Ok(Level::new(number.parse().map_err(|_| NotALevel::Word)?)?),
    }
}

/// Reads sizes of chunks: `min,bits,max`.
pub(crate) fn chunker(text: &str) -> Result<Params, String> {
    let numbers: Vec<u64> = text.split(',').map(size).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let narrow = |number: u64| u32::try_from(number).map_err(|_| format!("{number} is too large"));
    let [min, mask_bits, max] = numbers[..] else { return Err("expected min,bits,max".to_owned()) };
    Params::new(narrow(min)?, narrow(mask_bits)?, narrow(max)?).map_err(|e| e.to_string())
}

/// The lines of a text that say something: neither empty nor a comment.
pub(crate) fn meaningful_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let read = |text| size(text).ok();

        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1048576"), Some(1 << 20));
        assert_eq!(read("500M"), Some(500 << 20));
        assert_eq!(read("1.5 GiB"), Some(3 << 29));
        assert_eq!(read("10mb"), Some(10_000_000));
        assert_eq!(read("2T"), Some(2 << 40));
        assert_eq!(read("7b"), Some(7));
        assert_eq!(read("16777215T"), Some(16_777_215 << 40));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "M",
            "1.",
            ".5M",
            "1.2.3",
            "-1",
            "1e9",
            "5X",
            "5Mi",
            "5 M B",
            "16777216T",
            "9".repeat(30).as_str(),
        ] {
            assert_eq!(size(text), Err(NotASize), "{text}");
        }
    }

    #[test]
    fn budgets_are_sizes_or_shares() {
        let points = |text| budget(text).ok();

        assert_eq!(points("500M"), Some(Budget::Bytes(500 << 20)));
        assert_eq!(points("5%"), Some(Budget::BasisPoints(500)));
        assert_eq!(points("0.5%"), Some(Budget::BasisPoints(50)));
        assert_eq!(points("0.25%"), Some(Budget::BasisPoints(25)));
        assert_eq!(points("100%"), Some(Budget::BasisPoints(10_000)));
        for text in ["%", "5.%", ".5%", "100.01%", "101%", "-1%", "1e1%", "0.125%", "five", "99999999999%"] {
            assert_eq!(budget(text), Err(NotABudget), "{text}");
        }
    }

    #[test]
    fn levels_are_words_or_numbers() {
        assert_eq!(level("best").ok(), Some(Level::BEST));
        assert_eq!(level("-3").ok(), Level::new(-3).ok());
        assert!(matches!(level("20"), Err(NotALevel::Range(_))));
        assert!(matches!(level("maximum"), Err(NotALevel::Word)));
    }

    #[test]
    fn comments_and_empty_lines_say_nothing() {
        let lines: Vec<_> = meaningful_lines("# caches\n*.tmp\r\n\n  \n\\#name\n").collect();

        assert_eq!(lines, ["*.tmp", "\\#name"]);
    }

    #[test]
    fn chunk_sizes_are_three_numbers() {
        assert!(chunker("64K,16,1M").is_ok());
        assert!(chunker("64K,16").is_err());
        assert!(chunker("64K,5000000000,1M").is_err());
    }
}
