//! Names of users on a server: how one person finds another there.
//!
//! A name has one form, so that two names that look alike to a machine are the same name. It says nothing about who has it: only
//! the card that it leads to does.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name.
pub const MAX_NAME_BYTES: usize = 64;

/// A name: lower-case letters, digits and, after the first character, `.`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// Text that is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected at most {MAX_NAME_BYTES} lower-case letters, digits, `.`, `_` and `-`, a letter or digit first"
)]
pub struct ParseNameError;

impl UserName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, ParseNameError> {
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=MAX_NAME_BYTES).contains(&text.len())
            && text.bytes().all(|byte| alphanumeric(&byte) || matches!(byte, b'.' | b'_' | b'-'))
            && text.as_bytes().first().is_some_and(alphanumeric);
        if fits { Ok(Self(text.to_owned())) } else { Err(ParseNameError) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for UserName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for UserName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_lower_case_word_that_fits_into_a_path() {
        for name in ["a", "0", "alice", "alice.b-c_d", "7-zip", &"x".repeat(64)] {
            assert_eq!(UserName::parse(name).unwrap().as_str(), name);
        }
        for other in ["", ".", "..", "-a", "_a", "Alice", "a b", "a/b", "a%41", "é", "a\n", &"x".repeat(65)]
        {
            assert_eq!(UserName::parse(other), Err(ParseNameError), "{other:?}");
        }
    }

    #[test]
    fn a_name_stands_in_json_as_its_text_and_every_other_text_is_refused() {
        let name = UserName::parse("alice").unwrap();

        assert_eq!(serde_json::to_string(&name).unwrap(), "\"alice\"");
        assert_eq!(serde_json::from_str::<UserName>("\"alice\"").unwrap(), name);
        assert!(serde_json::from_str::<UserName>("\"Alice\"").is_err());
    }
}
