//! The documents of `config` and `run`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::PathText;
use crate::commands::run::VaultRun;
use crate::config::show::{Table, Value};
use crate::config::{Problem, Severity};
use crate::exit::Exit;
use crate::unattended::result_word;

/// Where the configuration is.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigPath {
    command: &'static str,
    #[serde(flatten)]
    path: PathText,
    exists: bool,
}

impl ConfigPath {
    pub(crate) fn new(path: &Path, exists: bool) -> Self {
        Self { command: "config path", path: PathText::new(path), exists }
    }
}

/// What is wrong in the configuration.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigCheck {
    command: &'static str,
    #[serde(flatten)]
    path: PathText,
    exists: bool,
    problems: Vec<ConfigProblem>,
}

#[derive(Debug, Serialize)]
struct ConfigProblem {
    line: usize,
    severity: &'static str,
    message: String,
}

impl ConfigCheck {
    pub(crate) fn new(path: &Path, exists: bool, problems: &[Problem]) -> Self {
        let problems = problems.iter().map(|problem| ConfigProblem {
            line: problem.line,
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: problem.message.clone(),
        });
        Self { command: "config check", path: PathText::new(path), exists, problems: problems.collect() }
    }
}

/// What is in force: `vaults` and `profiles` as in the file.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigShow {
    command: &'static str,
    #[serde(flatten)]
    path: PathText,
    #[serde(flatten)]
    settings: Map<String, Json>,
}

impl ConfigShow {
    pub(crate) fn new(path: &Path, tables: &[Table]) -> Self {
        let mut settings = Map::new();
        for name in ["vaults", "profiles"] {
            settings.insert(name.to_owned(), Json::Object(Map::new()));
        }
        for table in tables {
            let mut into = &mut settings;
            for name in &table.name {
                into = below(into, name);
            }
            for (name, value) in &table.values {
                let mut into = &mut *into;
                let mut parts = name.split('.').peekable();
                while let Some(part) = parts.next() {
                    if parts.peek().is_none() {
                        into.insert(part.to_owned(), json(value));
                        break;
                    }
                    into = below(into, part);
                }
            }
        }
        Self { command: "config show", path: PathText::new(path), settings }
    }
}

fn below<'m>(map: &'m mut Map<String, Json>, name: &str) -> &'m mut Map<String, Json> {
    let value = map.entry(name).or_insert_with(|| Json::Object(Map::new()));
    value.as_object_mut().expect("only objects are put under the names of tables")
}

/// What is hidden is `true`: it is set.
fn json(value: &Value) -> Json {
    match value {
        Value::Text(text) => Json::from(text.clone()),
        Value::List(texts) => Json::from(texts.clone()),
        Value::Flag(flag) => Json::from(*flag),
        Value::Number(number) => Json::from(*number),
        Value::Hidden => Json::from(true),
    }
}

/// What `run` did.
#[derive(Debug, Serialize)]
pub(crate) struct RunProfile<'a> {
    command: &'static str,
    profile: &'a str,
    result: &'static str,
    exit: u8,
    seconds: f64,
    vaults: Vec<RunVault<'a>>,
}

#[derive(Debug, Serialize)]
struct RunVault<'a> {
    vault: &'a str,
    steps: Vec<RunStep<'a>>,
}

#[derive(Debug, Serialize)]
struct RunStep<'a> {
    step: &'static str,
    result: &'static str,
    exit: Option<u8>,
    message: &'a str,
    document: Option<&'a Json>,
}

impl<'a> RunProfile<'a> {
    pub(crate) fn new(profile: &'a str, exit: Exit, runs: &'a [VaultRun], elapsed: Duration) -> Self {
        let vaults = runs.iter().map(|run| RunVault {
            vault: &run.vault,
            steps: run
                .steps
                .iter()
                .map(|step| RunStep {
                    step: step.name,
                    result: step.exit.map_or("skipped", result_word),
                    exit: step.exit.map(Exit::code),
                    message: &step.text,
                    document: step.document.as_ref(),
                })
                .collect(),
        });
        Self {
            command: "run",
            profile,
            result: result_word(exit),
            exit: exit.code(),
            seconds: elapsed.as_secs_f64(),
            vaults: vaults.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::unattended::steps::Step;

    #[test]
    fn a_run_has_these_fields() {
        let steps = vec![
            Step {
                name: "backup",
                exit: Some(Exit::Incomplete),
                text: "some".to_owned(),
                document: Some(json!({"a": 1})),
            },
            Step::skipped("prune", "not due"),
        ];
        let runs = [VaultRun { vault: "photos".to_owned(), steps }];
        let document = RunProfile::new("home", Exit::Incomplete, &runs, Duration::from_millis(1_500));

        assert_eq!(
            serde_json::to_value(document).unwrap(),
            json!({
                "command": "run", "profile": "home", "result": "incomplete", "exit": 3, "seconds": 1.5,
                "vaults": [{"vault": "photos", "steps": [
                    {"step": "backup", "result": "incomplete", "exit": 3, "message": "some", "document": {"a": 1}},
                    {"step": "prune", "result": "skipped", "exit": null, "message": "not due", "document": null},
                ]}],
            })
        );
    }

    #[test]
    fn settings_are_shown_as_in_the_file() {
        let tables = [Table {
            name: vec!["profiles".to_owned(), "home".to_owned(), "schedule".to_owned()],
            values: vec![("verify.budget", Value::Text("5%".to_owned())), ("x", Value::Hidden)],
        }];
        let document = ConfigShow::new(Path::new("/c"), &tables);

        assert_eq!(
            serde_json::to_value(document).unwrap(),
            json!({
                "command": "config show", "path": "/c", "vaults": {},
                "profiles": {"home": {"schedule": {"verify": {"budget": "5%"}, "x": true}}},
            })
        );
    }
}
