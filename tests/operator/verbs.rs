//! The operator's commands: what they print, how they end, and what they say to wrong input.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use serde_json::Value;
use vault_core::wire::invite::InviteUrl;
use vault_tests::damage::files_below;
use vault_tests::{Account, ServerProcess, TreeFixture, noise};

fn run(server: &ServerProcess, arguments: &[&str]) -> Output {
    server.command(arguments).output().unwrap()
}

#[track_caller]
fn succeed(server: &ServerProcess, arguments: &[&str]) -> String {
    let output = run(server, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn json(server: &ServerProcess, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(server, &[arguments, &["--json"]].concat())).unwrap()
}

/// Ends with this code, says why to standard error, and prints no result.
#[track_caller]
fn fail(server: &ServerProcess, arguments: &[&str], code: i32, says: &str) {
    let output = run(server, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    assert!(err.contains(says) && out.is_empty(), "{arguments:?}: {out}{err}");
}

/// A user with a vault that has something in it.
fn with_backup(server: &ServerProcess) -> (Account, String) {
    let account = Account::join_by(&server.invite());
    let vault = account.init().unwrap();
    let tree = TreeFixture::new();
    tree.file("noise", noise(1, 300_000));
    account.backup(&mut account.open(vault).unwrap(), &tree.path()).unwrap();
    (account, vault.to_hex())
}

#[test]
fn the_configuration_is_checked_and_shown_without_secrets() {
    let mut server = ServerProcess::idle();
    let secret = server.everything().join("url");
    fs::write(&secret, "postgres://vault:hush@127.0.0.1:1/vault\n").unwrap();

    assert_eq!(succeed(&server, &["config", "check"]), "the configuration is valid\n");
    server.set("DATABASE_URL_FILE", secret.to_str().unwrap());
    server.set("KEEP_GRACE_DAYS", "3");
    let shown = succeed(&server, &["config", "show"]);
    assert!(shown.contains("\ngrace_days = 3\n") && shown.contains("\nurl = \"(secret)\"\n"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");

    // What is shown, secrets aside, and what is given as an example are both files that it takes.
    let file = server.everything().join("server.toml");
    for text in [shown.replace("url = \"(secret)\"\n", ""), succeed(&server, &["config", "example"])] {
        fs::write(&file, text).unwrap();
        succeed(&server, &["config", "check", "--config", file.to_str().unwrap()]);
    }
    fs::write(&file, "[keep]\ngrase_days = 3\n").unwrap();
    let with_file = ["config", "check", "--config", file.to_str().unwrap()];
    fail(&server, &with_file, 2, "there is no key keep.grase_days; did you mean keep.grace_days?");
    fs::write(&file, "[keep\n").unwrap();
    fail(&server, &with_file, 2, "is not TOML");
    fs::remove_file(&file).unwrap();
    fail(&server, &with_file, 2, "cannot read");
    fs::remove_file(&secret).unwrap();
    fail(&server, &["config", "show"], 2, "cannot read");
    fail(&server, &["serve"], 2, "vault-server config example");
    fail(&server, &["config"], 2, "Usage: vault-server config");
    fail(&server, &["nonsense"], 2, "unrecognized subcommand 'nonsense'");
}

#[test]
fn no_message_shows_the_secret_of_a_file_that_it_came_from() {
    let mut server = ServerProcess::idle();
    let secret = server.everything().join("url");
    fs::write(&secret, "postgres://vault:hush@127.0.0.1:1/vault\n").unwrap();
    server.set("DATABASE_URL_FILE", secret.to_str().unwrap());

    for arguments in [&["serve"][..], &["doctor"]] {
        let output = run(&server, arguments);
        assert_eq!(output.status.code(), Some(1), "nobody listens there");
        let all = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&all).contains("hush"), "{arguments:?}");
    }
    fs::write(&secret, "mysql://vault:hush@127.0.0.1/vault\n").unwrap();
    let output = run(&server, &["config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hush"));
}

#[test]
fn invites_are_printed_alone_and_users_are_listed_and_bounded() {
    let server = ServerProcess::start();
    let output = run(&server, &["invite", "--label", "Ada", "--quota", "5 MiB", "--expires", "12h"]);
    let url = String::from_utf8(output.stdout).unwrap();
    let invite = InviteUrl::parse(url.trim_end()).unwrap();
    assert!(invite.pin.is_some() && url.ends_with('\n'));
    assert!(String::from_utf8_lossy(&output.stderr).contains("for one user, once, until 20"));
    let made = json(&server, &["invite", "--no-pin"]);
    assert!(InviteUrl::parse(made["invite"].as_str().unwrap()).unwrap().pin.is_none());
    assert!(made["expires"].as_u64().unwrap() > 1_700_000_000_000);
    fail(&server, &["invite", "--quota", "many"], 2, "expected a size");
    fail(&server, &["invite", "--expires", "0d"], 2, "expected days, as in 7d, or hours, as in 12h");
    fail(&server, &["invite", "--expires", "99999999999999999999"], 2, "expected days");

    let account = Account::join_by(&invite);
    let user = account.joined.user.to_hex();
    let listed = json(&server, &["user", "list"]);
    assert_eq!(
        (listed["users"][0]["user"].as_str(), listed["users"][0]["label"].as_str()),
        (Some(&*user), Some("Ada"))
    );
    assert_eq!(
        (&listed["users"][0]["quota"], &listed["users"][0]["suspended"]),
        (&(5 << 20).into(), &false.into())
    );
    let shown = succeed(&server, &["user", "list"]);
    assert!(shown.contains(&user) && shown.contains("5.0 MiB") && shown.contains("Ada"), "{shown}");

    assert_eq!(
        succeed(&server, &["user", "quota", &user[..6], "0"]),
        format!("{user} may store without limit\n")
    );
    assert_eq!(json(&server, &["user", "list"])["users"][0]["quota"], Value::Null);
    fail(&server, &["user", "quota", &user, "much"], 2, "much is not a size");
    for unknown in ["zz", "", "00000000000000000000000000000000"] {
        fail(&server, &["user", "suspend", unknown], 2, "there is no user");
    }
    account.init().unwrap();
    assert_eq!(succeed(&server, &["user", "suspend", &user]), format!("{user} is suspended\n"));
    assert!(succeed(&server, &["user", "list"]).contains("Ada (suspended)"));
    // Another process may have it in memory for a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(account.init().is_err());
    assert_eq!(succeed(&server, &["user", "resume", &user]), format!("{user} is accepted again\n"));
    std::thread::sleep(std::time::Duration::from_millis(1100));
    account.init().unwrap();
}

#[test]
fn vaults_are_listed_checked_and_copied_and_a_copy_serves() {
    let mut server = ServerProcess::start();
    assert_eq!(json(&server, &["vault", "list"])["vaults"], serde_json::json!([]));
    let (account, vault) = with_backup(&server);

    let listed = json(&server, &["vault", "list"]);
    let [one] = listed["vaults"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((one["vault"].as_str(), one["held"].as_bool()), (Some(&*vault), Some(false)));
    assert!(one["used"].as_u64().unwrap() > 300_000 && one["statements"].as_u64().unwrap() > 2);
    assert!(succeed(&server, &["vault", "list"]).contains(&vault));
    assert_eq!(
        succeed(&server, &["vault", "release", &vault[..8]]),
        format!("the trash of {vault} is released\n")
    );
    fail(&server, &["vault", "release", "zz"], 2, "there is no vault zz");

    let copy = server.everything().join("copy");
    let copied = succeed(&server, &["backup", copy.to_str().unwrap()]);
    assert!(copied.contains("and 3 key files copied to"), "{copied}");
    fail(&server, &["backup", copy.to_str().unwrap()], 1, "the backup is not whole");
    let checked = json(&server, &["check", "--read-data", "--data", copy.to_str().unwrap()]);
    assert_eq!(checked, json(&server, &["check", "--read-data"]));
    assert!(succeed(&server, &["check"]).contains(": all are there"));
    // A copy in the same file system shares its files: the one that is damaged is written anew.
    let pack = files_below(&server.data().join("objects"))
        .into_iter()
        .find(|file| file.metadata().unwrap().len() > 200_000);
    let pack = pack.unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    assert!(succeed(&server, &["check"]).contains(": all are there"), "as long as before");
    let output = run(&server, &["check", "--read-data"]);
    assert_eq!(output.status.code(), Some(8));
    let name = pack.file_name().unwrap().to_str().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(name));
    let output = run(&server, &["check", "--read-data", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), document["faults"].as_array().unwrap().len()), (Some(8), 1));

    // After the loss of the server, its copy is the server.
    server.kill();
    fs::remove_dir_all(server.data()).unwrap();
    fs::rename(&copy, server.data()).unwrap();
    server.restart();
    account.assert_clean(&account.open(vault_core::id::VaultId::parse(&vault).unwrap()).unwrap());
}

#[test]
fn a_server_is_looked_after_while_it_runs_and_when_it_does_not() {
    let mut server = ServerProcess::start();
    assert_eq!(succeed(&server, &["health"]), "the server is ready\n");
    let good = json(&server, &["doctor"]);
    assert_eq!(good["good"], true, "{good}");
    assert!(good["findings"].as_array().unwrap().len() >= 5, "{good}");
    assert!(succeed(&server, &["doctor"]).lines().all(|line| line.starts_with("ok    ")));
    fail(&server, &["serve"], 1, "");

    server.kill();
    fail(&server, &["health"], 1, "the server does not answer");
    let output = run(&server, &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAIL  the server answers"));
    let key = server.data().join("receipt.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = run(&server, &["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("FAIL  keys are readable for their owner only: chmod 600 {}", key.display())),
        "{said}"
    );
    fail(&server, &["serve"], 1, "receipt.key");
}

#[test]
fn a_data_directory_has_one_server() {
    let server = ServerProcess::start();

    fail(&server, &["serve", "--listen", "127.0.0.1:0"], 1, "another server is using");
    let other = server.everything().join("other");
    let output = run(&server, &["serve", "--data", other.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("cannot listen on") && said.contains("another program has this port; set `listen`"),
        "{said}"
    );
}
