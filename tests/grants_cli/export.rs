//! Files for people who have no vault: they open with other programs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use vault_tests::assert_same_tree;

use super::Directory;

/// Opens an age file, and unpacks the archive in it with the program `tar`.
fn open_and_unpack(file: &Path, key: &age::x25519::Identity, target: &Path) {
    let file = fs::read(file).unwrap();
    let mut archive = Vec::new();
    let decryptor = age::Decryptor::new_buffered(&file[..]).unwrap();
    let mut reader = decryptor.decrypt(std::iter::once(key as &dyn age::Identity)).unwrap();
    reader.read_to_end(&mut archive).unwrap();
    fs::create_dir(target).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--file=-", "--directory"]).arg(target).stdin(Stdio::piped());
    let mut tar = tar.spawn().unwrap();
    tar.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(tar.wait().unwrap().success());
}

#[test]
fn an_exported_file_opens_with_age_and_tar_alone() {
    let story = Directory::new();
    let alice = &story.alice;
    let key = age::x25519::Identity::generate();
    let recipient = key.to_public().to_string();

    let export = |what: &str, file: &str| {
        alice.succeed(&["export", what, "--to", &recipient, "-o", file, "--vault", "./v"])
    };
    let told = export("latest:/Trip", "trip.tar.age");
    assert!(told.contains("sealed into trip.tar.age"), "{told}");
    export("latest:/Trip/letter", "letter.tar.age");

    open_and_unpack(&alice.path("trip.tar.age"), &key, &alice.path("out"));
    assert_same_tree(&story.pictures.join("Trip"), &alice.path("out"));
    open_and_unpack(&alice.path("letter.tar.age"), &key, &alice.path("one"));
    assert_eq!(fs::read_to_string(alice.path("one/letter")).unwrap(), "Dear Trip,");
    assert_eq!(fs::read_dir(alice.path("one")).unwrap().count(), 1);

    let to = |to: &[&str], file: &str| -> Vec<String> {
        let to = to.iter().flat_map(|name| ["--to", name]);
        ["export", "latest"]
            .into_iter()
            .chain(to)
            .chain(["-o", file, "--vault", "./v"])
            .map(str::to_owned)
            .collect()
    };
    let fail = |arguments: Vec<String>, code, says| {
        alice.fail(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), code, says);
    };
    fail(to(&[&recipient], "trip.tar.age"), 5, "exists already");
    fail(to(&[&recipient, "bob"], "mixed"), 2, "cannot seal into");
    fail(to(&["zoe"], "x"), 10, "no contact called");
    fail(to(&["age1x"], "x"), 2, "not a recipient");
    assert!(!alice.path("mixed").exists() && !alice.path("x").exists());
    let document = alice.json(&["export", "latest", "--to", "bob", "-o", "bob.age", "--vault", "./v"]);
    assert_eq!(
        (&document["to"][0]["name"], &document["to"][0]["post_quantum"]),
        (&json!("bob"), &json!(true))
    );
    let output = alice.run(&["export", "latest", "--to", &recipient, "-o", "-", "--vault", "./v"]);
    assert!(output.status.success() && output.stdout.starts_with(b"age-encryption.org/v1\n"));
}
