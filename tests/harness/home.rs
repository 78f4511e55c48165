//! A machine that knows servers, as a person sits at it: commands by their arguments, output and exit codes.
//!
//! No vault is named in its environment, so that every command says which it means.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::Machine;

/// A machine on which no vault is named.
#[derive(Default)]
pub struct Home(pub Machine);

impl Home {
    /// A path below the home directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.home().join(name)
    }

    /// The program, with arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(arguments);
        command.env_remove("VAULT_LOCATION");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, which must succeed; returns what it wrote to stdout.
    #[track_caller]
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {} {}", output.status, stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As [`Self::succeed`] with `--json`, parsed.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(&[&["--json"], arguments].concat())).unwrap()
    }

    /// Fails with this code, says so, and what to do next.
    #[track_caller]
    pub fn fail(&self, arguments: &[&str], code: i32, says: &str) {
        let output = self.run(arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(says), "{arguments:?}: {text}");
        assert!(text.contains("  next: "), "{text}");
    }
}

/// What a program wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
