//! Joining: one invite, one user, and nobody who only saw the traffic.

use vault_core::log::testing::{Machine, Person};
use vault_core::wire::invite::InviteUrl;
use vault_core::wire::v1::join::JoinAnswer;
use vault_server::invites::NO_LIMIT;
use vault_tests::TestServer;
use vault_tests::server::card;

#[test]
fn the_first_invite_is_made_by_the_server_and_only_once() {
    let mut server = TestServer::start();
    let url = server.running().invite.clone().unwrap();
    let invite = InviteUrl::parse(&url).unwrap();
    let entry = card(&Person::new(1), &[&Machine::new(11)]);

    let joined: JoinAnswer = server.try_join(&invite, &entry).parse();
    assert!(invite.auth().verify_joined(&joined.receipt_key, &entry, &joined.mac.0).is_ok());
    assert_eq!(invite.pin.map(|pin| pin.0), server.running().pin);
    server.restart();
    assert_eq!(server.running().invite, None);
}

#[test]
fn an_invite_is_for_one_user_and_may_be_asked_twice_by_that_one() {
    let server = TestServer::start();
    let invite = server.invite(NO_LIMIT);
    let entry = card(&Person::new(1), &[&Machine::new(11)]);

    assert_eq!(server.try_join(&invite, &entry).status, 200);
    assert_eq!(server.try_join(&invite, &entry).status, 200);
    let other = server.try_join(&invite, &card(&Person::new(2), &[&Machine::new(12)]));
    assert_eq!(other.problem(), (410, "invite_used".to_owned()));
}

#[test]
fn five_wrong_secrets_use_an_invite_up() {
    let server = TestServer::start();
    let (invite, other) = (server.invite(NO_LIMIT), server.invite(NO_LIMIT));
    let wrong = InviteUrl { invite: invite.invite, ..other };
    let entry = card(&Person::new(1), &[&Machine::new(11)]);

    for _ in 0..5 {
        assert_eq!(server.try_join(&wrong, &entry).problem(), (410, "invite_used".to_owned()));
    }
    assert_eq!(server.try_join(&invite, &entry).problem(), (410, "invite_used".to_owned()));
}

#[test]
fn an_invite_expires_by_the_servers_clock() {
    let server = TestServer::start();
    let invite = server.invite(NO_LIMIT);
    server.clock.add_seconds(2 * 3600);

    let late = server.try_join(&invite, &card(&Person::new(1), &[&Machine::new(11)]));

    assert_eq!(late.problem(), (410, "expired".to_owned()));
}

#[test]
fn a_device_is_on_one_card_only() {
    let server = TestServer::start();
    server.join(&Person::new(1), &[&Machine::new(11)]);

    let stolen = server.try_join(&server.invite(NO_LIMIT), &card(&Person::new(2), &[&Machine::new(11)]));

    assert_eq!(stolen.problem(), (422, "entry_refused".to_owned()));
}

#[test]
fn an_entry_that_its_user_has_not_signed_is_refused() {
    let server = TestServer::start();
    let mut entry = card(&Person::new(1), &[&Machine::new(11)]);
    let last = entry.len() - 1;
    entry[last] ^= 1;

    let refused = server.try_join(&server.invite(NO_LIMIT), &entry);

    assert_eq!(refused.problem(), (422, "entry_refused".to_owned()));
}
