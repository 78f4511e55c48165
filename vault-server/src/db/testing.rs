//! Databases for tests: SQLite in a temporary directory, and PostgreSQL where its programs are installed.
//!
//! Each test has one of its own.

use std::sync::Arc;

use tempfile::TempDir;
use vault_core::crypto::random::SystemRandom;
use vault_core::id::{DeviceId, StatementHash, UserId, VaultId};
use vault_core::log::{DeviceKind, Role};

use super::*;

/// A moment after which tests happen, in ms.
pub(crate) const NOW: u64 = 1_800_000_000_000;

/// A database, and what goes when it goes.
pub(crate) struct TestDatabase {
    pub(crate) db: Database,
    pub(crate) directory: TempDir,
}

/// A new SQLite database.
pub(crate) async fn sqlite() -> TestDatabase {
    let directory = tempfile::tempdir().unwrap();
    let options = DatabaseOptions::Sqlite { path: directory.path().join("vault.db"), readers: 4 };
    let db = Database::open(&options, Arc::new(SystemRandom::new())).await.unwrap();
    TestDatabase { db, directory }
}

/// A new PostgreSQL database; `None`, and a notice, where there is no PostgreSQL.
pub(crate) async fn postgres() -> Option<TestDatabase> {
    let url = PostgresServer::of_this_program()?.new_database().await;
    let options = DatabaseOptions::Postgres { url, connections: 8 };
    let db = Database::open(&options, Arc::new(SystemRandom::new())).await.unwrap();
    Some(TestDatabase { db, directory: tempfile::tempdir().unwrap() })
}

pub(crate) fn user(n: u8) -> UserId {
    UserId::new([n; 16])
}

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId::new([n; 16])
}

pub(crate) fn vault(n: u8) -> VaultId {
    VaultId::new([n; 32])
}

pub(crate) fn receipt(time_ms: u64) -> Receipt {
    Receipt { time_ms, signature: [7; 64] }
}

pub(crate) fn card_device(n: u8) -> CardDevice {
    CardDevice { device: device(n), signing_key: [n; 32], kind: DeviceKind::Full }
}

/// An entry that names devices.
pub(crate) fn entry(user_number: u8, seq: u64, devices: &[u8]) -> NewCardEntry {
    NewCardEntry {
        user: user(user_number),
        seq,
        entry: [&[user_number, seq as u8], devices].concat(),
        devices: devices.iter().map(|n| card_device(*n)).collect(),
        now_ms: NOW,
    }
}

pub(crate) fn invite(n: u8, quota: u64) -> NewInvite {
    let label = format!("invite {n}");
    NewInvite { invite: [n; 16], auth: [n; 32], label, quota, now_ms: NOW, expires_ms: NOW + 1000 }
}

pub(crate) fn join(invite: u8, entry: NewCardEntry) -> Join {
    Join { invite: [invite; 16], entry, name: None, max_wrong_macs: 5 }
}

/// A user of that number with a device of that number.
pub(crate) async fn with_user(db: &Database, n: u8, quota: u64) -> UserId {
    db.add_invite(invite(n, quota)).await.unwrap();
    assert_eq!(db.join(join(n, entry(n, 0, &[n]))).await.unwrap(), Joined::Done);
    user(n)
}

pub(crate) fn new_vault(n: u8, founder: u8, quota: u64) -> NewVault {
    NewVault {
        vault: vault(n),
        founder: user(founder),
        genesis: vec![n; 10],
        hash: StatementHash::new([n; 32]),
        receipt: receipt(NOW),
        members: vec![Member::User(user(founder), Role::Owner)],
        quota,
        max_vaults: 3,
        audit: None,
    }
}

/// A vault of that number, founded by a new user of that number.
pub(crate) async fn with_vault(db: &Database, n: u8, quota: u64) -> VaultId {
    with_user(db, n, quota).await;
    assert_eq!(db.create_vault(new_vault(n, n, quota)).await.unwrap(), Created::Done);
    vault(n)
}

pub(crate) fn statement(vault_number: u8, seq: u64, effects: Effects) -> NewStatement {
    NewStatement {
        vault: vault(vault_number),
        seq: vault_core::id::Seq(seq),
        statement: seq.to_le_bytes().to_vec(),
        hash: StatementHash::new([seq as u8 ^ 0x80; 32]),
        receipt: receipt(NOW + seq),
        effects,
        hold_from: 0,
        audit: None,
    }
}
