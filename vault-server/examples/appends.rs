//! Prints how many statements per second a database takes: `cargo run --release -p vault-server --example appends`.
//!
//! A SQLite file in a temporary directory below the current one, or the PostgreSQL that `DATABASE_URL` names.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use vault_core::crypto::random::SystemRandom;
use vault_core::id::{DeviceId, Seq, StatementHash, UserId, VaultId};
use vault_core::log::{DeviceKind, Role};
use vault_server::db::{
    Appended, AuditRecord, CardDevice, Created, Database, DatabaseOptions, Effects, Join, Joined, Member,
    NewCardEntry, NewInvite, NewStatement, NewVault, Receipt,
};

const VAULTS: u8 = 64;
const TIME: Duration = Duration::from_secs(10);
const STATEMENT_BYTES: usize = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let options = std::env::var("DATABASE_URL").map_or_else(
        |_| DatabaseOptions::Sqlite { path: directory.path().join("vault.db"), readers: 2 },
        |url| DatabaseOptions::Postgres { url, connections: 16 },
    );
    let db = Database::open(&options, Arc::new(SystemRandom::new())).await.unwrap();
    for n in 0..VAULTS {
        prepare(&db, n).await;
    }

    let start = Instant::now();
    let tasks: Vec<_> = (0..VAULTS).map(|n| tokio::spawn(append(db.clone(), n, start))).collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }

    let seconds = start.elapsed().as_secs_f64();
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    println!(
        "{}, {VAULTS} vaults, {STATEMENT_BYTES} bytes each: {:.0} appends/s; p50 {:?}, p99 {:?}, longest {:?}",
        db.engine_name(),
        times.len() as f64 / seconds,
        at(50),
        at(99),
        at(100)
    );
    db.close().await;
}

async fn prepare(db: &Database, n: u8) {
    let (user, device) = (UserId::new([n; 16]), DeviceId::new([n; 16]));
    let invite = NewInvite {
        invite: [n; 16],
        auth: [n; 32],
        label: String::new(),
        quota: 1 << 40,
        now_ms: 0,
        expires_ms: 1,
    };
    db.add_invite(invite).await.unwrap();
    let devices = vec![CardDevice { device, signing_key: [n; 32], kind: DeviceKind::Full }];
    let entry = NewCardEntry { user, seq: 0, entry: vec![n], devices, now_ms: 0 };
    let join = Join { invite: [n; 16], entry, name: None, max_wrong_macs: 5 };
    assert_eq!(db.join(join).await.unwrap(), Joined::Done);
    let new = NewVault {
        vault: VaultId::new([n; 32]),
        founder: user,
        genesis: vec![n; STATEMENT_BYTES],
        hash: StatementHash::new([n; 32]),
        receipt: Receipt { time_ms: 0, signature: [0; 64] },
        members: vec![Member::User(user, Role::Owner)],
        quota: 1 << 40,
        max_vaults: 1,
        audit: None,
    };
    assert_eq!(db.create_vault(new).await.unwrap(), Created::Done);
}

/// Appends one statement after the other, each with its entry in the audit.
async fn append(db: Database, n: u8, start: Instant) -> Vec<Duration> {
    let mut times = Vec::new();
    while start.elapsed() < TIME {
        let seq = times.len() as u64 + 1;
        let mut hash = [n; 32];
        hash[..8].copy_from_slice(&seq.to_le_bytes());
        let new = NewStatement {
            vault: VaultId::new([n; 32]),
            seq: Seq(seq),
            statement: vec![n; STATEMENT_BYTES],
            hash: StatementHash::new(hash),
            receipt: Receipt { time_ms: seq, signature: [0; 64] },
            effects: Effects::default(),
            hold_from: 0,
            audit: Some(AuditRecord {
                device: Some(DeviceId::new([n; 16])),
                action: "append",
                object: seq.to_string(),
                address: "192.0.2.0".to_owned(),
            }),
        };
        let began = Instant::now();
        assert_eq!(db.append(new).await.unwrap(), Appended::Done { held: false });
        times.push(began.elapsed());
    }
    times
}
