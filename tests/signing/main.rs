//! Signed requests go both ways between Vault and two implementations of RFC 9421 of others.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![allow(clippy::print_stdout, reason = "a skipped test must say so")]

mod httpsig;
mod python;

use vault_core::crypto::hash;
use vault_core::crypto::secret::Secret;
use vault_core::crypto::sign::SigningKey;
use vault_core::wire::Authority;
use vault_core::wire::signing::{Body, NONCE_BYTES, Parts};

const NOW: u64 = 1_790_000_000;
const SEED: [u8; 32] = [1; 32];
const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];
/// [`NONCE`] as base64url.
const NONCE_TEXT: &str = "BwcHBwcHBwcHBwcHBwcHBw";
const AUTHORITY: &str = "example.com:8443";
const PATH: &str = "/v1/vaults/ab/log/7";

fn key() -> SigningKey {
    SigningKey::from_seed(Secret::new(SEED))
}

fn authority() -> Authority {
    Authority::parse(AUTHORITY).unwrap()
}

fn parts<'a>(authority: &'a Authority, query: Option<&'a str>) -> Parts<'a> {
    Parts { method: "PUT", authority, path: PATH, query }
}

/// With and without a query, with and without a body.
fn requests() -> Vec<(Option<&'static str>, Option<Body>)> {
    let body = Body { sha256: hash::object_hash(b"body"), length: 4 };
    vec![(None, None), (Some("from=3&limit=5"), None), (None, Some(body)), (Some("a=b"), Some(body))]
}
