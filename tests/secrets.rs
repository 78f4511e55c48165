//! Secrets: no key, passphrase, name or content shows where it must not.
//!
//! Looked at are debug output and messages, everything the program prints, the files it makes on this machine, and every byte of a vault.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use vault_core::crypto::random::FixedRandom;
use vault_core::keys::SecretString;
use vault_core::keys::age_file::Unlock;
use vault_core::keys::identity_file::UserIdentity;
use vault_tests::damage::files_below;
use vault_tests::vault::{PASSPHRASE, seal};
use vault_tests::{Machine, TestVault, TreeFixture, noise};

/// Beginnings of texts that are secret keys.
const SECRET_PREFIXES: [&str; 4] = ["AGE-SECRET-KEY-", "VAULT-ROOT-KEY-", "VAULT-DEVICE-KEY-", "-----BEGIN"];

/// Bytes compared at a time: too many to be equal by chance.
const RUN: usize = 16;

/// Pieces of the lines of a key file that are the secret itself, long enough not to occur by chance.
fn pieces(secret_text: &str) -> Vec<String> {
    let data = secret_text.lines().filter_map(|line| line.split_once("-1").map(|(_, data)| data));
    data.flat_map(|data| data.as_bytes().chunks(12))
        .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
        .collect()
}

fn assert_shows_none(text: &str, secrets: &[String]) {
    let lower = text.to_lowercase();
    for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
        assert!(!lower.contains(&secret.to_lowercase()), "{secret:?} is shown in {text}");
    }
    for prefix in SECRET_PREFIXES {
        assert!(!text.contains(&format!("{prefix}1")), "{text}");
    }
}

#[test]
fn debug_output_shows_no_keys() {
    let vault = TestVault::new();
    let secrets = [pieces(&vault.identity.to_secret_text()), pieces(&vault.device.encode())].concat();
    assert!(secrets.len() > 10, "the key files have secrets");

    let text = format!("{:?} {:#?} {:?}", vault.identity, vault.device, vault.identity.age());

    assert_shows_none(&text, &secrets);
}

#[test]
fn messages_show_neither_keys_nor_passphrases() {
    let identity = UserIdentity::generate(&FixedRandom::new(1)).unwrap();
    let secrets =
        [pieces(&identity.to_secret_text()), vec![PASSPHRASE.to_owned(), "a wrong one".to_owned()]].concat();
    let wrong = SecretString::from("a wrong one".to_owned());
    let text = identity.to_secret_text();

    let refused = UserIdentity::open(&seal(&identity), Unlock::Passphrase(&wrong)).unwrap_err();
    assert_shows_none(&format!("{refused} {refused:?}"), &secrets);
    for length in [10, 40, 100, 150, 200, text.len() - 1] {
        let refused = UserIdentity::parse_secret_text(&text.as_bytes()[..length]).unwrap_err();
        assert_shows_none(&format!("{refused} {refused:?}"), &secrets);
    }
}

#[test]
fn the_program_prints_no_secrets() {
    let machine = Machine::new();
    let tree = TreeFixture::new();
    tree.file("file", "contents");
    let (source, target) = (tree.path(), machine.home().join("restored"));
    let calls: [&[&str]; 7] = [
        &["init", "--work-factor", "2", "--verbose"],
        &["backup", "--verbose", source.to_str().unwrap()],
        &["snapshots", "--json"],
        &["ls", "latest", "--json"],
        &["check", "--read-data", "--verbose"],
        &["restore", "latest", "--target", target.to_str().unwrap(), "--json"],
        &["restore", "latest", "--target", target.to_str().unwrap()],
    ];

    let mut printed = String::new();
    for call in calls {
        let output = machine.run(call);
        printed += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    let wrong = machine.command(["snapshots"]).env("VAULT_PASSPHRASE", "a wrong one").output().unwrap();
    printed += &String::from_utf8_lossy(&[wrong.stdout, wrong.stderr].concat());

    let device = fs::read_to_string(machine.home().join(".config/vault/device.key")).unwrap();
    let secrets = [pieces(&device), vec![PASSPHRASE.to_owned(), "a wrong one".to_owned()]].concat();
    assert_eq!(wrong.status.code(), Some(4), "{printed}");
    assert_shows_none(&printed, &secrets);
}

#[test]
fn files_are_for_their_owner_only() {
    let machine = Machine::new();
    let tree = TreeFixture::new();
    tree.file("file", "contents");
    let source = tree.path();
    for arguments in [
        &["init", "--work-factor", "2"][..],
        &["backup", source.to_str().unwrap()],
        &["snapshots"],
        &["check", "--read-data"],
    ] {
        // Nothing but the program itself keeps others out.
        let mut loose = Command::new("sh");
        loose.args(["-c", "umask 0; exec \"$0\" \"$@\""]);
        let call = machine.command(arguments);
        loose.arg(call.get_program()).args(call.get_args()).env_clear().current_dir(machine.home());
        loose.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = loose.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let files = files_below(machine.home());
    assert!(files.len() > 8, "{files:?}");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    for top in [".config/vault", ".local/state/vault", ".cache/vault", "vault"] {
        let top = machine.home().join(top);
        let inside = files.iter().filter(|file| file.starts_with(&top));
        let directories =
            inside.flat_map(|file| file.ancestors().skip(1).take_while(|path| path.starts_with(&top)));
        let directories: HashSet<&Path> = directories.collect();
        assert!(!directories.is_empty(), "nothing is in {}", top.display());
        for directory in directories {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn nothing_of_what_is_backed_up_stands_in_the_vault() {
    const CANARIES: [&str; 7] = [
        "canary-directory",
        "canary-file",
        "canary contents",
        "canary-target",
        "canary.value",
        "canary-tag",
        "canary-host",
    ];
    let tree = TreeFixture::new();
    tree.file("canary-directory/canary-file", "these are canary contents\n".repeat(3));
    tree.file("canary contents stored alone", noise(1, 100_000)).symlink("link", "canary-target");
    tree.xattr("canary-directory/canary-file", "user.canary.name", b"canary.value");
    let vault = TestVault::new();
    let mut options = TestVault::options(&[&tree.path()]);
    options.tags = vec!["canary-tag".to_owned()];
    options.host = "canary-host".to_owned();

    vault.try_backup(&options).unwrap();

    let source = tree.path().canonicalize().unwrap();
    let user = std::env::var("USER").ok().filter(|user| user.len() > 5);
    let own = [source.to_str().unwrap(), PASSPHRASE, "vault-tests"].map(str::to_owned);
    let needles: Vec<String> = CANARIES.map(str::to_owned).into_iter().chain(own).chain(user).collect();
    let noise = noise(1, 100_000);
    for file in files_below(&vault.root()) {
        let bytes = fs::read(&file).unwrap();
        for needle in needles.iter().map(String::as_bytes).chain([&noise[..RUN], &noise[5_000..5_000 + RUN]])
        {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "{} is in {}", needle.escape_ascii(), file.display());
        }
    }
}

/// All runs of this many bytes in the files of a vault, but for what frames packs.
fn runs<const LENGTH: usize>(vault: &TestVault) -> HashSet<[u8; LENGTH]> {
    let files = files_below(&vault.root()).into_iter().map(|file| fs::read(file).unwrap());
    files
        .flat_map(|bytes| {
            unframed(&bytes).windows(LENGTH).map(|run| run.try_into().unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

/// What stands between the lengths at the beginning and at the end of a pack: they are in the clear, and may be equal by chance.
fn unframed(file: &[u8]) -> &[u8] {
    let Some(inner) = file.strip_suffix(b"VAULTEND") else { return file };
    let sealed = &inner[68..inner.len() - 8];
    let padding = sealed.iter().rev().take_while(|byte| **byte == 0).count();
    &sealed[..sealed.len() - padding]
}

#[test]
fn vaults_of_equal_data_have_no_more_in_common_than_vaults_of_different_data() {
    // Beside a fixed text stands something random, and a few bytes of that may be equal by chance.
    const FIXED: usize = RUN - 4;
    let tree = TreeFixture::new();
    tree.file("noise", noise(1, 200_000)).file("text", "equal text ".repeat(20_000)).file("name", "x");
    let other = TreeFixture::new();
    other.file("another", noise(2, 230_000)).file("different", "another text ".repeat(15_000)).dir("y");
    let vault_of = |tree: &TreeFixture| {
        let vault = TestVault::new();
        vault.backup(&tree.path());
        vault
    };

    let (one, two, different) = (vault_of(&tree), vault_of(&tree), vault_of(&other));

    // Fixed texts and zero padding are in every vault.
    let different = runs::<FIXED>(&different);
    let is_fixed = |run: &[u8; RUN]| run.windows(FIXED).any(|part| different.contains(part));
    let (one, two) = (runs::<RUN>(&one), runs::<RUN>(&two));
    let common = one.intersection(&two).filter(|run| !is_fixed(run));
    let common: Vec<_> = common.map(|run| run.escape_ascii().to_string()).collect();
    assert!(common.is_empty(), "{common:#?}");
    assert!(one.len() > 200_000, "the vaults hold the data");
}
