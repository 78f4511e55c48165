//! A server, as its clients have it: signed requests, answers of bounded size, and patience.
//!
//! Nothing waits for ever: each attempt has deadlines (see [`Deadlines`]), and attempts end with a budget of time (see [`Patience`]).
//! Only what may be done twice is tried twice.

use std::fmt;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ureq::http::{self, HeaderMap};
use ureq::{Agent, Body, Timeout};

use super::connect::{self, Deadlines};
use super::error::NetError;
use super::request::{Answer, Request, header, number};
use super::retry::{Attempts, Patience};
use super::tls::{self, Trust};
use super::url::ServerUrl;
use crate::crypto::hash::device_id;
use crate::crypto::random::Random;
use crate::crypto::sign::{SigningKey, VerifyingKey};
use crate::id::DeviceId;
use crate::time::{Clock, Pace};
use crate::wire::problem::{Code, PROBLEM_JSON, Problem};
use crate::wire::signing::{self, Parts, Signer};

/// How long one wait lasts before it is asked again whether to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(200);
/// The longest answer that says why not.
const PROBLEM_BYTES: u64 = 64 << 10;
/// Bytes that are read at once from a body.
const READ_BYTES: usize = 256 << 10;

/// What talking to a server needs from outside.
#[derive(Clone)]
pub struct Means {
    /// Tells the time: for the moment in each signature.
    pub clock: Arc<dyn Clock>,
    /// Makes nonces, and the chance in waits.
    pub random: Arc<dyn Random>,
    /// Waits before another attempt.
    pub pace: Arc<dyn Pace>,
    /// Says when to wait no longer.
    pub stopped: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// A server, and who asks it. Connections are made when needed, kept, and shared by threads.
pub struct Server {
    url: ServerUrl,
    agent: Agent,
    signer: Option<(SigningKey, DeviceId)>,
    receipt_key: Option<VerifyingKey>,
    means: Means,
    deadlines: Deadlines,
    patience: Patience,
    /// Seconds by which the server's clock is ahead of this machine's: for signatures, and nothing else.
    ahead: AtomicI64,
}

/// Why one attempt failed, and how long the server asks to be left alone.
struct Failure {
    error: NetError,
    retry_after: Option<Duration>,
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        Self { error, retry_after: None }
    }
}

impl Server {
    /// The server at `url`, recognised by `trust`. Nothing is sent yet.
    pub fn new(url: ServerUrl, trust: Trust, means: Means) -> Result<Self, NetError> {
        Self::with_deadlines(url, trust, means, Deadlines::default())
    }

    /// As [`Self::new`], with other deadlines.
    pub fn with_deadlines(
        url: ServerUrl,
        trust: Trust,
        means: Means,
        deadlines: Deadlines,
    ) -> Result<Self, NetError> {
        let tls = tls::client_config(trust, Arc::clone(&means.clock))
            .map_err(|source| NetError::Certificate { server: url.clone(), source })?;
        Ok(Self {
            agent: connect::agent(tls, &deadlines),
            url,
            signer: None,
            receipt_key: None,
            means,
            deadlines,
            patience: Patience::default(),
            ahead: AtomicI64::new(0),
        })
    }

    /// The same server, asked by the device that has this key.
    #[must_use]
    pub fn asked_by(self, key: SigningKey) -> Self {
        let id = device_id(&key.verifying_key().0);
        Self { signer: Some((key, id)), ..self }
    }

    /// The same server, whose receipts verify by this key.
    #[must_use]
    pub fn with_receipt_key(self, key: VerifyingKey) -> Self {
        Self { receipt_key: Some(key), ..self }
    }

    /// The same server, with which one is more or less patient.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Where it is.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// The key by which its receipts verify, if it is known.
    pub fn receipt_key(&self) -> Option<&VerifyingKey> {
        self.receipt_key.as_ref()
    }

    /// The device that asks, if requests can be signed.
    pub fn device(&self) -> Option<DeviceId> {
        self.signer.as_ref().map(|(_, id)| *id)
    }

    /// Asks, again if need be, and returns what the server says when it does what it was asked.
    pub(super) fn ask(&self, request: &Request<'_>) -> Result<Answer, NetError> {
        let mut attempts = Attempts::new(self.patience);
        let mut corrected = false;
        loop {
            let begun = self.means.pace.elapsed();
            if request.probed && attempts.failed() > 0 && self.has_arrived(request) {
                return Ok(Answer { status: 200, head: HeaderMap::new(), body: Vec::new() });
            }
            let failure = match self.attempt(request) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if let Some(ahead) = self.clock_error(&failure.error).filter(|_| !corrected) {
                // The server did nothing: this is the same attempt.
                self.ahead.store(ahead, Ordering::Relaxed);
                corrected = true;
                continue;
            }
            if !request.repeatable || !is_passing(&failure.error) {
                return Err(failure.error);
            }
            let took = self.means.pace.elapsed().saturating_sub(begun);
            match attempts.next_wait(took, failure.retry_after, &*self.means.random) {
                Some(wait) => self.wait(wait)?,
                None => return Err(failure.error),
            }
        }
    }

    /// Says that an answer is not one of the protocol.
    pub(super) fn not_the_protocol(&self, what: &'static str) -> NetError {
        NetError::Protocol { server: self.url.clone(), what }
    }

    /// Says that what the server vouches for is not right.
    pub(super) fn forged(&self, what: &'static str) -> NetError {
        NetError::Forged { server: self.url.clone(), what }
    }

    /// The text of a body.
    pub(super) fn to_json<T: serde::Serialize>(&self, value: &T) -> Result<Vec<u8>, NetError> {
        serde_json::to_vec(value).map_err(|_| self.not_the_protocol("a request that cannot be written"))
    }

    /// The body of an answer as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<T, NetError> {
        answer.json().ok_or_else(|| self.not_the_protocol("the JSON of an answer is not understood"))
    }

    /// Whether a body that was sent before, and whose answer was lost, is there.
    fn has_arrived(&self, request: &Request<'_>) -> bool {
        let head = self.attempt(&Request::head(request.path.clone()));
        head.is_ok_and(|answer| number(&answer.head, "content-length") == Some(request.body_bytes()))
    }

    fn wait(&self, time: Duration) -> Result<(), NetError> {
        let mut left = time;
        while !left.is_zero() {
            if (self.means.stopped)() {
                return Err(NetError::Stopped { server: self.url.clone() });
            }
            let slice = left.min(STOP_INTERVAL);
            self.means.pace.wait(slice);
            left -= slice;
        }
        Ok(())
    }

    /// How far the server's clock is ahead, if that is what it complains about.
    fn clock_error(&self, error: &NetError) -> Option<i64> {
        let NetError::Refused { problem, .. } = error else { return None };
        let server_time = problem.server_time.filter(|_| problem.code == Code::ClockSkew)?;
        server_time.to_timestamp().seconds.checked_sub(self.means.clock.now().seconds)
    }

    fn attempt(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let (head, begun) = (self.signed_head(request)?, self.means.pace.elapsed());
        let total = self.deadlines.total(request.body_bytes(), request.wait);
        let result = match &request.body {
            Some(body) => self.agent.run(self.timed(head.body(body.bytes), request, total)?),
            // Without a length it would be announced as chunked, which servers refuse.
            None if request.method == http::Method::POST => {
                self.agent.run(self.timed(head.body(&[] as &[u8]), request, total)?)
            }
            None => self.agent.run(self.timed(head.body(()), request, total)?),
        };
        let (parts, body) = result.map_err(|error| self.failed(error))?.into_parts();
        let status = parts.status.as_u16();
        if !parts.status.is_success() {
            let problem = self.read_problem(request, status, &parts.headers, body);
            let retry_after = number(&parts.headers, "retry-after").map(Duration::from_secs);
            return Err(Failure { error: self.refused(problem), retry_after });
        }
        // No content: then there is no length either (RFC 9110, section 8.6).
        let body = if request.method == http::Method::HEAD || status == 204 {
            Vec::new()
        } else {
            self.read_body(&parts.headers, body, request.limit, begun + request.wait)?
        };
        Ok(Answer { status, head: parts.headers, body })
    }

    fn refused(&self, problem: Problem) -> NetError {
        let server = self.url.clone();
        match problem.code {
            Code::Protocol => NetError::Version { server, theirs: problem.protocol.unwrap_or_default() },
            _ => NetError::Refused { server, problem: Box::new(problem) },
        }
    }

    fn timed<B: ureq::AsSendBody>(
        &self,
        built: http::Result<http::Request<B>>,
        request: &Request<'_>,
        total: Duration,
    ) -> Result<http::Request<B>, NetError> {
        let built = built.map_err(|_| self.not_the_protocol("a request that cannot be written"))?;
        let idle = self.deadlines.idle.saturating_add(request.wait);
        // What comes back has deadlines of its own, once its size is known.
        let config = self.agent.configure_request(built);
        let config = config
            .timeout_per_read(Some(idle))
            .timeout_recv_response(Some(total))
            .timeout_send_body(Some(total));
        Ok(config.build())
    }

    /// Method, URL and headers, signed for this attempt.
    fn signed_head(&self, request: &Request<'_>) -> Result<http::request::Builder, NetError> {
        let authority = self.url.authority();
        let mut uri = format!("https://{authority}{}", request.path);
        if !request.query.is_empty() {
            uri.push('?');
            uri.push_str(&request.query);
        }
        let mut head = http::Request::builder().method(request.method.clone()).uri(uri);
        if let Some((first, length)) = request.range {
            head = head
                .header("range", format!("bytes={first}-{}", first.saturating_add(length).saturating_sub(1)));
        }
        if let Some(body) = &request.body {
            head = head.header("content-type", body.media);
        }
        for (name, value) in &request.headers {
            head = head.header(*name, value);
        }
        let Some((key, device)) = self.signer.as_ref().filter(|_| request.signed) else { return Ok(head) };
        let parts = Parts {
            method: request.method.as_str(),
            authority,
            path: &request.path,
            query: Some(&*request.query).filter(|query| !query.is_empty()),
        };
        let body = request.body.as_ref();
        let body = body.map(|body| signing::Body { sha256: body.digest, length: body.bytes.len() as u64 });
        let created = self.means.clock.now().seconds.saturating_add(self.ahead.load(Ordering::Relaxed));
        let stamp = (u64::try_from(created).unwrap_or(0), &self.means.random.bytes()?);
        let signed = Signer { key, device: *device }
            .sign(&parts, body.as_ref(), stamp)
            .map_err(|_| self.not_the_protocol("a request that cannot be signed"))?;
        if let Some(digest) = signed.content_digest {
            head = head.header("content-digest", digest);
        }
        Ok(head.header("signature-input", signed.signature_input).header("signature", signed.signature))
    }

    /// Reads a body whole: as long as it says to be, at the least rate or faster.
    fn read_body(
        &self,
        head: &HeaderMap,
        mut body: Body,
        limit: u64,
        begun: Duration,
    ) -> Result<Vec<u8>, NetError> {
        let Some(length) = number(head, "content-length") else {
            return Err(self.not_the_protocol("an answer does not say how long it is"));
        };
        if length > limit {
            return Err(NetError::TooLong { server: self.url.clone(), length, limit });
        }
        let deadline = begun.saturating_add(self.deadlines.total(length, Duration::ZERO));
        let mut bytes = Vec::new();
        let too_long = |_| NetError::TooLong { server: self.url.clone(), length, limit };
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        bytes.try_reserve_exact(capacity).map_err(too_long)?;
        let mut reader = body.as_reader();
        while (bytes.len() as u64) < length {
            let filled = bytes.len();
            bytes.resize(capacity.min(filled + READ_BYTES), 0);
            let read = reader.read(&mut bytes[filled..]).map_err(|error| self.failed(error.into()))?;
            bytes.truncate(filled + read);
            if read == 0 {
                let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into();
                return Err(NetError::Unreachable { server: self.url.clone(), source });
            }
            if self.means.pace.elapsed() > deadline {
                return Err(NetError::TimedOut {
                    server: self.url.clone(),
                    phase: "its answer comes too slowly",
                });
            }
        }
        // Reading the end gives the connection back.
        match reader.read(&mut [0]) {
            Ok(0) => Ok(bytes),
            _ => Err(self.not_the_protocol("an answer is longer than it says")),
        }
    }

    /// What the server says when it does not do what it was asked; made up from the status if it says nothing.
    fn read_problem(&self, request: &Request<'_>, status: u16, head: &HeaderMap, body: Body) -> Problem {
        let is_problem = header(head, "content-type").is_some_and(|media| media.starts_with(PROBLEM_JSON));
        let told = || -> Option<Problem> {
            let begun = self.means.pace.elapsed();
            let bytes = self.read_body(head, body, PROBLEM_BYTES, begun).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        let told = if is_problem && request.method != http::Method::HEAD { told() } else { None };
        match told {
            Some(problem) if problem.status == status => problem,
            _ => silent_problem(status),
        }
    }

    /// Says what a failure below HTTP means.
    fn failed(&self, error: ureq::Error) -> NetError {
        let server = self.url.clone();
        match error {
            ureq::Error::Rustls(source) => tls_failed(server, source),
            ureq::Error::Timeout(phase) => NetError::TimedOut { server, phase: phase_name(phase) },
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                NetError::TimedOut { server, phase: "the line is silent" }
            }
            ureq::Error::Protocol(_)
            | ureq::Error::Http(_)
            | ureq::Error::LargeResponseHeader(..)
            | ureq::Error::BadUri(_) => NetError::Protocol { server, what: "an answer is not HTTP/1.1" },
            other => NetError::Unreachable { server, source: other.into() },
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .field("device", &self.device())
            .finish_non_exhaustive()
    }
}

/// What an answer without a problem says by its status. It names no type of problem.
fn silent_problem(status: u16) -> Problem {
    Problem { status, problem_type: String::new(), ..Problem::new(Code::of_status(status)) }
}

/// Whether a failure may be gone a moment later.
fn is_passing(error: &NetError) -> bool {
    match error {
        NetError::Unreachable { .. } | NetError::TimedOut { .. } => true,
        NetError::Refused { problem, .. } => matches!(problem.status, 408 | 429 | 500 | 502..=504),
        _ => false,
    }
}

fn tls_failed(server: ServerUrl, source: rustls::Error) -> NetError {
    use rustls::{AlertDescription, CertificateError, Error};
    match &source {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<tls::WrongKey>() {
                Some(wrong) => NetError::WrongPin { server, expected: wrong.expected, found: wrong.found },
                None => NetError::Certificate { server, source },
            }
        }
        Error::InvalidCertificate(_) => NetError::Certificate { server, source },
        Error::PeerIncompatible(_)
        | Error::InvalidMessage(_)
        | Error::AlertReceived(AlertDescription::ProtocolVersion | AlertDescription::NoApplicationProtocol) => {
            NetError::Protocol { server, what: "it does not speak TLS 1.3" }
        }
        _ => NetError::Unreachable { server, source: source.into() },
    }
}

fn phase_name(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "no address for its name",
        Timeout::Connect => "no connection",
        Timeout::SendRequest | Timeout::SendBody | Timeout::PerWrite => "it takes nothing more",
        Timeout::RecvResponse => "no answer",
        _ => "the line is silent",
    }
}
