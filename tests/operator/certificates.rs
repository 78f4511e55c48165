//! Certificates that are replaced while the server runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use vault_server::config::Tls;
use vault_server::tls::{CERTIFICATE_FILE, Certificates, KEY_FILE};
use vault_tests::ServerProcess;
use vault_tests::server::presented_pin;

/// A certificate and its key in a directory, and the pin of the key.
struct Pair {
    directory: tempfile::TempDir,
    pin: [u8; 32],
}

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Certificates::load(&Tls::SelfSigned, directory.path()).unwrap().unwrap();
        Self { pin: made.pin().unwrap(), directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As programs that renew certificates do it: beside, and then by another name.
    fn replace(&self, name: &str, with: &Path) {
        fs::copy(with, self.file("new")).unwrap();
        fs::rename(self.file("new"), self.file(name)).unwrap();
    }
}

#[test]
fn a_replaced_certificate_is_presented_without_a_restart_and_a_broken_one_never() {
    let (pair, next, last) = (Pair::new(), Pair::new(), Pair::new());
    let mut server = ServerProcess::idle();
    server.set("TLS_MODE", "files");
    server.set("TLS_CERTIFICATE", pair.file(CERTIFICATE_FILE).to_str().unwrap());
    server.set("TLS_KEY", pair.file(KEY_FILE).to_str().unwrap());
    server.restart();
    assert_eq!(presented_pin(server.addr()), pair.pin);

    pair.replace(KEY_FILE, &next.file(KEY_FILE));
    server.signal(Signal::HUP);
    server.wait_for_log("the certificate cannot be used, the one before stays");
    assert_eq!(presented_pin(server.addr()), pair.pin);

    pair.replace(CERTIFICATE_FILE, &next.file(CERTIFICATE_FILE));
    server.signal(Signal::HUP);
    server.wait_for_log("the certificate was read again");
    assert_eq!(presented_pin(server.addr()), next.pin);

    // And by itself.
    pair.replace(KEY_FILE, &last.file(KEY_FILE));
    pair.replace(CERTIFICATE_FILE, &last.file(CERTIFICATE_FILE));
    let begun = Instant::now();
    while presented_pin(server.addr()) != last.pin {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(200));
    }
}
