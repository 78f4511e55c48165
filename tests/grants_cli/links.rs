//! Links: what whoever has one needs, what it costs, and what a server never sees of it.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::json;
use vault_tests::home::stderr;
use vault_tests::{Machine, assert_same_tree};

use super::Served;

#[test]
fn a_link_opens_without_anything_on_the_machine_as_often_as_it_may() {
    let story = Served::new();
    fs::write(story.alice.path("secret"), "vier Igel\n").unwrap();
    let url = story.link(&["--max-downloads", "2", "--expires", "7d", "--link-passphrase-file", "secret"]);
    let guest = Machine::new();
    let get = |url: &str, target: &str, passphrase: Option<&str>| {
        let mut command = guest.command(["get", url, "--target", target]);
        command.env_remove("VAULT_PASSPHRASE").env_remove("VAULT_LOCATION");
        if let Some(passphrase) = passphrase {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), passphrase).unwrap();
            return command.arg("--link-passphrase-file").arg(file.path()).output().unwrap();
        }
        command.output().unwrap()
    };

    // A wrong passphrase costs no download.
    for _ in 0..3 {
        let wrong = get(&url, "x", Some("vier Hasen"));
        assert_eq!(wrong.status.code(), Some(4), "{}", stderr(&wrong));
        let none = get(&url, "x", None);
        assert!(none.status.code() == Some(4) && stderr(&none).contains("--link-passphrase-file"));
    }
    for target in ["first", "second"] {
        let output = get(&url, target, Some("vier Igel"));
        assert!(output.status.success(), "{}", stderr(&output));
        assert_same_tree(&story.pictures.join("Trip"), &guest.home().join(target));
    }
    let third = get(&url, "third", Some("vier Igel"));
    assert!(third.status.code() == Some(10) && stderr(&third).contains("as often as it may be"));
    let mut left: Vec<_> =
        fs::read_dir(guest.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["first", "second"], "no configuration, no state, no cache");
    let listed = story.alice.json(&["grants", "--vault", "photos"])["grants"][0].clone();
    assert_eq!((&listed["link"], &listed["fetched"]), (&json!(true), &json!(2)));

    let (before, _) = url.split_at(url.find('#').unwrap() + 1);
    let pin = url.rsplit_once('.').unwrap().1;
    let other = get(&format!("{before}{}.{pin}", "A".repeat(43)), "x", None);
    assert!(
        other.status.code() == Some(10) && stderr(&other).contains("knows no such link"),
        "{}",
        stderr(&other)
    );
    let cut = get(&url[..url.len() - 50], "x", None);
    assert!(cut.status.code() == Some(2) && stderr(&cut).contains("not a link"), "{}", stderr(&cut));
    story.alice.succeed(&["revoke", listed["grant"].as_str().unwrap(), "--vault", "photos"]);
    let revoked = get(&url, "x", Some("vier Igel"));
    let text = stderr(&revoked);
    assert!(revoked.status.code() == Some(10) && text.contains("knows no such link"), "{text}");
}

#[test]
fn a_link_ends_and_its_url_may_come_from_standard_input() {
    let story = Served::new();
    let url = story.link(&["--expires", "1d"]);
    let get = |target: &str| {
        let mut get = story.bob.command(&["get", "-", "--target", target]);
        let mut get = get.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        get.stdin.take().unwrap().write_all(url.as_bytes()).unwrap();
        get.wait_with_output().unwrap()
    };

    assert!(get("got").status.success());
    assert_same_tree(&story.pictures.join("Trip"), &story.bob.path("got"));
    story.server.clock.add_seconds(2 * 86_400);
    let late = get("late");
    assert!(
        late.status.code() == Some(10) && stderr(&late).contains("knows no such link"),
        "{}",
        stderr(&late)
    );
}

#[test]
fn no_request_has_anything_of_the_secret_in_a_link() {
    let story = Served::new();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&asked);
    story.liar.lie(move |request, ask| {
        record.lock().unwrap().push(request.bytes().to_vec());
        ask()
    });

    let url = story.link(&[]);
    story.bob.succeed(&["get", &url, "--target", "got"]);
    assert_same_tree(&story.pictures.join("Trip"), &story.bob.path("got"));

    let fragment = url.split_once('#').unwrap().1;
    let secret = fragment.split_once('.').map_or(fragment, |(secret, _)| secret);
    let raw = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, secret).unwrap();
    let in_hex = hex::encode(&raw);
    let asked = asked.lock().unwrap();
    assert!(asked.iter().any(|bytes| bytes.starts_with(b"GET /v1/links/")), "the proxy saw it");
    for bytes in asked.iter() {
        for needle in [secret.as_bytes(), &raw, in_hex.as_bytes(), &secret.as_bytes()[..22], &raw[..16]] {
            assert!(!bytes.windows(needle.len()).any(|part| part == needle));
        }
    }
}
