//! URLs that are secrets: `https://HOST[:PORT]/…/ID#SECRET[.PIN]`, of invites and links alike.
//!
//! The secret stands in the fragment, which no client sends. Neither errors nor debug output repeat it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::authority::{Authority, Pin};
use crate::crypto::secret::Secret;

/// Characters of 32 bytes in base64url without padding.
const SECRET_CHARACTERS: usize = 43;

/// More than any URL has, so that none is moved while it is written.
const MAX_BYTES: usize = 512;

/// The parts of such a URL.
pub(super) struct Parts<'t> {
    pub(super) authority: Authority,
    /// What stands between path and fragment.
    pub(super) id: &'t str,
    pub(super) secret: Secret<32>,
    /// The server's key; without it, the server's certificate must chain to the roots of the system.
    pub(super) pin: Option<Pin>,
}

/// Parses such a URL, whose path is `below` and an id; blanks around it are ignored.
pub(super) fn parse<'t>(text: &'t str, below: &str) -> Option<Parts<'t>> {
    let (authority, rest) = text.trim().strip_prefix("https://")?.split_once(below)?;
    let (id, fragment) = rest.split_once('#')?;
    let (secret, pin) = match fragment.split_once('.') {
        Some((secret, pin)) => (secret, Some(Pin::parse(pin)?)),
        None => (fragment, None),
    };
    if secret.len() != SECRET_CHARACTERS {
        return None;
    }
    let secret = Secret::fill_with(|out| match URL_SAFE_NO_PAD.decode_slice(secret, out) {
        Ok(32) => Ok(()),
        _ => Err(()),
    });
    Some(Parts { authority: Authority::parse(authority)?, id, secret: secret.ok()?, pin })
}

/// Writes such a URL. **It is the secret.**
pub(super) fn write(
    authority: &Authority,
    path: &str,
    secret: &Secret<32>,
    pin: Option<&Pin>,
) -> Zeroizing<String> {
    let mut url = Zeroizing::new(String::with_capacity(MAX_BYTES));
    for part in ["https://", &authority.to_string(), path, "#"] {
        url.push_str(part);
    }
    URL_SAFE_NO_PAD.encode_string(secret.expose(), &mut url);
    if let Some(pin) = pin {
        url.push('.');
        url.push_str(&pin.to_string());
    }
    url
}
