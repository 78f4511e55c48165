//! Grants: one of each id, index objects that they name, openings and tickets.

use vault_core::id::{GrantId, IndexId, PackId, Seq, TicketId, VaultId};
use vault_core::object::ObjectKey;

use super::on_both_engines;
use crate::db::testing::*;
use crate::db::*;

on_both_engines!(
    a_grant_is_shown_to_its_addressees_until_it_is_over,
    a_token_shows_its_grant_and_no_other_does,
    a_grant_that_cannot_be_given_changes_nothing,
    index_objects_of_grants_are_named_as_long_as_one_of_them_holds,
    an_index_object_that_a_commit_names_too_stays,
    openings_side_by_side_never_exceed_the_number_of_downloads,
    a_ticket_is_good_until_it_expires_or_its_grant_is_taken_back,
);

fn index(n: u8) -> ObjectKey {
    ObjectKey::Index(IndexId::new([n; 32]))
}

fn id(n: u8) -> GrantId {
    GrantId::new([n; 16])
}

async fn store(db: &Database, vault: VaultId, key: ObjectKey) {
    let Reserved::New(reservation) = db.reserve(vault, key, 10, NOW).await.unwrap() else { panic!() };
    assert_eq!(db.commit(reservation, NOW, None).await.unwrap(), Committed::Done);
}

/// A grant of that number to user 2, with an index object and a list.
fn grant(n: u8, index: u8, ranges: u8) -> NewGrant {
    NewGrant {
        grant: id(n),
        sender: user(1),
        expires_ms: NEVER,
        ranges: IndexId::new([ranges; 32]),
        indexes: vec![IndexId::new([index; 32])],
        packs: Vec::new(),
        addressees: vec![*user(2).as_bytes()],
        token_hash: Some([n; 32]),
        downloads: 0,
    }
}

async fn give(db: &Database, seq: u64, grant: NewGrant) -> Appended {
    db.append(statement(1, seq, Effects { grant: Some(grant), ..Effects::default() })).await.unwrap()
}

async fn revoke(db: &Database, seq: u64, n: u8) {
    let effects = Effects { revoke: Some(id(n)), ..Effects::default() };
    assert_eq!(db.append(statement(1, seq, effects)).await.unwrap(), DONE);
}

const DONE: Appended = Appended::Done { held: false };

/// Vault 1 with index objects 1 to 9.
async fn with_objects(db: &Database) -> VaultId {
    let vault = with_vault(db, 1, 1000).await;
    for n in 1..=9 {
        store(db, vault, index(n)).await;
    }
    vault
}

fn opening(n: u8, ticket: Option<u8>, now_ms: u64) -> Opening {
    let ticket = ticket.map(|n| NewTicket { ticket: TicketId::new([n; 16]), expires_ms: now_ms + 100 });
    Opening { grant: id(n), vault: vault(1), ticket, now_ms, audit: None }
}

async fn a_grant_is_shown_to_its_addressees_until_it_is_over(db: &Database) {
    let vault = with_objects(db).await;
    let expiring = NewGrant { expires_ms: NOW + 100, ..grant(1, 1, 2) };
    assert_eq!(give(db, 1, expiring).await, DONE);
    assert_eq!(give(db, 2, grant(2, 3, 4)).await, DONE);

    let shown = db.grant_to(&id(1), &user(2), NOW).await.unwrap().unwrap();
    assert_eq!((shown.vault, shown.seq, shown.sender, shown.time_ms), (vault, Seq(1), user(1), NOW + 1));
    assert_eq!(db.grant_to(&id(1), &user(1), NOW).await.unwrap(), None);
    assert_eq!(db.grant_to(&id(3), &user(2), NOW).await.unwrap(), None);
    let is_index =
        async |n, grant: &GrantRecord| db.is_index_of_grant(grant, &IndexId::new([n; 32])).await.unwrap();
    assert!(is_index(1, &shown).await && is_index(2, &shown).await && !is_index(3, &shown).await);
    assert_eq!(db.grants_to(&user(2), None, NOW, 10).await.unwrap().len(), 2);
    assert_eq!(db.grants_to(&user(2), Some(&id(1)), NOW, 10).await.unwrap().len(), 1);
    assert_eq!(db.grants_to(&user(2), None, NOW, 1).await.unwrap(), [shown]);

    // From memory too.
    assert_eq!(db.grant_to(&id(1), &user(2), NOW + 100).await.unwrap(), None);
    assert_eq!(db.grants_to(&user(2), None, NOW + 100, 10).await.unwrap().len(), 1);
    assert!(db.grant_to(&id(2), &user(2), u64::MAX >> 2).await.unwrap().is_some());
    revoke(db, 3, 2).await;
    assert_eq!(db.grant_to(&id(2), &user(2), NOW).await.unwrap(), None);
    assert_eq!(db.grants_of(&vault, None, None, 10).await.unwrap().len(), 1);
    assert_eq!(db.grants_of(&vault, Some(&user(1)), None, 10).await.unwrap().len(), 1);
    assert_eq!(db.grants_of(&vault, Some(&user(2)), None, 10).await.unwrap().len(), 0);
}

async fn a_token_shows_its_grant_and_no_other_does(db: &Database) {
    with_objects(db).await;
    give(db, 1, NewGrant { expires_ms: NOW + 100, ..grant(1, 1, 2) }).await;
    give(db, 2, NewGrant { token_hash: None, ..grant(2, 3, 4) }).await;
    let ask = async |n, hash: u8, now_ms| db.grant_by_link(&id(n), &[hash; 32], now_ms).await.unwrap();

    for _ in 0..2 {
        assert!(matches!(ask(1, 1, NOW).await, ByLink::Shown(shown) if shown.grant == id(1)));
        assert_eq!(ask(1, 1, NOW + 100).await, ByLink::Over);
    }
    assert_eq!(ask(1, 2, NOW).await, ByLink::Wrong);
    for hash in [0, 2] {
        assert_eq!(ask(2, hash, NOW).await, ByLink::Wrong);
        assert_eq!(ask(3, hash, NOW).await, ByLink::Wrong);
    }
    revoke(db, 3, 1).await;
    assert_eq!(ask(1, 1, NOW).await, ByLink::Over);
}

async fn a_grant_that_cannot_be_given_changes_nothing(db: &Database) {
    let vault = with_objects(db).await;
    let pack = PackId::new([7; 32]);
    let with_pack = || NewGrant { packs: vec![pack, PackId::new([8; 32])], ..grant(1, 1, 2) };

    assert_eq!(give(db, 1, grant(1, 1, 99)).await, Appended::Missing(index(99)));
    assert_eq!(give(db, 1, grant(1, 99, 1)).await, Appended::Missing(index(99)));
    store(db, vault, ObjectKey::Pack(pack)).await;
    let missing = ObjectKey::Pack(PackId::new([8; 32]));
    assert_eq!(give(db, 1, with_pack()).await, Appended::Missing(missing));
    assert_eq!(db.vault(&vault).await.unwrap().unwrap().head.seq, Seq(0));
    assert_eq!(db.trash_unnamed(vault, NOW + 1, NOW).await.unwrap(), 9, "none of them is named");
    for n in 1..=9 {
        store(db, vault, index(n)).await;
    }
    store(db, vault, missing).await;
    assert_eq!(give(db, 1, with_pack()).await, DONE);

    assert_eq!(give(db, 2, grant(1, 3, 4)).await, Appended::GrantExists(id(1)));
    revoke(db, 2, 1).await;
    assert_eq!(give(db, 3, grant(1, 3, 4)).await, Appended::GrantExists(id(1)), "an id is used once");
    assert_eq!(db.grants_to(&user(2), None, NOW, 10).await.unwrap(), []);
}

async fn index_objects_of_grants_are_named_as_long_as_one_of_them_holds(db: &Database) {
    let vault = with_objects(db).await;
    // Both name 1; the second expires.
    give(db, 1, grant(1, 1, 2)).await;
    give(db, 2, NewGrant { expires_ms: NOW + 100, ..grant(2, 1, 3) }).await;
    let trashed = async || {
        db.trash_unnamed(vault, NOW + 1, NOW).await.unwrap();
        let keys = db.trash(&vault, None, 10).await.unwrap().into_iter().map(|object| object.key);
        keys.collect::<Vec<_>>()
    };
    let others: Vec<_> = (4..=9).map(index).collect();

    assert_eq!(trashed().await, others);
    revoke(db, 3, 1).await;
    let with_two = [&[index(2)][..], &others].concat();
    assert_eq!(trashed().await, with_two, "the other grant names 1");
    assert_eq!(db.end_grants(NOW + 100).await.unwrap(), 0);
    assert_eq!(trashed().await, with_two);
    assert_eq!(db.end_grants(NOW + 101).await.unwrap(), 1);
    assert_eq!(db.end_grants(NOW + 101).await.unwrap(), 0, "once");
    assert_eq!(trashed().await, [&[index(1), index(2), index(3)][..], &others].concat());
    assert_eq!(db.recount(vault).await.unwrap(), Recount::default());
}

async fn an_index_object_that_a_commit_names_too_stays(db: &Database) {
    let vault = with_objects(db).await;
    let commit = |key| Effects { needs: vec![key], ..Effects::default() };
    let condemn = |n| Effects { indexes_to_trash: vec![IndexId::new([n; 32])], ..Effects::default() };
    // A commit before the grant, and one after it.
    db.append(statement(1, 1, commit(index(1)))).await.unwrap();
    give(db, 2, grant(1, 1, 2)).await;
    db.append(statement(1, 3, commit(index(2)))).await.unwrap();
    give(db, 4, grant(2, 3, 4)).await;
    db.append(statement(1, 5, commit(index(3)))).await.unwrap();

    revoke(db, 6, 1).await;
    assert_eq!(db.trash_unnamed(vault, NOW + 1, NOW).await.unwrap(), 5, "5 to 9");
    // A grant that holds keeps what is condemned, until it ends.
    assert_eq!(db.append(statement(1, 7, condemn(3))).await.unwrap(), DONE);
    assert!(db.object(&vault, &index(3)).await.unwrap().is_some());
    assert_eq!(db.trash_unnamed(vault, NOW + 1, NOW).await.unwrap(), 0);
    revoke(db, 8, 2).await;
    assert_eq!(db.trash_unnamed(vault, NOW + 1, NOW).await.unwrap(), 2, "3 and 4");
    let held = Appended::Done { held: true };
    assert_eq!(db.append(statement(1, 9, condemn(1))).await.unwrap(), held, "most is in the trash now");
    assert_eq!(db.object(&vault, &index(1)).await.unwrap(), None);
    assert!(db.object(&vault, &index(2)).await.unwrap().is_some());
}

async fn openings_side_by_side_never_exceed_the_number_of_downloads(db: &Database) {
    let vault = with_objects(db).await;
    give(db, 1, NewGrant { downloads: 5, ..grant(1, 1, 2) }).await;
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move { db.open_grant(opening(1, Some(n), NOW + 10)).await.unwrap() })
        })
        .collect();
    let mut left = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Opened::Done { left: of_this } => left.push(of_this.unwrap()),
            other => assert_eq!(other, Opened::UsedUp),
        }
    }
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4]);

    let addressee = db.open_grant(opening(1, None, NOW + 20)).await.unwrap();
    assert!(matches!(addressee, Opened::Done { .. }), "who needs no link is not counted to it");
    let given = db.grants_of(&vault, None, None, 10).await.unwrap();
    let counted = GivenRecord { grant: id(1), seq: Seq(1), fetched: 6, last_ms: Some(NOW + 20) };
    assert_eq!(given, [counted]);
    assert_eq!(db.open_grant(opening(2, Some(99), NOW)).await.unwrap(), Opened::Over);
    revoke(db, 2, 1).await;
    assert_eq!(db.open_grant(opening(1, None, NOW)).await.unwrap(), Opened::Over);
}

async fn a_ticket_is_good_until_it_expires_or_its_grant_is_taken_back(db: &Database) {
    with_objects(db).await;
    give(db, 1, grant(1, 1, 2)).await;
    give(db, 2, grant(2, 3, 4)).await;
    for (n, ticket) in [(1, 1), (1, 2), (2, 3)] {
        let opened = db.open_grant(opening(n, Some(ticket), NOW)).await.unwrap();
        assert_eq!(opened, Opened::Done { left: None });
    }
    let has = async |n, ticket: u8, now_ms| {
        db.has_ticket(&id(n), &TicketId::new([ticket; 16]), now_ms).await.unwrap()
    };

    for _ in 0..2 {
        assert!(has(1, 1, NOW + 99).await && has(1, 2, NOW).await && has(2, 3, NOW).await);
        assert!(!has(1, 1, NOW + 100).await && !has(1, 3, NOW).await && !has(2, 1, NOW).await);
    }
    revoke(db, 3, 1).await;
    assert!(!has(1, 1, NOW).await && !has(1, 2, NOW).await && has(2, 3, NOW).await);
    assert_eq!(db.forget_tickets(NOW + 99).await.unwrap(), 0);
    assert_eq!(db.forget_tickets(NOW + 100).await.unwrap(), 1);
}
