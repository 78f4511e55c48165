//! The program `vault` against a server, as people use the two: from the first run to the loss of every machine.
//!
//! Each test has a server and machines of its own; nothing but the program's arguments, output and exit codes is looked at.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;
use vault_core::wire::authority::Pin;
use vault_tests::home::stderr;
use vault_tests::mounted::{Mounted, can_mount};
use vault_tests::{Answer, Liar, TestServer, assert_same_tree, noise};

/// A machine of somebody who keeps pictures.
#[derive(Default)]
struct Home(vault_tests::Home);

impl std::ops::Deref for Home {
    type Target = vault_tests::Home;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Home {
    /// A machine of a new user of the server.
    fn joined(server: &TestServer, quota: u64) -> Self {
        let home = Self::default();
        home.join(server, quota);
        home
    }

    fn join(&self, server: &TestServer, quota: u64) {
        self.succeed(&["join", server.invite(quota).expose().as_str(), "--work-factor", "2"]);
    }

    /// The id of the only vault on servers.
    fn vault_id(&self) -> String {
        self.json(&["vaults"])["vaults"][0]["vault"].as_str().unwrap().to_owned()
    }

    /// A directory with a letter, and so many bytes.
    fn write_pictures(&self, bytes: usize) -> PathBuf {
        let pictures = self.path("Pictures");
        fs::create_dir_all(pictures.join("Trip")).unwrap();
        fs::write(pictures.join("Trip/letter"), "Dear friend,").unwrap();
        fs::write(pictures.join("Trip/sea"), noise(7, bytes)).unwrap();
        pictures
    }

    /// Makes the vault `photos` with the pictures in it.
    fn back_up_pictures(&self, bytes: usize) -> PathBuf {
        let pictures = self.write_pictures(bytes);
        self.succeed(&["backup", "--init", "--vault", "photos", pictures.to_str().unwrap()]);
        pictures
    }
}

/// Whether something of that name is below a directory.
fn keeps(directory: &Path, name: &str) -> bool {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut entries = entries.collect::<Vec<_>>().into_iter();
    entries.any(|path| path.ends_with(name) || path.is_dir() && keeps(&path, name))
}

#[test]
fn a_first_run_takes_four_lines() {
    let server = TestServer::start();
    let home = Home::default();
    let invite = server.running().invite.clone().unwrap();
    let pictures = home.write_pictures(300_000);

    home.succeed(&["join", &invite, "--work-factor", "2"]);
    home.succeed(&["backup", "--init", "--vault", "photos", "Pictures"]);
    home.succeed(&["restore", "photos:latest", "--target", "./restored"]);

    assert_same_tree(&pictures, &home.path("restored"));
    // The server could try passphrases on an identity, so it has none.
    assert!(keeps(server.data(), "packs"));
    assert!(!keeps(server.data(), "identities"));
}

#[test]
fn every_command_works_on_a_vault_that_is_on_a_server() {
    let server = TestServer::start();
    let home = Home::joined(&server, 1 << 30);
    let pictures = home.back_up_pictures(300_000);
    fs::write(pictures.join("Trip/new"), "new").unwrap();
    home.succeed(&["backup", "--vault", "photos", "Pictures"]);

    home.succeed(&["init", "--vault", "./copy"]);
    for arguments in [
        &["snapshots"][..],
        &["ls", "latest"],
        &["find", "letter"],
        &["diff", "latest~1", "latest"],
        &["stats"],
        &["status"],
        &["tag", "latest", "--add", "keep"],
        &["check", "--read-data"],
        &["forget", "latest~1"],
        &["prune"],
        &["compact"],
        &["check"],
        &["doctor"],
        &["recovery", "kit", "--output", "kit.txt"],
        &["copy", "--to", "./copy"],
    ] {
        let with_vault = [arguments, &["--vault", "photos"]].concat();
        let output = home.run(&with_vault);
        assert!(output.status.success(), "{arguments:?}: {} {}", output.status, stderr(&output));
    }
    assert_eq!(home.succeed(&["cat", "photos:latest:Trip/letter"]), "Dear friend,");
    let listed = home.json(&["vaults"]);
    let [photos] = listed["vaults"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((photos["name"].as_str(), photos["role"].as_str()), (Some("photos"), Some("owner")));
    assert!(photos["used"].as_u64().unwrap() > 300_000);
    let location = photos["location"].as_str().unwrap();
    assert!(home.succeed(&["snapshots", "--vault", location]).contains("keep"));
}

#[test]
fn snapshots_are_copied_saved_twice_and_mounted_on_a_server() {
    let server = TestServer::start();
    let home = Home::joined(&server, 1 << 30);
    let pictures = home.write_pictures(300_000);
    home.succeed(&["init", "--vault", "./disk", "--work-factor", "2"]);
    for name in ["photos", "second"] {
        home.succeed(&["init", "--vault", name]);
    }

    home.succeed(&["backup", "--vault", "./disk", "--also", "photos", "Pictures"]);
    home.succeed(&["copy", "--vault", "photos", "--to", "second"]);
    fs::write(pictures.join("Trip/new"), "new").unwrap();
    home.succeed(&["backup", "--vault", "photos", "--also", "./disk", "Pictures"]);
    let listed = home.json(&["vaults"]);
    let second = listed["vaults"].as_array().unwrap().iter().find(|vault| vault["name"] == "second").unwrap();
    // Twins are cut with keys of their own: of what two vaults took from one reading, one copy is enough.
    let location = second["location"].as_str().unwrap();
    home.succeed(&["copy", "--vault", "./disk", "--to", location, "latest"]);

    for name in ["./disk", "photos", "second"] {
        let snapshots = home.json(&["snapshots", "--vault", name]);
        assert_eq!(snapshots["snapshots"].as_array().unwrap().len(), 2, "{name}: {snapshots}");
        home.succeed(&["check", "--read-data", "--vault", name]);
    }
    home.succeed(&["restore", "second:latest", "--target", "restored"]);
    assert_same_tree(&pictures, &home.path("restored"));
    if can_mount() {
        let mounted = Mounted::with(&home.0.0, &["--vault", "photos"]);
        assert_same_tree(&pictures, &mounted.latest());
        assert_eq!(mounted.stop(), (Some(0), String::new()));
    }
}

#[test]
fn a_name_that_means_nothing_is_told_those_that_do() {
    let server = TestServer::start();
    let home = Home::joined(&server, 1 << 30);
    home.back_up_pictures(1000);

    home.fail(&["snapshots", "--vault", "photo"], 10, "did you mean photos?");
    home.fail(&["restore", "fotos:latest", "--target", "x"], 10, "name one of photos");
    home.fail(&["init", "--vault", "latest"], 2, "cannot be the name of a vault");
    home.fail(&["init", "--vault", "photos"], 5, "there is a vault");
    let id = home.json(&["vaults"])["vaults"][0]["vault"].as_str().unwrap().to_owned();
    home.succeed(&["vaults", "name", &id[..8], "pictures"]);
    home.succeed(&["snapshots", "--vault", "pictures"]);
    home.fail(&["vaults", "name", "ffffffffffff", "x1"], 10, "no vault called");
    assert!(!home.path("photos").exists());
}

#[test]
fn a_server_of_another_version_says_so_and_nothing_is_lost() {
    let server = TestServer::start();
    let liar = Liar::before(&server);
    let home = Home::default();
    let invite = liar.invite(&server).expose().to_string();
    liar.lie(|asked, ask| match ask() {
        answer if asked.is("GET", "/v1/server") => {
            answer.with_body(r#"{"protocol":[2],"name":"of tomorrow"}"#)
        }
        answer => answer,
    });

    home.fail(&["join", &invite], 1, "speaks version 2 of the protocol");
    liar.tell_the_truth();
    home.succeed(&["join", &invite, "--work-factor", "2"]);
    home.back_up_pictures(1000);
    for (code, says) in [("protocol", "speaks version 2 of the protocol"), ("of_tomorrow", "another version")]
    {
        let json = format!(r#"{{"code":"{code}","status":426,"title":"another version","protocol":[2]}}"#);
        liar.lie(move |_, _| {
            let problem = Answer { status: 426, headers: Vec::new(), body: Vec::new() };
            problem.with_header("content-type", "application/problem+json").with_body(json.clone())
        });
        home.fail(&["backup", "--vault", "photos", "Pictures"], 1, says);
    }
    liar.tell_the_truth();
    home.succeed(&["check", "--vault", "photos"]);
}

#[test]
fn another_server_in_the_place_of_the_invited_one_is_found_out() {
    let server = TestServer::start();
    let home = Home::default();
    let invite = server.running().invite.clone().unwrap();
    let (before, _) = invite.rsplit_once('.').unwrap();
    let other = format!("{before}.{}", Pin([7; 32]));

    home.fail(&["join", &other], 8, "somebody else answers");

    // Nothing was sent that would use the invite up, and nobody was asked for a passphrase.
    assert!(!home.path(".config/vault/identity.age").exists());
    home.succeed(&["join", &invite, "--work-factor", "2"]);
}

#[test]
fn a_server_that_has_another_key_later_is_found_out() {
    let server = TestServer::start();
    let home = Home::joined(&server, 1 << 30);
    home.back_up_pictures(1000);
    let directory = home.path(".local/state/vault/servers");
    let file = fs::read_dir(&directory).unwrap().flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.extension().is_some()).unwrap();
    let mut known: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    known["pin"] = Pin([7; 32]).to_string().into();
    fs::write(&file, known.to_string()).unwrap();

    home.fail(&["snapshots", "--vault", "photos"], 8, "is not the server that was joined");
    home.fail(&["backup", "--vault", "photos", "Pictures"], 8, "is not the server that was joined");
}

#[test]
fn invites_that_are_none_are_told_apart() {
    let mut server = TestServer::start();
    let home = Home::default();
    let invite = server.running().invite.clone().unwrap();
    let late = server.invite(1 << 30).expose().to_string();

    home.fail(&["join", "https://host/x"], 2, "not an invite");
    home.succeed(&["join", &invite, "--work-factor", "2"]);
    home.fail(&["join", &invite], 5, "has joined");
    Home::default().fail(&["join", &invite, "--work-factor", "2"], 5, "ask for another invite");
    server.clock.add_seconds(7 * 86_400 * 10);
    Home::default().fail(&["join", &late, "--work-factor", "2"], 5, "the invite has expired");
    server.stop();
    Home::default().fail(&["join", &late], 7, "cannot be reached");
    home.fail(&["snapshots", "--vault", "https://127.0.0.1:1/v/x"], 2, "is not of the form");
}

#[test]
fn a_full_quota_stops_a_backup_and_loses_nothing() {
    let server = TestServer::start();
    let home = Home::joined(&server, 600_000);
    let pictures = home.back_up_pictures(200_000);
    fs::write(pictures.join("large"), noise(9, 2_000_000)).unwrap();

    home.fail(&["backup", "--vault", "photos", "Pictures"], 6, "quota");

    fs::remove_file(pictures.join("large")).unwrap();
    home.succeed(&["restore", "photos:latest", "--target", "restored"]);
    let restored = fs::read(home.path("restored/Trip/sea")).unwrap();
    assert!(restored == fs::read(pictures.join("Trip/sea")).unwrap());
    home.succeed(&["check", "--vault", "photos"]);
}

#[test]
fn a_clock_that_is_off_is_told_of_and_in_nobodys_way() {
    let server = TestServer::start();
    let home = Home::joined(&server, 1 << 30);
    server.clock.add_seconds(3 * 3600);

    home.back_up_pictures(1000);

    let doctor = home.succeed(&["doctor", "--vault", "photos"]);
    assert!(doctor.contains("3 h") || doctor.contains("apart"), "{doctor}");
}

#[test]
fn a_machine_says_who_its_user_is() {
    let mut server = TestServer::start();
    let home = Home::joined(&server, 1 << 30);

    let who = home.json(&["whoami"]);
    assert_eq!(who["words"].as_array().unwrap().len(), 6);
    assert_eq!(who["servers"][0]["quota"], 1 << 30);
    let devices = home.json(&["device", "list"]);
    let kinds: Vec<_> = devices["devices"].as_array().unwrap().iter().map(|device| &device["kind"]).collect();
    assert!(kinds.len() == 2 && kinds.iter().any(|kind| **kind == "recovery"), "{devices}");

    server.stop();
    let output = home.run(&["whoami"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("cannot be reached"));
}

/// A request of a new machine that waits, with the line that answers it and the words it shows.
struct Waiting {
    process: Child,
    url: String,
    words: String,
}

impl Waiting {
    fn begin(new: &Home, old: &Home) -> Self {
        let who = old.json(&["whoami"]);
        let words: Vec<&str> =
            who["words"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let server = who["servers"][0]["server"].as_str().unwrap();
        let mut process = new
            .command(&["device", "request", server, "--yes-words", &words.join(" ")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut url, mut words) = (String::new(), String::new());
        for line in BufReader::new(process.stdout.as_mut().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, quoted)) = line.split_once("vault device add '") {
                quoted.trim_end_matches('\'').clone_into(&mut url);
            }
            if let Some(shown) = line.strip_prefix("It must show these words: ") {
                shown.clone_into(&mut words);
                break;
            }
        }
        Self { process, url, words }
    }

    #[track_caller]
    fn succeed(self) {
        let output = self.process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn a_new_machine_is_taken_on_and_cut_off_again() {
    let server = TestServer::start();
    let (old, new) = (Home::joined(&server, 1 << 30), Home::default());
    let pictures = old.back_up_pictures(100_000);

    let waiting = Waiting::begin(&new, &old);
    old.fail(&["device", "add", &waiting.url, "--yes-words", "zoo zoo zoo zoo zoo zoo"], 8, "other words");
    old.fail(&["device", "add", &waiting.url], 2, "no terminal");
    old.succeed(&["device", "add", &waiting.url, "--yes-words", &waiting.words]);
    waiting.succeed();

    new.succeed(&["restore", "photos:latest", "--target", "restored"]);
    assert_same_tree(&pictures, &new.path("restored"));
    new.write_pictures(50_000);
    new.succeed(&["backup", "--vault", "photos", "Pictures"]);
    let device = new.json(&["whoami"])["device"].as_str().unwrap().to_owned();

    // What this machine remembers of the vault stops the first attempt in the middle.
    let head = old.path(".local/state/vault").join(old.vault_id()).join("head");
    let remembered = fs::read(&head).unwrap();
    fs::write(&head, "nonsense").unwrap();
    let half = old.run(&["--json", "device", "remove", &device[..10]]);
    assert_eq!(half.status.code(), Some(3), "{}", stderr(&half));
    new.fail(&["snapshots", "--vault", "photos"], 4, "not on your card");
    fs::write(&head, remembered).unwrap();
    let removed = old.json(&["device", "remove", &device[..10]]);
    assert_eq!(removed["vaults"][0], "photos");
    new.fail(&["snapshots", "--vault", "photos"], 4, "not on your card");
    new.fail(&["backup", "--vault", "photos", "Pictures"], 4, "not on your card");
    old.succeed(&["backup", "--vault", "photos", "Pictures"]);
    old.succeed(&["check", "--read-data", "--vault", "photos"]);
    old.fail(&["device", "remove", &device], 10, "no device of yours");
}

#[test]
fn an_append_only_machine_backs_up_and_reads_nothing() {
    let server = TestServer::start();
    let (old, new) = (Home::joined(&server, 1 << 30), Home::default());
    old.back_up_pictures(1000);

    let waiting = Waiting::begin(&new, &old);
    old.succeed(&["device", "add", &waiting.url, "--append-only", "--yes-words", &waiting.words]);
    waiting.succeed();
    let pictures = new.write_pictures(100_000);
    new.succeed(&["backup", "--vault", "photos", "Pictures"]);

    assert!(!new.path(".config/vault/identity.age").exists());
    new.fail(&["restore", "photos:latest", "--target", "restored"], 4, "no identity");
    old.succeed(&["restore", "photos:latest", "--target", "restored"]);
    assert_same_tree(&pictures, &old.path("restored"));
}

#[test]
fn a_bare_machine_restores_with_the_kit() {
    let server = TestServer::start();
    let lost = Home::joined(&server, 1 << 30);
    let pictures = lost.back_up_pictures(100_000);
    lost.succeed(&["recovery", "kit", "--output", "kit.txt", "--vault", "photos"]);
    let bare = Home::default();
    fs::copy(lost.path("kit.txt"), bare.path("kit.txt")).unwrap();

    bare.succeed(&["recovery", "test", "--kit", "kit.txt"]);
    assert!(!bare.path(".local/state/vault/servers").exists());
    let restored = bare.json(&["recovery", "restore", "--kit", "kit.txt"]);
    let vault = restored["location"].as_str().unwrap().to_owned();
    bare.succeed(&["restore", "latest", "--target", "restored", "--vault", &vault]);

    assert_same_tree(&pictures, &bare.path("restored"));
    bare.succeed(&["vaults", "name", &vault[vault.len() - 64..], "photos"]);
    bare.write_pictures(1000);
    bare.succeed(&["backup", "--vault", "photos", "Pictures"]);
    assert_eq!(bare.json(&["device", "list"])["devices"].as_array().unwrap().len(), 3);
}

#[test]
fn an_identity_that_is_known_there_joins_with_another_machine() {
    let server = TestServer::start();
    let (old, new) = (Home::joined(&server, 1 << 30), Home::default());
    old.back_up_pictures(1000);
    fs::create_dir_all(new.path(".config/vault")).unwrap();
    fs::copy(old.path(".config/vault/identity.age"), new.path(".config/vault/identity.age")).unwrap();

    let joined = new.json(&["join", server.invite(1 << 30).expose().as_str()]);

    assert_eq!(joined["known"], true);
    let vault = new.json(&["vaults"])["vaults"][0]["location"].as_str().unwrap().to_owned();
    new.succeed(&["restore", "latest", "--target", "restored", "--vault", &vault]);
}

#[test]
fn an_owner_sees_what_was_done_and_takes_out_of_the_trash() {
    let server = TestServer::start();
    let home = Home::joined(&server, 1 << 30);
    let pictures = home.back_up_pictures(500_000);

    let first = home.json(&["audit", "--vault", "photos"]);
    assert!(!first["entries"].as_array().unwrap().is_empty());
    fs::remove_file(pictures.join("Trip/sea")).unwrap();
    fs::write(pictures.join("Trip/letter"), "Dear enemy,").unwrap();
    home.succeed(&["backup", "--vault", "photos", "Pictures"]);
    home.succeed(&["forget", "latest~1", "--vault", "photos"]);
    home.succeed(&["prune", "--vault", "photos"]);
    let later = home.json(&["audit", "--vault", "photos"]);
    assert!(later["entries_verified"].as_u64() > first["entries_verified"].as_u64());

    let trash = home.json(&["undelete", "--list", "--vault", "photos"]);
    let trashed = trash["objects"].as_array().unwrap().len() as u64;
    assert!(trashed > 0, "{trash}");
    assert_eq!(home.json(&["undelete", "--all", "--vault", "photos"])["undeleted"], trashed);
    home.fail(&["audit", "--vault", "./here"], 2, "is not on a server");

    let state = home.path(".local/state/vault").join(first["vault"].as_str().unwrap());
    fs::write(state.join("audit"), format!("1 {}\n", "ab".repeat(32))).unwrap();
    home.fail(&["audit", "--vault", "photos"], 8, "otherwise than when this machine last looked");
}
