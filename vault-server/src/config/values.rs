//! The values of all keys, by name, before they are understood.
//!
//! A value is a text here, wherever it came from; each has exactly one key of the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::keys::{KEYS, Key};

/// What the names of variables begin with.
const PREFIX: &str = "VAULT_SERVER_";

/// Ends the names of variables that name a file with the value.
const FILE_SUFFIX: &str = "_FILE";

/// Variables that begin like those of keys, and are none.
const OTHER_VARIABLES: [&str; 1] = ["VAULT_SERVER_CONFIG"];

/// The values of all keys.
#[derive(Debug, Clone)]
pub(super) struct Values(BTreeMap<&'static str, String>);

impl Values {
    pub(super) fn defaults() -> Self {
        Self(KEYS.iter().map(|key| (key.name, key.default.trim_matches('"').to_owned())).collect())
    }

    pub(super) fn set(&mut self, key: &'static str, value: String) {
        self.0.insert(key, value);
    }

    pub(super) fn read_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        };
        let table = DeTable::parse(text).map_err(syntax)?;
        for (name, value) in table.get_ref() {
            match value.get_ref() {
                DeValue::Table(table) => {
                    for (inner, value) in table {
                        self.take(&format!("{}.{}", name.get_ref(), inner.get_ref()), value.get_ref())?;
                    }
                }
                value => self.take(name.get_ref(), value)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str, value: &DeValue<'_>) -> Result<(), ConfigError> {
        let key = find(name).ok_or_else(|| ConfigError::Unknown {
            key: name.to_owned(),
            nearest: nearest(name, KEYS.iter().map(|key| key.name.to_owned())),
        })?;
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(flag) => flag.to_string(),
            _ => return Err(bad(name, "expected a text, a number, true or false")),
        };
        self.0.insert(key.name, text);
        Ok(())
    }

    pub(super) fn read_environment(
        &mut self,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), ConfigError> {
        for (name, value) in variables {
            if !name.starts_with(PREFIX) || OTHER_VARIABLES.contains(&name.as_str()) {
                continue;
            }
            let direct = KEYS.iter().find(|key| variable(key) == *name);
            let by_file =
                name.strip_suffix(FILE_SUFFIX).and_then(|base| KEYS.iter().find(|key| variable(key) == base));
            match (direct, by_file) {
                (Some(key), _) => {
                    // A file of the same key stands above: it comes after it in the order of names.
                    self.0.insert(key.name, value.clone());
                }
                (None, Some(key)) => {
                    let path = Path::new(value);
                    let text = std::fs::read_to_string(path)
                        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                    self.0.insert(key.name, text.trim_end_matches(['\r', '\n']).to_owned());
                }
                (None, None) => {
                    let nearest = nearest(name, KEYS.iter().map(variable));
                    return Err(ConfigError::Unknown { key: name.clone(), nearest });
                }
            }
        }
        Ok(())
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(super) fn optional(&self, key: &str) -> Option<&str> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    pub(super) fn parse<T: FromStr>(&self, key: &str, expected: &str) -> Result<T, ConfigError> {
        self.text(key).parse().map_err(|_| bad(key, &format!("expected {expected}")))
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        self.parse(key, "true or false")
    }

    pub(super) fn number(&self, key: &str, least: u64, most: u64) -> Result<u64, ConfigError> {
        let number: u64 = self.parse(key, &format!("a number from {least} to {most}"))?;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(bad(key, &format!("expected a number from {least} to {most}")))
    }

    pub(super) fn size(&self, key: &str) -> Result<u64, ConfigError> {
        parse_size(self.text(key))
            .ok_or_else(|| bad(key, "expected a size, as in \"500 GiB\" or \"1000000\""))
    }

    pub(super) fn redacted(&self) -> String {
        let mut text = String::new();
        let mut table = "";
        for key in KEYS {
            let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if of != table {
                let _ = write!(text, "\n[{of}]\n");
                table = of;
            }
            let value = self.text(key.name);
            let shown = match (key.is_secret && !value.is_empty(), key.default.starts_with('"')) {
                (true, _) => "\"(secret)\"".to_owned(),
                (false, true) => quoted(value),
                (false, false) => value.to_owned(),
            };
            let _ = writeln!(text, "{name} = {shown}");
        }
        text
    }
}

/// Reads a number of bytes, with or without a unit of powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match text[digits..].trim() {
        "" | "B" => 0,
        "KiB" | "K" => 10,
        "MiB" | "M" => 20,
        "GiB" | "G" => 30,
        "TiB" | "T" => 40,
        _ => return None,
    };
    // The databases count in signed numbers.
    number.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// The error of a value that does not fit its key.
pub(super) fn bad(key: &str, reason: &str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), reason: reason.to_owned() }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => quoted.extend(["\\u00", &hex::encode([c as u8])]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn variable(key: &Key) -> String {
    format!("{PREFIX}{}", key.name.replace('.', "_").to_uppercase())
}

fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    let scored = known.map(|known| (strsim::damerau_levenshtein(name, &known), known));
    scored.filter(|(distance, _)| *distance <= 3).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("16 KiB"), Some(16 << 10));
        assert_eq!(parse_size("2TiB"), Some(2 << 40));
        for text in ["", "GiB", "-1", "1.5 GiB", "1 GB", "99999999 TiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let mut names: Vec<_> = KEYS.iter().map(variable).collect();
        names.extend(KEYS.iter().map(|key| variable(key) + FILE_SUFFIX));
        let count = names.len();
        names.sort();
        names.dedup();

        assert_eq!(names.len(), count);
    }
}
