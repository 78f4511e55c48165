//! The program `vault-server` as an operator runs it, with a data directory of its own; it can be killed at any moment.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vault_core::wire::invite::InviteUrl;
use vault_core::wire::v1::paths::READYZ;

use crate::binary::server_binary;
use crate::server::{Answer, Request, connect};

/// How long the server may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running, or a killed, server.
pub struct ServerProcess {
    directory: TempDir,
    addr: SocketAddr,
    child: Option<Child>,
    variables: Vec<(String, String)>,
}

impl Default for ServerProcess {
    fn default() -> Self {
        Self::start()
    }
}

impl ServerProcess {
    /// Starts a new server, and waits until it serves.
    pub fn start() -> Self {
        let mut server = Self::idle();
        server.restart();
        server
    }

    /// A server that was never started.
    pub fn idle() -> Self {
        // The port is free again at once, and the same after each restart.
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self { directory, addr, child: None, variables: Vec::new() }
    }

    /// Sets a key of the configuration, by its variable without what all of them begin with.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.variables.push((format!("VAULT_SERVER_{key}"), value.into()));
    }

    /// Starts the server that was killed or stopped.
    pub fn restart(&mut self) {
        let log = || OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let child = self.command(&["serve"]).stdout(log()).stderr(log()).spawn().unwrap();
        let child = self.child.insert(child);
        let begun = Instant::now();
        while !is_ready(self.addr) {
            let ended = child.try_wait().unwrap();
            let said = || fs::read_to_string(self.directory.path().join("log")).unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no server: {}", said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A command of the operator.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(server_binary());
        command
            .env_clear()
            .env("TMPDIR", self.temporary())
            .env("VAULT_SERVER_DATA", self.data())
            .env("VAULT_SERVER_LISTEN", self.addr.to_string())
            .env("VAULT_SERVER_KEEP_FREE", "0")
            .env("VAULT_SERVER_LIMITS_OPEN_RATE", "1000000")
            .env("VAULT_SERVER_LIMITS_ADDRESS_RATE", "1000000")
            .env("VAULT_SERVER_LOG_LEVEL", "debug")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .args(arguments);
        command
    }

    /// An invite without a limit. Another process makes it, beside the server.
    pub fn invite(&self) -> InviteUrl {
        let output = self.command(&["invite", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        InviteUrl::parse(document["invite"].as_str().unwrap()).unwrap()
    }

    /// Kills the server: it gets no time for anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until the server has ended by itself; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("the server does not end");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the log has these words.
    pub fn wait_for_log(&self, words: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(self.log()).unwrap_or_default().contains(words) {
            assert!(begun.elapsed() < PATIENCE, "{words:?} is not in the log");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Everything that it has on disk, its log and temporary files among them.
    pub fn everything(&self) -> &Path {
        self.directory.path()
    }

    /// What it wrote to standard output and error.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn temporary(&self) -> PathBuf {
        let path = self.directory.path().join("tmp");
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The most memory that it has had, in KiB.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The memory of the process, one mapping after another; `None` without the right to read it.
    pub fn memory(&self) -> Option<Vec<Vec<u8>>> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).ok()?;
        let memory = File::open(format!("/proc/{}/mem", self.pid())).ok()?;
        let mut parts = Vec::new();
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (range, rights) = (words.next()?, words.next()?);
            let name = line.split_whitespace().nth(5).unwrap_or_default();
            if !rights.starts_with('r') || matches!(name, "[vvar]" | "[vsyscall]" | "[vvar_vclock]") {
                continue;
            }
            let (from, to) = range.split_once('-')?;
            let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
            let mut part = vec![0; (to - from) as usize];
            // A mapping may be gone by now, and the end of a mapped file cannot be read.
            if std::os::unix::fs::FileExt::read_exact_at(&memory, &mut part, from).is_ok() {
                parts.push(part);
            }
        }
        (!parts.is_empty()).then_some(parts)
    }
}

/// Whether a server answers that it takes writes. It listens before that.
fn is_ready(addr: SocketAddr) -> bool {
    let ask = Request::open("GET", READYZ, &addr.to_string(), None);
    let answer = connect(addr).and_then(|mut stream| {
        stream.write_all(&ask.to_bytes())?;
        Answer::read(&mut stream, false)
    });
    answer.is_ok_and(|answer| answer.status == 200)
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
