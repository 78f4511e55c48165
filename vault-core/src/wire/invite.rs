//! Invites: a URL that makes a stranger a user of a server, and the MACs that show both sides the other one knows it.
//!
//! The secret stands in the fragment, which no client sends; the server keeps [`InviteAuth`] and never the secret.

use std::fmt;

use zeroize::Zeroizing;

use super::authority::{Authority, Pin};
use super::secret_url::{self, Parts};
use crate::crypto::hash;
use crate::crypto::mac::{self, BadMac, MAC_BYTES};
use crate::crypto::random::{Random, RandomUnavailable};
use crate::crypto::secret::Secret;
use crate::crypto::sign::VerifyingKey;
use crate::id::InviteId;

/// `https://HOST[:PORT]/join/INVITE#SECRET[.PIN]`.
pub struct InviteUrl {
    /// Where to join.
    pub authority: Authority,
    /// The invite.
    pub invite: InviteId,
    /// Only who was given the URL has it.
    pub secret: Secret<32>,
    /// The server's key; without it, the server's certificate must chain to the roots of the system.
    pub pin: Option<Pin>,
}

/// Text that is not the URL of an invite. Does not repeat the text, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an invite: expected https://HOST/join/…#…")]
pub struct ParseInviteError;

/// The key of an invite's MACs: `HKDF(secret, "vault/1 kdf invite", invite)`.
#[derive(Debug)]
pub struct InviteAuth(Secret<32>);

impl InviteUrl {
    /// A new invite.
    pub fn generate(
        authority: Authority,
        pin: Option<Pin>,
        random: &dyn Random,
    ) -> Result<Self, RandomUnavailable> {
        let invite = InviteId::new(random.bytes()?);
        Ok(Self { authority, invite, secret: Secret::generate(random)?, pin })
    }

    /// Parses the URL; blanks around it are ignored.
    pub fn parse(text: &str) -> Result<Self, ParseInviteError> {
        parse(text).ok_or(ParseInviteError)
    }

    /// The URL. **It is the secret.**
    pub fn expose(&self) -> Zeroizing<String> {
        let path = super::v1::paths::invite(&self.invite);
        secret_url::write(&self.authority, &path, &self.secret, self.pin.as_ref())
    }

    /// The key of the invite's MACs.
    pub fn auth(&self) -> InviteAuth {
        InviteAuth(mac::invite_key(&self.secret, &self.invite))
    }
}

fn parse(text: &str) -> Option<InviteUrl> {
    let Parts { authority, id, secret, pin } = secret_url::parse(text, "/join/")?;
    Some(InviteUrl { authority, invite: InviteId::parse(id).ok()?, secret, pin })
}

impl fmt::Debug for InviteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteUrl(https://{}/join/{}#…)", self.authority, self.invite)
    }
}

impl InviteAuth {
    /// Takes up what the server kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// What the server keeps. **Who has it can join.**
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// `HMAC-SHA256(auth, "join" || 0x00 || entry)`: what who joins sends with their card entry.
    pub fn join_mac(&self, entry: &[u8]) -> [u8; MAC_BYTES] {
        mac::sign(&self.0, "join", &[entry])
    }

    /// Whether who joins knows the invite. Takes the same time for every `mac`.
    pub fn verify_join(&self, entry: &[u8], mac: &[u8; MAC_BYTES]) -> Result<(), BadMac> {
        mac::verify(&self.0, "join", &[entry], mac)
    }

    /// `HMAC-SHA256(auth, "joined" || 0x00 || receipt key || hash of the entry)`: what the server answers.
    pub fn joined_mac(&self, receipt_key: &VerifyingKey, entry: &[u8]) -> [u8; MAC_BYTES] {
        mac::sign(&self.0, "joined", &[&receipt_key.0, hash::card_hash(entry).as_bytes()])
    }

    /// Whether who answers knows the invite. Takes the same time for every `mac`.
    pub fn verify_joined(
        &self,
        receipt_key: &VerifyingKey,
        entry: &[u8],
        mac: &[u8; MAC_BYTES],
    ) -> Result<(), BadMac> {
        mac::verify(&self.0, "joined", &[&receipt_key.0, hash::card_hash(entry).as_bytes()], mac)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::crypto::random::FixedRandom;

    fn invite(pin: bool) -> InviteUrl {
        let authority = Authority::parse("example.com:8443").unwrap();
        InviteUrl::generate(authority, pin.then_some(Pin([7; 32])), &FixedRandom::new(1)).unwrap()
    }

    #[test]
    fn an_invite_parses_back_from_its_url() {
        for pin in [false, true] {
            let invite = invite(pin);
            let url = invite.expose();
            let parsed = InviteUrl::parse(&format!(" {}\n", *url)).unwrap();

            assert_eq!(*parsed.expose(), *url);
            assert_eq!(parsed.secret.expose(), invite.secret.expose());
            assert_eq!(
                (parsed.authority, parsed.invite, parsed.pin),
                (invite.authority, invite.invite, invite.pin)
            );
        }
    }

    #[test]
    fn every_other_text_is_refused() {
        let url = invite(true).expose().to_string();
        let (before, fragment) = url.split_once('#').unwrap();

        for other in [
            url.replace("https", "http"),
            url.replace("/join/", "/jion/"),
            url.replace('#', "?"),
            url.replace(":8443", ":0"),
            before.to_owned(),
            format!("{before}#"),
            format!("{url}A"),
            format!("{url}."),
            format!("{before}#{}", &fragment[1..]),
            format!("{before}x#{fragment}"),
            url.replace("//", "//user@"),
            url.replace('#', "#="),
            String::new(),
        ] {
            assert_eq!(InviteUrl::parse(&other).map(drop), Err(ParseInviteError), "{other}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let invite = invite(true);
        let shown = format!("{invite:?} {:?} {}", invite.auth(), ParseInviteError);

        assert!(!shown.contains(&URL_SAFE_NO_PAD.encode(invite.secret.expose())));
        assert!(!shown.contains(&hex::encode(invite.auth().expose())));
    }

    #[test]
    fn the_two_macs_hold_for_their_side_and_what_they_cover_only() {
        let auth = invite(false).auth();
        let kept = InviteAuth::from_bytes(*auth.expose());
        let (key, other_key) = (VerifyingKey([1; 32]), VerifyingKey([2; 32]));

        assert_eq!(kept.verify_join(b"entry", &auth.join_mac(b"entry")), Ok(()));
        assert_eq!(kept.verify_join(b"Entry", &auth.join_mac(b"entry")), Err(BadMac));
        assert_eq!(auth.verify_joined(&key, b"entry", &kept.joined_mac(&key, b"entry")), Ok(()));
        assert_eq!(auth.verify_joined(&other_key, b"entry", &kept.joined_mac(&key, b"entry")), Err(BadMac));
        assert_eq!(auth.verify_joined(&key, b"Entry", &kept.joined_mac(&key, b"entry")), Err(BadMac));
        assert_eq!(auth.verify_joined(&key, b"entry", &kept.join_mac(b"entry")), Err(BadMac));
    }
}
