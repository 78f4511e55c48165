//! Contacts, as people use them: who finds whom, what two people compare, and every way in which a server could put somebody else
//! in a person's place.
//!
//! Where a server lies, something stands before it that has its key. Each alarm ends with exit code 8 and changes nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use vault_core::id::UserId;
use vault_core::wire::entries::EntriesWriter;
use vault_core::wire::invite::InviteUrl;
use vault_core::wire::{Millis, Receipt};
use vault_tests::{Answer, Asked, Liar, TestServer};

/// A machine of one person.
#[derive(Default)]
struct Home(vault_tests::Home);

impl std::ops::Deref for Home {
    type Target = vault_tests::Home;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Home {
    /// A machine of somebody who has joined with a name.
    fn joined(invite: &InviteUrl, name: &str) -> Self {
        let home = Self::default();
        home.succeed(&["join", invite.expose().as_str(), "--name", name, "--work-factor", "2"]);
        home
    }

    /// Everything that the machine knows of its contacts.
    fn contacts(&self) -> Value {
        self.json(&["contact", "list"])["contacts"].clone()
    }

    /// The words that both see, as this machine shows them.
    fn compare(&self, name: &str) -> String {
        words(&self.json(&["contact", "show", name])["compare"])
    }

    fn user(&self) -> UserId {
        UserId::parse(self.json(&["whoami"])["user"].as_str().unwrap()).unwrap()
    }

    /// Fails with an alarm that says this, and nothing is changed by it.
    #[track_caller]
    fn alarmed(&self, arguments: &[&str], says: &str) {
        let before = self.contacts();
        self.fail(arguments, 8, says);
        assert_eq!(self.contacts(), before);
    }

    /// What the machine remembers of its only server.
    fn server_file(&self) -> PathBuf {
        let entries = fs::read_dir(self.path(".local/state/vault/servers")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.extension().is_some()).unwrap()
    }

    /// As if a day had gone by since this machine looked itself up.
    fn let_a_day_pass(&self) {
        let path = self.server_file();
        let mut known: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        known["audited"] = json!(known["audited"].as_i64().unwrap() - 24 * 60 * 60);
        fs::write(&path, known.to_string()).unwrap();
    }
}

/// A server that may lie, and three people who have joined it.
struct Story {
    server: TestServer,
    liar: Liar,
    alice: Home,
    bob: Home,
    mallory: Home,
}

impl Story {
    fn new() -> Self {
        let server = TestServer::start();
        let liar = Liar::before(&server);
        let join = |name| Home::joined(&liar.invite(&server), name);
        let (alice, bob, mallory) = (join("alice"), join("bob"), join("mallory"));
        Self { server, liar, alice, bob, mallory }
    }

    /// From now on a name leads to another user.
    fn lie_about(&self, name: &'static str, user: UserId) {
        self.liar.lie(move |asked, ask| match ask() {
            answer if asked.target == format!("/v1/directory/{name}") => {
                let body = json!({ "user": user.to_hex() }).to_string();
                Answer { status: 200, ..answer }.with_body(body)
            }
            answer => answer,
        });
    }

    /// From now on a user's card has these entries.
    fn show_card(&self, user: UserId, entries: Vec<Vec<u8>>) {
        self.liar.lie(move |asked, ask| match ask() {
            answer if asked.is("GET", &format!("/v1/cards/{user}")) => {
                let mut writer = EntriesWriter::new();
                for entry in entries.iter().skip(from(asked)) {
                    assert!(writer.push(&Receipt::unsigned(Millis(1)), entry));
                }
                answer.with_body(writer.finish())
            }
            answer => answer,
        });
    }

    /// The card of a user as it is.
    fn card(&self, user: UserId) -> Vec<Vec<u8>> {
        entries_of(&self.server, user)
    }
}

fn entries_of(server: &TestServer, user: UserId) -> Vec<Vec<u8>> {
    let entries = server.with_db(async |db| db.card(&user, 0, 1 << 20).await.unwrap());
    entries.into_iter().map(|entry| entry.entry).collect()
}

/// The first entry that a request for a card asks for.
fn from(asked: &Asked) -> usize {
    asked.target.split_once("from=").unwrap().1.parse().unwrap()
}

fn words(list: &Value) -> String {
    let words: Vec<&str> = list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    words.join(" ")
}

#[test]
fn two_people_find_each_other_and_see_the_same_words() {
    let story = Story::new();
    let (alice, bob) = (&story.alice, &story.bob);

    let added = alice.succeed(&["contact", "add", "bob"]);
    assert!(added.contains("bob is a contact now, unverified"), "{added}");
    bob.succeed(&["contact", "add", "alice", "--as", "ally"]);

    let seen = alice.compare("bob");
    assert_eq!((seen.split(' ').count(), bob.compare("ally")), (12, seen.clone()));
    alice.fail(&["contact", "verify", "bob"], 2, "no terminal");
    alice.alarmed(&["contact", "verify", "bob", "--yes-words", &"zoo ".repeat(12)], "not those of bob");
    alice.succeed(&["contact", "verify", "bob", "--yes-words", &seen]);
    bob.succeed(&["contact", "verify", "ally", "--yes-words", &words(&alice.json(&["whoami"])["words"])]);
    assert!(alice.contacts()[0]["verified"].is_string() && bob.contacts()[0]["verified"].is_string());

    let again = alice.json(&["contact", "add", "bob"]);
    assert!(again["known"] == true && again["contact"]["verified"].is_string(), "{again}");
    alice.fail(&["contact", "add", "bob", "--as", "robert"], 5, "your contact bob already");
    alice.fail(&["contact", "add", "alice"], 2, "alice is you");
    alice.fail(&["contact", "add", "nobody"], 10, "nobody on https://");
    alice.succeed(&["contact", "remove", "bob"]);
    alice.fail(&["contact", "show", "bob"], 10, "no contact called");
}

#[test]
fn the_kit_brings_contacts_back_and_puts_nobody_else_in_their_place() {
    let story = Story::new();
    let alice = &story.alice;
    fs::create_dir_all(alice.path("docs")).unwrap();
    fs::write(alice.path("docs/letter"), "dear diary").unwrap();
    alice.succeed(&["backup", "--init", "--vault", "team", "docs"]);
    alice.succeed(&["contact", "add", "bob"]);
    alice.succeed(&["contact", "add", "mallory", "--as", "mal"]);
    alice.succeed(&[
        "contact",
        "verify",
        "bob",
        "--yes-words",
        &words(&story.bob.json(&["whoami"])["words"]),
    ]);
    alice.succeed(&["recovery", "kit", "--output", "kit.txt", "--vault", "team"]);
    let restored = |bare: &Home| {
        fs::copy(alice.path("kit.txt"), bare.path("kit.txt")).unwrap();
        bare.json(&["recovery", "restore", "--kit", "kit.txt"])["contacts"].clone()
    };

    let bare = Home::default();
    assert_eq!(restored(&bare), 2);
    let who = |home: &Home| {
        let all = home.contacts();
        let all = all.as_array().unwrap().iter();
        all.map(|one| (one["name"].clone(), one["user"].clone(), one["verified"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(who(&bare), who(alice));

    // A server that shows Mallory's card for Bob's: his id is not hers, and he is not taken on.
    story.show_card(story.bob.user(), story.card(story.mallory.user()));
    let other = Home::default();
    assert_eq!(restored(&other), 1);
    assert_eq!(other.contacts()[0]["name"], "mal");
}

#[test]
fn a_name_that_is_taken_or_no_name_is_refused_before_the_invite_is_used() {
    let server = TestServer::start();
    let invite = server.invite(1 << 30);
    let _alice = Home::joined(&server.invite(1 << 30), "alice");
    let other = Home::default();
    let join =
        |name| ["join", invite.expose().as_str(), "--name", name, "--work-factor", "2"].map(str::to_owned);
    let run = |name| {
        let arguments = join(name);
        other.run(&arguments.each_ref().map(String::as_str)).status.code()
    };

    assert_eq!(run("Alice"), Some(2));
    assert_eq!(run("alice"), Some(5));
    assert_eq!(run("alicia"), Some(0));
    assert_eq!(other.json(&["whoami"])["servers"][0]["name"], "alicia");
}

#[test]
fn a_key_that_is_swapped_at_first_contact_shows_other_words() {
    let story = Story::new();
    story.bob.succeed(&["contact", "add", "alice"]);
    story.lie_about("bob", story.mallory.user());

    story.alice.succeed(&["contact", "add", "bob"]);

    // What Bob reads out is not what Alice sees, in whichever way they compare.
    story.alice.alarmed(
        &["contact", "verify", "bob", "--yes-words", &story.bob.compare("alice")],
        "not those of bob",
    );
    let of_bob = words(&story.bob.json(&["whoami"])["words"]);
    story.alice.alarmed(&["contact", "verify", "bob", "--yes-words", &of_bob], "not those of bob");
    // And when the server tells the truth again, the lie is seen.
    story.liar.tell_the_truth();
    story.alice.alarmed(&["contact", "show", "bob"], "is another user than before");
}

#[test]
fn a_name_that_leads_to_another_later_is_an_alarm() {
    let story = Story::new();
    story.alice.succeed(&["contact", "add", "bob"]);
    story.lie_about("bob", story.mallory.user());

    for command in
        [&["contact", "show", "bob"][..], &["contact", "add", "bob"], &["contact", "verify", "bob"]]
    {
        story.alice.alarmed(command, "is another user than before");
    }
    story.liar.lie(|asked, ask| match ask() {
        answer if asked.is("GET", "/v1/directory/") => {
            let problem = json!({ "code": "not_found", "status": 404 }).to_string();
            let answer = answer.with_header("content-type", "application/problem+json");
            Answer { status: 404, ..answer }.with_body(problem)
        }
        answer => answer,
    });
    story.alice.alarmed(&["contact", "show", "bob"], "found nobody");
    story.liar.tell_the_truth();
    story.alice.succeed(&["contact", "show", "bob"]);
}

#[test]
fn a_card_that_begins_anew_or_is_anothers_is_an_alarm() {
    let story = Story::new();
    story.alice.succeed(&["contact", "add", "bob"]);
    let bob = story.bob.user();
    // The same Bob on another server: his root key signs that card too, and it is not the one that Alice knows.
    let elsewhere = TestServer::start();
    let second = Home::default();
    fs::create_dir_all(second.path(".config/vault")).unwrap();
    fs::copy(story.bob.path(".config/vault/identity.age"), second.path(".config/vault/identity.age"))
        .unwrap();
    second.succeed(&["join", elsewhere.invite(1 << 30).expose().as_str(), "--name", "bob"]);
    assert_eq!(second.user(), bob);

    story.show_card(bob, entries_of(&elsewhere, bob));
    story.alice.alarmed(&["contact", "show", "bob"], "begins with");
    story.show_card(bob, story.card(story.mallory.user()));
    story.alice.alarmed(&["contact", "show", "bob"], "belongs to");
    story.show_card(bob, Vec::new());
    story.alice.alarmed(&["contact", "show", "bob"], "no card is shown");
}

#[test]
fn a_card_that_goes_back_is_an_alarm() {
    let story = Story::new();
    let bob = story.bob.user();
    story.alice.succeed(&["contact", "add", "bob"]);
    let again = story.liar.invite(&story.server);
    fs::remove_file(story.bob.path(".config/vault/device.key")).unwrap();
    story.bob.succeed(&["join", again.expose().as_str(), "--again"]);
    let all = story.card(bob);
    assert_eq!(all.len(), 2);

    let shown = story.alice.json(&["contact", "show", "bob"]);
    assert_eq!(shown["devices"].as_array().unwrap().len(), 3, "the new device is taken up: {shown}");
    story.show_card(bob, all[..1].to_vec());

    story.alice.alarmed(&["contact", "show", "bob"], "without entry 1");
    story.alice.alarmed(&["contact", "add", "bob"], "without entry 1");
    story.liar.tell_the_truth();
    story.alice.succeed(&["contact", "show", "bob"]);
}

#[test]
fn a_machine_looks_itself_up_once_a_day() {
    let story = Story::new();
    let alice = &story.alice;
    story.lie_about("alice", story.mallory.user());

    // It has just joined.
    alice.succeed(&["device", "list"]);
    alice.let_a_day_pass();
    for command in [&["device", "list"][..], &["whoami"], &["vaults"], &["contact", "add", "bob"]] {
        alice.fail(command, 8, "under your name alice");
    }
    story.liar.tell_the_truth();
    alice.succeed(&["device", "list"]);
    story.lie_about("alice", story.mallory.user());
    alice.succeed(&["device", "list"]);
}

#[test]
fn a_backup_is_made_before_the_alarm() {
    let story = Story::new();
    let alice = &story.alice;
    fs::create_dir(alice.path("Pictures")).unwrap();
    fs::write(alice.path("Pictures/letter"), "Dear friend,").unwrap();
    alice.succeed(&["backup", "--init", "--vault", "photos", "Pictures"]);
    alice.let_a_day_pass();
    story.lie_about("alice", story.mallory.user());

    alice.fail(&["backup", "--vault", "photos", "Pictures"], 8, "under your name alice");
    alice.fail(&["restore", "photos:latest", "--target", "restored"], 8, "under your name alice");

    assert_eq!(fs::read_to_string(alice.path("restored/letter")).unwrap(), "Dear friend,");
    story.liar.tell_the_truth();
    let snapshots = alice.json(&["snapshots", "--vault", "photos"]);
    assert_eq!(snapshots["snapshots"].as_array().unwrap().len(), 2, "{snapshots}");
}

#[test]
fn ones_own_card_that_goes_back_or_forks_is_an_alarm() {
    let story = Story::new();
    let user = story.alice.user();
    let again = story.liar.invite(&story.server);
    fs::remove_file(story.alice.path(".config/vault/device.key")).unwrap();
    story.alice.succeed(&["join", again.expose().as_str(), "--again"]);
    story.alice.let_a_day_pass();

    story.show_card(user, story.card(user)[..1].to_vec());
    story.alice.fail(&["device", "list"], 8, "your own card");
    story.alice.fail(&["whoami", "--card"], 8, "your own card");
    story.liar.tell_the_truth();
    story.alice.succeed(&["whoami", "--card"]);
}

#[test]
fn cards_are_handed_over_without_any_server() {
    let (alice, bob) = (Home::default(), Home::default());
    for (home, file) in [(&alice, "alice.card"), (&bob, "bob.card")] {
        home.succeed(&["init", "--vault", "./v", "--work-factor", "2"]);
        home.succeed(&["whoami", "--card", file]);
        home.fail(&["whoami", "--card", file], 5, "exists already");
    }
    let card = fs::read_to_string(bob.path("bob.card")).unwrap();
    assert_eq!(bob.succeed(&["whoami", "--card"]), card, "it is the same each time");
    fs::write(alice.path("bob.card"), card.replace('\n', "\r\n")).unwrap();
    fs::copy(alice.path("alice.card"), bob.path("alice.card")).unwrap();

    alice.succeed(&["contact", "add", "bob", "--card", "bob.card"]);
    bob.succeed(&["contact", "add", "alice", "--card", "alice.card"]);

    assert_eq!(alice.compare("bob"), bob.compare("alice"));
    assert_eq!(alice.json(&["contact", "add", "bob", "--card", "bob.card"])["known"], true);
    alice.fail(&["contact", "add", "me", "--card", "alice.card"], 2, "me is you");
    bob.fail(&["contact", "add", "alice", "--card", "bob.card"], 2, "alice is you");
    let third = Home::default();
    third.succeed(&["init", "--vault", "./v", "--work-factor", "2"]);
    fs::write(alice.path("third.card"), third.succeed(&["whoami", "--card"])).unwrap();
    alice.alarmed(&["contact", "add", "bob", "--card", "third.card"], "bob is another one than before");
    fs::write(alice.path("cut.card"), &card[..card.len() / 2]).unwrap();
    alice.fail(&["contact", "add", "cut", "--card", "cut.card"], 2, "not a contact card");
}

#[test]
fn a_card_that_was_handed_over_goes_on_at_a_server() {
    let bob = Home::default();
    bob.succeed(&["init", "--vault", "./v", "--work-factor", "2"]);
    let card = bob.succeed(&["whoami", "--card"]);
    let server = TestServer::start();
    let alice = Home::joined(&server.invite(1 << 30), "alice");
    fs::write(alice.path("bob.card"), &card).unwrap();
    alice.succeed(&["contact", "add", "bob", "--card", "bob.card"]);
    alice.succeed(&["contact", "verify", "bob", "--yes-words", &alice.compare("bob")]);

    bob.succeed(&["join", server.invite(1 << 30).expose().as_str(), "--name", "bob"]);
    let added = alice.json(&["contact", "add", "bob"]);

    assert!(added["known"] == true && added["contact"]["called"] == "bob", "{added}");
    assert!(added["contact"]["verified"].is_string(), "the same root key: {added}");
    // The older card takes nothing away.
    alice.succeed(&["contact", "add", "bob", "--card", "bob.card"]);
    assert_eq!(alice.contacts()[0]["called"], "bob");
}
