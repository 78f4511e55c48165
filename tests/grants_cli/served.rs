//! Grants on a server: found, fetched and counted there, and shown to be from whom they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use vault_tests::assert_same_tree;
use vault_tests::home::stderr;

use super::{Home, Served};

#[test]
fn what_is_given_on_a_server_is_found_fetched_and_counted() {
    let story = Served::new();
    let (alice, bob) = (&story.alice, &story.bob);
    let id = story.share_trip();

    let inbox = bob.inbox(&[]);
    assert_eq!(
        (inbox.len(), &inbox[0]["grant"], &inbox[0]["from"]["name"]),
        (1, &json!(id), &json!("alice"))
    );
    assert_eq!(inbox[0]["what"]["files"], 2);
    assert_eq!(bob.succeed(&["cat", &format!("inbox:{}:letter", &id[..8])]), "Dear Trip,");
    bob.succeed(&["ls", &format!("inbox:{}", &id[..4])]);
    let got = bob.json(&["get", &id[..8], "--target", "got"]);
    assert_eq!((&got["command"], &got["from"]["name"]), (&json!("get"), &json!("alice")));
    assert_same_tree(&story.pictures.join("Trip"), &bob.path("got"));

    let listed = alice.json(&["grants", "--vault", "photos"])["grants"][0].clone();
    assert_eq!(
        (&listed["fetched"], &listed["to"][0]["name"]),
        (&json!(2), &json!("bob")),
        "cat and get, not ls"
    );
    assert!(listed["last_fetched"].is_string());
    // Without a passphrase it is not known what it is, but that it is there.
    let output = bob.command(&["--json", "inbox"]).env_remove("VAULT_PASSPHRASE").output().unwrap();
    let without: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&without["grants"][0]["grant"], &without["grants"][0]["what"]), (&json!(id), &Value::Null));

    alice.succeed(&["revoke", &id[..8], "--vault", "photos"]);
    bob.fail(&["get", &id[..8], "--target", "again"], 10, "no grant");
    assert_eq!(bob.inbox(&[]), Vec::<Value>::new());
}

#[test]
fn a_grant_on_a_server_ends_by_its_clock() {
    let story = Served::new();
    let id = story.share_trip();

    story.server.clock.add_seconds(31 * 86_400);

    story.bob.fail(&["get", &id[..8], "--target", "x"], 10, "no grant");
    assert!(!story.bob.path("x").exists());
}

#[test]
fn what_ends_while_it_is_fetched_is_not_taken_for_damage() {
    let story = Served::new();
    let id = story.share_trip();
    let url = story.link(&["--expires", "60d"]);

    for (what, target) in [(&id[..8], "granted"), (&url, "linked")] {
        let (clock, has_ended) = (Arc::clone(&story.server.clock), AtomicBool::new(false));
        story.liar.lie(move |asked, ask| {
            let fetches = asked.is("GET", "/objects/packs/") && asked.range().is_some();
            if fetches && !has_ended.swap(true, Ordering::SeqCst) {
                clock.add_seconds(31 * 86_400);
            }
            ask()
        });
        story.bob.fail(&["get", what, "--target", target], 10, "has ended, or was taken back");
        assert!(!story.bob.path(target).join("letter").exists());
    }
}

#[test]
fn who_has_no_account_there_is_given_a_link() {
    let story = Served::new();
    let alice = &story.alice;
    let key = age::x25519::Identity::generate().to_public().to_string();
    alice.succeed(&["contact", "add", "carol", "--recipient", &key]);
    let dora = Home::alone();
    alice.takes(&dora, "dora");

    for name in ["carol", "dora"] {
        alice.fail(&["share", "photos:latest:/Trip", "--to", name], 2, "has no account on https://");
    }
}

#[test]
fn a_grant_that_somebody_else_has_made_is_an_alarm() {
    let story = Served::new();
    let mallory = Home::joined(&story.liar.invite(&story.server), "mallory");
    mallory.succeed(&["contact", "add", "bob"]);
    mallory.write_pictures();
    mallory.succeed(&["backup", "--init", "--vault", "evil", "Pictures"]);
    let good = story.share_trip();
    let evil = mallory.shares(&["evil:latest:/Secret", "--to", "bob"]);
    let alice = story.alice.json(&["whoami"])["user"].as_str().unwrap().to_owned();

    // What Mallory gave is said to be from Alice.
    let (id, from) = (evil.clone(), alice.clone());
    story.liar.lie(move |asked, ask| match ask() {
        answer if asked.is("GET", "/v1/inbox") => {
            let mut page = answer.json();
            for grant in page["grants"].as_array_mut().unwrap() {
                if grant["grant"] == *id {
                    grant["from"] = json!(from);
                }
            }
            answer.with_body(page.to_string())
        }
        answer => answer,
    });
    story.bob.fail(&["get", &evil[..8], "--target", "x"], 8, "is not theirs");
    let output = story.bob.run(&["inbox"]);
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.contains(&good[..8]) && !listed.contains(&evil[..8]), "{listed}");

    // Mallory's statement stands in the place of Alice's.
    story.liar.tell_the_truth();
    story.bob.fail(&["ls", &format!("inbox:{}", &evil[..8])], 4, "from a stranger");
    let stolen = story.liar.said()[&format!("GET /v1/grants/{evil}")].clone();
    let target = format!("/v1/grants/{good}");
    story.liar.lie(move |asked, ask| match ask() {
        _ if asked.method == "GET" && asked.target == target => stolen.clone(),
        answer => answer,
    });
    story.bob.fail(&["get", &good[..8], "--target", "x"], 8, "cannot be trusted");
    assert!(!story.bob.path("x").exists());
}
