//! Recovery: what is on paper, and a passphrase, restore everything on a bare machine.
//!
//! The kit is made and used by the program itself, as its users do.

use std::fs;
use std::path::Path;
use std::process::Output;

use vault_tests::{Machine, assert_same_tree};

/// A machine with a backup of its directory `src`.
fn backed_up() -> Machine {
    let machine = Machine::new();
    machine.init();
    let source = machine.home().join("src");
    fs::create_dir(&source).unwrap();
    fs::create_dir(source.join("Trip")).unwrap();
    fs::write(source.join("Trip/letter"), "Dear friend,").unwrap();
    machine.succeed(["backup", "src"]);
    machine
}

/// Runs the program on a machine that knows no vault.
fn on(machine: &Machine, arguments: &[&str]) -> Output {
    machine.command(arguments).env_remove("VAULT_LOCATION").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_bare_machine_restores_everything_from_a_kit_and_the_passphrase() {
    let lost = backed_up();
    let kit = lost.home().join("kit.txt");
    lost.succeed(["recovery", "kit", "--output", text(&kit), "--html", text(&lost.home().join("kit.html"))]);
    let bare = Machine::new();

    assert_eq!(code(&on(&bare, &["recovery", "test", "--kit", text(&kit)])), 0);
    assert_eq!(fs::read_dir(bare.home()).unwrap().count(), 0, "a test leaves nothing behind");
    let restored = on(&bare, &["recovery", "restore", "--kit", text(&kit)]);
    assert_eq!(code(&restored), 0, "{}", stderr(&restored));

    bare.succeed(["restore", "latest", "--vault", text(&lost.vault()), "--target", "out"]);
    assert_same_tree(&lost.home().join("src"), &bare.home().join("out"));
    // What is there already is not replaced.
    assert_eq!(code(&on(&bare, &["recovery", "restore", "--kit", text(&kit)])), 5);
    assert_eq!(code(&lost.run(["recovery", "kit", "--output", text(&kit)])), 5);
}

#[test]
fn the_codes_alone_are_a_kit() {
    let machine = backed_up();
    let document = machine.json(["recovery", "kit"]);
    let mut codes: Vec<&str> =
        document["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    codes.reverse();
    let path = machine.home().join("codes.txt");
    fs::write(&path, codes.join("\n")).unwrap();
    let bare = Machine::new();

    let tested = on(&bare, &["recovery", "test", "--json", "--kit", text(&path)]);
    assert_eq!(code(&tested), 0, "{}", stderr(&tested));
    let tested: serde_json::Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!((&tested["snapshots"], &tested["root_entries"]), (&1.into(), &1.into()));

    fs::write(&path, codes[1..].join("\n")).unwrap();
    let refused = on(&bare, &["recovery", "test", "--kit", text(&path)]);
    assert_eq!(code(&refused), 4);
    assert!(stderr(&refused).contains("is missing"), "{}", stderr(&refused));
}

#[test]
fn a_sealed_kit_is_of_no_use_without_the_passphrase_and_holds_no_secret() {
    let machine = backed_up();
    let kit = machine.home().join("kit.txt");
    machine.succeed(["recovery", "kit", "--output", text(&kit)]);
    let bare = Machine::new();

    let mut test = bare.command(["recovery", "test", "--kit", text(&kit)]);
    let refused = test.env_remove("VAULT_LOCATION").env("VAULT_PASSPHRASE", "wrong").output().unwrap();

    assert_eq!(code(&refused), 4);
    assert!(!fs::read_to_string(&kit).unwrap().contains("SECRET-KEY"));
}

#[test]
fn a_plain_kit_opens_without_a_passphrase_and_is_sealed_anew_where_it_is_used() {
    let machine = backed_up();
    let kit = machine.home().join("kit.txt");
    let refused =
        machine.command(["recovery", "kit", "--plain"]).env("VAULT_PASSPHRASE", "wrong").output().unwrap();
    assert_eq!(code(&refused), 4, "it takes the passphrase to make one");
    machine.succeed(["recovery", "kit", "--plain", "--output", text(&kit)]);
    let bare = Machine::new();

    let tested = bare
        .command(["recovery", "test", "--kit", text(&kit)])
        .env_remove("VAULT_LOCATION")
        .env_remove("VAULT_PASSPHRASE")
        .output()
        .unwrap();
    assert_eq!(code(&tested), 0, "{}", stderr(&tested));
    let mut restore = bare.command(["recovery", "restore", "--work-factor", "2", "--kit", text(&kit)]);
    let restored = restore.env_remove("VAULT_LOCATION").env("VAULT_PASSPHRASE", "new").output().unwrap();
    assert_eq!(code(&restored), 0, "{}", stderr(&restored));

    let list = |passphrase| {
        let mut command = bare.command(["snapshots", "--vault", text(&machine.vault())]);
        code(&command.env("VAULT_PASSPHRASE", passphrase).output().unwrap())
    };
    assert_eq!(list("new"), 0);
    let identity = bare.home().join(".config/vault/identity.age");
    assert!(fs::read(&identity).unwrap().starts_with(b"age-encryption.org/v1\n"));
}

#[test]
fn a_vault_that_was_rolled_back_behind_the_kit_is_refused() {
    let machine = backed_up();
    let kit = machine.home().join("kit.txt");
    machine.succeed(["recovery", "kit", "--output", text(&kit)]);
    let newest =
        fs::read_dir(machine.vault().join("log")).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    fs::remove_file(newest).unwrap();
    let bare = Machine::new();

    for verb in ["test", "restore"] {
        let refused = on(&bare, &["recovery", verb, "--kit", text(&kit)]);
        assert_eq!(code(&refused), 8, "{}", stderr(&refused));
    }
}

#[test]
fn a_kit_is_not_used_on_another_vault() {
    let machine = backed_up();
    let other = backed_up();
    let kit = machine.home().join("kit.txt");
    machine.succeed(["recovery", "kit", "--output", text(&kit)]);

    let refused = other.run(["recovery", "test", "--kit", text(&kit)]);

    assert_eq!(code(&refused), 8);
    assert!(stderr(&refused).contains("the recovery kit belongs to vault"), "{}", stderr(&refused));
}

#[test]
fn a_kit_without_its_vault_puts_the_identity_into_place() {
    let machine = backed_up();
    let kit = machine.home().join("kit.txt");
    machine.succeed(["recovery", "kit", "--output", text(&kit)]);
    fs::rename(machine.vault(), machine.home().join("moved")).unwrap();
    let bare = Machine::new();

    let restored = on(&bare, &["recovery", "restore", "--kit", text(&kit)]);
    assert_eq!(code(&restored), 0, "{}", stderr(&restored));

    bare.succeed(["snapshots", "--vault", text(&machine.home().join("moved"))]);
    assert_eq!(code(&on(&bare, &["recovery", "test", "--kit", text(&kit)])), 10);
}
