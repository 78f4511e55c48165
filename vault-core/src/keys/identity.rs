//! Identities: what opens an age file. Reads age's identity files and OpenSSH private keys.
//!
//! An error names the line, never what stands on it.

use std::fmt;

use age::{Callbacks, DecryptError};
use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::SecretString;
use super::plugin::{IDENTITY_BEGINNING, PluginIdentity};
use super::recipient::{AnyRecipient, RecipientError};
use crate::crypto::age_pq::{self, PqIdentity};

/// Longer than any file of identities that is made by hand or by a tool.
pub const MAX_FILE_BYTES: usize = 64 * 1024;

const X25519_BEGINNING: &str = "AGE-SECRET-KEY-1";
const PEM_BEGINNING: &str = "-----BEGIN ";

/// Text or a file that holds no usable identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A line is neither an identity nor a comment.
    #[error("line {line} is not an identity")]
    Line {
        /// The line's number, from 1.
        line: usize,
    },
    /// The identity belongs to an age plugin that is not installed.
    #[error("line {line} is an identity of {program}, which is not installed")]
    Plugin {
        /// The line's number, from 1.
        line: usize,
        /// The program that is missing.
        program: String,
    },
    /// The file has no line with an identity.
    #[error("there is no identity in the file")]
    Empty,
    /// The file is longer than [`MAX_FILE_BYTES`].
    #[error("{bytes} bytes are too long for a file of identities")]
    TooLong {
        /// Length of the file.
        bytes: usize,
    },
    /// The file is not text.
    #[error("the file is not text")]
    NotText,
    /// A private key file that is damaged or in a form that is not OpenSSH's.
    #[error("not an OpenSSH private key")]
    MalformedSsh,
    /// An ssh private key of a kind that files cannot be sealed to here.
    #[error("an ssh key of this kind is not supported")]
    SshKind(#[source] RecipientError),
}

/// A private ssh key, perhaps encrypted: then its passphrase is asked for when it is needed.
pub struct SshIdentity {
    recipient: AnyRecipient,
    identity: Box<dyn age::Identity + Send + Sync>,
}

/// A secret key of any accepted kind.
pub enum AnyIdentity {
    /// `mlkem768x25519`: the default.
    PostQuantum(PqIdentity),
    /// age's classical kind.
    X25519(age::x25519::Identity),
    /// An ssh-ed25519 key.
    Ssh(SshIdentity),
    /// A key that an age plugin keeps.
    Plugin(PluginIdentity),
}

impl AnyIdentity {
    /// Parses `AGE-SECRET-KEY-PQ-1…` or `AGE-SECRET-KEY-1…`; `None` if it is neither, or mistyped.
    pub fn parse_native(text: &str) -> Option<Self> {
        if age_pq::IDENTITY_PREFIX.begins(text) {
            return PqIdentity::parse(text).ok().map(Self::PostQuantum);
        }
        // The age crate would take lower case as well.
        let upper_case = text.starts_with(X25519_BEGINNING) && !text.bytes().any(|b| b.is_ascii_lowercase());
        if upper_case { text.parse().ok().map(Self::X25519) } else { None }
    }

    /// The identity as text, if it is a native one. **It is the secret key.**
    pub fn to_secret_text(&self) -> Option<Zeroizing<String>> {
        match self {
            Self::PostQuantum(identity) => Some(identity.to_secret_text()),
            Self::X25519(identity) => Some(Zeroizing::new(identity.to_string().expose_secret().to_owned())),
            Self::Ssh(_) | Self::Plugin(_) => None,
        }
    }

    /// The public half; only a plugin knows that of its keys.
    pub fn to_recipient(&self) -> Option<AnyRecipient> {
        match self {
            Self::PostQuantum(identity) => Some(identity.to_recipient().into()),
            Self::X25519(identity) => Some(identity.to_public().into()),
            Self::Ssh(identity) => Some(identity.recipient.clone()),
            Self::Plugin(_) => None,
        }
    }
}

impl age::Identity for AnyIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        match self {
            Self::PostQuantum(identity) => identity.unwrap_stanza(stanza),
            Self::X25519(identity) => identity.unwrap_stanza(stanza),
            Self::Ssh(identity) => identity.identity.unwrap_stanza(stanza),
            Self::Plugin(identity) => identity.unwrap_stanza(stanza),
        }
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        match self {
            // One run of the program for all of them.
            Self::Plugin(identity) => identity.unwrap_stanzas(stanzas),
            _ => stanzas.iter().find_map(|stanza| self.unwrap_stanza(stanza)),
        }
    }
}

impl fmt::Debug for AnyIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PostQuantum(_) => "AnyIdentity::PostQuantum(…)",
            Self::X25519(_) => "AnyIdentity::X25519(…)",
            Self::Ssh(_) => "AnyIdentity::Ssh(…)",
            Self::Plugin(_) => "AnyIdentity::Plugin(…)",
        })
    }
}

/// Answers when the passphrase of an encrypted ssh key is needed, and nothing else.
#[derive(Debug, Clone)]
pub struct AskPassphrase<F>(pub F);

impl<F> Callbacks for AskPassphrase<F>
where
    F: Fn() -> Option<SecretString> + Clone + Send + Sync + 'static,
{
    fn display_message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, _: &str) -> Option<SecretString> {
        (self.0)()
    }
}

/// Reads a file of identities: lines of native ones and of plugins, with `#` before comments, or one OpenSSH private key.
///
/// `name` is what `callbacks` tells the user when an encrypted ssh key's passphrase is needed; that happens on opening, not here.
pub fn parse_identity_file(
    contents: &[u8],
    name: Option<&str>,
    callbacks: impl Callbacks,
) -> Result<Vec<AnyIdentity>, IdentityError> {
    if contents.len() > MAX_FILE_BYTES {
        return Err(IdentityError::TooLong { bytes: contents.len() });
    }
    let text = std::str::from_utf8(contents).map_err(|_| IdentityError::NotText)?;
    if text.starts_with(PEM_BEGINNING) {
        return parse_ssh(text, name, callbacks).map(|identity| vec![identity]);
    }
    let mut identities = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if content.starts_with(IDENTITY_BEGINNING) {
            let plugin = PluginIdentity::parse(content, callbacks.clone());
            identities.push(AnyIdentity::Plugin(plugin.map_err(|missing| match missing {
                Some(program) => IdentityError::Plugin { line: line_number, program },
                None => IdentityError::Line { line: line_number },
            })?));
            continue;
        }
        identities.push(AnyIdentity::parse_native(content).ok_or(IdentityError::Line { line: line_number })?);
    }
    if identities.is_empty() { Err(IdentityError::Empty) } else { Ok(identities) }
}

fn parse_ssh(
    text: &str,
    name: Option<&str>,
    callbacks: impl Callbacks,
) -> Result<AnyIdentity, IdentityError> {
    let parsed = age::ssh::Identity::from_buffer(text.as_bytes(), name.map(str::to_owned))
        .map_err(|_| IdentityError::MalformedSsh)?;
    let recipient = match age::ssh::Recipient::try_from(parsed.clone()) {
        Ok(public) => AnyRecipient::parse(&public.to_string()),
        Err(_) => Err(RecipientError::Ssh),
    }
    .map_err(IdentityError::SshKind)?;
    Ok(AnyIdentity::Ssh(SshIdentity { recipient, identity: Box::new(parsed.with_callbacks(callbacks)) }))
}

#[cfg(test)]
mod tests {
    use age::NoCallbacks;

    use super::*;
    use crate::crypto::random::FixedRandom;
    use crate::keys::age_file::{self, OpenError, Unlock};

    /// Made by ssh-keygen for these tests, and used for nothing else.
    const PLAIN_SSH: &str = include_str!("testdata/ssh_ed25519");
    /// The same, protected by the passphrase "test".
    const LOCKED_SSH: &str = include_str!("testdata/ssh_ed25519_locked");
    const RSA_SSH: &str = include_str!("testdata/ssh_rsa");

    fn parse(text: &str) -> Result<Vec<AnyIdentity>, IdentityError> {
        parse_identity_file(text.as_bytes(), None, NoCallbacks)
    }

    fn native() -> (Zeroizing<String>, Zeroizing<String>) {
        let pq = AnyIdentity::PostQuantum(PqIdentity::generate(&FixedRandom::new(1)).unwrap());
        let x25519 = AnyIdentity::X25519(age::x25519::Identity::generate());
        (pq.to_secret_text().unwrap(), x25519.to_secret_text().unwrap())
    }

    #[test]
    fn an_identity_file_may_have_comments_and_several_lines() {
        let (pq, x25519) = native();

        let identities = parse(&format!("# created: today\n\n{}\r\n  {}\n", *pq, *x25519)).unwrap();

        assert_eq!(identities.len(), 2);
        assert!(identities[0].to_recipient().unwrap().is_post_quantum());
        assert_eq!(identities[1].to_secret_text().unwrap(), x25519);
    }

    #[test]
    fn an_error_names_the_line_and_not_what_stands_there() {
        let (pq, x25519) = native();

        let mistyped = parse(&format!("# comment\n{}\n", &pq[..70])).unwrap_err();
        let lower_case = parse(&x25519.to_lowercase()).unwrap_err();

        assert_eq!(mistyped, IdentityError::Line { line: 2 });
        assert!(!mistyped.to_string().contains(&pq[20..30]));
        assert_eq!(lower_case, IdentityError::Line { line: 1 });
        assert_eq!(parse("AGE-PLUGIN-YUBIKEY-1ABC").unwrap_err(), IdentityError::Line { line: 1 });
        assert_eq!(parse("# nothing\n").unwrap_err(), IdentityError::Empty);
    }

    #[test]
    fn a_plain_ssh_key_opens_what_is_sealed_to_it() {
        let identities = parse(PLAIN_SSH).unwrap();
        let sealed = age_file::seal(&[identities[0].to_recipient().unwrap()], b"keys").unwrap();

        assert_eq!(age_file::open(&sealed, Unlock::Identities(&identities)).unwrap().as_slice(), b"keys");
        assert!(identities[0].to_secret_text().is_none());
    }

    #[test]
    fn a_locked_ssh_key_asks_for_its_passphrase() {
        let with = |typed: &'static str| {
            let ask = AskPassphrase(move || Some(SecretString::from(typed.to_owned())));
            parse_identity_file(LOCKED_SSH.as_bytes(), Some("id"), ask).unwrap()
        };
        let sealed = age_file::seal(&[with("").remove(0).to_recipient().unwrap()], b"keys").unwrap();
        let open = |typed| age_file::open(&sealed, Unlock::Identities(&with(typed)));

        assert_eq!(open("test").unwrap().as_slice(), b"keys");
        assert!(matches!(open("wrong"), Err(OpenError::IdentityLocked)));
        let nobody_types = parse(LOCKED_SSH).unwrap();
        let refused = age_file::open(&sealed, Unlock::Identities(&nobody_types));
        assert!(matches!(refused, Err(OpenError::NotForTheseIdentities)));
    }

    #[test]
    fn ssh_keys_of_other_kinds_and_damaged_ones_are_refused() {
        assert_eq!(parse(RSA_SSH).unwrap_err(), IdentityError::SshKind(RecipientError::SshRsa));
        for length in PEM_BEGINNING.len()..PLAIN_SSH.len() - 1 {
            let shortened = parse(&PLAIN_SSH[..length]);
            assert!(shortened.is_err() || PLAIN_SSH[length..].trim().is_empty(), "{length}");
        }
        assert_eq!(parse_identity_file(&[0xff], None, NoCallbacks).unwrap_err(), IdentityError::NotText);
        let long = "#".repeat(MAX_FILE_BYTES + 1);
        assert!(matches!(parse(&long), Err(IdentityError::TooLong { .. })));
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let (pq, _) = native();

        assert_eq!(format!("{:?}", AnyIdentity::parse_native(&pq).unwrap()), "AnyIdentity::PostQuantum(…)");
    }
}
