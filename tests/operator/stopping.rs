//! Stopping: what is under way is finished, nobody is let in, and it does not take for ever.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use rustls::{ClientConnection, StreamOwned};
use vault_core::crypto::hash;
use vault_core::id::{PackId, VaultId};
use vault_core::store::ObjectKey;
use vault_core::wire::signing::Signer;
use vault_core::wire::v1::paths;
use vault_tests::damage::files_below;
use vault_tests::server::connect;
use vault_tests::{Account, Answer, Request, ServerProcess, noise};

/// Bytes of an upload; more than is in flight on the way.
const BYTES: usize = 6_000_000;

/// A server with an upload of which the first half was sent.
struct Uploading {
    server: ServerProcess,
    account: Account,
    vault: VaultId,
    pack: Vec<u8>,
    stream: StreamOwned<ClientConnection, TcpStream>,
    sent: usize,
    bytes: Vec<u8>,
}

impl Uploading {
    fn begin(stop_seconds: u64) -> Self {
        let mut server = ServerProcess::idle();
        server.set("LIMITS_STOP_SECONDS", stop_seconds.to_string());
        server.restart();
        let account = Account::join_by(&server.invite());
        let vault = account.init().unwrap();
        let pack = noise(1, BYTES);
        let path = paths::object(&vault, &key(&pack));
        let by = Signer { key: account.device.signing(), device: account.device.device_id() };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let request = Request::signed(&by, now, &server.addr().to_string(), ("PUT", &path, Some(&pack)));
        let (bytes, sent) = (request.to_bytes(), BYTES / 2);
        let mut stream = connect(server.addr()).unwrap();
        stream.write_all(&bytes[..sent]).and_then(|()| stream.flush()).unwrap();
        // What is only on its way when the signal comes has not begun.
        let begun = Instant::now();
        while files_below(&server.data().join("objects/incoming")).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the upload has not begun");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { server, account, vault, pack, stream, sent, bytes }
    }

    fn send(&mut self, most: usize) -> io::Result<()> {
        let end = self.bytes.len().min(self.sent + most);
        self.stream.write_all(&self.bytes[self.sent..end])?;
        self.sent = end;
        self.stream.flush()
    }

    fn stop(&self) {
        self.server.signal(Signal::TERM);
        self.server.wait_for_log("stopping: running requests are finished");
    }
}

fn key(pack: &[u8]) -> ObjectKey {
    ObjectKey::Pack(PackId::new(hash::object_hash(pack)))
}

#[test]
fn an_upload_under_way_is_finished_and_acknowledged_and_nobody_else_is_let_in() {
    let mut uploading = Uploading::begin(60);

    uploading.stop();
    let addr = uploading.server.addr();
    let begun = Instant::now();
    while TcpStream::connect(addr).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "connections are let in");
        std::thread::sleep(Duration::from_millis(20));
    }
    uploading.send(usize::MAX / 2).unwrap();
    let answer = Answer::read(&mut uploading.stream, false).unwrap();

    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(uploading.server.wait(), Some(0));
    uploading.server.restart();
    let read = uploading.account.server().object(&uploading.vault, &key(&uploading.pack), BYTES as u64);
    assert!(read.unwrap() == uploading.pack);
}

#[test]
fn what_takes_longer_than_the_limit_is_cut_off_and_leaves_nothing() {
    let mut uploading = Uploading::begin(1);
    let begun = Instant::now();

    uploading.stop();

    assert_eq!(uploading.server.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(Answer::read(&mut uploading.stream, false).is_err(), "nothing was acknowledged");
    uploading.server.restart();
    let key = key(&uploading.pack);
    assert!(uploading.account.server().object(&uploading.vault, &key, BYTES as u64).is_err());
    let checked = uploading.server.command(&["check", "--read-data"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let mut uploading = Uploading::begin(3600);
        uploading.stop();
        uploading.send(1_000_000).unwrap();

        uploading.server.signal(second);

        assert_eq!(uploading.server.wait(), Some(1));
        uploading.server.restart();
        assert!(uploading.account.open(uploading.vault).is_ok());
    }
}

#[test]
fn who_waits_for_a_head_does_not_keep_the_server_from_stopping() {
    let mut server = ServerProcess::start();
    let account = Account::join_by(&server.invite());
    let vault = account.init().unwrap();
    let by = Signer { key: account.device.signing(), device: account.device.device_id() };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let path = format!("{}?after=99&wait=55", paths::head(&vault));
    let request = Request::signed(&by, now, &server.addr().to_string(), ("GET", &path, None));
    let mut stream = connect(server.addr()).unwrap();
    stream.write_all(&request.to_bytes()).and_then(|()| stream.flush()).unwrap();
    let begun = Instant::now();

    server.signal(Signal::TERM);

    assert_eq!(server.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
