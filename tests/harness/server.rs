//! A server in this process, behind real TLS, and the smallest client that can sign.
//!
//! A request is a value that a test may change before it is sent, so that everything a client could send wrongly can be sent.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned, version};
use serde_json::Value;
use vault_core::card::{Card, ListedDevice};
use vault_core::crypto::hash;
use vault_core::crypto::sign::SigningKey;
use vault_core::id::{DeviceId, UserId};
use vault_core::log::testing::{Machine, Person};
use vault_core::time::{Clock, Timestamp};
use vault_core::wire::invite::InviteUrl;
use vault_core::wire::signing::{Body, Parts, Signer};
use vault_core::wire::v1::join::{JoinAnswer, JoinRequest};
use vault_core::wire::v1::paths;
use vault_core::wire::{Authority, Binary, ByteText, UserName};
use vault_server::config::{Config, Tls};
use vault_server::db::{Database, PostgresServer};
use vault_server::invites::{self, NO_LIMIT, Terms};
use vault_server::jobs::Jobs;
use vault_server::state::millis;
use vault_server::tls::{CERTIFICATE_FILE, KEY_FILE};
use vault_server::{RECEIPT_KEY_FILE, Running, Server};

/// The longest that any answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The clock of a test server: that of the machine, and what a test adds to it.
#[derive(Debug, Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// The time in milliseconds.
    pub fn now_ms(&self) -> u64 {
        millis(self.now())
    }

    /// Puts the clock forward, or back.
    pub fn add_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::new(since.as_secs().cast_signed() + self.0.load(Ordering::SeqCst), since.subsec_nanos())
    }
}

/// A server with a data directory of its own.
#[derive(Debug)]
pub struct TestServer {
    /// The server's clock.
    pub clock: Arc<TestClock>,
    /// How it was configured.
    pub config: Config,
    running: Option<Running>,
    directory: tempfile::TempDir,
}

impl TestServer {
    /// A new server.
    pub fn start() -> Self {
        Self::with(|_| ())
    }

    /// A new server that is configured otherwise.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::defaults_in(&directory.path().join("data")).unwrap();
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.workers = 2;
        config.keeping.keep_free = Some(0);
        // One address asks for all of a test.
        config.limits.open_rate = 1_000_000;
        config.limits.address_rate = 1_000_000;
        config.limits.stop = Duration::from_secs(5);
        config.database_url = database_of_this_program();
        change(&mut config);
        let mut server = Self { clock: Arc::default(), config, running: None, directory };
        server.run();
        server
    }

    fn run(&mut self) {
        let listener = TcpListener::bind(self.config.listen).unwrap();
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
        self.running = Some(Server::start_at(listener, self.config.clone(), clock).unwrap());
    }

    /// Ends the server and starts it anew on the same data and port.
    pub fn restart(&mut self) {
        self.config.listen = self.addr();
        self.running = None;
        self.run();
    }

    /// Ends the server; nobody listens on its port.
    pub fn stop(&mut self) {
        self.config.listen = self.addr();
        self.running = None;
    }

    /// What runs.
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.running().addr
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.config.data
    }

    /// Another server, with all that this one has now: its keys, users and vaults.
    #[must_use]
    pub fn copy(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let keys = [RECEIPT_KEY_FILE, CERTIFICATE_FILE, KEY_FILE].map(|name| self.data().join(name));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let parts = vault_server::open(&self.config).await.unwrap();
            let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
            let jobs = vault_server::jobs_of(&self.config, &parts, clock);
            let copied = vault_server::jobs::backup(&jobs, &data, &keys).await.unwrap();
            assert_eq!((copied.missing, copied.keys), (0, 3));
            parts.db.close().await;
        });
        let mut config = self.config.clone();
        config.data = data;
        config.listen = "127.0.0.1:0".parse().unwrap();
        let mut server = Self { clock: Arc::clone(&self.clock), config, running: None, directory };
        server.run();
        server
    }

    /// A directory that ends with the server, beside its data.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// Asks the server's database, as the operator's commands do.
    pub fn with_db<T>(&self, ask: impl AsyncFnOnce(&Database) -> T) -> T {
        self.with_jobs(async |jobs| ask(&jobs.db).await)
    }

    /// Does what the server does by itself, now by its clock.
    pub fn with_jobs<T>(&self, run: impl AsyncFnOnce(&Jobs) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let parts = vault_server::open(&self.config).await.unwrap();
            let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(&self.clock);
            let answer = run(&vault_server::jobs_of(&self.config, &parts, clock)).await;
            parts.db.close().await;
            answer
        })
    }

    /// Empties the trash of what has to leave it now; how many objects.
    pub fn empty_trash(&self) -> u64 {
        let now_ms = self.clock.now_ms();
        self.with_jobs(async |jobs| vault_server::jobs::empty_trash(jobs, now_ms).await.unwrap())
    }

    /// An invite for a user with that quota.
    pub fn invite(&self, quota: u64) -> InviteUrl {
        let terms = Terms { label: "test".to_owned(), quota, valid_ms: 3_600_000 };
        let place = (self.running().public_url.as_str(), self.running().pin);
        let (now_ms, random) = (millis(self.clock.now()), vault_core::crypto::random::SystemRandom::new());
        let url = self.with_db(async |db| invites::make(db, place, &terms, now_ms, &random).await.unwrap());
        InviteUrl::parse(&url).unwrap()
    }

    /// Makes a person a user, with these machines on their card.
    pub fn join(&self, person: &Person, machines: &[&Machine]) -> UserId {
        self.join_with_quota(person, machines, NO_LIMIT)
    }

    /// The same with a quota.
    pub fn join_with_quota(&self, person: &Person, machines: &[&Machine], quota: u64) -> UserId {
        let answer = self.try_join(&self.invite(quota), &card(person, machines));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.parse::<JoinAnswer>().user
    }

    /// What comes of a join with that card entry.
    pub fn try_join(&self, invite: &InviteUrl, entry: &[u8]) -> Answer {
        self.try_join_as(invite, entry, None)
    }

    /// The same, wanting a name.
    pub fn try_join_as(&self, invite: &InviteUrl, entry: &[u8], name: Option<&str>) -> Answer {
        let mac = Binary(invite.auth().join_mac(entry));
        let name = name.map(|name| UserName::parse(name).unwrap());
        let asked = JoinRequest { invite: invite.invite, entry: ByteText(entry.to_vec()), mac, name };
        let body = serde_json::to_vec(&asked).unwrap();
        self.send(&Request::open("POST", paths::JOIN, &self.authority(), Some(body)).json())
    }

    /// A client that signs as that machine.
    pub fn client<'s>(&'s self, machine: &'s Machine) -> Client<'s> {
        Client { server: self, key: &machine.key, device: machine.id(), skew: 0 }
    }

    /// The text of the header `host`: under which name clients know the server.
    pub fn authority(&self) -> String {
        let public = self.config.public_url.as_deref().and_then(|url| url.strip_prefix("https://"));
        public.map_or_else(|| self.addr().to_string(), str::to_owned)
    }

    /// A new connection.
    pub fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        connect(self.addr()).unwrap()
    }

    /// Sends a request on a connection of its own.
    pub fn send(&self, request: &Request) -> Answer {
        self.send_bytes(&request.to_bytes())
    }

    /// Sends bytes, whatever they are, and reads one answer.
    pub fn send_bytes(&self, bytes: &[u8]) -> Answer {
        if self.config.tls == Tls::Off {
            return exchange(TcpStream::connect(self.addr()).unwrap(), bytes);
        }
        exchange(self.connect(), bytes)
    }

    /// An open GET.
    pub fn get(&self, target: &str) -> Answer {
        self.send(&Request::open("GET", target, &self.authority(), None))
    }
}

/// An empty database for a server of a test program whose name says that it is for PostgreSQL; `None` for SQLite.
fn database_of_this_program() -> Option<String> {
    let program = std::env::current_exe().unwrap();
    let is_meant = program.file_name().unwrap().to_string_lossy().contains("on_postgres");
    let server = if is_meant { PostgresServer::of_this_program() } else { None }?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(runtime.block_on(server.new_database()))
}

fn exchange(mut stream: impl io::Read + io::Write, bytes: &[u8]) -> Answer {
    // A server may answer and close before all was sent.
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    Answer::read(&mut stream, bytes.starts_with(b"HEAD ")).unwrap()
}

/// The first entry of a person's card with these machines.
pub fn card(person: &Person, machines: &[&Machine]) -> Vec<u8> {
    first_card(person, machines).sign(&person.root).unwrap()
}

/// The same before it is signed.
pub fn first_card(person: &Person, machines: &[&Machine]) -> Card {
    Card::first(person.root.verifying_key(), "age1pq1user".to_owned(), listed(person, machines), 1)
}

/// Machines as the person's card lists them.
pub fn listed(person: &Person, machines: &[&Machine]) -> Vec<ListedDevice> {
    let of = |machine: &&Machine| {
        ListedDevice::new(&machine.key, &person.id(), "age1pq1device".to_owned(), machine.kind)
    };
    machines.iter().map(of).collect()
}

/// A request as it is sent; every part may be changed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers in order, `host` and `content-length` among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a signature.
    pub fn open(method: &str, target: &str, host: &str, body: Option<Vec<u8>>) -> Self {
        let mut headers = vec![("host".to_owned(), host.to_owned())];
        if let Some(body) = &body {
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        Self { method: method.to_owned(), target: target.to_owned(), headers, body: body.unwrap_or_default() }
    }

    /// A request signed by a device at that time, in seconds.
    pub fn signed(
        by: &Signer<'_>,
        created: u64,
        host: &str,
        (method, target, body): (&str, &str, Option<&[u8]>),
    ) -> Self {
        // No two requests of a process have the same nonce.
        static NONCES: AtomicU64 = AtomicU64::new(1);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&NONCES.fetch_add(1, Ordering::SeqCst).to_le_bytes());
        let authority = Authority::parse(host).unwrap();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let parts = Parts { method, authority: &authority, path, query };
        let signed = body.map(|body| Body { sha256: hash::object_hash(body), length: body.len() as u64 });
        let headers = by.sign(&parts, signed.as_ref(), (created, &nonce)).unwrap();
        let mut request = Self::open(method, target, host, body.map(<[u8]>::to_vec))
            .with("signature-input", &headers.signature_input)
            .with("signature", &headers.signature);
        if let Some(digest) = &headers.content_digest {
            request = request.with("content-digest", digest);
        }
        request
    }

    /// The same, said to be JSON.
    #[must_use]
    pub fn json(self) -> Self {
        self.with("content-type", "application/json")
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// The same with a header's value changed.
    #[must_use]
    pub fn changing(mut self, name: &str, change: impl Fn(&str) -> String) -> Self {
        for (known, value) in &mut self.headers {
            if known == name {
                *value = change(value);
            }
        }
        self
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The head alone.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        (head + "\r\n").into_bytes()
    }

    /// All bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.head(), self.body.clone()].concat()
    }
}

/// Signs requests as one device.
#[derive(Debug, Clone, Copy)]
pub struct Client<'s> {
    server: &'s TestServer,
    key: &'s SigningKey,
    device: DeviceId,
    /// Seconds by which the client's clock is ahead of the server's.
    pub skew: i64,
}

impl Client<'_> {
    /// A signed request.
    pub fn request(&self, method: &str, target: &str, body: Option<&[u8]>) -> Request {
        let created = (self.server.clock.now().seconds + self.skew).cast_unsigned();
        let by = Signer { key: self.key, device: self.device };
        Request::signed(&by, created, &self.server.authority(), (method, target, body))
    }

    /// What comes of a signed request.
    pub fn send(&self, method: &str, target: &str, body: Option<&[u8]>) -> Answer {
        self.server.send(&self.request(method, target, body))
    }

    /// What comes of a signed GET.
    pub fn get(&self, target: &str) -> Answer {
        self.send("GET", target, None)
    }

    /// What comes of a signed PUT.
    pub fn put(&self, target: &str, body: &[u8]) -> Answer {
        self.send("PUT", target, Some(body))
    }

    /// What comes of a signed POST of JSON.
    pub fn post(&self, target: &str, body: &Value) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        self.server.send(&self.request("POST", target, Some(&body)).json())
    }
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one answer.
    pub fn read(stream: &mut impl io::Read, is_head: bool) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            let mut part = [0; 4096];
            let read = stream.read(&mut part)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&part[..read]);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<_> = lines.map(header).collect();
        let mut body = bytes.split_off(end + 4);
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, length)| length.parse::<usize>().unwrap());
        if !is_head && body.len() < length {
            let missing = (length - body.len()) as u64;
            let read = stream.take(missing).read_to_end(&mut body)?;
            if (read as u64) < missing {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Self { status, headers, body })
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as a value.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Status and code of a problem.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        (self.status, self.json()["code"].as_str().unwrap().to_owned())
    }
}

/// A connection to whatever listens there, behind TLS.
pub fn connect(addr: SocketAddr) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let socket = TcpStream::connect(addr)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let connection = ClientConnection::new(tls_config(), ServerName::from(addr.ip())).unwrap();
    Ok(StreamOwned::new(connection, socket))
}

/// TLS 1.3 with whatever certificate.
pub fn tls_config() -> Arc<ClientConfig> {
    let provider = ring::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Arc::new(config)
}

/// What a server that listens there presents: the hash of its public key, as clients pin it.
pub fn presented_pin(addr: SocketAddr) -> [u8; 32] {
    let mut stream = connect(addr).unwrap();
    stream.conn.complete_io(&mut stream.sock).unwrap();
    let certificate = &stream.conn.peer_certificates().unwrap()[0];
    let key = ParsedCertificate::try_from(certificate).unwrap().subject_public_key_info();
    hash::object_hash(&key)
}

/// Pins are the matter of the real client.
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
