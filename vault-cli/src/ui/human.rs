//! Text for people: numbers, durations, and names from elsewhere made safe to show.
//!
//! What comes from a file system, a vault or an error never reaches a terminal with control characters in it: they could move
//! the cursor, hide text or change what a line seems to say.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

/// A number with a comma between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.char_indices() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun, in the plural unless there is one.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match (number, stem) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{} {stem}ies", count(number)),
        _ => format!("{} {noun}s", count(number)),
    }
}

/// A time span as precise as people care for.
pub(crate) fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        // 59.95 s would be shown as 60.0 s.
        0..60 if span.as_millis() < 59_950 => format!("{:.1} s", span.as_secs_f64()),
        0..3_600 => {
            let seconds = seconds.max(60);
            format!("{} min {} s", seconds / 60, seconds % 60)
        }
        _ => format!("{} h {} min", count(seconds / 3_600), seconds % 3_600 / 60),
    }
}

/// A time span as a clock shows it: `0:07`, `12:30`, `1:02:03`.
pub(crate) fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds % 3_600 / 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A path with everything escaped that is not plain text, so that each path has one form.
///
/// Control characters and characters that change the direction of text become `\n`, `\u{1b}` and so on, bytes that are not
/// UTF-8 `\xff`, and a backslash two.
pub(crate) fn path(path: &Path) -> String {
    name(path.as_os_str().as_bytes())
}

/// The same for a name as bytes.
pub(crate) fn name(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            if c == '\\' {
                text.push_str("\\\\");
            } else {
                push_safe(&mut text, c);
            }
        }
        for byte in part.invalid() {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A message with control characters escaped; line ends become spaces, since a message is one line.
pub(crate) fn message(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' {
            safe.push(' ');
        } else {
            push_safe(&mut safe, c);
        }
    }
    safe
}

fn push_safe(text: &mut String, c: char) {
    if c.is_control() || changes_layout(c) {
        text.extend(c.escape_default());
    } else {
        text.push(c);
    }
}

/// Whether a character makes a terminal or editor show text in another order, on another line, or not at all.
fn changes_layout(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A word as a shell takes it: in single quotes where it needs them.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn thousands_are_separated() {
        let texts = [0, 12, 999, 1_000, 78_624, 1_234_567, u64::MAX].map(count);

        assert_eq!(
            texts,
            ["0", "12", "999", "1,000", "78,624", "1,234,567", "18,446,744,073,709,551,615"]
                .map(String::from)
        );
    }

    #[test]
    fn one_thing_is_not_in_the_plural() {
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(counted(0, "file"), "0 files");
        assert_eq!(counted(1, "directory"), "1 directory");
        assert_eq!(counted(2_000, "directory"), "2,000 directories");
        assert_eq!(counted(2, "day"), "2 days");
    }

    #[test]
    fn durations_are_as_precise_as_people_care_for() {
        let texts = [0, 2_440, 59_940, 59_990, 65_000, 3_599_000, 7_380_000]
            .map(|millis| duration(Duration::from_millis(millis)));

        assert_eq!(
            texts,
            ["0.0 s", "2.4 s", "59.9 s", "1 min 0 s", "1 min 5 s", "59 min 59 s", "2 h 3 min"]
                .map(String::from)
        );
        assert_eq!(
            [7, 750, 3_723].map(|seconds| clock(Duration::from_secs(seconds))),
            ["0:07", "12:30", "1:02:03"].map(String::from)
        );
    }

    #[test]
    fn a_path_cannot_send_control_characters_to_the_terminal() {
        assert_eq!(path(Path::new("a\x1b[31mred\nb\u{9b}")), "a\\u{1b}[31mred\\nb\\u{9b}");
        assert_eq!(path(Path::new(OsStr::from_bytes(b"caf\xc3\xa9 \xe9\\"))), "café \\xe9\\\\");
        assert_eq!(path(Path::new("exe\u{202e}gpj.")), "exe\\u{202e}gpj.");
        assert_eq!(path(Path::new("Fotos/日本 🎉")), "Fotos/日本 🎉");
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(message("first\nsecond\r\x1b[2J"), "first second\\r\\u{1b}[2J");
        assert_eq!(message("no \"a\\\\b\""), "no \"a\\\\b\"");
    }

    #[test]
    fn words_are_quoted_for_the_shell_where_needed() {
        assert_eq!(shell_word("./my-vault"), "./my-vault");
        assert_eq!(shell_word("my vault"), "'my vault'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
