//! Age files go both ways between Vault and the TypeScript implementation of age (npm `age-encryption`).
//!
//! Needs node and npm; the packages are installed once, in the versions that `interop/package-lock.json` pins. Where either is
//! missing, the tests say that they were skipped.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![allow(clippy::print_stdout, reason = "a skipped test must say so")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use vault_core::crypto::age_pq::PqIdentity;
use vault_core::crypto::random::{FixedRandom, SystemRandom};
use vault_core::keys::age_file::{self, Unlock};
use vault_core::keys::identity::{AnyIdentity, parse_identity_file};
use vault_core::keys::identity_file::UserIdentity;
use vault_core::keys::recipient::AnyRecipient;
use vault_core::keys::{NoCallbacks, SecretString};

/// Long enough for three of age's 64 KiB chunks, the last of them short.
const PLAINTEXT_BYTES: usize = 150_000;

const PASSPHRASE: &str = "päss phrase";

/// scrypt's cheapest: the passphrase itself is what is tested.
const WORK_FACTOR: u8 = 2;

/// Whether `command` ran and succeeded.
fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The script, once its packages are installed; `None` without node or npm.
fn script() -> Option<&'static Path> {
    static SCRIPT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = SCRIPT.get_or_init(|| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
        let installed = directory.join("node_modules/age-encryption/package.json").exists()
            || succeeds(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(&directory));
        let runs = installed && succeeds(Command::new("node").arg("--version"));
        runs.then(|| directory.join("age.mjs"))
    });
    if found.is_none() {
        println!("skipped: node/npm not found, or npm ci failed");
    }
    found.as_deref()
}

fn run(script: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("node")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // On a thread of its own: the script may answer before it has read everything. It may also refuse without reading.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

/// What the script prints; it must succeed.
fn output(script: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run(script, arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn plaintext() -> Vec<u8> {
    (0..PLAINTEXT_BYTES).map(|i| (i % 251) as u8).collect()
}

fn identities() -> [AnyIdentity; 2] {
    let pq = PqIdentity::generate(&SystemRandom::new()).unwrap();
    let classical = age::x25519::Identity::generate();
    [AnyIdentity::PostQuantum(pq), AnyIdentity::X25519(classical)]
}

/// A file in a directory of its own, which is deleted with the returned guard.
fn file(contents: &[u8]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    fs::write(&path, contents).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn they_open_what_we_seal_to_a_recipient() {
    let Some(script) = script() else { return };

    for identity in identities() {
        let sealed = age_file::seal(&[identity.to_recipient().unwrap()], &plaintext()).unwrap();
        let (_guard, path) = file(identity.to_secret_text().unwrap().as_bytes());

        assert!(
            output(script, &["decrypt", "--identity-file", &path], &sealed) == plaintext(),
            "{identity:?}"
        );
    }
}

#[test]
fn we_open_what_they_seal_to_a_recipient() {
    let Some(script) = script() else { return };

    for identity in identities() {
        let recipient = identity.to_recipient().unwrap().to_string();
        let sealed = output(script, &["encrypt", "--recipient", &recipient], &plaintext());
        let identities = [identity];

        let opened = age_file::open(&sealed, Unlock::Identities(&identities)).unwrap();

        assert!(*opened == plaintext(), "{identities:?}");
    }
}

#[test]
fn a_passphrase_opens_in_both_directions() {
    let Some(script) = script() else { return };
    let secret = SecretString::from(PASSPHRASE.to_owned());
    let (_guard, path) = file(format!("{PASSPHRASE}\n").as_bytes());
    let work_factor = WORK_FACTOR.to_string();

    let ours = age_file::seal_with_passphrase(&secret, Some(WORK_FACTOR), b"keys").unwrap();
    let theirs =
        output(script, &["encrypt", "--passphrase-file", &path, "--work-factor", &work_factor], b"keys");

    assert_eq!(output(script, &["decrypt", "--passphrase-file", &path], &ours), b"keys");
    assert_eq!(age_file::open(&theirs, Unlock::Passphrase(&secret)).unwrap().as_slice(), b"keys");
}

#[test]
fn both_derive_the_same_recipient_from_an_identity() {
    let Some(script) = script() else { return };

    for arguments in [&["keygen"][..], &["keygen", "--classical"]] {
        let text = String::from_utf8(output(script, arguments, b"")).unwrap();
        let told = text.lines().next().and_then(|line| line.strip_prefix("# public key: ")).unwrap();

        let identities = parse_identity_file(text.as_bytes(), None, NoCallbacks).unwrap();

        assert_eq!(identities[0].to_recipient().unwrap(), AnyRecipient::parse(told).unwrap());
    }
}

#[test]
fn a_vault_identity_file_works_as_an_identity_file_of_age() {
    let Some(script) = script() else { return };
    let user = UserIdentity::generate(&FixedRandom::new(1)).unwrap();
    let sealed = age_file::seal(&[user.recipient()], b"member envelope").unwrap();
    let (_guard, path) = file(user.to_secret_text().as_bytes());

    assert_eq!(output(script, &["decrypt", "--identity-file", &path], &sealed), b"member envelope");
}

#[test]
fn the_wrong_key_opens_nothing_there_either() {
    let Some(script) = script() else { return };
    let [identity, _] = identities();
    let [other, _] = identities();
    let sealed = age_file::seal(&[identity.to_recipient().unwrap()], b"keys").unwrap();
    let (_guard, path) = file(other.to_secret_text().unwrap().as_bytes());

    let refused = run(script, &["decrypt", "--identity-file", &path], &sealed);

    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
}
