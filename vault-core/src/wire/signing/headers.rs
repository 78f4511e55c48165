//! The headers of a signed request: exactly one form of bytes for each.
//!
//! What [`Claimed::parse`] accepts, the writers here write again byte for byte; so there is nothing that two readers could
//! understand differently.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Body, Claimed, NONCE_BYTES, Nonce, Unauthorized};
use crate::crypto::sign::SIGNATURE_BYTES;
use crate::id::DeviceId;
use crate::wire::encoding::{Number, from_base64url, to_base64url};

/// The one header that names what is signed.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// The one header that holds the signature.
pub const SIGNATURE: &str = "signature";
/// The hash of the body (RFC 9530).
pub const CONTENT_DIGEST: &str = "content-digest";
/// The length of the body.
pub const CONTENT_LENGTH: &str = "content-length";
/// Never in a signed request: the length would not be known.
const TRANSFER_ENCODING: &str = "transfer-encoding";

const LABEL: &str = "vault=";
const WITHOUT_BODY: &str = r#"("@method" "@authority" "@path" "@query")"#;
const WITH_BODY: &str = r#"("@method" "@authority" "@path" "@query" "content-digest" "content-length")"#;
const ALGORITHM: &str = r#";alg="ed25519";keyid=""#;
const TAIL: &str = r#"";tag="vault-v1""#;

/// The largest number that a structured field has (RFC 9651).
const MAX_CREATED: u64 = 999_999_999_999_999;

/// The parameters: what follows the label, and the last line of the signature base.
pub(super) fn parameters(has_body: bool, created: u64, nonce: &Nonce, device: &DeviceId) -> String {
    let components = if has_body { WITH_BODY } else { WITHOUT_BODY };
    let nonce = to_base64url(nonce);
    format!(r#"{components};created={created};nonce="{nonce}"{ALGORITHM}{device}{TAIL}"#)
}

/// The value of `signature-input`.
pub(super) fn input_value(parameters: &str) -> String {
    format!("{LABEL}{parameters}")
}

/// The value of `signature`.
pub(super) fn signature_value(signature: &[u8; SIGNATURE_BYTES]) -> String {
    format!("{LABEL}:{}:", STANDARD.encode(signature))
}

/// The value of `content-digest`.
pub fn digest_value(sha256: &[u8; 32]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256))
}

/// Reads the value of `content-digest`, which names one SHA-256 and nothing else; `None` for everything else.
pub fn parse_digest(value: &str) -> Option<[u8; 32]> {
    from_base64(value.strip_prefix("sha-256=:")?.strip_suffix(':')?)
}

/// The headers that matter, each at most once.
#[derive(Default)]
struct Found<'a> {
    input: Option<&'a str>,
    signature: Option<&'a str>,
    digest: Option<&'a str>,
    length: Option<&'a str>,
}

impl Claimed {
    /// Reads the headers of a request, in any order; names in any case.
    ///
    /// Refused is whatever is not exactly the profile: a header that is missing, there twice, or in another form; a body that is
    /// not signed; a length without a signed body, unless it is 0.
    pub fn parse<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Unauthorized> {
        read(&collect(headers).ok_or(Unauthorized)?).ok_or(Unauthorized)
    }
}

fn collect<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Option<Found<'a>> {
    let mut found = Found::default();
    for (name, value) in headers {
        let slot = match name {
            name if name.eq_ignore_ascii_case(SIGNATURE_INPUT) => &mut found.input,
            name if name.eq_ignore_ascii_case(SIGNATURE) => &mut found.signature,
            name if name.eq_ignore_ascii_case(CONTENT_DIGEST) => &mut found.digest,
            name if name.eq_ignore_ascii_case(CONTENT_LENGTH) => &mut found.length,
            name if name.eq_ignore_ascii_case(TRANSFER_ENCODING) => return None,
            _ => continue,
        };
        if slot.replace(std::str::from_utf8(value).ok()?).is_some() {
            return None;
        }
    }
    Some(found)
}

fn read(found: &Found<'_>) -> Option<Claimed> {
    let signature = found.signature?.strip_prefix(LABEL)?.strip_prefix(':')?.strip_suffix(':')?;
    let input = found.input?.strip_prefix(LABEL)?;
    let (has_body, rest) = match input.strip_prefix(WITH_BODY) {
        Some(rest) => (true, rest),
        None => (false, input.strip_prefix(WITHOUT_BODY)?),
    };
    let (created, rest) = rest.strip_prefix(";created=")?.split_once(';')?;
    let (nonce, rest) = rest.strip_prefix("nonce=\"")?.split_once('"')?;
    let device = rest.strip_prefix(ALGORITHM)?.strip_suffix(TAIL)?;
    let body = read_body(has_body, found.digest, found.length).ok()?;
    Some(Claimed {
        device: DeviceId::parse(device).ok()?,
        created: Number::parse(created).filter(|created| created.0 <= MAX_CREATED)?.0,
        nonce: from_base64url::<NONCE_BYTES>(nonce)?,
        body,
        signature: from_base64(signature)?,
    })
}

/// The body that is signed, if there is one.
fn read_body(
    has_body: bool,
    digest: Option<&str>,
    length: Option<&str>,
) -> Result<Option<Body>, Unauthorized> {
    match (has_body, digest, length) {
        (true, Some(digest), Some(length)) => {
            let sha256 = parse_digest(digest).ok_or(Unauthorized)?;
            let Number(length) = Number::parse(length).ok_or(Unauthorized)?;
            Ok(Some(Body { sha256, length }))
        }
        (false, None, None | Some("0")) => Ok(None),
        _ => Err(Unauthorized),
    }
}

/// Reads exactly `N` bytes from their one padded base64 text.
fn from_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Compared first, so that nothing of another length is ever decoded.
    if text.len() != N.div_ceil(3) * 4 {
        return None;
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}
