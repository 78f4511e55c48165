//! A small HTTPS server that does what a test tells it, also what no server should.
//!
//! It speaks real TLS on a port of its own. Each request is shown to a script, which says how to answer it.

pub(crate) mod fake;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Deadlines, Means, Server, ServerUrl, Trust};
use crate::crypto::random::FixedRandom;
use crate::crypto::tls::provider;
use crate::time::{Clock, FixedClock, Pace, Timestamp};
use crate::wire::authority::Pin;

type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Answers.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Sends these bytes as they are, then closes.
    Raw(Vec<u8>),
    /// Sends these bytes, then nothing, and keeps the connection.
    Stall(Vec<u8>),
    /// Closes without a word.
    Close,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(200, Vec::new(), body.into())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Vec::new())
    }

    /// An error as the protocol has it.
    pub(crate) fn problem(status: u16, json: &str) -> Self {
        Self::Answer(status, vec![("content-type", "application/problem+json".to_owned())], json.into())
    }

    #[allow(clippy::needless_pass_by_value, reason = "literals read better")]
    pub(crate) fn with(self, name: &'static str, value: impl ToString) -> Self {
        match self {
            Self::Answer(status, mut headers, body) => {
                headers.push((name, value.to_string()));
                Self::Answer(status, headers, body)
            }
            other => other,
        }
    }
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// The running server. Its threads end with the process.
pub(crate) struct Scripted {
    address: SocketAddr,
    pin: Pin,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Scripted {
    /// Starts a server. The script is given the number of the request, from 0, and the request.
    pub(crate) fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_certificate(&CertificateParams::new(vec!["localhost".to_owned()]).unwrap(), false, script)
    }

    /// Starts a server that answers everything with a status before it has read the body, then closes.
    pub(crate) fn hasty(status: u16) -> Self {
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let script = move |_, _: &Seen| Reply::Raw(answer.clone().into_bytes());
        Self::with_certificate(&CertificateParams::new(vec!["localhost".to_owned()]).unwrap(), true, script)
    }

    /// As [`Self::start`], with a certificate that expired long ago.
    pub(crate) fn expired(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(1999, 1, 1);
        params.not_after = date_time_ymd(2000, 1, 1);
        Self::with_certificate(&params, false, script)
    }

    fn with_certificate(
        params: &CertificateParams,
        hasty: bool,
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            pin: Pin::of(&key.subject_public_key_info()),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (Arc::clone(&server.seen), Arc::clone(&server.connections));
        let (config, script): (_, Arc<Script>) = (Arc::new(config), Arc::new(script));
        thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                // What waits to be sent when a connection is reset is lost.
                tcp.set_nodelay(true).unwrap();
                let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                thread::spawn(move || serve(StreamOwned::new(tls, tcp), hasty, &seen, &*script));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> ServerUrl {
        ServerUrl::parse(&format!("https://{}", self.address)).unwrap()
    }

    pub(crate) fn pin(&self) -> Pin {
        self.pin
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A client that recognises the server, and waits for nothing in earnest.
    pub(crate) fn client(&self, world: &World) -> Server {
        Server::with_deadlines(self.url(), Trust::Pin(self.pin), world.means(), short()).unwrap()
    }
}

/// Deadlines that a test can wait for.
pub(crate) fn short() -> Deadlines {
    Deadlines {
        connect: Duration::from_millis(1500),
        idle: Duration::from_millis(700),
        request: Duration::from_secs(20),
        rate: 16 << 10,
    }
}

/// A clock that stands still, and waits that take no time.
#[derive(Clone, Default)]
pub(crate) struct World {
    waited: Arc<Mutex<Vec<Duration>>>,
}

pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_790_000_000, nanos: 0 };

impl World {
    pub(crate) fn means(&self) -> Means {
        Means {
            clock: Arc::new(FixedClock(NOW)) as Arc<dyn Clock>,
            random: Arc::new(FixedRandom::new(7)),
            pace: Arc::new(self.clone()),
            stopped: Arc::new(|| false),
        }
    }

    /// How long was waited in all.
    pub(crate) fn waited(&self) -> Duration {
        self.waited.lock().unwrap().iter().sum()
    }
}

impl Pace for World {
    fn elapsed(&self) -> Duration {
        self.waited()
    }

    fn wait(&self, time: Duration) {
        self.waited.lock().unwrap().push(time);
    }
}

fn serve(mut stream: Stream, hasty: bool, seen: &Mutex<Vec<Seen>>, script: &Script) {
    while let Some((mut request, length)) = read_head(&mut stream) {
        if !hasty {
            request.body = vec![0; length];
            if stream.read_exact(&mut request.body).is_err() {
                return;
            }
        }
        let number = {
            let mut all = seen.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(request.clone());
            all.len() - 1
        };
        let reply = script(number, &request);
        if !answer(&mut stream, &request.method, reply) {
            return;
        }
    }
}

fn read_head(stream: &mut Stream) -> Option<(Seen, usize)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let mut request =
        Seen { method: first.next()?.to_owned(), target: first.next()?.to_owned(), ..Seen::default() };
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    Some((request, length))
}

/// Carries a reply out; false if the connection is not to be used any more.
fn answer(stream: &mut Stream, method: &str, reply: Reply) -> bool {
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} x\r\n");
            if !headers.iter().any(|(name, _)| *name == "content-length") {
                head += &["content-length: ", &body.len().to_string(), "\r\n"].concat();
            }
            for (name, value) in headers {
                head += &[name, ": ", &value, "\r\n"].concat();
            }
            head.push_str("\r\n");
            let body = if method == "HEAD" { &[][..] } else { &body };
            stream.write_all(&[head.as_bytes(), body].concat()).is_ok() && stream.flush().is_ok()
        }
        Reply::Raw(bytes) => {
            let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
            false
        }
        Reply::Stall(bytes) => {
            let _ = stream.write_all(&bytes).and_then(|()| stream.flush());
            // Until the other side has had enough.
            let _ = stream.read_exact(&mut [0]);
            false
        }
        Reply::Close => false,
    }
}
