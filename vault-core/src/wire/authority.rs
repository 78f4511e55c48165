//! Which server: its authority, and the pin of its key.
//!
//! An authority has one text, as RFC 9421 (2.2.3) normalises it: lower case, without the default port.

use std::fmt;
use std::net::Ipv6Addr;

use super::encoding::{Number, from_base64url, to_base64url};
use crate::crypto::hash::object_hash;

/// The port that is left out.
const DEFAULT_PORT: u16 = 443;

/// The longest name of a host, as in the domain name system.
const MAX_HOST_BYTES: usize = 253;

/// A host and port of a server that is reached by HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

/// SHA-256 of a certificate's `SubjectPublicKeyInfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(pub [u8; 32]);

impl Authority {
    /// Parses `HOST[:PORT]` in any case, as it stands in a URL or in the header `host`; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.to_string(), port)
        } else {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (is_name(host).then(|| host.to_ascii_lowercase())?, port)
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => u16::try_from(Number::parse(digits)?.0).ok().filter(|port| *port != 0)?,
            None if port.is_empty() => DEFAULT_PORT,
            None => return None,
        };
        Some(Self { host, port })
    }

    /// The host: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also if it is the default one.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.len() <= MAX_HOST_BYTES && host.bytes().all(allowed)
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port == DEFAULT_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl Pin {
    /// The pin of a key, given as the DER of its `SubjectPublicKeyInfo`.
    pub fn of(subject_public_key_info: &[u8]) -> Self {
        Self(object_hash(subject_public_key_info))
    }

    /// Parses the base64url text.
    pub fn parse(text: &str) -> Option<Self> {
        from_base64url(text).map(Self)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_base64url(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_normalised() {
        for (text, normal) in [
            ("example.com", "example.com"),
            ("EXAMPLE.com:443", "example.com"),
            ("example.com:8443", "example.com:8443"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:443", "[::1]"),
            ("[0:0::1]:8443", "[::1]:8443"),
            ("nas_1", "nas_1"),
        ] {
            let authority = Authority::parse(text).unwrap();
            assert_eq!(authority.to_string(), normal, "{text}");
            assert_eq!(Authority::parse(normal), Some(authority), "{text}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for text in [
            "",
            ":443",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:08443",
            "a b",
            "a/b",
            "user@host",
            "[::1",
            "::1",
            "[::1]8443",
            "[a]",
            "ä.de",
            "a\n",
            "a:1:2",
            "a?b",
            "a#b",
        ] {
            assert_eq!(Authority::parse(text), None, "{text:?}");
        }
        assert_eq!(Authority::parse(&"a".repeat(254)), None);
    }
}
