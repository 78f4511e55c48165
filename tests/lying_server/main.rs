//! A server that lies: whatever it answers, a client says so and believes nothing of it, or the lie does no harm.
//!
//! Between client and server stands one that has the server's TLS key, as a server that was taken over has. Each test is one way to lie.
//! [`ErrorKind::Integrity`] is exit code 8. What no client can notice is tested too, so that the page on threats says what is true.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod log;
mod objects;

use std::fs;

use serde_json::Value;
use vault_core::crypto::sign::VerifyingKey;
use vault_core::error::{Error, ErrorKind};
use vault_core::id::{SnapshotId, VaultId};
use vault_core::log::testing::{Machine, Person};
use vault_core::net::{NetError, NetErrorKind, Server};
use vault_core::ops::check::{CheckOptions, CheckSummary, check};
use vault_core::time::{FixedClock, Timestamp};
use vault_core::vault::Vault;
use vault_core::wire::Receipt;
use vault_core::wire::entries::{Entries, EntriesWriter};
use vault_core::wire::limits::STATEMENT_BYTES;
use vault_tests::account::means;
use vault_tests::damage::files_below;
use vault_tests::server::card;
use vault_tests::{Account, Answer, Liar, TestServer, TreeFixture, assert_same_tree, noise};

/// A vault with two backups, at a server that may lie.
struct Story {
    server: TestServer,
    liar: Liar,
    account: Account,
    vault: VaultId,
    tree: TreeFixture,
    snapshot: SnapshotId,
}

impl Story {
    fn new() -> Self {
        let server = TestServer::start();
        let liar = Liar::before(&server);
        let account = Account::join_by(&liar.invite(&server));
        let vault = account.init().unwrap();
        let tree = TreeFixture::new();
        tree.file("letter", "Dear friend,").file("noise", noise(1, 300_000));
        account.backup(&mut account.open(vault).unwrap(), &tree.path()).unwrap();
        tree.file("more", noise(2, 200_000));
        let saved = account.backup(&mut account.open(vault).unwrap(), &tree.path()).unwrap();
        Self { server, liar, account, vault, tree, snapshot: saved.snapshot }
    }

    fn open(&self) -> Result<Vault, Error> {
        self.account.open(self.vault)
    }

    fn backup(&self) -> Result<SnapshotId, Error> {
        let mut vault = self.open()?;
        Ok(self.account.backup(&mut vault, &self.tree.path())?.snapshot)
    }

    /// What this machine remembers of the log.
    fn remembered(&self) -> Option<String> {
        fs::read_to_string(self.account.local().state.join("head")).ok()
    }

    fn check(&self) -> Result<CheckSummary, Error> {
        let vault = self.open()?;
        let reader = vault.unlock(&self.account.identity)?;
        let clock = FixedClock(Timestamp::new(2_000_000_000, 0));
        let options = CheckOptions { read_data: true, ..CheckOptions::default() };
        check(&vault, &reader, options, &self.account.around(&clock))
    }

    /// Restores on a machine that has never seen the vault; what comes is right, or missing and said so. Tells whether it is whole.
    fn restores_nothing_wrong(&mut self, machine: u32, lie: &str) -> Result<bool, Error> {
        self.account.move_to_machine(machine);
        let target = tempfile::tempdir().unwrap();
        let restored =
            self.open().and_then(|vault| self.account.restore(&vault, self.snapshot, target.path()));
        for file in files_below(target.path()) {
            let name = file.strip_prefix(target.path()).unwrap();
            // What is left of an unfinished restore says so by its name.
            let Ok(right) = fs::read(self.tree.path().join(name)) else {
                assert!(
                    name.to_str().unwrap().starts_with(".vault-"),
                    "{lie}: {} is restored",
                    name.display()
                );
                continue;
            };
            assert!(
                fs::read(&file).unwrap() == right,
                "{lie}: {} is restored with wrong contents",
                name.display()
            );
        }
        let restored = restored?;
        if restored.failed_entries == 0 {
            assert_same_tree(&self.tree.path(), target.path());
        }
        Ok(restored.failed_entries == 0)
    }

    /// Opening fails as tampering does, this machine remembers what it did, and once the truth is told all is as before.
    fn assert_noticed(&self, lie: &str) -> Error {
        let before = self.remembered();
        let error = self.open().err().unwrap_or_else(|| panic!("{lie} is not noticed"));
        assert_eq!(error.kind(), ErrorKind::Integrity, "{lie}: {error:?}");
        let refused = self.backup().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Integrity, "{lie}: {refused:?}");
        assert_eq!(self.remembered(), before, "{lie}");
        error
    }
}

/// Statements with their receipts.
type Stated = Vec<(Receipt, Vec<u8>)>;

/// The statements of an answer.
fn statements(answer: &Answer) -> Stated {
    let entries = Entries::new(&answer.body, STATEMENT_BYTES).map(Result::unwrap);
    entries.map(|entry| (entry.receipt, entry.bytes.to_vec())).collect()
}

fn with_statements(answer: Answer, statements: &[(Receipt, Vec<u8>)]) -> Answer {
    let mut writer = EntriesWriter::new();
    for (receipt, bytes) in statements {
        assert!(writer.push(receipt, bytes));
    }
    answer.with_body(writer.finish())
}

/// Lies about the statements of logs, and tells the truth about all else.
fn lie_about_statements(liar: &Liar, lie: impl Fn(Stated) -> Stated + Send + Sync + 'static) {
    liar.lie(move |asked, ask| match ask() {
        answer if asked.is("GET", "/log?") && answer.status == 200 => {
            let lied = lie(statements(&answer));
            with_statements(answer, &lied)
        }
        answer => answer,
    });
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn a_server_with_another_key_is_told_nothing() {
    let story = Story::new();
    let stranger = TestServer::start();
    let between = Liar::with_key_of(&stranger, &story.server);
    let invite = between.invite(&story.server);
    assert_eq!(invite.pin, story.server.invite(0).pin, "the invite pins the real server's key");

    let client = Server::of_invite(&invite, means()).unwrap();
    let entry = story.account.card.sign(story.account.identity.root()).unwrap();
    let joining = client.join(&invite, &entry).unwrap_err();
    let asking = client.info().unwrap_err();

    for error in [joining, asking] {
        assert!(matches!(error, NetError::WrongPin { .. }), "{error:?}");
        assert_eq!(Error::from(error).kind(), ErrorKind::Integrity);
    }
    assert!(between.said().is_empty(), "not a single request was sent");
}

#[test]
fn a_key_that_was_changed_in_the_answer_to_a_join_is_refused() {
    let server = TestServer::start();
    let liar = Liar::before(&server);
    let lies: [(&str, fn(&mut Value)); 3] = [
        ("another receipt key", |answer| answer["receipt_key"] = key_text(&[7; 32])),
        ("another MAC", |answer| answer["mac"] = key_text(&[7; 32])),
        ("no key", |answer| answer["receipt_key"] = Value::Null),
    ];
    for (machine, (what, lie)) in (1..).zip(lies) {
        liar.lie(move |asked, ask| match ask() {
            answer if asked.is("POST", "/v1/join") && answer.status == 200 => {
                let mut json: Value = serde_json::from_slice(&answer.body).unwrap();
                lie(&mut json);
                answer.with_body(serde_json::to_vec(&json).unwrap())
            }
            answer => answer,
        });
        let invite = liar.invite(&server);
        let (person, machine) = (Person::new(machine), Machine::new(machine + 10));

        let error = Server::of_invite(&invite, means())
            .unwrap()
            .join(&invite, &card(&person, &[&machine]))
            .unwrap_err();

        let expected = if what == "no key" { NetErrorKind::Protocol } else { NetErrorKind::Integrity };
        assert_eq!(error.kind(), expected, "{what}: {error:?}");
    }
}

/// A key, or 32 other bytes, as JSON has it.
fn key_text(bytes: &[u8; 32]) -> Value {
    serde_json::to_value(VerifyingKey(*bytes)).unwrap()
}
