//! A vault on a server, through the real client and the real server: everything that a directory can, and what only a server does.
//!
//! Each test has a server of its own, on loopback, behind TLS.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use vault_core::card::{Chain, Consent, ListedDevice};
use vault_core::crypto::random::SystemRandom;
use vault_core::error::ErrorKind;
use vault_core::id::Seq;
use vault_core::keys::device::DeviceKeys;
use vault_core::net::{CardAppended, NetErrorKind};
use vault_core::ops::cards::{asking, machine};
use vault_core::store::{ObjectKey, ObjectKind, RemoteStore, Store as _, StoreError, conformance};
use vault_core::wire::audit::AuditHead;
use vault_core::wire::v1::trash::Undelete;
use vault_tests::account::client;
use vault_tests::{Account, TestServer, assert_same_tree, noise};

/// A directory that makes several packs.
fn write_source(account: &Account, megabytes: usize) -> PathBuf {
    let source = account.path("source");
    fs::create_dir_all(source.join("deep/er")).unwrap();
    for number in 0..megabytes / 5 {
        fs::write(source.join(format!("deep/{number}")), noise(number as u64, 5 << 20)).unwrap();
    }
    fs::write(source.join("deep/er/letter"), "Dear friend,").unwrap();
    source
}

#[test]
fn a_store_on_a_server_is_a_store() {
    let server = TestServer::start();
    let account = Account::join(&server);

    conformance::served::suite(&|| {
        let vault = account.init().unwrap();
        Box::new(RemoteStore::open(Arc::clone(account.server()), vault).unwrap())
    });
}

#[test]
fn what_was_backed_up_to_a_server_is_restored_from_it() {
    let server = TestServer::start();
    let mut account = Account::join(&server);
    let source = write_source(&account, 40);
    let id = account.init().unwrap();

    let mut vault = account.open(id).unwrap();
    let first = account.backup(&mut vault, &source).unwrap();
    fs::write(source.join("deep/0"), "changed").unwrap();
    let second = account.backup(&mut vault, &source).unwrap();
    account.move_to_new_machine();
    let vault = account.open(id).unwrap();

    assert_eq!(vault.state().snapshots().len(), 2);
    account.restore(&vault, second.snapshot, &account.path("restored")).unwrap();
    assert_same_tree(&source, &account.path("restored"));
    let whole = account.restore(&vault, first.snapshot, &account.path("whole")).unwrap();
    assert_eq!(whole.failed_entries, 0);
    assert_eq!(fs::metadata(account.path("whole/deep/0")).unwrap().len(), 5 << 20);
    account.assert_clean(&vault);
}

#[test]
fn a_restart_in_the_middle_stops_neither_backup_nor_restore() {
    let mut server = TestServer::start();
    let account = Account::join(&server);
    let source = write_source(&account, 60);
    let id = account.init().unwrap();
    // So slow that the restarts fall into it.
    let slowly = 20 << 20;

    let restarting = |server: &mut TestServer, work: &(dyn Fn() + Sync)| {
        thread::scope(|scope| {
            let working = scope.spawn(work);
            let mut restarts = 0;
            while !working.is_finished() {
                thread::sleep(Duration::from_millis(700));
                server.restart();
                restarts += 1;
            }
            working.join().unwrap();
            assert!(restarts > 1, "it was over before the server was restarted");
        });
    };
    restarting(&mut server, &|| {
        let mut vault = account.open_slowly(id, slowly).unwrap();
        account.backup(&mut vault, &source).unwrap();
    });
    let snapshot = account.open(id).unwrap().state().snapshots()[0].id;
    restarting(&mut server, &|| {
        let vault = account.open_slowly(id, slowly).unwrap();
        let restored = account.restore(&vault, snapshot, &account.path("restored")).unwrap();
        assert_eq!(restored.failed_entries, 0);
    });

    assert_same_tree(&source, &account.path("restored"));
    account.assert_clean(&account.open(id).unwrap());
}

#[test]
fn a_full_quota_ends_a_backup_and_leaves_what_was_there() {
    let server = TestServer::start();
    let account = Account::join_with_quota(&server, 20 << 20);
    let source = write_source(&account, 10);
    let id = account.init().unwrap();
    let mut vault = account.open(id).unwrap();
    account.backup(&mut vault, &source).unwrap();
    let more = write_source(&account, 60);

    let error = account.backup(&mut vault, &more).unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    let vault = account.open(id).unwrap();
    assert_eq!(vault.state().snapshots().len(), 1);
    account.assert_clean(&vault);
}

#[test]
fn a_device_that_was_taken_off_the_card_is_refused_at_once() {
    let server = TestServer::start();
    let account = Account::join(&server);
    let id = account.init().unwrap();
    let (user, root) = (account.joined.user, account.identity.root());
    let chain = account.server().card(&user, 0).unwrap();
    let mut card = Chain::begin(&user, &chain[0]).unwrap();
    let second = DeviceKeys::generate(&SystemRandom::new()).unwrap();

    let both =
        card.card().next(card.hash(), vec![machine(&account.device, &user), machine(&second, &user)], 2);
    let both = both.sign(root).unwrap();
    assert_eq!(account.server().append_card(&user, 1, &both).unwrap(), CardAppended::New);
    assert_eq!(account.server().append_card(&user, 1, &both).unwrap(), CardAppended::Same);
    card.append(&both).unwrap();
    let other = client(&server, &second, &account.joined);
    assert_eq!(other.me().unwrap().user, user);
    let one = card.card().next(card.hash(), vec![machine(&second, &user)], 3).sign(root).unwrap();
    assert_eq!(other.append_card(&user, 2, &one).unwrap(), CardAppended::New);

    assert_eq!(account.server().me().unwrap_err().kind(), NetErrorKind::Unauthorized);
    let error = account.open(id).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error:?}");
}

#[test]
fn what_is_pruned_lies_in_the_trash_until_it_is_taken_back() {
    let server = TestServer::start();
    let account = Account::join(&server);
    let source = write_source(&account, 5);
    let id = account.init().unwrap();
    let mut vault = account.open(id).unwrap();
    let first = account.backup(&mut vault, &source).unwrap();
    // Nothing of the first is in the second, so nothing needs its pack.
    fs::write(source.join("deep/0"), noise(99, 5 << 20)).unwrap();
    fs::write(source.join("deep/er/letter"), "Dear all,").unwrap();
    let second = account.backup(&mut vault, &source).unwrap();
    let before = account.server().objects(&id, ObjectKind::Pack, None).unwrap().0.len();

    account.forget(&mut vault, first.snapshot);
    let pruned = account.prune(&mut vault);
    let after = account.server().objects(&id, ObjectKind::Pack, None).unwrap().0.len();
    let trash = account.server().trash(&id, None).unwrap();

    assert!(pruned.packs > 0 && pruned.freed_bytes > 4 << 20, "{pruned:?}");
    assert_eq!(after as u64, before as u64 - pruned.packs);
    let packs: Vec<_> = trash.objects.iter().map(|object| object.path).filter(is_pack).collect();
    assert_eq!(packs.len() as u64, pruned.packs);
    account.restore(&vault, second.snapshot, &account.path("restored")).unwrap();
    assert_same_tree(&source, &account.path("restored"));
    account.assert_clean(&vault);
    let undeleted = account.server().undelete(&id, &Undelete::Paths(packs)).unwrap();
    assert_eq!(undeleted, pruned.packs);
}

fn is_pack(key: &ObjectKey) -> bool {
    key.kind() == ObjectKind::Pack
}

#[test]
fn a_stranger_sees_no_vault() {
    let server = TestServer::start();
    let (account, stranger) = (Account::join(&server), Account::join(&server));
    let id = account.init().unwrap();

    let error = stranger.location(id).open(&stranger.access()).unwrap_err();

    assert!(matches!(error, StoreError::NoSuchVault { .. }), "{error:?}");
    assert_eq!(account.server().me().unwrap().vaults.len(), 1);
    assert!(stranger.server().me().unwrap().vaults.is_empty());
}

#[test]
fn the_head_is_told_as_soon_as_it_moves() {
    let server = TestServer::start();
    let account = Account::join(&server);
    let source = write_source(&account, 0);
    let id = account.init().unwrap();
    let mut vault = account.open(id).unwrap();
    let before = vault.state().head();

    let (begun, wait) = (Instant::now(), Duration::from_secs(50));
    let head = thread::scope(|scope| {
        let waiting = scope.spawn(|| account.server().wait_for_head(&id, before.seq, wait).unwrap());
        thread::sleep(Duration::from_millis(300));
        account.backup(&mut vault, &source).unwrap();
        waiting.join().unwrap()
    });

    assert!(head.seq > before.seq && begun.elapsed() < Duration::from_secs(40), "{head:?}");
    let unmoved = account.server().wait_for_head(&id, head.seq, Duration::from_secs(1)).unwrap();
    assert_eq!(unmoved, vault.state().head());
}

#[test]
fn what_was_done_is_told_as_a_chain() {
    let server = TestServer::start();
    let account = Account::join(&server);
    let source = write_source(&account, 5);
    let id = account.init().unwrap();
    account.backup(&mut account.open(id).unwrap(), &source).unwrap();

    let (entries, head, more) = account.server().audit(&id, AuditHead::start(&id)).unwrap();

    assert!(entries.len() > 1 && !more && head.seq == entries.len() as u64, "{entries:?}");
    let forked = AuditHead { hash: [1; 32], ..AuditHead::start(&id) };
    assert_eq!(account.server().audit(&id, forked).unwrap_err().kind(), NetErrorKind::Integrity);
}

#[test]
fn a_new_device_asks_and_is_answered() {
    let server = TestServer::start();
    let account = Account::join(&server);
    let new = DeviceKeys::generate(&SystemRandom::new()).unwrap();
    let unknown = client(&server, &new, &account.joined);
    let asked = asking(&new);

    let made = unknown.request_device(&asked).unwrap();
    let shown = account.server().requested_device(&made.request).unwrap();
    assert_eq!((shown.signing_key, shown.recipient), (asked.signing_key, asked.recipient.clone()));
    assert_eq!(unknown.device_answer(&made.request).unwrap(), None);
    assert!(account.server().answer_device(&made.request, b"sealed").unwrap());
    assert!(!account.server().answer_device(&made.request, b"another").unwrap());
    assert_eq!(unknown.device_answer(&made.request).unwrap().unwrap(), b"sealed");
    let user = account.joined.user;
    let consent = Consent::sign(new.signing(), &user, &asked.recipient);
    assert_eq!(account.server().device_consent(&made.request).unwrap(), None);
    unknown.consent(&made.request, &consent).unwrap();

    assert_eq!(account.server().device_consent(&made.request).unwrap(), Some(consent));
    let chain = account.server().card(&user, 0).unwrap();
    let card = Chain::begin(&user, &chain[0]).unwrap();
    let add = |added| {
        let next = card.card().next(card.hash(), vec![machine(&account.device, &user), added], 2);
        account.server().append_card(&user, 1, &next.sign(account.identity.root()).unwrap())
    };
    let mine = machine(&new, &user);
    let refused = add(ListedDevice { consent: Consent([0; 64]), ..mine.clone() }).unwrap_err();
    assert_eq!(refused.kind(), NetErrorKind::Invalid, "{refused:?}");
    assert_eq!(add(ListedDevice { consent, ..mine }).unwrap(), CardAppended::New);
    assert_eq!(unknown.me().unwrap().user, user);
}

#[test]
fn an_answer_without_the_secret_of_the_invite_is_not_believed() {
    let server = TestServer::start();
    let account = Account::join(&server);
    let (mut invite, other) = (server.invite(0), server.invite(0));
    invite.secret = other.secret;
    let entry = account.card.sign(account.identity.root()).unwrap();

    let refused = vault_core::net::Server::of_invite(&invite, vault_tests::account::means())
        .unwrap()
        .join(&invite, &entry)
        .unwrap_err();

    assert_ne!(refused.kind(), NetErrorKind::Network, "{refused:?}");
}

#[test]
fn statements_have_times_that_the_server_signed() {
    let server = TestServer::start();
    let account = Account::join(&server);
    let id = account.init().unwrap();
    let store = account.location(id).open(&account.access()).unwrap().store;

    let times: Vec<_> = (0..2).map(|seq| store.stored_at(&ObjectKey::Statement(Seq(seq))).unwrap()).collect();

    assert!(times.is_sorted() && times[0].seconds > 1_700_000_000);
    assert_eq!(store.last_statement().unwrap(), Some(Seq(1)));
    assert_eq!(account.server().undelete(&id, &Undelete::Paths(Vec::new())).unwrap(), 0);
    assert!(account.server().trash(&id, None).unwrap().objects.is_empty());
    assert!(account.server().objects(&id, ObjectKind::Pack, None).unwrap().0.is_empty());
}
