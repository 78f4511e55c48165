//! Grants in a vault that lies in a directory which both can read: what is found there, by whom, and until when.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_tests::assert_same_tree;
use vault_tests::home::stderr;
use vault_tests::mounted::{Mounted, can_mount};

use super::{Directory, Home};

#[test]
fn what_is_given_in_a_directory_is_found_and_read_there() {
    let story = Directory::new();
    let (bob, vault) = (&story.bob, story.vault.as_str());
    let told = story.alice.succeed(&["share", "latest:/Trip", "--to", "bob", "--vault", "./v"]);
    assert!(told.contains("given to bob") && told.contains("bob is unverified"), "{told}");
    assert!(told.contains("--vault ./v"), "{told}");

    let inbox = bob.inbox(&["--vault", vault]);
    let [given] = &inbox[..] else { panic!("{inbox:?}") };
    assert_eq!((&given["from"]["name"], &given["from"]["verified"]), (&json!("alice"), &json!(false)));
    assert_eq!((&given["what"]["name"]["path"], &given["what"]["files"]), (&json!("Trip"), &json!(2)));
    let listed = bob.succeed(&["inbox", "--vault", vault]);
    assert!(listed.contains("alice !") && listed.contains("Trip"), "{listed}");

    let id = &given["grant"].as_str().unwrap()[..8];
    let snapshot = format!("inbox:{id}");
    assert_eq!(bob.succeed(&["ls", &snapshot, "-R", "--vault", vault]), "deep/\ndeep/sea\nletter\n");
    let letter = format!("{snapshot}:/letter");
    assert_eq!(bob.succeed(&["cat", &letter, "--vault", vault]), "Dear Trip,");
    let found = bob.succeed(&["find", "sea", "--snapshot", &snapshot, "--vault", vault]);
    assert!(found.contains("deep/sea"), "{found}");
    bob.succeed(&["get", &id[..4], "--vault", vault, "--target", "got"]);
    assert_same_tree(&story.pictures.join("Trip"), &bob.path("got"));
    bob.succeed(&["restore", &format!("{snapshot}:/deep"), "--vault", vault, "--target", "deep"]);
    assert_same_tree(&story.pictures.join("Trip/deep"), &bob.path("deep"));
    let diff = ["diff", &snapshot, "--source", "got", "--contents", "--exit-code", "--vault", vault];
    bob.succeed(&diff);
    if can_mount() {
        let mounted = Mounted::with(&bob.0.0, &["--vault", vault, "--snapshot", &snapshot]);
        assert_same_tree(&story.pictures.join("Trip"), &mounted.point);
        assert_eq!(mounted.stop(), (Some(0), String::new()));
    }
}

#[test]
fn what_a_grant_cannot_do_is_said() {
    let story = Directory::new();
    let (bob, vault, id) = (&story.bob, story.vault.as_str(), story.share_trip());
    let snapshot = format!("inbox:{id}");

    bob.fail(&["restore", &snapshot, "--in-place", "--yes", "--vault", vault], 2, "where on a machine");
    bob.fail(&["diff", &snapshot, "--vault", vault], 2, "where on a machine");
    bob.fail(&["diff", &snapshot, "latest", "--vault", vault], 2, "by itself");
    bob.fail(&["ls", "inbox:ffff", "--vault", vault], 10, "no grant \"ffff\"");
    bob.fail(&["ls", "inbox:ff", "--vault", vault], 10, "no grant \"ff\"");
    bob.fail(&["get", &id, "--target", "x"], 4, "has joined no server");
    bob.fail(&["share", &snapshot, "--to", "alice"], 10, "no vault called \"inbox\"");
    story.alice.fail(&["link", "latest", "--vault", "./v"], 2, "no vault on a server");
    story.alice.fail(&["share", "latest", "--to", "zoe", "--vault", "./v"], 10, "no contact called");
    let late = ["share", "latest", "--to", "bob", "--expires", "2020-01-01", "--vault", "./v"];
    story.alice.fail(&late, 2, "expired already");
    fs::create_dir(bob.path("full")).unwrap();
    fs::write(bob.path("full/mine"), "mine").unwrap();
    bob.fail(&["get", &id, "--vault", vault, "--target", "full"], 5, "not empty");
    bob.succeed(&["get", &id, "--vault", vault, "--target", "full", "--overwrite", "never"]);
    assert!(bob.path("full/mine").exists() && bob.path("full/letter").exists());
    bob.succeed(&["get", &id, "--vault", vault, "--target", "part", "--exclude", "deep"]);
    assert!(bob.path("part/letter").exists() && !bob.path("part/deep").exists());
}

#[test]
fn nobody_else_opens_it_and_a_stranger_is_not_taken_for_a_friend() {
    let story = Directory::new();
    let (vault, id) = (story.vault.as_str(), story.share_trip());
    let carol = Home::alone();
    carol.takes(&story.alice, "alice");

    assert_eq!(carol.inbox(&["--vault", vault]), Vec::<Value>::new());
    carol.fail(&["get", &id, "--vault", vault, "--target", "x"], 10, "no grant");
    assert!(!carol.path("x").exists());

    story.bob.succeed(&["contact", "remove", "alice"]);
    let words = story.alice.json(&["whoami"])["words"].clone();
    let words: Vec<&str> = words.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let listed = story.bob.succeed(&["inbox", "--vault", vault]);
    assert!(listed.contains(&format!("stranger: {}", words.join(" "))), "{listed}");
    story.bob.fail(&["get", &id, "--vault", vault, "--target", "x"], 4, &words.join(" "));
    story.bob.fail(&["cat", &format!("inbox:{id}:/letter"), "--vault", vault], 4, "from a stranger");
    story.bob.succeed(&["get", &id, "--vault", vault, "--target", "x", "--from-stranger"]);
    assert_same_tree(&story.pictures.join("Trip"), &story.bob.path("x"));
}

#[test]
fn what_was_taken_back_or_is_over_is_not_fetched_any_more() {
    let story = Directory::new();
    let (alice, bob, vault, id) = (&story.alice, &story.bob, story.vault.as_str(), story.share_trip());
    let soon = alice.shares(&["latest:/Trip/letter", "--to", "bob", "--expires", "3s", "--vault", "./v"]);
    let listed = alice.json(&["grants", "--vault", "./v"]);
    let grants = listed["grants"].as_array().unwrap();
    assert_eq!(
        (grants.len(), &grants[0]["to"][0]["name"], &grants[0]["by_me"]),
        (2, &json!("bob"), &json!(true))
    );
    assert_eq!((&grants[0]["what"]["name"]["path"], &grants[0]["fetched"]), (&json!("Trip"), &Value::Null));

    alice.fail(&["revoke", "ffff", "--vault", "./v"], 10, "no grant \"ffff\"");
    let told = alice.succeed(&["revoke", &id[..4], "--vault", "./v"]);
    assert!(told.contains(&id) && told.contains("stays with"), "{told}");

    bob.fail(&["get", &id, "--vault", vault, "--target", "x"], 10, "no grant");
    let begun = Instant::now();
    while alice.json(&["grants", "--vault", "./v"])["grants"][0]["expired"] == false {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(200));
    }
    bob.fail(&["get", &soon[..8], "--vault", vault, "--target", "x"], 10, "has expired");
    assert_eq!(bob.inbox(&["--vault", vault]), Vec::<Value>::new());
    assert!(alice.succeed(&["grants", "--vault", "./v"]).contains("(expired)"));
}

#[test]
fn a_bare_key_opens_what_was_given_to_it() {
    let (alice, carol) = (Home::default(), Home::default());
    alice.write_pictures();
    alice.succeed(&["init", "--vault", "./v", "--pq", "preferred", "--work-factor", "2"]);
    alice.succeed(&["backup", "--vault", "./v", "Pictures"]);
    let key = age::x25519::Identity::generate();
    let secret = age::secrecy::ExposeSecret::expose_secret(&key.to_string()).to_owned();
    fs::write(carol.path("key.txt"), format!("{secret}\n")).unwrap();
    fs::set_permissions(carol.path("key.txt"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    alice.succeed(&["contact", "add", "carol", "--recipient", &key.to_public().to_string()]);

    let id = alice.shares(&["latest:/Trip/letter", "--to", "carol", "--vault", "./v"]);

    let vault = alice.vault();
    let with_key = ["--vault", vault.as_str(), "--identity", "key.txt"];
    let inbox = carol.inbox(&with_key);
    assert_eq!((inbox.len(), &inbox[0]["what"]["name"]["path"]), (1, &json!("letter")), "{inbox:?}");
    let get = ["get", &id[..8], "--target", "got", "--from-stranger"];
    carol.succeed(&[&get[..], &with_key].concat());
    assert_eq!(fs::read_to_string(carol.path("got/letter")).unwrap(), "Dear Trip,");
    let strict = Directory::new().alice;
    strict.succeed(&["contact", "add", "carol", "--recipient", &key.to_public().to_string()]);
    strict.fail(&["share", "latest", "--to", "carol", "--vault", "./v"], 2, "not post-quantum");
}

#[test]
fn who_is_removed_may_have_given_and_received_and_both_can_be_taken_back() {
    for revoke in [false, true] {
        let story = Directory::new();
        let (alice, bob) = (&story.alice, &story.bob);
        let carol = Home::alone();
        bob.takes(&carol, "carol");
        carol.takes(bob, "bob");
        alice.succeed(&["member", "add", "bob", "--role", "editor", "--history", "full", "--vault", "./v"]);
        let pictures = bob.write_pictures();
        bob.succeed(&["backup", "--vault", &story.vault, pictures.to_str().unwrap()]);
        let received = story.share_trip();
        let given = bob.shares(&["latest:/Secret", "--to", "carol", "--vault", &story.vault]);
        let by_bob = alice.json(&["grants", "--vault", "./v"])["grants"][1].clone();
        assert_eq!((&by_bob["by_me"], &by_bob["what"]["name"]["path"]), (&json!(false), &json!("Secret")));
        assert!(alice.succeed(&["grants", "--vault", "./v"]).contains("by bob"));

        let mut remove = vec!["member", "remove", "bob", "--vault", "./v"];
        remove.extend(revoke.then_some("--revoke-grants"));
        let removed = alice.json(&remove);

        let grants = removed["grants"].as_array().unwrap();
        let of = |given: bool| grants.iter().find(|one| one["given_by_them"] == given).unwrap();
        assert_eq!((grants.len(), &of(true)["grant"]), (2, &json!(given)), "{removed}");
        assert!(of(false)["grant"].as_str().unwrap().starts_with(&received), "{removed}");
        assert!(grants.iter().all(|one| one["revoked"] == revoke), "{removed}");
        let left = alice.json(&["grants", "--vault", "./v"])["grants"].as_array().unwrap().len();
        assert_eq!(left, if revoke { 0 } else { 2 });
        // What somebody gave who is no member any more is theirs all the same, until it is taken back.
        let get = carol.run(&["get", &given[..8], "--vault", &story.vault, "--target", "got"]);
        assert_eq!(get.status.code(), Some(if revoke { 10 } else { 0 }), "{}", stderr(&get));
    }
}
