//! Values of options as people write them: sizes, compression levels, sizes of chunks.
//!
//! What is not understood is refused with what would be; nothing is guessed.

use vault_core::chunk::compress::{InvalidLevel, Level};
use vault_core::chunk::cut::Params;

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a size: expected a number of bytes, or one with K, M, G or T (powers of 1024), as in 500M or 1.5GiB"
)]
pub(crate) struct NotASize;

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
