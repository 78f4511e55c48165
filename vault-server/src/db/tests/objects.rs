//! Objects: quota, states, the trash, and what is removed.

use vault_core::id::{Epoch, IndexId, PackId, VaultId};
use vault_core::object::{ObjectKey, ObjectKind};

use super::on_both_engines;
use crate::db::testing::*;
use crate::db::*;

on_both_engines!(
    an_object_is_there_once_it_is_committed,
    uploads_side_by_side_never_exceed_the_quota,
    the_founders_quota_counts_over_all_vaults,
    who_comes_again_takes_the_place,
    an_abandoned_upload_gives_its_bytes_back,
    objects_are_listed_by_kind_and_in_parts,
    condemned_objects_go_to_the_trash_and_come_back,
    the_trash_is_emptied_when_both_times_are_over,
    a_mass_deletion_holds_the_trash,
    a_small_vault_is_tidied_without_a_hold,
    index_objects_that_no_statement_names_go_to_the_trash,
    a_condemned_object_may_be_put_again,
    a_damaged_object_may_be_put_again,
    what_uploads_left_is_swept,
    an_orphan_is_claimed_unless_it_has_a_row,
    a_recount_finds_and_corrects_drift,
    recounts_beside_uploads_to_several_vaults_neither_fail_nor_find_anything,
);

fn pack(n: u8) -> ObjectKey {
    ObjectKey::Pack(PackId::new([n; 32]))
}

async fn reserve(db: &Database, vault: VaultId, key: ObjectKey, size: u64) -> Reservation {
    match db.reserve(vault, key, size, NOW).await.unwrap() {
        Reserved::New(reservation) => reservation,
        other => panic!("{other:?}"),
    }
}

async fn store(db: &Database, vault: VaultId, key: ObjectKey, size: u64) {
    let reservation = reserve(db, vault, key, size).await;
    assert_eq!(db.commit(reservation, NOW, None).await.unwrap(), Committed::Done);
}

async fn used(db: &Database, vault: VaultId) -> (u64, u64) {
    let known = db.vault(&vault).await.unwrap().unwrap();
    (known.used, known.trashed)
}

async fn condemn(db: &Database, seq: u64, packs: &[u8], now_ms: u64) -> Appended {
    let packs_to_trash = packs.iter().map(|n| PackId::new([*n; 32])).collect();
    let new = statement(1, seq, Effects { packs_to_trash, ..Effects::default() });
    db.append(NewStatement { receipt: receipt(now_ms), ..new }).await.unwrap()
}

async fn an_object_is_there_once_it_is_committed(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let envelope = ObjectKey::envelope(Epoch(300), [4; 16]);

    let reservation = reserve(db, vault, envelope, 100).await;
    assert_eq!(db.object(&vault, &envelope).await.unwrap(), None);
    assert_eq!(used(db, vault).await, (100, 0));
    assert_eq!(db.commit(reservation, NOW + 5, None).await.unwrap(), Committed::Done);
    assert_eq!(db.commit(reservation, NOW + 6, None).await.unwrap(), Committed::Lost);

    let found = db.object(&vault, &envelope).await.unwrap();
    assert_eq!(found, Some(StoredObject { key: envelope, size: 100, stored_ms: NOW + 5 }));
    let there = Reserved::There { size: 100, stored_ms: NOW + 5 };
    assert_eq!(db.reserve(vault, envelope, 100, NOW).await.unwrap(), there);
    let elsewhere = crate::db::testing::vault(2);
    assert_eq!(db.reserve(elsewhere, envelope, 1, NOW).await.unwrap(), Reserved::NoVault);
    assert_eq!(db.object(&elsewhere, &envelope).await.unwrap(), None);
}

async fn uploads_side_by_side_never_exceed_the_quota(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                match db.reserve(vault, pack(n), 30, NOW).await.unwrap() {
                    Reserved::New(reservation) if n % 3 == 0 => {
                        let removal = db.abandon(reservation, NOW).await.unwrap().unwrap();
                        db.removed(vec![removal]).await.unwrap();
                        0
                    }
                    Reserved::New(reservation) => {
                        db.commit(reservation, NOW, None).await.unwrap();
                        1
                    }
                    Reserved::QuotaExceeded { used, quota } => {
                        assert!(used <= quota && used + 30 > quota && quota == 1000, "{used} of {quota}");
                        0
                    }
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    let mut stored = 0;
    for task in tasks {
        stored += task.await.unwrap();
    }

    assert!((20..=33).contains(&stored), "{stored}");
    assert_eq!(used(db, vault).await, (30 * stored, 0));
    assert_eq!(db.user(&user(1)).await.unwrap().unwrap().used, 30 * stored);
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn the_founders_quota_counts_over_all_vaults(db: &Database) {
    let first = with_vault(db, 1, 1000).await;
    db.create_vault(new_vault(2, 1, u64::MAX)).await.unwrap();
    let second = crate::db::testing::vault(2);
    store(db, first, pack(1), 600).await;

    let refused = db.reserve(second, pack(1), 401, NOW).await.unwrap();
    assert_eq!(refused, Reserved::QuotaExceeded { used: 600, quota: 1000 });
    assert_eq!(used(db, second).await, (0, 0), "nothing is counted");
    store(db, second, pack(1), 400).await;

    assert_eq!(db.user(&user(1)).await.unwrap().unwrap().used, 1000);
    let huge = db.reserve(second, pack(2), u64::MAX, NOW).await.unwrap();
    assert!(matches!(huge, Reserved::QuotaExceeded { .. }), "{huge:?}");
}

async fn who_comes_again_takes_the_place(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let first = reserve(db, vault, pack(1), 600).await;
    let second = reserve(db, vault, pack(1), 900).await;

    assert_eq!(db.commit(first, NOW, None).await.unwrap(), Committed::Lost);
    assert_eq!(db.abandon(first, NOW).await.unwrap(), None);
    assert_eq!(used(db, vault).await, (900, 0));
    let refused = db.reserve(vault, pack(1), 1001, NOW).await.unwrap();
    assert!(matches!(refused, Reserved::QuotaExceeded { .. }), "{refused:?}");

    assert_eq!(db.commit(second, NOW, None).await.unwrap(), Committed::Done);
    assert_eq!(db.object(&vault, &pack(1)).await.unwrap().unwrap().size, 900);
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn an_abandoned_upload_gives_its_bytes_back(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let reservation = reserve(db, vault, pack(1), 600).await;

    let removal = db.abandon(reservation, NOW).await.unwrap().unwrap();
    assert_eq!(db.reserve(vault, pack(1), 600, NOW).await.unwrap(), Reserved::Busy);
    assert_eq!(db.commit(reservation, NOW, None).await.unwrap(), Committed::Lost);
    db.removed(vec![removal]).await.unwrap();
    db.removed(vec![removal]).await.unwrap();

    assert_eq!(used(db, vault).await, (0, 0));
    assert_eq!(db.object_record(&vault, &pack(1)).await.unwrap(), None);
    store(db, vault, pack(1), 1000).await;
}

async fn objects_are_listed_by_kind_and_in_parts(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let index = ObjectKey::Index(IndexId::new([0; 32]));
    for key in [pack(0), pack(2), pack(255), index] {
        store(db, vault, key, 1).await;
    }
    reserve(db, vault, pack(7), 1).await;

    let list = async |kind, after: Option<ObjectKey>, limit| {
        let found = db.list_objects(&vault, kind, after.as_ref(), limit).await.unwrap();
        found.into_iter().map(|object| object.key).collect::<Vec<_>>()
    };
    assert_eq!(list(ObjectKind::Pack, None, 10).await, [pack(0), pack(2), pack(255)]);
    assert_eq!(list(ObjectKind::Pack, Some(pack(0)), 1).await, [pack(2)]);
    assert_eq!(list(ObjectKind::Index, None, 10).await, [index]);
    assert!(list(ObjectKind::Envelope, None, 10).await.is_empty());
    assert!(list(ObjectKind::Statement, None, 10).await.is_empty());
    let asked = [pack(1), pack(2), pack(7), index];
    let mut there = db.query_objects(&vault, &asked).await.unwrap();
    there.sort_by_key(|object| object.key);
    assert_eq!(there.iter().map(|object| object.key).collect::<Vec<_>>(), [pack(2), index]);
    assert!(db.query_objects(&vault, &[]).await.unwrap().is_empty());
    assert_eq!(db.count_stored().await.unwrap(), 4);

    let all = db.all_objects(None, 100).await.unwrap();
    assert_eq!(all.len(), 5);
    let after = Cursor { vault, key: all[1].key };
    assert_eq!(db.all_objects(Some(&after), 100).await.unwrap()[..], all[2..]);
}

async fn condemned_objects_go_to_the_trash_and_come_back(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    for n in 1..=9 {
        store(db, vault, pack(n), 10).await;
    }

    assert_eq!(condemn(db, 1, &[1, 2, 77], NOW + 10).await, Appended::Done { held: false });
    assert_eq!(condemn(db, 2, &[2, 3], NOW + 20).await, Appended::Done { held: false });

    assert_eq!(used(db, vault).await, (90, 30));
    assert_eq!(db.object(&vault, &pack(1)).await.unwrap(), None);
    assert_eq!(db.list_objects(&vault, ObjectKind::Pack, None, 100).await.unwrap().len(), 6);
    let trash = db.trash(&vault, None, 100).await.unwrap();
    assert_eq!(trash.iter().map(|o| o.key).collect::<Vec<_>>(), [pack(1), pack(2), pack(3)]);
    assert_eq!(trash[1].condemned_ms, NOW + 10, "condemned once");
    assert_eq!(db.trash(&vault, Some(&pack(1)), 1).await.unwrap()[..], trash[1..2]);

    assert_eq!(db.undelete(vault, Undelete::Since(NOW + 20), NOW, None).await.unwrap(), 1);
    let keys = vec![pack(1), pack(9)];
    assert_eq!(db.undelete(vault, Undelete::Keys(keys), NOW, None).await.unwrap(), 1);
    assert_eq!(used(db, vault).await, (90, 10));
    assert!(db.object(&vault, &pack(1)).await.unwrap().is_some());
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn the_trash_is_emptied_when_both_times_are_over(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    for n in 1..=9 {
        store(db, vault, pack(n), 10).await;
    }
    condemn(db, 1, &[1], NOW + 10).await;
    condemn(db, 2, &[2], NOW + 20).await;

    let (grace, age) = (NOW + 10, NOW);
    assert!(db.vaults_with_expired(None, grace - 1, age).await.unwrap().is_empty());
    assert!(db.vaults_with_expired(None, grace, age - 1).await.unwrap().is_empty(), "too young");
    assert_eq!(db.vaults_with_expired(None, grace, age).await.unwrap(), [vault]);
    db.set_held(vault, true).await.unwrap();
    assert!(db.vaults_with_expired(None, grace, age).await.unwrap().is_empty(), "on hold");
    assert!(db.expired(vault, grace, age, NOW).await.unwrap().is_empty(), "on hold");
    db.set_held(vault, false).await.unwrap();

    let removals = db.expired(vault, grace, age, NOW + 30).await.unwrap();
    assert_eq!(removals.iter().map(|removal| removal.key).collect::<Vec<_>>(), [pack(1)]);
    assert!(db.expired(vault, grace, age, NOW).await.unwrap().is_empty());
    assert_eq!(db.undelete(vault, Undelete::Keys(vec![pack(1)]), NOW, None).await.unwrap(), 0, "too late");
    assert_eq!(used(db, vault).await, (90, 10), "counted until the file is gone");
    db.removed(removals).await.unwrap();
    assert_eq!(used(db, vault).await, (80, 10));
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn a_mass_deletion_holds_the_trash(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    for n in 0..10 {
        store(db, vault, pack(n), 10).await;
    }

    assert_eq!(condemn(db, 1, &[0, 1, 2], NOW).await, Appended::Done { held: false });
    let half = condemn(db, 2, &[3, 4], NOW + 1).await;
    assert_eq!(half, Appended::Done { held: false }, "half is not more than half");
    let hour = 60 * 60 * 1000;
    assert_eq!(condemn(db, 3, &[5], NOW + 23 * hour).await, Appended::Done { held: true });

    assert!(db.vault(&vault).await.unwrap().unwrap().held);
    db.set_held(vault, false).await.unwrap();
    let next_week = condemn(db, 4, &[6], NOW + 24 * 7 * hour).await;
    assert_eq!(next_week, Appended::Done { held: false }, "what went before counts no more");
}

async fn a_small_vault_is_tidied_without_a_hold(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    for n in 0..10 {
        store(db, vault, pack(n), 10).await;
    }
    let condemn_all = async |seq, hold_from| {
        let packs_to_trash = (0..10).map(|n| PackId::new([n; 32])).collect();
        let new = statement(1, seq, Effects { packs_to_trash, ..Effects::default() });
        db.append(NewStatement { hold_from, ..new }).await.unwrap()
    };

    assert_eq!(condemn_all(1, 101).await, Appended::Done { held: false });
    assert_eq!(db.undelete(vault, Undelete::Since(0), NOW, None).await.unwrap(), 10);
    assert_eq!(
        condemn_all(2, 100).await,
        Appended::Done { held: true },
        "with what was condemned within the day"
    );
}

async fn index_objects_that_no_statement_names_go_to_the_trash(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    let index = |n: u8| ObjectKey::Index(IndexId::new([n; 32]));
    for n in 1..=3 {
        store(db, vault, index(n), 10).await;
    }
    for key in [pack(1), ObjectKey::Identity(user(1))] {
        store(db, vault, key, 10).await;
    }
    let name = async |seq, n| {
        db.append(statement(1, seq, Effects { needs: vec![index(n)], ..Effects::default() })).await.unwrap()
    };
    assert_eq!(name(1, 1).await, Appended::Done { held: false });

    assert!(db.vaults_with_unnamed(None, NOW).await.unwrap().is_empty(), "too young");
    assert_eq!(db.trash_unnamed(vault, NOW, NOW + 5).await.unwrap(), 0, "too young");
    assert_eq!(db.vaults_with_unnamed(None, NOW + 1).await.unwrap(), [vault]);
    assert!(db.vaults_with_unnamed(Some(&vault), NOW + 1).await.unwrap().is_empty());
    assert_eq!(name(2, 2).await, Appended::Done { held: false }, "just before");
    assert_eq!(db.trash_unnamed(vault, NOW + 1, NOW + 5).await.unwrap(), 1);

    assert_eq!(name(3, 3).await, Appended::Missing(index(3)));
    let trash = db.trash(&vault, None, 10).await.unwrap();
    assert_eq!(trash.iter().map(|o| (o.key, o.condemned_ms)).collect::<Vec<_>>(), [(index(3), NOW + 5)]);
    assert_eq!(used(db, vault).await, (50, 10));
    let audit = db.audit_entries(&vault, 0, 10).await.unwrap();
    let last = audit.last().unwrap();
    assert_eq!((last.device, last.action.as_str(), last.object.as_str()), (None, "sweep", "1 index objects"));

    // Put again, it may be named again, and goes again if it is not.
    store(db, vault, index(3), 10).await;
    assert_eq!(db.trash_unnamed(vault, NOW + 1, NOW + 6).await.unwrap(), 1);
    store(db, vault, index(3), 10).await;
    assert_eq!(name(3, 3).await, Appended::Done { held: false });
    assert!(db.vaults_with_unnamed(None, NOW + 1).await.unwrap().is_empty());
    // What was condemned and is put again is named by nothing any more.
    let condemned = Effects { indexes_to_trash: vec![IndexId::new([1; 32])], ..Effects::default() };
    db.append(statement(1, 4, condemned)).await.unwrap();
    store(db, vault, index(1), 10).await;
    assert_eq!(db.trash_unnamed(vault, NOW + 1, NOW + 7).await.unwrap(), 1);
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn a_condemned_object_may_be_put_again(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    for n in 1..=4 {
        store(db, vault, pack(n), 10).await;
    }
    condemn(db, 1, &[1, 2], NOW).await;

    let other = db.reserve(vault, pack(1), 11, NOW).await.unwrap();
    assert_eq!(other, Reserved::There { size: 10, stored_ms: NOW });
    let reservation = reserve(db, vault, pack(1), 10).await;
    assert_eq!(db.object(&vault, &pack(1)).await.unwrap(), None, "still in the trash");
    assert_eq!(db.commit(reservation, NOW + 9, None).await.unwrap(), Committed::Done);
    let dropped = reserve(db, vault, pack(2), 10).await;
    assert_eq!(db.abandon(dropped, NOW).await.unwrap(), None);
    assert_eq!(db.commit(dropped, NOW, None).await.unwrap(), Committed::Lost);

    assert_eq!(used(db, vault).await, (40, 10));
    assert_eq!(db.object(&vault, &pack(1)).await.unwrap().unwrap().stored_ms, NOW + 9);
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn a_damaged_object_may_be_put_again(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    store(db, vault, pack(1), 10).await;
    store(db, vault, ObjectKey::Identity(user(1)), 10).await;
    let to_check = db.not_checked_since(NOW + 1, 10).await.unwrap();
    assert_eq!(to_check.iter().map(|o| o.key).collect::<Vec<_>>(), [pack(1)]);
    assert!(db.not_checked_since(NOW, 10).await.unwrap().is_empty());

    let at = Cursor { vault, key: pack(1) };
    assert!(db.set_checked(at, false, NOW).await.unwrap());
    assert!(!db.set_checked(at, true, NOW).await.unwrap(), "what is damaged does not heal");
    assert_eq!(db.object(&vault, &pack(1)).await.unwrap(), None);

    let reservation = reserve(db, vault, pack(1), 10).await;
    assert!(reservation.replaces);
    assert_eq!(db.commit(reservation, NOW, None).await.unwrap(), Committed::Done);
    assert!(db.object(&vault, &pack(1)).await.unwrap().is_some());
    assert_eq!(used(db, vault).await, (20, 0));
}

async fn what_uploads_left_is_swept(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    store(db, vault, pack(1), 10).await;
    let left = reserve(db, vault, pack(2), 10).await;
    let abandoned = reserve(db, vault, pack(3), 10).await;
    db.abandon(abandoned, NOW).await.unwrap();

    assert!(db.stale(NOW, NOW + 9).await.unwrap().is_empty(), "too young");
    let mut removals = db.stale(NOW + 1, NOW + 9).await.unwrap();
    removals.sort_by_key(|removal| removal.key);
    assert_eq!(removals.iter().map(|removal| removal.key).collect::<Vec<_>>(), [pack(2), pack(3)]);
    assert_eq!(db.commit(left, NOW, None).await.unwrap(), Committed::Lost);
    assert!(db.stale(NOW + 1, NOW + 9).await.unwrap().is_empty(), "they are being removed");
    db.removed(removals).await.unwrap();

    assert_eq!(used(db, vault).await, (10, 0));
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn an_orphan_is_claimed_unless_it_has_a_row(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    store(db, vault, pack(1), 10).await;

    assert_eq!(db.claim_orphan(vault, pack(1), NOW).await.unwrap(), None);
    assert_eq!(db.claim_orphan(crate::db::testing::vault(2), pack(1), NOW).await.unwrap(), None);
    let removal = db.claim_orphan(vault, pack(2), NOW).await.unwrap().unwrap();
    assert_eq!(db.reserve(vault, pack(2), 10, NOW).await.unwrap(), Reserved::Busy);
    db.removed(vec![removal]).await.unwrap();

    assert_eq!(used(db, vault).await, (10, 0));
    store(db, vault, pack(2), 10).await;
}

async fn a_recount_finds_and_corrects_drift(db: &Database) {
    let vault = with_vault(db, 1, 1000).await;
    store(db, vault, pack(1), 10).await;
    db.write(vault, |session, vault| {
        Box::pin(async move {
            let sql = "UPDATE vaults SET used = used + 5, trashed = 3 WHERE vault = $1";
            session.execute(sql, crate::db::session::args![vault]).await
        })
    })
    .await
    .unwrap();

    let drift = Recount { vault_drift: 5, trash_drift: 3, user_drift: 0 };
    assert_eq!(db.recount(vault).await.unwrap(), drift);
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
    assert_eq!(used(db, vault).await, (10, 0));
}

async fn recounts_beside_uploads_to_several_vaults_neither_fail_nor_find_anything(db: &Database) {
    let vaults = [with_vault(db, 1, 100_000).await, VaultId::new([2; 32]), VaultId::new([3; 32])];
    for n in [2, 3] {
        assert_eq!(db.create_vault(new_vault(n, 1, 100_000)).await.unwrap(), Created::Done);
    }
    let tasks: Vec<_> = (0..60_u8)
        .map(|n| {
            let (db, vault) = (db.clone(), vaults[usize::from(n % 3)]);
            tokio::spawn(async move {
                if n % 5 == 0 {
                    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
                    return;
                }
                let reservation = reserve(&db, vault, pack(n), 10).await;
                db.commit(reservation, NOW, None).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    assert_eq!(db.user(&user(1)).await.unwrap().unwrap().used, 480);
}
