//! Identities that an age plugin keeps, with a plugin made for the purpose.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use vault_core::keys::recipient::AnyRecipient;
use vault_tests::{Machine, noise};

const RECIPIENT: &str = "age1fake1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0s2prf8k";
const IDENTITY: &str = "AGE-PLUGIN-FAKE-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SV282N4";

/// A machine with the plugin, and without any passphrase.
struct WithPlugin(Machine);

impl WithPlugin {
    fn new() -> Self {
        let machine = Machine::new();
        fs::create_dir_all(machine.home().join("docs")).unwrap();
        fs::write(machine.home().join("docs/letter"), noise(1, 50_000)).unwrap();
        fs::write(machine.home().join("token.txt"), format!("# a token\n{IDENTITY}\n")).unwrap();
        Self(machine)
    }

    fn without(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(arguments);
        command.env_remove("VAULT_PASSPHRASE");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let plugins = vault_tests::workspace().join("tests/plugin");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.without(arguments);
        command.env("PATH", format!("{}:{path}", plugins.display())).env("FAKE_PLUGIN_LOG", self.log());
        command.output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn log(&self) -> PathBuf {
        self.0.home().join("runs")
    }

    fn runs(&self) -> Vec<String> {
        fs::read_to_string(self.log()).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[test]
fn an_identity_sealed_to_a_plugin_opens_with_it_and_with_nothing_else() {
    let machine = WithPlugin::new();

    machine.succeed(&["init", "--recipient", RECIPIENT]);
    machine.succeed(&["backup", "docs"]);
    machine.succeed(&["restore", "latest", "--identity", "token.txt", "--target", "back"]);

    let home = machine.0.home();
    assert_eq!(fs::read(home.join("back/letter")).unwrap(), fs::read(home.join("docs/letter")).unwrap());
    assert_eq!(machine.runs(), ["recipient-v1", "identity-v1"], "a backup asks nobody");
    let refused = machine.run(&["ls", "latest"]);
    assert_eq!(refused.status.code(), Some(4));
}

#[test]
fn what_is_given_to_a_contact_whose_key_is_a_plugins_opens_with_it() {
    let machine = WithPlugin::new();
    machine.succeed(&["init", "--recipient", RECIPIENT, "--pq", "preferred"]);
    machine.succeed(&["backup", "docs"]);
    machine.succeed(&["contact", "add", "token", "--recipient", RECIPIENT]);
    machine.succeed(&["export", "latest", "--to", RECIPIENT, "-o", "a.age", "--identity", "token.txt"]);
    machine.succeed(&["export", "latest", "--to", "token", "-o", "b.age", "--identity", "token.txt"]);
    machine.succeed(&["share", "latest", "--to", "token", "--identity", "token.txt"]);

    let grants = machine.run(&["grants", "--json", "--identity", "token.txt"]);
    let grants: serde_json::Value = serde_json::from_slice(&grants.stdout).unwrap();
    let id = grants["grants"][0]["grant"].as_str().unwrap();
    let (home, vault) = (machine.0.home(), machine.0.vault());
    let get = ["get", id, "--vault", vault.to_str().unwrap(), "--target", "got", "--from-stranger"];
    machine.succeed(&[&get[..], &["--identity", "token.txt"]].concat());

    assert_eq!(fs::read(home.join("got/letter")).unwrap(), fs::read(home.join("docs/letter")).unwrap());
    for file in ["a.age", "b.age"] {
        let sealed = fs::read(home.join(file)).unwrap();
        assert!(sealed.starts_with(b"age-encryption.org/v1\n-> fake"), "{file}");
    }
}

#[test]
fn a_plugin_that_is_not_installed_is_named() {
    let machine = WithPlugin::new();
    machine.succeed(&["init", "--recipient", RECIPIENT]);

    let output = machine.without(&["snapshots", "--identity", "token.txt"]).output().unwrap();

    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("age-plugin-fake") && text.contains("  next: "), "{text}");
    assert!(!text.contains("QQQSYQ"), "{text}");
}

#[test]
fn what_others_wrote_starts_no_program() {
    // As logs, cards and answers of servers are read.
    assert!(AnyRecipient::parse(RECIPIENT).is_err());
    assert!(AnyRecipient::parse_own(RECIPIENT).is_ok());
    for wrong in ["age1fake1qqqq", &RECIPIENT.to_uppercase(), &format!("{RECIPIENT}x"), "age1"] {
        assert!(AnyRecipient::parse_own(wrong).is_err(), "{wrong}");
    }
}
