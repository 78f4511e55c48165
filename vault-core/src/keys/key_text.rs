//! The text of key files: a title with an id, a signing seed as a comment, an age identity.
//!
//! There is one text for each pair of keys: parsing accepts what encoding writes and nothing else. As all but the last line are
//! comments, any age tool can use the file as an identity file.
//!
//! ```text
//! # <title> <id, 32 hex digits>
//! # <PREFIX>1<seed of the signing key>
//! AGE-SECRET-KEY-…
//! ```

use zeroize::Zeroizing;

use crate::crypto::bech32_text::{Bech32Error, Prefix};
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;

/// Longer than any such text.
const MAX_BYTES: usize = 1024;

/// Text that is not the one form of a key file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// The file does not have the three lines of its kind.
    #[error("the file does not have the form of a {title}")]
    Form {
        /// What the file should be.
        title: &'static str,
    },
    /// The signing key is mistyped.
    #[error("the signing key in the {title} is not valid")]
    SigningKey {
        /// What the file should be.
        title: &'static str,
        /// What is wrong with it.
        source: Bech32Error,
    },
    /// The age identity is mistyped, or of a kind that does not belong here.
    #[error("the age identity in the {title} is not valid")]
    AgeIdentity {
        /// What the file should be.
        title: &'static str,
    },
    /// The id in the title is not that of the signing key.
    #[error("the {title} says it is {said}, but its key is {found}")]
    IdMismatch {
        /// What the file should be.
        title: &'static str,
        /// The id in the title.
        said: String,
        /// The id that the signing key gives.
        found: String,
    },
}

/// One kind of key file.
pub(super) struct KeyText {
    /// How the first line begins, after `# `.
    pub(super) title: &'static str,
    /// What the signing key's text begins with.
    pub(super) prefix: Prefix,
}

/// The three parts of a text, of which the signing key and the id have been parsed.
pub(super) struct Parts<'a> {
    pub(super) id: &'a str,
    pub(super) signing: SigningKey,
    pub(super) age: &'a str,
}

impl KeyText {
    /// The text, in a buffer that is wiped and does not grow.
    pub(super) fn encode(&self, id: &str, signing: &SigningKey, age: &str) -> Zeroizing<String> {
        let seed = self.prefix.encode(signing.seed().expose());
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
        for part in ["# ", self.title, " ", id, "\n# ", &seed, "\n", age, "\n"] {
            text.push_str(part);
        }
        text
    }

    /// Splits a text into its parts. The caller parses the age identity and checks the id.
    pub(super) fn parse<'a>(&self, text: &'a [u8]) -> Result<Parts<'a>, KeyTextError> {
        let form = || KeyTextError::Form { title: self.title };
        if text.len() > MAX_BYTES {
            return Err(form());
        }
        let text =
            std::str::from_utf8(text).ok().and_then(|text| text.strip_suffix('\n')).ok_or_else(form)?;
        let mut lines = text.split('\n');
        let (Some(first), Some(second), Some(age), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(form());
        };
        let id = first
            .strip_prefix("# ")
            .and_then(|rest| rest.strip_prefix(self.title))
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(form)?;
        let seed: Secret<32> = self
            .prefix
            .decode(second.strip_prefix("# ").ok_or_else(form)?)
            .map_err(|source| KeyTextError::SigningKey { title: self.title, source })?;
        Ok(Parts { id, signing: SigningKey::from_seed(seed), age })
    }

    /// The error of an age identity that does not parse.
    pub(super) fn bad_age_identity(&self) -> KeyTextError {
        KeyTextError::AgeIdentity { title: self.title }
    }

    /// Compares the id in the title with the one the signing key gives.
    pub(super) fn check_id(&self, said: &str, found: &str) -> Result<(), KeyTextError> {
        if said == found {
            return Ok(());
        }
        Err(KeyTextError::IdMismatch { title: self.title, said: said.to_owned(), found: found.to_owned() })
    }
}
