//! A server that lies: it has the real one's TLS key, stands between it and its clients, and answers as a test tells it.
//!
//! What it does not lie about, it passes on byte for byte. So a lie is all by which it differs from an honest server.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, version};
use vault_core::wire::Authority;
use vault_core::wire::invite::InviteUrl;
use vault_server::tls::{CERTIFICATE_FILE, KEY_FILE};

use crate::server::{Answer, TestServer, connect};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    bytes: Vec<u8>,
}

/// Answers a request; calling the second argument asks the real server.
type Lie = dyn Fn(&Asked, &dyn Fn() -> Answer) -> Answer + Send + Sync;

/// The lying server. Its threads end with the process.
pub struct Liar {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    tls: Arc<ServerConfig>,
    behind: Mutex<SocketAddr>,
    lie: Mutex<Arc<Lie>>,
    said: Mutex<BTreeMap<String, Answer>>,
}

impl Asked {
    /// Whether it is this method, with a path that contains this.
    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }

    /// All of it as it came: request line, headers and body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that it asks for: first and last.
    pub fn range(&self) -> Option<(usize, usize)> {
        let head = String::from_utf8_lossy(&self.bytes).into_owned();
        let line = head.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
        let (first, last) = line.trim().split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}

impl Liar {
    /// Stands before a server, with its key. Honest at first.
    pub fn before(server: &TestServer) -> Self {
        Self::with_key_of(server, server)
    }

    /// Stands before a server with the key of another.
    pub fn with_key_of(other: &TestServer, server: &TestServer) -> Self {
        let chain = CertificateDer::from_pem_file(other.data().join(CERTIFICATE_FILE)).unwrap();
        let key = PrivateKeyDer::from_pem_file(other.data().join(KEY_FILE)).unwrap();
        let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let honest: Arc<Lie> = Arc::new(|_: &Asked, ask: &dyn Fn() -> Answer| ask());
        let shared = Arc::new(Shared {
            tls: Arc::new(tls),
            behind: Mutex::new(server.addr()),
            lie: Mutex::new(honest),
            said: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let liar = Self { addr: listener.local_addr().unwrap(), shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(tcp));
            }
        });
        liar
    }

    /// An invite of the server behind, to here.
    pub fn invite(&self, server: &TestServer) -> InviteUrl {
        let mut invite = server.invite(u64::MAX / 4);
        invite.authority = Authority::parse(&self.addr.to_string()).unwrap();
        invite
    }

    /// Answers so from now on.
    pub fn lie(&self, lie: impl Fn(&Asked, &dyn Fn() -> Answer) -> Answer + Send + Sync + 'static) {
        *locked(&self.shared.lie) = Arc::new(lie);
    }

    /// Passes everything on from now on.
    pub fn tell_the_truth(&self) {
        self.lie(|_, ask| ask());
    }

    /// Stands before another server from now on.
    pub fn turn_to(&self, server: &TestServer) {
        *locked(&self.shared.behind) = server.addr();
    }

    /// Answers so far, by method and target: of each the first.
    pub fn said(&self) -> BTreeMap<String, Answer> {
        locked(&self.shared.said).clone()
    }
}

impl Shared {
    fn serve(&self, tcp: TcpStream) {
        let tls = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        let mut stream = StreamOwned::new(tls, tcp);
        // Whatever goes wrong with a connection, the client sees it closed.
        while let Ok(asked) = read_request(&mut stream) {
            let lie = Arc::clone(&*locked(&self.lie));
            let answer = lie(&asked, &|| self.ask(&asked));
            let key = format!("{} {}", asked.method, asked.target);
            locked(&self.said).entry(key).or_insert_with(|| answer.clone());
            match answer.write(&mut stream, asked.method == "HEAD") {
                Ok(true) => {}
                _ => return,
            }
        }
    }

    fn ask(&self, asked: &Asked) -> Answer {
        let behind = *locked(&self.behind);
        let answer = connect(behind).and_then(|mut stream| {
            let _ = stream.write_all(&asked.bytes).and_then(|()| stream.flush());
            Answer::read(&mut stream, asked.method == "HEAD")
        });
        answer.unwrap_or(Answer { status: 503, headers: Vec::new(), body: Vec::new() }.resized())
    }
}

impl Answer {
    /// The same with another body, of which it says the length.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.resized()
    }

    /// The same with the value of a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    fn resized(self) -> Self {
        let length = self.body.len();
        self.with_header("content-length", length)
    }

    /// Sends it as it is; false if the connection is of no use after it.
    fn write(&self, stream: &mut impl io::Write, is_head: bool) -> io::Result<bool> {
        let mut head = format!("HTTP/1.1 {} x\r\n", self.status);
        for (name, value) in &self.headers {
            head += name;
            head += ": ";
            head += value;
            head += "\r\n";
        }
        head += "\r\n";
        stream.write_all(head.as_bytes())?;
        if !is_head {
            stream.write_all(&self.body)?;
        }
        stream.flush()?;
        let length = self.header("content-length").and_then(|length| length.parse().ok());
        Ok(is_head || length.unwrap_or(0) == self.body.len())
    }
}

fn read_request(stream: &mut impl io::Read) -> io::Result<Asked> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut words = head.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    stream.take(length.unwrap_or(0)).read_to_end(&mut bytes)?;
    Ok(Asked { method, target, bytes })
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
