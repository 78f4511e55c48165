//! A configuration as it is in force: every setting, with the value that holds where none is set.
//!
//! What could hold a secret is only said to be set.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{Configuration, VaultSettings};
use vault_core::ops::check::Budget;

use super::profile::{Keep, Profile};
use super::section::Located;
use crate::values::span_text;

/// A value of a setting.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(u64),
    /// Something that is not shown.
    Hidden,
}

/// A table of settings under its full name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    /// As in `profiles`, `home`, `keep`.
    pub(crate) name: Vec<String>,
    /// The settings that hold.
    pub(crate) values: Vec<(&'static str, Value)>,
}

/// Everything that is in force.
pub(crate) fn effective(configuration: &Configuration) -> Vec<Table> {
    let vaults = configuration.vaults.iter().map(|(name, settings)| vault(name, settings));
    vaults.chain(configuration.profiles.values().flat_map(profile)).collect()
}

fn vault(name: &str, settings: &VaultSettings) -> Table {
    let mut values = vec![("location", Value::Text(settings.location.to_string_lossy().into_owned()))];
    if settings.passphrase_command.is_some() {
        values.push(("passphrase-command", Value::Hidden));
    }
    values.push(("identity", Value::List(paths(&settings.identity))));
    values.push(("unlock-for", Value::Text(settings.unlock_for.map_or_else(|| "0s".to_owned(), span_text))));
    Table { name: vec!["vaults".to_owned(), name.to_owned()], values }
}

fn profile(profile: &Profile) -> [Table; 4] {
    let name = |below: Option<&str>| {
        ["profiles", &profile.name].into_iter().chain(below).map(str::to_owned).collect::<Vec<_>>()
    };
    let level = profile.compression.unwrap_or_default();
    let mut values = vec![
        ("vaults", Value::List(profile.vaults.iter().map(|vault| vault.value.clone()).collect())),
        ("sources", Value::List(located(&profile.sources))),
        ("exclude", Value::List(profile.exclude.clone())),
        ("exclude-file", Value::List(located(&profile.exclude_file))),
        ("exclude-caches", Value::Flag(profile.exclude_caches)),
        ("one-file-system", Value::Flag(profile.one_file_system)),
        ("tags", Value::List(profile.tags.clone())),
        ("compression", Value::Text(level.get().to_string())),
        ("host", Value::Text(profile.host.clone().unwrap_or_else(super::host))),
    ];
    if let Some(bytes) = profile.exclude_larger_than {
        values.insert(5, ("exclude-larger-than", Value::Text(bytes.to_string())));
    }
    [
        Table { name: name(None), values },
        Table { name: name(Some("keep")), values: keep(&profile.keep) },
        Table { name: name(Some("hooks")), values: hooks(profile) },
        Table { name: name(Some("schedule")), values: schedule(profile) },
    ]
}

fn keep(keep: &Keep) -> Vec<(&'static str, Value)> {
    let counts = [
        ("last", keep.last),
        ("hourly", keep.hourly),
        ("daily", keep.daily),
        ("weekly", keep.weekly),
        ("monthly", keep.monthly),
        ("yearly", keep.yearly),
    ];
    let mut values: Vec<_> =
        counts.into_iter().filter_map(|(name, count)| Some((name, Value::Number(count?.into())))).collect();
    values.extend(keep.within.map(|span| ("within", Value::Text(span_text(span)))));
    if !keep.tag.is_empty() {
        values.push(("tag", Value::List(keep.tag.clone())));
    }
    values
}

fn hooks(profile: &Profile) -> Vec<(&'static str, Value)> {
    let hooks = &profile.hooks;
    let commands = [
        ("before", &hooks.before),
        ("after", &hooks.after),
        ("on-failure", &hooks.on_failure),
        ("on-success", &hooks.on_success),
    ];
    // A command may hold the token of a service.
    let set = commands.into_iter().filter(|(_, command)| command.is_some());
    set.map(|(name, _)| (name, Value::Hidden)).chain([("timeout", span(hooks.timeout))]).collect()
}

fn schedule(profile: &Profile) -> Vec<(&'static str, Value)> {
    let schedule = &profile.schedule;
    let mut values = Vec::new();
    values.extend(schedule.calendar.clone().map(|calendar| ("calendar", Value::Text(calendar))));
    values.push(("jitter", span(schedule.jitter)));
    values.push(("stale-after", span(schedule.stale_after)));
    values.push(("prune", schedule.prune.map_or_else(|| Value::Text("never".to_owned()), span)));
    if let Some(verify) = schedule.verify {
        let budget = match verify.budget {
            Budget::All => "100%".to_owned(),
            Budget::BasisPoints(points) => format!("{}%", f64::from(points) / 100.0),
            Budget::Bytes(bytes) => bytes.to_string(),
        };
        values.push(("verify.max-age", span(verify.max_age)));
        values.push(("verify.budget", Value::Text(budget)));
    }
    values
}

fn span(span: Duration) -> Value {
    Value::Text(span_text(span))
}

fn located(paths: &[Located<PathBuf>]) -> Vec<String> {
    paths.iter().map(|path| path.value.to_string_lossy().into_owned()).collect()
}

fn paths(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| Path::to_string_lossy(path).into_owned()).collect()
}

/// The tables as TOML; what is hidden stands in a comment.
pub(crate) fn to_toml(tables: &[Table]) -> String {
    let mut text = String::new();
    for table in tables.iter().filter(|table| !table.values.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "[{}]", table.name.join("."));
        for (name, value) in &table.values {
            let _ = match value {
                Value::Text(value) => writeln!(text, "{name} = {}", quoted(value)),
                Value::List(values) => {
                    let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
                    writeln!(text, "{name} = [{}]", values.join(", "))
                }
                Value::Flag(flag) => writeln!(text, "{name} = {flag}"),
                Value::Number(number) => writeln!(text, "{name} = {number}"),
                Value::Hidden => writeln!(text, "# {name} is set, and not shown"),
            };
        }
    }
    text
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::parse;
    use super::*;

    #[test]
    fn what_is_shown_is_a_configuration_that_says_the_same() {
        let home = Some(Path::new("/h"));
        let (configuration, _) = parse(super::super::example::TEXT, home);

        let text = to_toml(&effective(&configuration));
        let (again, problems) = parse(&text, home);

        assert_eq!(problems, [], "{text}");
        assert_eq!(to_toml(&effective(&again)), text);
    }

    #[test]
    fn commands_are_not_shown() {
        let text = "[vaults.a]\nlocation = \"/a\"\npassphrase-command = \"echo hunter2\"\n\
            [profiles.p]\nvault = \"a\"\nsources = \"/s\"\nhooks.after = \"curl token\"\n";
        let (configuration, problems) = parse(text, None);
        assert_eq!(problems, []);

        let shown = to_toml(&effective(&configuration));

        assert!(!shown.contains("hunter2") && !shown.contains("token"), "{shown}");
        assert!(shown.contains("# passphrase-command is set, and not shown"), "{shown}");
    }

    #[test]
    fn text_is_quoted_as_toml_has_it() {
        assert_eq!(quoted("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000A\"");
    }
}
