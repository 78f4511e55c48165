//! Links: a URL that opens a grant to whoever has it, and what follows from its secret.
//!
//! The secret stands in the fragment, which no client sends. A server sees the token that is derived from it, and keeps only that
//! token's hash; the key that opens anything is derived separately.

use std::fmt;

use zeroize::Zeroizing;

use super::authority::{Authority, Pin};
use super::encoding::{from_base64url, to_base64url};
use super::secret_url::{self, Parts};
use crate::crypto::hash::object_hash;
use crate::crypto::mac;
use crate::crypto::random::{Random, RandomUnavailable};
use crate::crypto::secret::Secret;
use crate::id::GrantId;

/// `https://HOST[:PORT]/s/GRANT#SECRET[.PIN]`.
pub struct LinkUrl {
    /// Where the grant is.
    pub authority: Authority,
    /// The grant.
    pub grant: GrantId,
    /// What opens it.
    pub secret: LinkSecret,
    /// The server's key; without it, the server's certificate must chain to the roots of the system.
    pub pin: Option<Pin>,
}

/// The secret of a link. **Who has it has the grant.**
pub struct LinkSecret(Secret<32>);

/// What shows a server that somebody has a link: goes over the wire, and opens nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkToken([u8; 32]);

/// Text that is not the URL of a link. Does not repeat the text, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a link: expected https://HOST/s/…#…")]
pub struct ParseLinkError;

impl LinkSecret {
    /// A new secret.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomUnavailable> {
        Ok(Self(Secret::generate(random)?))
    }

    /// `HKDF(secret, salt = grant id, "vault/1 kdf link token")`.
    pub fn token(&self, grant: &GrantId) -> LinkToken {
        LinkToken(*mac::link_token(&self.0, grant).expose())
    }

    /// `HKDF(secret, salt = grant id, "vault/1 kdf link key", 48 bytes)`: key and commitment of the link's envelope.
    pub fn envelope_key(&self, grant: &GrantId) -> Secret<48> {
        mac::link_key(&self.0, grant)
    }
}

impl LinkToken {
    /// `SHA-256(token)`: what a grant says of it, and all that a server keeps.
    pub fn hash(&self) -> [u8; 32] {
        object_hash(&self.0)
    }

    /// As it stands behind `Bearer` in a request.
    pub fn text(&self) -> String {
        to_base64url(&self.0)
    }

    /// The token of a text.
    pub fn parse(text: &str) -> Option<Self> {
        from_base64url(text).map(Self)
    }
}

impl fmt::Debug for LinkToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkToken(…)")
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(…)")
    }
}

impl LinkUrl {
    /// Whether a text is meant as a link.
    pub fn looks_like(text: &str) -> bool {
        text.trim().strip_prefix("https://").is_some_and(|rest| rest.contains("/s/"))
    }

    /// Parses the URL; blanks around it are ignored.
    pub fn parse(text: &str) -> Result<Self, ParseLinkError> {
        parse(text).ok_or(ParseLinkError)
    }

    /// The URL. **It is the secret.**
    pub fn expose(&self) -> Zeroizing<String> {
        let path = super::v1::paths::link_page(&self.grant);
        secret_url::write(&self.authority, &path, &self.secret.0, self.pin.as_ref())
    }
}

fn parse(text: &str) -> Option<LinkUrl> {
    let Parts { authority, id, secret, pin } = secret_url::parse(text, "/s/")?;
    Some(LinkUrl { authority, grant: GrantId::parse(id).ok()?, secret: LinkSecret(secret), pin })
}

impl fmt::Debug for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkUrl(https://{}/s/{}#…)", self.authority, self.grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    const GRANT: GrantId = GrantId::new([3; 16]);

    fn url(pin: Option<Pin>) -> LinkUrl {
        let secret = LinkSecret::generate(&FixedRandom::new(1)).unwrap();
        LinkUrl { authority: Authority::parse("host:8443").unwrap(), grant: GRANT, secret, pin }
    }

    #[test]
    fn a_link_is_read_as_it_was_written() {
        for pin in [None, Some(Pin([7; 32]))] {
            let link = url(pin);
            let read = LinkUrl::parse(&format!(" {}\n", *link.expose())).unwrap();

            assert_eq!((read.authority, read.grant, read.pin), (link.authority, GRANT, pin));
            assert_eq!(read.secret.0.expose(), link.secret.0.expose());
        }
    }

    #[test]
    fn neither_token_nor_key_tells_the_other_and_both_are_of_one_grant() {
        let LinkUrl { secret, .. } = url(None);
        let token = secret.token(&GRANT);

        assert_ne!(token.0, *secret.0.expose());
        assert_ne!(token.0[..], secret.envelope_key(&GRANT).expose()[..32]);
        assert_ne!(token, secret.token(&GrantId::new([4; 16])));
        assert_eq!(LinkToken::parse(&token.text()), Some(token.clone()));
        assert_eq!(LinkToken::parse("short"), None);
        assert_eq!(format!("{token:?} {secret:?}"), "LinkToken(…) LinkSecret(…)");
    }

    #[test]
    fn what_is_no_link_is_refused_without_being_repeated() {
        let good = url(None).expose().to_string();
        for bad in [
            &good[..good.len() - 1],
            &good.replace("https", "http"),
            &good.replace("/s/", "/join/"),
            &good.replace('#', "?"),
            &format!("{good}.x"),
            "",
        ] {
            let error = LinkUrl::parse(bad).unwrap_err();
            assert_eq!(error.to_string(), "not a link: expected https://HOST/s/…#…");
        }
        assert!(LinkUrl::looks_like(&good) && !LinkUrl::looks_like("https://host/v/x"));
    }
}
