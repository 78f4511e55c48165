//! The agent: one passphrase serves for a while, for its user only, and not a moment longer.
//!
//! These run the program and its agent as processes; what the agent keeps is tested in its own module.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use vault_tests::vault::PASSPHRASE;
use vault_tests::{Machine, is_root};

/// How long to wait for something that must happen, before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine with a vault; what is unlocked on it is locked in the end.
struct Unlocked(Machine);

impl Drop for Unlocked {
    fn drop(&mut self) {
        let _ = self.0.run(["lock"]);
    }
}

impl Unlocked {
    /// Unlocks for so long.
    fn new(time: &str) -> Self {
        let machine = Machine::new();
        machine.init();
        machine.succeed(["snapshots", "--unlock-for", time]);
        Self(machine)
    }

    fn directory(&self) -> PathBuf {
        self.0.home().join(".local/state/vault/agent")
    }

    /// Lists snapshots without a passphrase.
    fn list(&self) -> Output {
        self.0.command(["snapshots"]).env_remove("VAULT_PASSPHRASE").output().unwrap()
    }

    fn is_open(&self) -> bool {
        match self.list().status.code() {
            Some(0) => true,
            Some(4) => false,
            code => panic!("{code:?}"),
        }
    }

    /// The agent's place in `/proc`; `None` if it has ended.
    fn process(&self) -> Option<PathBuf> {
        let directory = self.directory();
        let is_agent = |path: &Path| {
            let command = fs::read(path.join("cmdline")).unwrap_or_default();
            let mut words = command.split(|byte| *byte == 0);
            words.nth(1) == Some(b"agent") && words.next() == Some(directory.as_os_str().as_encoded_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        processes.into_iter().find(|path| is_agent(path))
    }
}

#[test]
fn one_passphrase_serves_until_it_is_locked() {
    let machine = Unlocked::new("10min");

    assert!(machine.is_open());
    let socket = fs::metadata(machine.directory().join("agent.sock")).unwrap();
    let directory = fs::metadata(machine.directory()).unwrap();
    assert_eq!((socket.mode() & 0o777, directory.mode() & 0o777), (0o600, 0o700));

    assert_eq!(machine.0.succeed(["lock"]), "locked\n");
    assert!(!machine.is_open() && !machine.directory().join("agent.sock").exists());
    assert_eq!(machine.0.succeed(["lock"]), "nothing was unlocked\n");
}

#[test]
fn nothing_is_kept_unless_that_is_asked_for() {
    let machine = Machine::new();
    machine.init();
    machine.succeed(["snapshots"]);

    assert!(!machine.home().join(".local/state/vault/agent").exists());
    let list = machine.command(["snapshots"]).env_remove("VAULT_PASSPHRASE").output().unwrap();
    assert_eq!(list.status.code(), Some(4));
}

#[test]
fn a_passphrase_that_is_given_is_used_and_a_wrong_one_refused() {
    let machine = Unlocked::new("10min");

    let wrong = machine.0.command(["snapshots"]).env("VAULT_PASSPHRASE", "wrong").output().unwrap();

    assert_eq!(wrong.status.code(), Some(4));
    // A kit that alone opens everything takes the passphrase itself.
    let kit =
        machine.0.command(["recovery", "kit", "--plain"]).env_remove("VAULT_PASSPHRASE").output().unwrap();
    assert_eq!(kit.status.code(), Some(4));
}

#[test]
fn what_is_kept_ends_with_its_time_and_so_does_the_agent() {
    let machine = Unlocked::new("1s");
    // On a busy machine the time may be over by now.
    let process = machine.process();

    let begun = Instant::now();
    while machine.is_open() || process.as_ref().is_some_and(|process| process.exists()) {
        assert!(begun.elapsed() < PATIENCE, "it is still there");
        thread::yield_now();
    }

    assert!(!machine.directory().join("agent.sock").exists());
}

#[test]
fn using_the_agent_does_not_prolong_it() {
    let machine = Unlocked::new("2s");

    let begun = Instant::now();
    while machine
        .0
        .command(["snapshots", "--unlock-for", "1h"])
        .env_remove("VAULT_PASSPHRASE")
        .status()
        .unwrap()
        .success()
    {
        assert!(begun.elapsed() < PATIENCE, "it is still there");
    }
}

#[test]
fn the_secret_is_in_no_argument_variable_core_file_or_swap() {
    let machine = Unlocked::new("10min");
    let process = machine.process().expect("the agent runs");
    let read = |name: &str| fs::read_to_string(process.join(name));

    assert!(!read("cmdline").unwrap().contains("SECRET"));
    // Others, and without privileges its user too, cannot even look.
    if let Ok(environment) = read("environ") {
        assert!(!environment.contains(PASSPHRASE) && !environment.contains("SECRET"), "{environment}");
    }
    let limits = read("limits").unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    if is_root() {
        let status = read("status").unwrap();
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        assert_ne!(locked.trim(), "0 kB");
    }
    assert_eq!(fs::read_link(process.join("cwd")).unwrap_or("/".into()), Path::new("/"));
}

#[test]
fn another_user_is_refused_even_where_the_file_system_lets_them() {
    let machine = Unlocked::new("10min");
    let socket = machine.directory().join("agent.sock");
    let ask = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(b'GIVE\\n')\n\
        sys.stdout.buffer.write(s.recv(9))";
    let ask = |user: Option<u32>| {
        let mut command = Command::new("python3");
        command.args(["-c", ask]).arg(&socket).current_dir("/");
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command.output().ok()
    };
    let Some(own) = ask(None) else { return };
    assert_ne!(own.stdout, b"", "{}", String::from_utf8_lossy(&own.stderr));
    if !is_root() {
        return;
    }

    for path in machine.directory().ancestors().take_while(|path| path.starts_with(machine.0.home())) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();

    let other = ask(Some(65_534)).unwrap();
    assert_eq!(other.stdout, b"");
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!error.contains("PermissionError"), "the file system let them: {error}");
    // A directory that others may enter is not trusted by the program itself either.
    assert!(!machine.is_open());
    fs::set_permissions(machine.directory(), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(machine.is_open(), "the agent still serves its user");
}
