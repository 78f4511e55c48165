//! One request and its answer, as values.
//!
//! A request knows how much it takes back: nothing is read beyond that.

use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::http::{HeaderMap, Method};

use crate::crypto::hash::object_hash;
use crate::wire::{JSON, OCTETS, limits};

/// What is to be asked.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    /// Without the question mark.
    pub(super) query: String,
    pub(super) body: Option<Body<'a>>,
    /// First byte and length.
    pub(super) range: Option<(u64, u64)>,
    /// Bytes of the answer's body at most.
    pub(super) limit: u64,
    /// How long the server is asked to wait.
    pub(super) wait: Duration,
    /// Whether it may be sent again when nobody knows what became of it.
    pub(super) repeatable: bool,
    /// Whether to look first, before it is sent again, if it has arrived the first time.
    pub(super) probed: bool,
    /// Whether it is signed.
    pub(super) signed: bool,
    /// Further headers, which no signature covers.
    pub(super) headers: Vec<(&'static str, String)>,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) bytes: &'a [u8],
    /// SHA-256 of them.
    pub(super) digest: [u8; 32],
    pub(super) media: &'static str,
}

impl<'a> Request<'a> {
    fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            query: String::new(),
            body: None,
            range: None,
            limit: limits::JSON_ANSWER_BYTES,
            probed: false,
            wait: Duration::ZERO,
            repeatable: true,
            signed: true,
            headers: Vec::new(),
        }
    }

    pub(super) fn get(path: String) -> Self {
        Self::new(Method::GET, path)
    }

    pub(super) fn head(path: String) -> Self {
        Self::new(Method::HEAD, path)
    }

    /// Puts bytes under a name that is taken once: repeating it does no harm.
    pub(super) fn put(path: String, bytes: &'a [u8]) -> Self {
        Self::put_hashed(path, bytes, object_hash(bytes))
    }

    /// As [`Self::put`], for bytes whose hash is known.
    pub(super) fn put_hashed(path: String, bytes: &'a [u8], digest: [u8; 32]) -> Self {
        let body = Some(Body { bytes, digest, media: OCTETS });
        Self { body, ..Self::new(Method::PUT, path) }
    }

    /// Posts JSON. Sent once only, unless it is said to be [`repeatable`](Self::repeatable).
    pub(super) fn post(path: String, json: &'a [u8]) -> Self {
        let body = Some(Body { bytes: json, digest: object_hash(json), media: JSON });
        Self { body, repeatable: false, ..Self::new(Method::POST, path) }
    }

    /// Posts nothing. Sent once only.
    pub(super) fn post_nothing(path: String) -> Self {
        Self { repeatable: false, ..Self::new(Method::POST, path) }
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a parameter to the query. Names and values here are digits, letters and slashes: nothing that needs escaping.
    pub(super) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let separator = if self.query.is_empty() { "" } else { "&" };
        self.query = format!("{}{separator}{name}={value}", self.query);
        self
    }

    pub(super) fn limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    pub(super) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    pub(super) fn open(self) -> Self {
        Self { signed: false, ..self }
    }

    pub(super) fn body_bytes(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.bytes.len() as u64)
    }
}

/// What the server says when it does what it was asked.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The value of a header that stands there once.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as JSON; `None` if it is not that.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// The value of a header that stands there once.
pub(super) fn header<'h>(head: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = head.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// What a header says in decimal digits.
pub(super) fn number(head: &HeaderMap, name: &str) -> Option<u64> {
    let text = header(head, name)?.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}
