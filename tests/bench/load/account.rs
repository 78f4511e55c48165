//! A user of the server with one device and some vaults: joined as a client joins, and kept in a file for the other jobs.
//!
//! Every request is signed as the protocol has it, when it is about to be sent.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde::{Deserialize, Serialize};
use vault_core::crypto::hash;
use vault_core::crypto::random::{Random, SystemRandom};
use vault_core::crypto::secret::Secret;
use vault_core::crypto::sign::SigningKey;
use vault_core::id::{Epoch, IndexId, Seq, VaultId};
use vault_core::log::testing::{Machine, Person, members};
use vault_core::log::{
    Author, Body as Said, ChunkerParams, Device, DeviceKind, Genesis, Head, Payload, PqPolicy, Role, User,
    certify_device, sign,
};
use vault_core::object::ObjectKey;
use vault_core::time::Timestamp;
use vault_core::wire::invite::InviteUrl;
use vault_core::wire::signing::{Body, Parts, Signer};
use vault_core::wire::v1::join::JoinRequest;
use vault_core::wire::v1::log::HeadText;
use vault_core::wire::v1::paths;
use vault_core::wire::{Authority, Binary, ByteText};
use vault_tests::server::{Answer, card, tls_config};

/// The index object of every vault: what commits name, and small objects that are read.
const INDEX: [u8; 1024] = [0x5a; 1024];

/// The recipient of everyone; nothing is sealed to it.
const RECIPIENT: &str = "age1pq1load";

/// A user, as the other jobs need them.
pub(crate) struct Account {
    person: Person,
    machine: Machine,
    authority: Authority,
    random: SystemRandom,
    pub(crate) vaults: Vec<VaultId>,
}

/// The file. **It holds the keys**, of an account that only this measurement has.
#[derive(Serialize, Deserialize)]
struct Kept {
    authority: String,
    root: [u8; 32],
    device: [u8; 32],
    vaults: Vec<VaultId>,
}

impl Account {
    /// Uses up an invite, and founds vaults, each with its members and an index object.
    pub(crate) fn join(invite: &str, vaults: usize) -> Self {
        let invite = InviteUrl::parse(invite).expect("the URL of an invite");
        let random = SystemRandom::new();
        let key = || SigningKey::generate(&random).unwrap();
        let (person, machine) = (Person { root: key() }, Machine { key: key(), kind: DeviceKind::Full });
        let mut account =
            Self { person, machine, authority: invite.authority.clone(), random, vaults: Vec::new() };
        let entry = card(&account.person, &[&account.machine]);
        let mac = Binary(invite.auth().join_mac(&entry));
        let asked = JoinRequest { invite: invite.invite, entry: ByteText(entry), mac, name: None };
        let body = serde_json::to_vec(&asked).unwrap();
        let mut head = account.open_head("POST", paths::JOIN, Some(body.len()));
        head.truncate(head.len() - 2);
        head.extend(b"content-type: application/json\r\n\r\n");
        account.ask(&[head, body].concat(), 200);
        (0..vaults).for_each(|_| account.found());
        account
    }

    fn found(&mut self) {
        let root = &self.person.root;
        let genesis = Genesis {
            root_key: root.verifying_key(),
            pq: PqPolicy::Required,
            chunker: ChunkerParams { min: 1 << 17, mask_bits: 18, max: 1 << 20 },
            nonce: (&self.random as &dyn Random).bytes().unwrap(),
        };
        let first = Payload::genesis(genesis, now());
        let vault = hash::vault_id(&first.encode());
        let first = sign(&first, root).unwrap();
        let body = Said::Members(members(1, vec![self.member(&vault)]));
        let head = Head { seq: Seq::GENESIS, hash: hash::statement_hash(&first) };
        let second = sign(&draft(vault, head, self.person.id().into(), body), root).unwrap();
        self.put(&paths::vault(&vault), &first);
        self.put(&paths::statement(&vault, Seq(1)), &second);
        self.put(&index_path(&vault), &INDEX);
        self.vaults.push(vault);
    }

    fn member(&self, vault: &VaultId) -> User {
        let (root, key) = (&self.person.root, &self.machine.key);
        let (signing_key, kind) = (key.verifying_key(), self.machine.kind);
        let certificate = certify_device(root, vault, (&signing_key, kind), RECIPIENT);
        let (id, recipient) = (self.machine.id(), RECIPIENT.to_owned());
        let device = Device { id, signing_key, recipient, kind, certificate, envelope_hash: [1; 32] };
        User {
            id: self.person.id(),
            root_key: root.verifying_key(),
            recipient: RECIPIENT.to_owned(),
            role: Role::Owner,
            devices: vec![device],
            envelope_hash: [2; 32],
            reads_from: Epoch::FIRST,
        }
    }

    /// The next commits of a vault: their paths and the statements, each on top of the one before.
    pub(crate) fn commits(&self, vault: VaultId, count: usize) -> Vec<(String, Vec<u8>)> {
        let answer = self.ask(&self.signed_head("GET", &paths::head(&vault), None), 200);
        let mut head: Head = answer.parse::<HeadText>().into();
        let mut commit = vault_core::log::testing::commit(Epoch(1).0, 1);
        // As long as that of a backup: an envelope to a post-quantum recipient, and a small sealed body.
        (commit.session_envelope, commit.body) = (vec![1; 1900], vec![2; 300]);
        commit.indexes = vec![index()];
        let mut next = |_| {
            let said = draft(vault, head, self.machine.id().into(), Said::Commit(commit.clone()));
            let stored = sign(&said, &self.machine.key).unwrap();
            head = Head { seq: said.seq, hash: hash::statement_hash(&stored) };
            (paths::statement(&vault, head.seq), stored)
        };
        (0..count).map(&mut next).collect()
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (self.authority.host(), self.authority.port()).to_socket_addrs().unwrap().next().unwrap()
    }

    /// The head of a signed request.
    pub(crate) fn signed_head(&self, method: &str, path: &str, body: Option<&Body>) -> Vec<u8> {
        let nonce = (&self.random as &dyn Random).bytes().unwrap();
        let parts = Parts { method, authority: &self.authority, path, query: None };
        let by = Signer { key: &self.machine.key, device: self.machine.id() };
        let created = now().seconds.cast_unsigned();
        let headers = by.sign(&parts, body, (created, &nonce)).unwrap();
        let mut head = self.open_head(method, path, body.map(|body| body.length as usize));
        head.truncate(head.len() - 2);
        write!(head, "signature-input: {}\r\nsignature: {}\r\n", headers.signature_input, headers.signature)
            .unwrap();
        if let Some(digest) = &headers.content_digest {
            write!(head, "content-digest: {digest}\r\n").unwrap();
        }
        head.extend(b"\r\n");
        head
    }

    fn open_head(&self, method: &str, path: &str, length: Option<usize>) -> Vec<u8> {
        open_head(method, path, &self.authority.to_string(), length)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        self.ask(&[self.signed_head("PUT", path, Some(&body_of(bytes))), bytes.to_vec()].concat(), 201);
    }

    /// Sends a request on a connection of its own, whose answer must have that status.
    fn ask(&self, request: &[u8], status: u16) -> Answer {
        let answer = ask(self.address(), request);
        assert_eq!(answer.status, status, "{}", answer.text());
        answer
    }

    pub(crate) fn save(&self, path: &Path) {
        let kept = Kept {
            authority: self.authority.to_string(),
            root: *self.person.root.seed().expose(),
            device: *self.machine.key.seed().expose(),
            vaults: self.vaults.clone(),
        };
        std::fs::write(path, serde_json::to_vec(&kept).unwrap()).unwrap();
    }

    pub(crate) fn load(path: &Path) -> Self {
        let kept: Kept = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let key = |seed| SigningKey::from_seed(Secret::new(seed));
        Self {
            person: Person { root: key(kept.root) },
            machine: Machine { key: key(kept.device), kind: DeviceKind::Full },
            authority: Authority::parse(&kept.authority).unwrap(),
            random: SystemRandom::new(),
            vaults: kept.vaults,
        }
    }
}

/// What `author` would say after a head.
fn draft(vault: VaultId, head: Head, author: Author, body: Said) -> Payload {
    let (seq, prev) = (head.seq.next(), Some(head.hash));
    Payload { vault: Some(vault), seq, prev, time: now(), author, body }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::new(since.as_secs().cast_signed(), since.subsec_nanos())
}

/// The path of a vault's index object, and its bytes.
pub(crate) fn small_object(vault: &VaultId) -> (String, &'static [u8]) {
    (index_path(vault), &INDEX)
}

fn index_path(vault: &VaultId) -> String {
    paths::object(vault, &ObjectKey::Index(index()))
}

fn index() -> IndexId {
    IndexId::new(hash::object_hash(&INDEX))
}

/// A body before it is sent.
pub(crate) fn body_of(bytes: &[u8]) -> Body {
    Body { sha256: hash::object_hash(bytes), length: bytes.len() as u64 }
}

/// The head of a request without a signature.
pub(crate) fn open_head(method: &str, path: &str, host: &str, length: Option<usize>) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n").into_bytes();
    if let Some(length) = length {
        write!(head, "content-length: {length}\r\n").unwrap();
    }
    head.extend(b"\r\n");
    head
}

/// What comes of a request on a connection of its own.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> Answer {
    let socket = TcpStream::connect(address).unwrap();
    let tls = ClientConnection::new(tls_config(), ServerName::from(address.ip())).unwrap();
    let mut stream = StreamOwned::new(tls, socket);
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    Answer::read(&mut stream, false).unwrap()
}
