//! The program `vault` as a user runs it, on a machine of its own; and where the programs are.
//!
//! The binary is always the one of the sources at hand: it is built, which mostly means checked, before the first use.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::vault::PASSPHRASE;

/// A home directory, in which the program keeps what it remembers.
pub struct Machine {
    home: TempDir,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine that nothing has run on.
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// Its home directory.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the tests of this machine keep their vault.
    pub fn vault(&self) -> PathBuf {
        self.home().join("vault")
    }

    /// A call of `vault` on this machine's vault, with the passphrase at hand and nothing to read.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("VAULT_LOCATION", self.vault())
            .env("VAULT_PASSPHRASE", PASSPHRASE)
            .current_dir(self.home())
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// Runs `vault` to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `vault`, which must succeed; returns what it wrote to stdout.
    pub fn succeed<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As [`Self::succeed`] with `--json`, parsed.
    pub fn json<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> serde_json::Value {
        let json = std::iter::once(OsStr::new("--json").to_owned());
        let arguments = json.chain(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        serde_json::from_str(&self.succeed(arguments)).unwrap()
    }

    /// Makes this machine's vault, with a passphrase that costs no time to open.
    pub fn init(&self) {
        self.succeed(["init", "--work-factor", "2"]);
    }
}

/// The program, built from the sources at hand with the profile of the tests.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("vault"))
}

/// The server, built likewise.
pub fn server_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("vault-server"))
}

/// Builds with the features of the whole workspace, as the tests are: so nothing is compiled a second time.
fn build(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap().to_owned();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--bin", name, "--target-dir"]);
    build.arg(directory.parent().unwrap()).current_dir(crate::workspace());
    if directory.ends_with("release") {
        build.arg("--release");
    }
    // What cargo says of this package to its tests would make build scripts that look at it run again, and with them compile the half of
    // what everything depends on.
    for (key, _) in std::env::vars_os() {
        let key = key.to_string_lossy();
        if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&*key);
        }
    }
    let status = build.status().unwrap();
    assert!(status.success(), "{name} does not build");
    directory.join(name)
}
