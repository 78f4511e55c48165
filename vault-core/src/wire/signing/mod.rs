//! Signed requests: RFC 9421 with Ed25519 and RFC 9530, in one strict form.
//!
//! Nothing is negotiated. A client signs:
//!
//! ```text
//! the method, authority, path and query; and with a body its SHA-256 and length                      [1]
//! with the time, a nonce that is never used again, and its device's id                               [2]
//! ```
//!
//! and a server, before it reads the body:
//!
//! ```text
//! parses the headers, of which exactly one form of bytes is accepted                                 [3]
//! looks up the key of the device that the request claims to be from
//! builds the base from the request as it came, and verifies the signature                            [4]
//! compares the time with its clock, and looks whether the nonce was used                             [5]
//! hashes and counts the body while it arrives, and compares
//! ```
//!
//! Only [`Claimed::verify`] makes a [`Signed`], so what is not verified cannot be mistaken for it. All refusals are one value.

mod base;
pub mod headers;
#[cfg(test)]
mod tests;

pub use base::NotSignable;

use super::authority::Authority;
use super::limits::CLOCK_WINDOW_SECONDS;
use crate::crypto::sign::{SIGNATURE_BYTES, SigningKey, VerifyingKey};
use crate::id::DeviceId;
use crate::time::Timestamp;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// Makes a request different from every other one of the device.
pub type Nonce = [u8; NONCE_BYTES];

/// A request that is not signed as it must be. Says no more, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request is not signed by a known device")]
pub struct Unauthorized;

/// What a request asks for, as it stands in its head.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// Whom it is for: of the URL, or of the header `host`.
    pub authority: &'a Authority,
    /// The path, exactly as it is sent.
    pub path: &'a str,
    /// What follows the `?`, exactly as it is sent; `None` without a `?`.
    pub query: Option<&'a str>,
}

/// A body, before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub length: u64,
}

/// Signs the requests of one device.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The device's signing key.
    pub key: &'a SigningKey,
    /// The device.
    pub device: DeviceId,
}

/// The headers to send, besides `content-length`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// `signature-input`.
    pub signature_input: String,
    /// `signature`.
    pub signature: String,
    /// `content-digest`, with a body only.
    pub content_digest: Option<String>,
}

/// What a request claims, before its signature is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    device: DeviceId,
    created: u64,
    nonce: Nonce,
    body: Option<Body>,
    signature: [u8; SIGNATURE_BYTES],
}

/// What a device has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    device: DeviceId,
    created: u64,
    nonce: Nonce,
    body: Option<Body>,
}

impl Signer<'_> {
    /// Signs a request; `created` in seconds since 1970 UTC, `nonce` random and fresh.
    ///
    /// # Errors
    ///
    /// [`NotSignable`] if a part has bytes that it cannot have in the head of a request.
    pub fn sign(
        &self,
        parts: &Parts<'_>,
        body: Option<&Body>,
        (created, nonce): (u64, &Nonce),
    ) -> Result<Headers, NotSignable> {
        let parameters = headers::parameters(body.is_some(), created, nonce, &self.device); // [2]
        let base = parts.base(body, &parameters)?; // [1]
        Ok(Headers {
            signature: headers::signature_value(&self.key.sign_base(&base)),
            signature_input: headers::input_value(&parameters),
            content_digest: body.map(|body| headers::digest_value(&body.sha256)),
        })
    }
}

impl Parts<'_> {
    /// The bytes that are signed, for these parameters.
    fn base(&self, body: Option<&Body>, parameters: &str) -> Result<Vec<u8>, NotSignable> {
        let Self { method, authority, path, query } = *self;
        // A space or a `?` would end the path in the head of a request, and a `#` the query.
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_path = path.starts_with('/') && visible(path) && !path.contains('?');
        if !is_method || !is_path || !query.is_none_or(visible) {
            return Err(NotSignable);
        }
        let (authority, query) = (authority.to_string(), format!("?{}", query.unwrap_or_default()));
        let mut components =
            vec![("@method", method), ("@authority", &authority), ("@path", path), ("@query", &query)];
        let values = body.map(|body| (headers::digest_value(&body.sha256), body.length.to_string()));
        if let Some((digest, length)) = &values {
            components
                .extend([(headers::CONTENT_DIGEST, digest.as_str()), (headers::CONTENT_LENGTH, length)]);
        }
        base::signature_base(&components, parameters)
    }
}

impl Claimed {
    /// Whose key is to be looked up. **Not verified yet.**
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Verifies the signature with the key of [`Self::device`].
    ///
    /// A caller that knows no such device verifies with any other key, so that both take the same time.
    pub fn verify(&self, key: &VerifyingKey, parts: &Parts<'_>) -> Result<Signed, Unauthorized> {
        let Self { device, created, nonce, body, signature } = self;
        let parameters = headers::parameters(body.is_some(), *created, nonce, device);
        let base = parts.base(body.as_ref(), &parameters).map_err(|NotSignable| Unauthorized)?;
        key.verify_base(&base, signature).map_err(|_| Unauthorized)?; // [4]
        Ok(Signed { device: *device, created: *created, nonce: *nonce, body: *body })
    }
}

impl Signed {
    /// The device.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// When it was signed by the device's clock, in seconds since 1970 UTC.
    pub fn created(&self) -> u64 {
        self.created
    }

    /// The nonce, which must not have been used by the device before.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The body that was signed; without one, nothing may be read.
    pub fn body(&self) -> Option<&Body> {
        self.body.as_ref()
    }

    /// Whether it was signed within 300 seconds of `now`, either way.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        // [5]
        let created = i64::try_from(self.created).unwrap_or(i64::MAX);
        created.abs_diff(now.seconds) <= CLOCK_WINDOW_SECONDS
    }
}
