//! The URL of a server: `https://host[:port]`.
//!
//! Two URLs are equal if and only if they name the same host and port, however they were written.

use std::fmt;

use crate::wire::Authority;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUrl(Authority);

/// Text that is not the URL of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} is not of the form https://host or https://host:port")]
pub struct ParseServerUrlError {
    /// The text.
    pub text: String,
}

impl ServerUrl {
    /// Reads `https://host[:port]`, with or without a slash at the end.
    pub fn parse(text: &str) -> Result<Self, ParseServerUrlError> {
        let parsed = || {
            let (scheme, rest) = text.split_at_checked("https://".len())?;
            let authority = rest.strip_suffix('/').unwrap_or(rest);
            Authority::parse(authority).filter(|_| scheme.eq_ignore_ascii_case("https://"))
        };
        parsed().map(Self).ok_or_else(|| ParseServerUrlError { text: text.to_owned() })
    }

    /// The host and port.
    pub fn authority(&self) -> &Authority {
        &self.0
    }
}

impl From<Authority> for ServerUrl {
    fn from(authority: Authority) -> Self {
        Self(authority)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_text() {
        for (text, normal) in [
            ("HTTPS://Vault.Example.ORG/", "https://vault.example.org"),
            ("https://vault.example.org:443", "https://vault.example.org"),
            ("https://[FE80::1]:8443", "https://[fe80::1]:8443"),
        ] {
            let url = ServerUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), normal);
            assert_eq!(ServerUrl::parse(normal), Ok(url));
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "",
            "https://",
            "https:/",
            "http://host",
            "host",
            "https://host:",
            "https://host/path",
            "https://host?q",
            "https://host#f",
            "https://user@host",
            "https://host//",
            "https://é",
        ] {
            assert!(ServerUrl::parse(text).is_err(), "{text}");
        }
    }
}
