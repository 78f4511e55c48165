//! Unattended runs: a profile does what the configuration says, and a failure is loud.
//!
//! What scripts rely on is tested here: exit codes, what the commands of a profile are told, and what comes before what.

use std::fs;
use std::path::Path;
use std::process::Output;

use vault_tests::Machine;

/// A machine with a vault called `photos`, a directory `src` and this profile called `home`.
fn machine(profile: &str) -> Machine {
    let machine = Machine::new();
    machine.init();
    fs::create_dir(machine.home().join("src")).unwrap();
    fs::write(machine.home().join("src/letter"), "Dear friend,").unwrap();
    configure(&machine, &format!("vault = \"photos\"\nsources = \"~/src\"\n{profile}"));
    machine
}

fn configure(machine: &Machine, profile: &str) {
    let directory = machine.home().join(".config/vault");
    fs::create_dir_all(&directory).unwrap();
    let text = format!(
        "[vaults.photos]\nlocation = \"~/vault\"\n[vaults.gone]\nlocation = \"~/gone\"\n[profiles.home]\n{profile}"
    );
    fs::write(directory.join("config.toml"), text).unwrap();
}

/// Runs the program with nothing but the configuration to say which vault.
fn run(machine: &Machine, arguments: &[&str]) -> Output {
    machine.command(arguments).env_remove("VAULT_LOCATION").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn document(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn snapshots(machine: &Machine) -> usize {
    machine.json(["snapshots"])["snapshots"].as_array().unwrap().len()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_profile_says_what_is_backed_up_and_where_to() {
    let machine = machine("exclude = \"*.tmp\"\ntags = [\"home\"]\nhost = \"den\"\n");
    fs::write(machine.home().join("src/x.tmp"), "").unwrap();

    for arguments in
        [&["backup"][..], &["backup", "--profile", "home"], &["run"], &["run", "home", "--quiet"]]
    {
        let output = run(&machine, arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
    }

    let listed = run(&machine, &["ls", "photos:latest"]);
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "letter\n");
    let snapshots = &machine.json(["snapshots"])["snapshots"];
    assert_eq!(snapshots.as_array().unwrap().len(), 4);
    assert_eq!((&snapshots[3]["host"], &snapshots[3]["tags"][0]), (&"den".into(), &"home".into()));
}

#[test]
fn options_come_before_the_profile_and_the_environment_between() {
    let machine = machine("tags = [\"home\"]\nhost = \"den\"\n");
    let other = machine.home().join("other");
    fs::write(machine.home().join("single"), "1").unwrap();

    let output = run(&machine, &["backup", "--profile", "home", "--host", "desk", "--tag", "now", "single"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let made = machine.command(["backup", "--init"]).env("VAULT_LOCATION", &other).output().unwrap();
    assert_eq!(code(&made), 0, "{}", stderr(&made));

    let snapshot = &machine.json(["snapshots"])["snapshots"][0];
    assert_eq!((&snapshot["host"], snapshot["files"].as_u64()), (&"desk".into(), Some(1)));
    assert_eq!(snapshot["tags"], serde_json::json!(["home", "now"]));
    assert!(other.join("VAULT").exists(), "the environment comes before the profile");
}

#[test]
fn a_command_before_that_fails_prevents_the_backup() {
    let machine =
        machine("hooks = { before = \"exit 7\", after = \"echo $VAULT_RESULT $VAULT_EXIT > ~/told\" }\n");

    for arguments in [["backup", "--quiet"], ["run", "--quiet"]] {
        let output = run(&machine, &arguments);

        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains("the command before of profile home ended with exit status: 7"));
        assert_eq!(snapshots(&machine), 0);
        assert_eq!(read(&machine.home().join("told")), "failed 1\n");
    }
}

#[test]
fn commands_are_told_how_it_went_and_never_the_passphrase() {
    let told = "echo $VAULT_PROFILE $VAULT_RESULT $VAULT_EXIT ${#VAULT_SNAPSHOT} ${VAULT_PASSPHRASE-none}";
    let machine = machine(&format!(
        "[profiles.home.hooks]\non-success = \"{told} > ~/good\"\non-failure = \"({told}; cat) > ~/bad\"\n"
    ));

    assert_eq!(code(&run(&machine, &["run"])), 0);
    assert_eq!(read(&machine.home().join("good")), "home done 0 64 none\n");
    assert!(!machine.home().join("bad").exists());

    fs::remove_dir_all(machine.vault()).unwrap();
    let failed = run(&machine, &["run", "--quiet"]);
    assert_eq!(code(&failed), 10);
    let bad = read(&machine.home().join("bad"));
    let (line, summary) = bad.split_once('\n').unwrap();
    assert_eq!(line, "home failed 10 0 none");
    assert!(
        summary.starts_with("vault: profile home on ") && summary.contains("failed (exit 10): photos"),
        "{summary}"
    );
    assert_eq!(stderr(&failed).lines().last(), summary.lines().next(), "the last line says what happened");
}

#[test]
fn a_quiet_run_that_succeeds_says_nothing_but_what_its_commands_say() {
    let machine = machine("hooks = { before = \"echo from the command\" }\n");

    let output = run(&machine, &["run", "--quiet"]);

    assert_eq!(code(&output), 0);
    assert_eq!((stderr(&output).as_str(), output.stdout.len()), ("from the command\n", 0));
}

#[test]
fn a_command_that_fails_afterwards_leaves_the_backup_and_is_told() {
    let machine = machine("hooks = { after = \"exit 1\" }\n");

    let output = run(&machine, &["backup"]);

    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("the command after of profile home ended with"));
    assert_eq!(snapshots(&machine), 1);
}

#[test]
fn a_command_that_hangs_is_ended() {
    let machine = machine("hooks = { before = \"sleep 100\", timeout = \"1s\" }\n");

    let output = run(&machine, &["run"]);

    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("took longer than 1s and was ended"), "{}", stderr(&output));
}

#[test]
fn a_vault_that_fails_does_not_keep_others_from_their_turn() {
    let machine = machine("");
    configure(&machine, "vaults = [\"gone\", \"photos\"]\nsources = \"~/src\"\n");

    let output = run(&machine, &["run", "--json"]);

    assert_eq!(code(&output), 10);
    let document = document(&output);
    assert_eq!(document["vaults"][0]["steps"][0]["exit"], 10);
    assert_eq!(document["vaults"][1]["steps"][0]["result"], "done");
    assert_eq!(snapshots(&machine), 1);
    // A backup alone goes into all of them too, and is incomplete where one has it and another has not.
    assert_eq!(code(&run(&machine, &["backup"])), 3);
    assert_eq!(code(&run(&machine, &["backup", "--profile", "home", "--vault", "photos"])), 0);
}

#[test]
fn one_mistake_in_the_configuration_keeps_all_of_it_from_use_but_no_restore() {
    let machine = machine("exlude = \"*.tmp\"\n");

    let refused = run(&machine, &["backup"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("did you mean exclude?"), "{}", stderr(&refused));

    assert_eq!(code(&run(&machine, &["backup", "--vault", "./vault", "src"])), 0);
    assert_eq!(code(&run(&machine, &["restore", "latest", "--vault", "./vault", "--target", "out"])), 0);
}

#[test]
fn keys_come_from_the_vault_of_the_configuration_last() {
    let machine = machine("");
    let path = machine.home().join(".config/vault/config.toml");
    let with = |line: &str| {
        let text = read(&path).replace("\"~/vault\"\n", &format!("\"~/vault\"\n{line}\n"));
        fs::write(machine.home().join("keys.toml"), text).unwrap();
        let mut command = machine.command(["snapshots", "--vault", "photos", "--config", "keys.toml"]);
        command.env_remove("VAULT_LOCATION");
        command
    };
    let right = format!("passphrase-command = \"echo '{}'\"", vault_tests::vault::PASSPHRASE);

    assert_eq!(code(&with(&right).env_remove("VAULT_PASSPHRASE").output().unwrap()), 0);
    assert_eq!(
        code(&with("passphrase-command = \"echo wrong\"").output().unwrap()),
        0,
        "the variable comes first"
    );
    assert_eq!(code(&with("identity = \"~/none\"").output().unwrap()), 0, "a passphrase was given");
    assert_eq!(code(&with("identity = \"~/none\"").env_remove("VAULT_PASSPHRASE").output().unwrap()), 2);
    assert_eq!(code(&with(&right).arg("--passphrase-command").arg("echo wrong").output().unwrap()), 4);
}

#[test]
fn two_vaults_in_one_command_are_refused() {
    let machine = machine("");
    assert_eq!(code(&run(&machine, &["run"])), 0);

    let refused = run(&machine, &["ls", "photos:latest", "--vault", "./vault"]);

    assert_eq!(code(&refused), 2);
    assert_eq!(code(&run(&machine, &["ls", "photos:latest", "--vault", "photos"])), 0);
    assert_eq!(code(&run(&machine, &["ls", "latest", "--vault", "photos"])), 0);
    assert_eq!(code(&run(&machine, &["ls", "nosuch:latest"])), 10);
}

/// What `doctor` says about one check, and its exit code.
fn doctor(machine: &Machine, check: &str) -> (Vec<String>, i32) {
    let output = run(machine, &["doctor", "--json"]);
    let document = document(&output);
    let checks = document["checks"].as_array().unwrap().iter().filter(|line| line["check"] == check);
    (checks.map(|line| line["result"].as_str().unwrap().to_owned()).collect(), code(&output))
}

#[test]
fn the_doctor_finds_what_keeps_backups_from_working() {
    let machine = machine("");
    assert_eq!(doctor(&machine, "backup").0, ["warn"], "there is no backup yet");
    assert_eq!(code(&run(&machine, &["run"])), 0);
    assert_eq!(doctor(&machine, "backup").0, ["ok"]);
    // The vault `gone` of the configuration is not there.
    assert_eq!(doctor(&machine, "vault"), (vec!["fail".to_owned(), "ok".to_owned()], 1));

    let record = machine.home().join(".local/state/vault/runs/home");
    let mut runs: serde_json::Value = serde_json::from_str(&read(&record)).unwrap();
    runs["vaults"]["photos"]["last_success"] = 1.into();
    fs::write(&record, runs.to_string()).unwrap();
    assert_eq!(doctor(&machine, "backup").0, ["fail"], "the last success is long ago");

    let key = machine.home().join(".config/vault/device.key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(doctor(&machine, "device key"), (vec!["fail".to_owned()], 1));
}

#[test]
fn what_the_doctor_prints_can_be_shown_to_others() {
    let machine = machine("hooks.after = \"true token\"\n");
    assert_eq!(code(&run(&machine, &["backup"])), 0);

    let output = run(&machine, &["doctor"]);

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(machine.home().to_str().unwrap()), "{text}");
    assert!(
        !text.contains("token") && !text.contains(vault_tests::vault::PASSPHRASE) && text.contains('~'),
        "{text}"
    );
}

/// A directory of programs that only write down how they were called, before all others.
fn with_tools(machine: &Machine, arguments: &[&str]) -> Output {
    let tools = machine.home().join("tools");
    fs::create_dir_all(&tools).unwrap();
    let systemctl = "#!/bin/sh\necho \"$@\" >> ~/systemctl.log\n";
    let crontab = "#!/bin/sh\n[ \"$1\" = - ] && exec cat > ~/crontab.new\n[ -e ~/crontab.new ] && exec cat ~/crontab.new\n\
        echo no crontab for me >&2; exit 1\n";
    for (name, text) in [("systemctl", systemctl), ("crontab", crontab)] {
        fs::write(tools.join(name), text).unwrap();
        fs::set_permissions(tools.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    machine.command(arguments).env_remove("VAULT_LOCATION").env("PATH", path).output().unwrap()
}

const CALENDAR: &str = "[profiles.home.schedule]\ncalendar = \"22:30\"\n";

#[test]
fn a_timer_is_written_once_shown_and_removed() {
    let machine = machine(CALENDAR);
    let schedule = |arguments: &[&str]| {
        let output =
            with_tools(&machine, &[&["schedule", "--user", "--with", "systemd"], arguments].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let timer = machine.home().join(".config/systemd/user/vault-home.timer");
    let service = timer.with_extension("service");

    assert!(schedule(&["install", "--print"]).contains("OnCalendar=22:30\n") && !timer.exists());
    assert_eq!(schedule(&["install"]).matches("written").count(), 2);
    assert_eq!(schedule(&["install", "home"]).matches("unchanged").count(), 2);
    assert!(read(&timer).contains("Persistent=true\n") && read(&timer).contains("RandomizedDelaySec=1800\n"));
    assert!(read(&service).contains(" run home --quiet") && !read(&service).contains("correct horse"));
    assert!(read(&machine.home().join("systemctl.log")).contains("--user enable --now vault-home.timer\n"));
    assert_eq!(schedule(&["show"]), "home: 22:30, waiting for its time\n");

    assert_eq!(schedule(&["remove", "home"]).matches("removed").count(), 2);
    assert!(!timer.exists() && !service.exists());
    assert!(schedule(&["show"]).contains("not installed"));

    fs::write(&timer, "[Timer]\n").unwrap();
    let refused = with_tools(&machine, &["schedule", "install", "--user", "--with", "systemd"]);
    assert_eq!((code(&refused), read(&timer).as_str()), (5, "[Timer]\n"));
}

#[test]
fn a_crontab_keeps_its_other_lines() {
    let machine = machine(CALENDAR);
    let crontab = machine.home().join("crontab.new");
    fs::write(&crontab, "0 1 * * * other\n").unwrap();
    let schedule = |arguments: &[&str]| {
        let output = with_tools(&machine, &[&["schedule", "--with", "cron"], arguments].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };

    schedule(&["install"]);
    assert!(read(&crontab).starts_with("0 1 * * * other\n# vault home: written"), "{}", read(&crontab));
    assert!(read(&crontab).contains("\n30 22 * * * nice -n 10 "));
    assert!(schedule(&["install"]).starts_with("unchanged"));
    assert_eq!(schedule(&["show"]), "home: 22:30\n");

    schedule(&["remove"]);
    assert_eq!(read(&crontab), "0 1 * * * other\n");
}

const RULES: &str = "keep = { last = 1 }\nschedule = { verify = { max-age = \"30d\" } }\n";

#[test]
fn a_run_forgets_prunes_and_verifies_as_the_profile_says() {
    let machine = machine(RULES);
    machine.succeed(["backup", "src/letter"]);
    let steps = |output: &Output| {
        let steps = document(output)["vaults"][0]["steps"].as_array().unwrap().clone();
        steps.iter().map(|step| step["result"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let first = run(&machine, &["run", "--json"]);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    assert_eq!(steps(&first), ["done"; 4]);
    fs::write(machine.home().join("src/letter"), "Dear friend, again,").unwrap();
    let second = run(&machine, &["run", "--json"]);

    assert_eq!(steps(&second), ["done", "done", "skipped", "done"], "prune is not due yet");
    // One of this profile, and the one that was made without it.
    assert_eq!(snapshots(&machine), 2);
    assert_eq!(code(&machine.run(["check", "--read-data"])), 0);
}

#[test]
fn a_run_that_cannot_read_the_vault_says_what_it_left_undone() {
    let machine = machine(RULES);
    assert_eq!(code(&run(&machine, &["backup"])), 0);

    let output = machine
        .command(["run"])
        .env_remove("VAULT_LOCATION")
        .env_remove("VAULT_PASSPHRASE")
        .output()
        .unwrap();

    assert_eq!(code(&output), 3);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.matches("it needs your identity").count(), 3, "{text}");
    assert_eq!(snapshots(&machine), 2, "the backup is made all the same");
}
