//! Users, cards, devices, invites, requests of devices, nonces.

use vault_core::log::{DeviceKind, Role};
use vault_core::wire::UserName;

use super::on_both_engines;
use crate::db::testing::*;
use crate::db::*;

on_both_engines!(
    an_invite_makes_one_account,
    an_invite_expires_and_wrong_macs_use_it_up,
    an_invite_may_be_used_again_if_the_entry_was_refused,
    an_invite_of_a_known_user_extends_the_card,
    of_many_joins_with_one_invite_one_is_done,
    a_card_grows_by_the_next_entry_only,
    an_entry_may_be_as_long_as_the_protocol_says,
    a_device_is_on_one_card_only,
    a_revoked_device_is_gone_at_once,
    a_suspended_user_is_known_as_such_at_once,
    a_card_is_read_in_parts,
    a_request_of_a_device_is_answered_once_and_ends,
    waiting_requests_are_bounded,
    a_nonce_is_used_once,
    an_operator_sees_and_changes_users,
    a_name_has_one_user_and_a_user_one_name,
    a_join_brings_the_name_that_is_wanted_or_the_label,
    of_many_who_want_a_name_one_gets_it,
    a_job_is_taken_once_when_it_is_due,
    access_is_what_the_membership_says,
);

async fn an_invite_makes_one_account(db: &Database) {
    db.add_invite(invite(1, 500)).await.unwrap();

    assert_eq!(db.join(join(1, entry(1, 0, &[1, 2]))).await.unwrap(), Joined::Done);
    assert_eq!(db.join(join(1, entry(1, 0, &[1, 2]))).await.unwrap(), Joined::Same);
    assert_eq!(db.join(join(1, entry(2, 0, &[3]))).await.unwrap(), Joined::Used);

    let known = db.user(&user(1)).await.unwrap().unwrap();
    assert_eq!((known.quota, known.used, known.label.as_str()), (500, 0, "invite 1"));
    assert_eq!(db.user(&user(2)).await.unwrap(), None);
    assert_eq!(db.invite(&[1; 16]).await.unwrap().unwrap().used_by, Some(user(1)));
    assert_eq!(db.devices_of(&user(1)).await.unwrap().len(), 2);
    assert!(!db.remove_invite([1; 16]).await.unwrap(), "a used invite stays");
}

async fn an_invite_expires_and_wrong_macs_use_it_up(db: &Database) {
    db.add_invite(invite(1, 500)).await.unwrap();
    db.add_invite(invite(2, 500)).await.unwrap();
    let late = NewCardEntry { now_ms: NOW + 1000, ..entry(1, 0, &[1]) };

    assert_eq!(db.join(join(1, late)).await.unwrap(), Joined::Expired);
    for count in 1..=5 {
        assert_eq!(db.count_wrong_mac([2; 16]).await.unwrap(), count);
    }

    assert_eq!(db.join(join(2, entry(1, 0, &[1]))).await.unwrap(), Joined::Used);
    assert_eq!(db.join(join(3, entry(1, 0, &[1]))).await.unwrap(), Joined::Used);
    assert_eq!(db.count_wrong_mac([3; 16]).await.unwrap(), 0);
    assert_eq!(db.invites(None, 10).await.unwrap().len(), 2);
    assert!(db.remove_invite([2; 16]).await.unwrap());
}

async fn an_invite_may_be_used_again_if_the_entry_was_refused(db: &Database) {
    with_user(db, 1, 100).await;
    db.add_invite(invite(2, 100)).await.unwrap();

    let stolen = db.join(join(2, entry(2, 0, &[2, 1]))).await.unwrap();
    assert_eq!(stolen, Joined::Refused(EntryPut::DeviceOfAnother(device(1))));
    let behind = db.join(join(2, entry(1, 0, &[9]))).await.unwrap();
    assert_eq!(behind, Joined::Refused(EntryPut::Taken { newest: Some(0) }));

    assert_eq!(db.user(&user(2)).await.unwrap(), None);
    assert_eq!(db.device(&device(2)).await.unwrap(), None);
    assert_eq!(db.join(join(2, entry(2, 0, &[2]))).await.unwrap(), Joined::Done);
}

async fn an_invite_of_a_known_user_extends_the_card(db: &Database) {
    with_user(db, 1, 100).await;
    db.add_invite(invite(2, 900)).await.unwrap();

    assert_eq!(db.join(join(2, entry(1, 1, &[1, 2]))).await.unwrap(), Joined::Done);

    let known = db.user(&user(1)).await.unwrap().unwrap();
    assert_eq!((known.card_seq, known.quota), (1, 100));
}

async fn of_many_joins_with_one_invite_one_is_done(db: &Database) {
    db.add_invite(invite(1, 100)).await.unwrap();

    let tasks: Vec<_> = (1..=20)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move { db.join(join(1, entry(n, 0, &[n]))).await.unwrap() })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += u32::from(task.await.unwrap() == Joined::Done);
    }

    assert_eq!(done, 1);
    assert_eq!(db.users(None, 100).await.unwrap().len(), 1);
}

async fn a_card_grows_by_the_next_entry_only(db: &Database) {
    with_user(db, 1, 100).await;

    assert_eq!(db.append_card_entry(entry(1, 1, &[1, 2])).await.unwrap(), EntryPut::Done);
    assert_eq!(db.append_card_entry(entry(1, 1, &[1, 2])).await.unwrap(), EntryPut::Same);
    let taken = EntryPut::Taken { newest: Some(1) };
    assert_eq!(db.append_card_entry(entry(1, 1, &[1])).await.unwrap(), taken);
    assert_eq!(db.append_card_entry(entry(1, 3, &[1])).await.unwrap(), taken);
    assert_eq!(db.append_card_entry(entry(1, 0, &[9])).await.unwrap(), taken);
    let unknown = EntryPut::Taken { newest: None };
    assert_eq!(db.append_card_entry(entry(2, 0, &[9])).await.unwrap(), unknown);

    let newest = db.newest_card_entry(&user(1)).await.unwrap().unwrap();
    assert_eq!((newest.seq, newest.entry), (1, entry(1, 1, &[1, 2]).entry));
}

async fn an_entry_may_be_as_long_as_the_protocol_says(db: &Database) {
    with_user(db, 1, 0).await;
    let long = vec![1; vault_core::wire::limits::CARD_BYTES as usize];

    let put = db.append_card_entry(NewCardEntry { entry: long.clone(), ..entry(1, 1, &[1]) }).await.unwrap();

    assert_eq!(put, EntryPut::Done);
    assert_eq!(db.newest_card_entry(&user(1)).await.unwrap().unwrap().entry, long);
}

async fn a_device_is_on_one_card_only(db: &Database) {
    with_user(db, 1, 100).await;
    with_user(db, 2, 100).await;

    let stolen = db.append_card_entry(entry(2, 1, &[1, 2])).await.unwrap();

    assert_eq!(stolen, EntryPut::DeviceOfAnother(device(1)));
    assert_eq!(db.device(&device(1)).await.unwrap().unwrap().user, user(1));
    assert_eq!(db.device(&device(2)).await.unwrap().unwrap().user, user(2));
    assert_eq!(db.user(&user(2)).await.unwrap().unwrap().card_seq, 0);
}

async fn a_revoked_device_is_gone_at_once(db: &Database) {
    with_user(db, 1, 100).await;
    let known = db.device(&device(1)).await.unwrap().unwrap();
    assert_eq!((known.signing_key, known.kind), ([1; 32], DeviceKind::Full));
    assert!(!known.suspended);

    db.append_card_entry(entry(1, 1, &[2])).await.unwrap();

    assert_eq!(db.device(&device(1)).await.unwrap(), None);
    assert!(db.device(&device(2)).await.unwrap().is_some());
}

async fn a_suspended_user_is_known_as_such_at_once(db: &Database) {
    with_user(db, 1, 100).await;
    for suspended in [true, false, true] {
        assert!(db.set_suspended(user(1), suspended).await.unwrap());
        assert_eq!(db.device(&device(1)).await.unwrap().unwrap().suspended, suspended);
    }
    assert!(!db.set_suspended(user(2), true).await.unwrap());
}

async fn a_card_is_read_in_parts(db: &Database) {
    with_user(db, 1, 100).await;
    for seq in 1..150 {
        db.append_card_entry(entry(1, seq, &[1])).await.unwrap();
    }

    let seqs = |entries: Vec<CardEntry>| entries.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    assert_eq!(seqs(db.card(&user(1), 0, 1 << 20).await.unwrap()), (0..150).collect::<Vec<_>>());
    assert_eq!(seqs(db.card(&user(1), 140, 6).await.unwrap()), [140, 141]);
    assert_eq!(seqs(db.card(&user(1), 149, 0).await.unwrap()), [149], "one in any case");
    assert!(db.card(&user(1), 150, 100).await.unwrap().is_empty());
}

fn request(n: u8) -> DeviceRequest {
    let recipient = format!("age1pq1{n}");
    DeviceRequest {
        request: [n; 16],
        signing_key: [n; 32],
        recipient,
        expires_ms: NOW + 900,
        answer: None,
        consent: None,
    }
}

async fn a_request_of_a_device_is_answered_once_and_ends(db: &Database) {
    assert!(db.add_device_request(request(1), NOW, 10).await.unwrap());
    assert_eq!(db.device_request(&[1; 16], NOW).await.unwrap(), Some(request(1)));

    let answer =
        async |text: &[u8], now| db.answer_device_request([1; 16], text.to_vec(), now).await.unwrap();
    assert_eq!(answer(b"sealed", NOW + 900).await, RequestAnswered::NotThere);
    assert_eq!(answer(b"sealed", NOW).await, RequestAnswered::Done);
    assert_eq!(answer(b"sealed", NOW).await, RequestAnswered::Same);
    assert_eq!(answer(b"other", NOW).await, RequestAnswered::Taken);
    let consent = async |byte: u8| db.consent_to_device_request([1; 16], vec![byte; 64], NOW).await.unwrap();
    assert_eq!(consent(1).await, RequestAnswered::Done);
    assert_eq!(consent(1).await, RequestAnswered::Same);
    assert_eq!(consent(2).await, RequestAnswered::Taken);

    let answered = db.device_request(&[1; 16], NOW).await.unwrap().unwrap();
    assert_eq!(answered.answer.as_deref(), Some(&b"sealed"[..]));
    assert_eq!(answered.consent.as_deref(), Some(&[1; 64][..]));
    assert_eq!(db.device_request(&[1; 16], NOW + 900).await.unwrap(), None);
    assert_eq!(db.remove_ended_device_requests(NOW + 900).await.unwrap(), 1);
}

async fn waiting_requests_are_bounded(db: &Database) {
    assert!(db.add_device_request(request(1), NOW, 2).await.unwrap());
    assert!(db.add_device_request(request(2), NOW, 2).await.unwrap());
    assert!(!db.add_device_request(request(3), NOW, 2).await.unwrap());
    assert!(db.add_device_request(request(3), NOW + 900, 2).await.unwrap(), "ended ones make place");
}

async fn a_nonce_is_used_once(db: &Database) {
    assert!(db.use_nonce(device(1), [1; 16], NOW).await.unwrap());
    assert!(!db.use_nonce(device(1), [1; 16], NOW).await.unwrap());
    assert!(db.use_nonce(device(2), [1; 16], NOW + 1).await.unwrap());
    assert!(db.use_nonce(device(1), [2; 16], NOW + 1).await.unwrap());

    assert_eq!(db.forget_nonces(NOW + 1).await.unwrap(), 1);
    assert!(!db.use_nonce(device(2), [1; 16], NOW + 1).await.unwrap());
}

async fn an_operator_sees_and_changes_users(db: &Database) {
    with_user(db, 1, 100).await;
    with_user(db, 2, 100).await;

    assert!(db.set_user_quota(user(2), u64::MAX).await.unwrap());
    assert!(!db.set_user_quota(user(3), 1).await.unwrap());

    let users = db.users(None, 10).await.unwrap();
    assert_eq!(users.iter().map(|known| known.user).collect::<Vec<_>>(), [user(1), user(2)]);
    assert_eq!(users[1].quota, i64::MAX as u64);
    assert_eq!(db.users(Some(&user(1)), 10).await.unwrap()[..], users[1..]);
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

async fn a_name_has_one_user_and_a_user_one_name(db: &Database) {
    with_user(db, 1, 100).await;
    with_user(db, 2, 100).await;

    assert_eq!(db.set_name(user(1), name("alice")).await.unwrap(), Named::Done);
    assert_eq!(db.set_name(user(2), name("alice")).await.unwrap(), Named::Taken);
    assert_eq!(db.set_name(user(3), name("carol")).await.unwrap(), Named::NoUser);
    assert_eq!(db.set_name(user(2), name("bob")).await.unwrap(), Named::Done);
    assert_eq!(db.set_name(user(2), name("alice")).await.unwrap(), Named::Taken);
    assert_eq!(db.user_named(&name("bob")).await.unwrap(), Some(user(2)), "a refused change takes no name");
    assert_eq!(db.set_name(user(1), name("alicia")).await.unwrap(), Named::Done);

    assert_eq!(db.user_named(&name("alice")).await.unwrap(), None);
    assert_eq!(db.user_named(&name("alicia")).await.unwrap(), Some(user(1)));
    assert_eq!(db.users(None, 10).await.unwrap()[1].name, "bob");
    assert_eq!(db.user(&user(1)).await.unwrap().unwrap().name, "alicia");
}

async fn a_join_brings_the_name_that_is_wanted_or_the_label(db: &Database) {
    let labelled = |n: u8, label: &str| NewInvite { label: label.to_owned(), ..invite(n, 100) };
    for (n, label) in [(1, "alice"), (2, "alice"), (3, "bob"), (4, "x"), (5, "y"), (6, "two words")] {
        db.add_invite(labelled(n, label)).await.unwrap();
    }
    let wanting = |n, entry, wanted| Join { name: Some(name(wanted)), ..join(n, entry) };
    let name_of = async |n| db.user(&user(n)).await.unwrap().unwrap().name;

    assert_eq!(db.join(join(1, entry(1, 0, &[1]))).await.unwrap(), Joined::Done);
    assert_eq!(db.join(join(2, entry(2, 0, &[2]))).await.unwrap(), Joined::Done, "a label is no wish");
    assert_eq!(db.join(wanting(3, entry(3, 0, &[3]), "alice")).await.unwrap(), Joined::NameTaken);
    assert_eq!(db.user(&user(3)).await.unwrap(), None);
    assert_eq!(db.join(wanting(3, entry(3, 0, &[3]), "carol")).await.unwrap(), Joined::Done);
    assert_eq!(db.join(wanting(4, entry(1, 1, &[1, 4]), "dora")).await.unwrap(), Joined::Done);
    assert_eq!(db.join(wanting(5, entry(2, 1, &[2, 5]), "dora")).await.unwrap(), Joined::Done);
    assert_eq!(db.join(join(6, entry(6, 0, &[6]))).await.unwrap(), Joined::Done);

    assert_eq!((name_of(1).await, name_of(2).await), ("alice".to_owned(), "dora".to_owned()));
    assert_eq!((name_of(3).await, name_of(6).await), ("carol".to_owned(), String::new()));
}

async fn of_many_who_want_a_name_one_gets_it(db: &Database) {
    let tasks: Vec<_> = (1..=20)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                db.add_invite(invite(n, 100)).await.unwrap();
                let wanting = Join { name: Some(name("alice")), ..join(n, entry(n, 0, &[n])) };
                db.join(wanting).await.unwrap()
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        let joined = task.await.unwrap();
        assert!(matches!(joined, Joined::Done | Joined::NameTaken));
        done += u32::from(joined == Joined::Done);
    }

    assert_eq!(done, 1);
}

async fn a_job_is_taken_once_when_it_is_due(db: &Database) {
    assert!(db.claim_job("trash", NOW, NOW - 100).await.unwrap());
    assert!(!db.claim_job("trash", NOW + 99, NOW - 1).await.unwrap());
    assert!(db.claim_job("trash", NOW + 100, NOW).await.unwrap());

    assert_eq!(db.job_ran("trash").await.unwrap(), Some(NOW + 100));
    assert_eq!(db.job_ran("sweep").await.unwrap(), None);
    db.probe(NOW).await.unwrap();
    db.probe(NOW).await.unwrap();
}

async fn access_is_what_the_membership_says(db: &Database) {
    let founded = with_vault(db, 1, 100).await;
    let access = async |u: u8, d: u8| db.access(&founded, &user(u), &device(d)).await.unwrap();
    assert_eq!(access(1, 1).await, Some(Access::Role(Role::Owner)));
    assert_eq!(access(2, 2).await, None);

    // The number of a device where a user's stands, and the other way round, are nobody's.
    let members = vec![
        Member::User(user(1), Role::Owner),
        Member::User(user(2), Role::Reader),
        Member::AppendOnly(device(3)),
    ];
    let effects = Effects { members: Some(members), ..Effects::default() };
    assert_eq!(db.append(statement(1, 1, effects)).await.unwrap(), Appended::Done { held: false });

    assert_eq!(access(2, 9).await, Some(Access::Role(Role::Reader)));
    assert_eq!(access(9, 3).await, Some(Access::AppendOnly));
    assert_eq!(access(2, 3).await, Some(Access::AppendOnly));
    assert_eq!(access(3, 2).await, None);
    let of_device = db.vaults_of(&user(9), &device(3)).await.unwrap();
    assert_eq!(
        of_device.iter().map(|v| (v.vault, v.access)).collect::<Vec<_>>(),
        [(founded, Access::AppendOnly)]
    );
}
