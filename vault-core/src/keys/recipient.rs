//! Recipients: whom an age file can be sealed to.
//!
//! A recipient is kept with the text it was parsed from, so that what a signed statement says and what is sealed to are the same.

use std::fmt;

use age::ssh::ParseRecipientKeyError;

use super::plugin::PluginRecipient;
use crate::crypto::age_pq::{self, ParsePqError, PqRecipient};

/// Longer than any recipient; a post-quantum one has 1959 characters.
pub const MAX_TEXT_BYTES: usize = 4096;

const X25519_BEGINNING: &str = "age1";
const SSH_RSA_BEGINNING: &str = "ssh-rsa ";
const SSH_BEGINNING: &str = "ssh-";

/// Text that names nobody that files are sealed to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipientError {
    /// Neither an age nor an ssh key.
    #[error("not a recipient: age1…, age1pq1… or ssh-ed25519 … is expected")]
    Unknown,
    /// The text is longer than [`MAX_TEXT_BYTES`], or is more than one line of printable ASCII.
    #[error("a recipient is one line of at most {MAX_TEXT_BYTES} printable characters")]
    NotOneLine,
    /// A post-quantum recipient that is mistyped or weak.
    #[error("not a valid post-quantum recipient")]
    PostQuantum(#[source] ParsePqError),
    /// An X25519 recipient that is mistyped.
    #[error("not a valid X25519 recipient")]
    X25519,
    /// An ssh key with RSA, which is not supported.
    #[error("ssh-rsa keys are not supported")]
    SshRsa,
    /// An ssh key that is mistyped or of another kind.
    #[error("not a valid ssh-ed25519 key")]
    Ssh,
}

#[derive(Clone)]
enum Kind {
    PostQuantum(PqRecipient),
    X25519(age::x25519::Recipient),
    SshEd25519(age::ssh::Recipient),
    Plugin(PluginRecipient),
}

/// A public key of any accepted kind.
#[derive(Clone)]
pub struct AnyRecipient {
    text: String,
    kind: Kind,
}

impl AnyRecipient {
    /// Parses `age1pq1…`, `age1…` (X25519) or `ssh-ed25519 …`, without the line's end.
    pub fn parse(text: &str) -> Result<Self, RecipientError> {
        let printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.len() > MAX_TEXT_BYTES || !text.bytes().all(printable) {
            return Err(RecipientError::NotOneLine);
        }
        let kind = if age_pq::RECIPIENT_PREFIX.begins(text) {
            Kind::PostQuantum(PqRecipient::parse(text).map_err(RecipientError::PostQuantum)?)
        } else if text.starts_with(X25519_BEGINNING) {
            Kind::X25519(parse_x25519(text)?)
        } else if text.starts_with(SSH_RSA_BEGINNING) {
            return Err(RecipientError::SshRsa);
        } else if text.starts_with(SSH_BEGINNING) {
            Kind::SshEd25519(parse_ssh(text)?)
        } else {
            return Err(RecipientError::Unknown);
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// As [`parse`](Self::parse), or the recipient of an age plugin, `age1NAME1…`. **Only for what the user of this machine has named**:
    /// sealing to it starts a program.
    pub fn parse_own(text: &str) -> Result<Self, RecipientError> {
        match Self::parse(text) {
            Err(error @ (RecipientError::X25519 | RecipientError::Unknown)) => {
                let plugin = PluginRecipient::parse(text).ok_or(error)?;
                Ok(Self { text: text.to_owned(), kind: Kind::Plugin(plugin) })
            }
            parsed => parsed,
        }
    }

    /// Whether what is sealed to it stays secret from a quantum computer.
    pub fn is_post_quantum(&self) -> bool {
        matches!(self.kind, Kind::PostQuantum(_))
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As the age crate's trait, to seal with.
    pub fn as_age(&self) -> &dyn age::Recipient {
        match &self.kind {
            Kind::PostQuantum(recipient) => recipient,
            Kind::X25519(recipient) => recipient,
            Kind::SshEd25519(recipient) => recipient,
            Kind::Plugin(recipient) => recipient,
        }
    }

    /// As an owned trait object of the age crate.
    pub fn into_age(self) -> Box<dyn age::Recipient + Send> {
        match self.kind {
            Kind::PostQuantum(recipient) => Box::new(recipient),
            Kind::X25519(recipient) => Box::new(recipient),
            Kind::SshEd25519(recipient) => Box::new(recipient),
            Kind::Plugin(recipient) => Box::new(recipient),
        }
    }
}

/// Accepts only the form that age writes, which is lower case.
fn parse_x25519(text: &str) -> Result<age::x25519::Recipient, RecipientError> {
    let recipient: age::x25519::Recipient = text.parse().map_err(|_| RecipientError::X25519)?;
    if recipient.to_string() == text { Ok(recipient) } else { Err(RecipientError::X25519) }
}

fn parse_ssh(text: &str) -> Result<age::ssh::Recipient, RecipientError> {
    let parsed = text.parse().map_err(|_: ParseRecipientKeyError| RecipientError::Ssh)?;
    match parsed {
        age::ssh::Recipient::SshEd25519(..) => Ok(parsed),
        age::ssh::Recipient::SshRsa(..) => Err(RecipientError::SshRsa),
    }
}

impl From<PqRecipient> for AnyRecipient {
    fn from(recipient: PqRecipient) -> Self {
        Self { text: recipient.to_string(), kind: Kind::PostQuantum(recipient) }
    }
}

impl From<age::x25519::Recipient> for AnyRecipient {
    fn from(recipient: age::x25519::Recipient) -> Self {
        Self { text: recipient.to_string(), kind: Kind::X25519(recipient) }
    }
}

impl fmt::Display for AnyRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AnyRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyRecipient({}…)", self.text.get(..24).unwrap_or(&self.text))
    }
}

impl PartialEq for AnyRecipient {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for AnyRecipient {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::age_pq::PqIdentity;
    use crate::crypto::secret::Secret;

    /// Made for this test, and used for nothing else.
    const SSH_ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL+OjxdlXXnuimWlwY2IwznnRH/gp9pLbEbQhGVwKoW5 someone@example";

    #[test]
    fn each_kind_keeps_its_text() {
        let pq = PqIdentity::from_seed(Secret::new([1; 32])).to_recipient().to_string();
        let x25519 = age::x25519::Identity::generate().to_public().to_string();

        for (text, post_quantum) in [(pq.as_str(), true), (x25519.as_str(), false), (SSH_ED25519, false)] {
            let recipient = AnyRecipient::parse(text).unwrap();
            assert_eq!(recipient.to_string(), text);
            assert_eq!(recipient.is_post_quantum(), post_quantum);
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let pq = PqIdentity::from_seed(Secret::new([1; 32])).to_recipient().to_string();
        let x25519 = age::x25519::Identity::generate().to_public().to_string();
        let parse = |text: &str| AnyRecipient::parse(text).unwrap_err();

        assert_eq!(parse("someone"), RecipientError::Unknown);
        assert_eq!(parse(""), RecipientError::Unknown);
        assert_eq!(parse("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"), RecipientError::SshRsa);
        assert_eq!(parse("ssh-ed25519 AAAA"), RecipientError::Ssh);
        assert_eq!(parse("ssh-dss AAAA"), RecipientError::Ssh);
        assert_eq!(parse(&x25519[..40]), RecipientError::X25519);
        assert!(matches!(parse(&pq[..1900]), RecipientError::PostQuantum(_)));
        assert_eq!(parse(&format!("{x25519}\n")), RecipientError::NotOneLine);
        assert_eq!(parse(&"a".repeat(MAX_TEXT_BYTES + 1)), RecipientError::NotOneLine);
    }
}
