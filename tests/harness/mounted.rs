//! A vault that is mounted by the program, for as long as the value lives.
//!
//! Whatever a test does, nothing stays mounted after it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Machine;

/// How long to wait for something that must happen, before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Whether this machine can mount; says why not.
pub fn can_mount() -> bool {
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let helper = Command::new("fusermount3").arg("-V").stdout(Stdio::null()).status();
    let able = device.is_ok() && helper.is_ok_and(|status| status.success());
    if !able {
        eprintln!("skipped: mounting needs /dev/fuse and fusermount3");
    }
    able
}

/// A vault while it is mounted.
pub struct Mounted {
    /// The program.
    pub process: Child,
    /// The directory that it is mounted on.
    pub point: PathBuf,
    /// What the program says on stderr.
    pub errors: BufReader<ChildStderr>,
}

impl Mounted {
    /// Mounts a machine's vault.
    pub fn new(machine: &Machine) -> Self {
        Self::with(machine, &[])
    }

    /// Mounts a machine's vault with more options.
    pub fn with(machine: &Machine, options: &[&str]) -> Self {
        let point = machine.home().join("mnt");
        if !point.exists() {
            fs::create_dir(&point).unwrap();
        }
        let mut command = machine.command(["mount", "--json"]);
        command.args(options).arg(&point).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        if line.is_empty() {
            let mut text = String::new();
            errors.read_to_string(&mut text).unwrap();
            panic!("not mounted: {text}");
        }
        let document: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(document["command"], "mount");
        Self { process, point, errors }
    }

    /// The root of the newest snapshot.
    pub fn latest(&self) -> PathBuf {
        self.point.join("latest").canonicalize().unwrap()
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for the program to end.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the mount does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, waits, and returns its exit code and what it had said.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal(Signal::INT);
        let code = self.ended().code();
        assert!(!is_mounted(&self.point));
        let mut text = String::new();
        self.errors.read_to_string(&mut text).unwrap();
        (code, text)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // After a failure nothing may stay mounted, or the temporary directory could not be deleted.
        unmount(&["-u", "-z", "-q"], &self.point);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Unmounts from outside; returns whether that succeeded.
pub fn unmount(options: &[&str], point: &Path) -> bool {
    let mut command = Command::new("fusermount3");
    command.args(options).arg(point).stderr(Stdio::null()).status().unwrap().success()
}

/// Whether something is mounted on a directory.
pub fn is_mounted(point: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    table.lines().any(|line| line.split(' ').nth(1) == point.to_str())
}
