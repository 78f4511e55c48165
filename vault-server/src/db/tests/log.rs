//! Vaults, their logs, what statements change, and the audit.

use vault_core::id::{IndexId, PackId, Seq, StatementHash};
use vault_core::log::Head;
use vault_core::object::ObjectKey;

use super::on_both_engines;
use crate::db::testing::*;
use crate::db::*;

on_both_engines!(
    a_vault_is_made_once_by_one_founder,
    a_user_founds_so_many_vaults_and_no_more,
    a_statement_is_appended_under_the_next_number,
    of_many_appends_of_one_number_one_is_done,
    a_log_is_read_in_parts,
    a_commit_needs_its_index_objects,
    the_audit_is_one_chain,
);

async fn a_vault_is_made_once_by_one_founder(db: &Database) {
    with_vault(db, 1, 100).await;
    with_user(db, 2, 100).await;

    let again = NewVault { receipt: receipt(NOW + 5), ..new_vault(1, 1, 100) };
    assert_eq!(db.create_vault(again).await.unwrap(), Created::Same(receipt(NOW)));
    assert_eq!(db.create_vault(new_vault(1, 2, 100)).await.unwrap(), Created::Taken);

    let known = db.vault(&vault(1)).await.unwrap().unwrap();
    assert_eq!(known.head, Head { seq: Seq(0), hash: StatementHash::new([1; 32]) });
    assert_eq!((known.founder, known.quota, known.used, known.held), (user(1), 100, 0, false));
    assert_eq!(db.vault(&vault(2)).await.unwrap(), None);
    assert_eq!(db.statement(&vault(1), Seq(0)).await.unwrap().unwrap().statement, [1; 10]);
}

async fn a_user_founds_so_many_vaults_and_no_more(db: &Database) {
    with_vault(db, 1, 100).await;
    let tasks: Vec<_> = (2..=10)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move { db.create_vault(new_vault(n, 1, 100)).await.unwrap() })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += u32::from(task.await.unwrap() == Created::Done);
    }

    assert_eq!(done, 2);
    assert_eq!(db.vaults(None, 100).await.unwrap().len(), 3);
    assert_eq!(db.vaults_of(&user(1), &device(1)).await.unwrap().len(), 3);
}

async fn a_statement_is_appended_under_the_next_number(db: &Database) {
    with_vault(db, 1, 100).await;

    let put = async |seq| db.append(statement(1, seq, Effects::default())).await.unwrap();
    assert_eq!(put(1).await, Appended::Done { held: false });
    assert_eq!(put(1).await, Appended::Same(receipt(NOW + 1)));
    let head = Head { seq: Seq(1), hash: statement(1, 1, Effects::default()).hash };
    assert_eq!(put(3).await, Appended::Taken(head));
    assert_eq!(put(0).await, Appended::Taken(head));
    let other = NewStatement { hash: StatementHash::new([99; 32]), ..statement(1, 1, Effects::default()) };
    assert_eq!(db.append(other).await.unwrap(), Appended::Taken(head));
    assert_eq!(db.append(statement(2, 1, Effects::default())).await.unwrap(), Appended::NoVault);

    assert_eq!(db.vault(&vault(1)).await.unwrap().unwrap().head, head);
    let entry = db.statement(&vault(1), Seq(1)).await.unwrap().unwrap();
    assert_eq!((entry.receipt, entry.hash), (receipt(NOW + 1), head.hash));
    assert_eq!(db.statement(&vault(1), Seq(2)).await.unwrap(), None);
}

async fn of_many_appends_of_one_number_one_is_done(db: &Database) {
    with_vault(db, 1, 100).await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let db = db.clone();
            let new =
                NewStatement { hash: StatementHash::new([n; 32]), ..statement(1, 1, Effects::default()) };
            tokio::spawn(async move { db.append(new).await.unwrap() })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += u32::from(matches!(task.await.unwrap(), Appended::Done { .. }));
    }

    assert_eq!(done, 1);
    assert_eq!(db.statements(&vault(1), Seq(0), 100, 1 << 20).await.unwrap().len(), 2);
}

async fn a_log_is_read_in_parts(db: &Database) {
    with_vault(db, 1, 100).await;
    for seq in 1..30 {
        db.append(statement(1, seq, Effects::default())).await.unwrap();
    }

    let seqs = async |from, limit, bytes| {
        let entries = db.statements(&vault(1), Seq(from), limit, bytes).await.unwrap();
        entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(0, 100, 1 << 20).await, (0..30).collect::<Vec<_>>());
    assert_eq!(seqs(0, 3, 1 << 20).await, [0, 1, 2]);
    assert_eq!(seqs(5, 100, 24).await, [5, 6, 7]);
    assert_eq!(seqs(5, 100, 0).await, [5], "one in any case");
    assert!(seqs(30, 100, 100).await.is_empty());
}

async fn a_commit_needs_its_index_objects(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let index = ObjectKey::Index(IndexId::new([5; 32]));
    let effects = Effects { needs: vec![index], ..Effects::default() };

    assert_eq!(db.append(statement(1, 1, effects.clone())).await.unwrap(), Appended::Missing(index));
    assert_eq!(db.vault(&vault).await.unwrap().unwrap().head.seq, Seq(0), "nothing is changed");

    let Reserved::New(reservation) = db.reserve(vault, index, 10, NOW).await.unwrap() else { panic!() };
    assert_eq!(db.append(statement(1, 1, effects.clone())).await.unwrap(), Appended::Missing(index));
    assert_eq!(db.commit(reservation, NOW, None).await.unwrap(), Committed::Done);
    assert_eq!(db.append(statement(1, 1, effects)).await.unwrap(), Appended::Done { held: false });
}

async fn the_audit_is_one_chain(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let record = |action| AuditRecord {
        device: Some(device(1)),
        action,
        object: "packs/…".to_owned(),
        address: "192.0.2.0".to_owned(),
    };
    let key = ObjectKey::Pack(PackId::new([1; 32]));
    let Reserved::New(reservation) = db.reserve(vault, key, 10, NOW).await.unwrap() else { panic!() };
    db.commit(reservation, NOW, Some(record("put"))).await.unwrap();
    let new = NewStatement { audit: Some(record("append")), ..statement(1, 1, Effects::default()) };
    db.append(new).await.unwrap();
    let refused = NewStatement { audit: Some(record("append")), ..statement(1, 1, Effects::default()) };
    db.append(refused).await.unwrap();
    assert!(db.audit(vault, record("read"), NOW).await.unwrap());
    assert!(!db.audit(super::super::testing::vault(9), record("read"), NOW).await.unwrap());

    let entries = db.audit_entries(&vault, 0, 100).await.unwrap();
    assert_eq!(entries.iter().map(|e| e.action.as_str()).collect::<Vec<_>>(), ["put", "append", "read"]);
    assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(entries[0].prev, *vault.as_bytes());
    assert!(entries.windows(2).all(|pair| pair[1].prev == pair[0].hash && pair[0].hash != pair[1].hash));
    let of_wire = entries.iter().map(|entry| vault_core::wire::audit::AuditEntry {
        seq: entry.seq,
        time: vault_core::wire::Millis(entry.time_ms),
        device: entry.device,
        action: entry.action.clone(),
        object: entry.object.clone(),
        address: entry.address.clone(),
        prev: vault_core::wire::Binary(entry.prev),
        hash: vault_core::wire::Binary(entry.hash),
    });
    let start = vault_core::wire::audit::AuditHead::start(&vault);
    assert_eq!(start.follow(&of_wire.collect::<Vec<_>>()).unwrap().seq, 3);
    assert_eq!(db.audit_entries(&vault, 2, 100).await.unwrap()[..], entries[2..]);
}
