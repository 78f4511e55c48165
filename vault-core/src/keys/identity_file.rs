//! The user's identity: root signing key and age identity in one packet, and the age file that protects it.
//!
//! The plaintext is text (`docs/format.md`, section 3.1) and exists only in buffers that are wiped.

use std::fmt;

use age::secrecy::SecretString;
use zeroize::Zeroizing;

use super::age_file::{self, OpenError, SealError, Unlock};
use super::identity::AnyIdentity;
use super::key_text::{KeyText, KeyTextError};
use super::recipient::AnyRecipient;
use crate::crypto::age_pq::PqIdentity;
use crate::crypto::bech32_text::Prefix;
use crate::crypto::hash;
use crate::crypto::mac;
use crate::crypto::random::{Random, RandomUnavailable};
use crate::crypto::sign::SigningKey;
use crate::id::UserId;

const TEXT: KeyText = KeyText { title: "vault identity", prefix: Prefix::new("VAULT-ROOT-KEY-") };

/// Why a sealed identity could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityFileError {
    /// The age file did not open.
    #[error("the identity file does not open")]
    Open(#[from] OpenError),
    /// It opened, but what is inside is not an identity.
    #[error("the identity file opens, but does not hold an identity")]
    Text(#[from] KeyTextError),
}

/// An ssh key cannot stand in an identity file: there is no text for it. Seal the identity to it instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user's age identity must be a native one, not an ssh key")]
pub struct NotNative;

/// Both secret keys of a user.
pub struct UserIdentity {
    root: SigningKey,
    age: AnyIdentity,
}

impl UserIdentity {
    /// A new user, with a post-quantum age identity.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomUnavailable> {
        let root = SigningKey::generate(random)?;
        Ok(Self { root, age: AnyIdentity::PostQuantum(PqIdentity::generate(random)?) })
    }

    /// A user with these keys.
    pub fn new(root: SigningKey, age: AnyIdentity) -> Result<Self, NotNative> {
        match age {
            AnyIdentity::Ssh(_) | AnyIdentity::Plugin(_) => Err(NotNative),
            AnyIdentity::PostQuantum(_) | AnyIdentity::X25519(_) => Ok(Self { root, age }),
        }
    }

    /// `BLAKE3("vault/1 hash user" || 0 || root public key)[..16]`.
    pub fn user_id(&self) -> UserId {
        hash::user_id(&self.root.verifying_key().0)
    }

    /// `UK`: signs memberships and device certificates.
    pub fn root(&self) -> &SigningKey {
        &self.root
    }

    /// Signs requests to a server for a user who has lost every machine: derived, so that the identity alone brings it back.
    pub fn recovery_key(&self) -> SigningKey {
        SigningKey::from_seed(mac::recovery_seed(self.root.seed()))
    }

    /// `UA`: opens member envelopes.
    pub fn age(&self) -> &AnyIdentity {
        &self.age
    }

    /// The public half of `UA`.
    pub fn recipient(&self) -> AnyRecipient {
        self.age.to_recipient().expect("a native identity has one, and others are not taken")
    }

    /// The plaintext of an identity file. **It holds the secret keys.**
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let age = self.age.to_secret_text().expect("the age identity is native, checked when it was taken");
        TEXT.encode(&self.user_id().to_hex(), &self.root, &age)
    }

    /// Reads the plaintext of an identity file.
    pub fn parse_secret_text(text: &[u8]) -> Result<Self, KeyTextError> {
        let parts = TEXT.parse(text)?;
        let age = AnyIdentity::parse_native(parts.age).ok_or_else(|| TEXT.bad_age_identity())?;
        let identity = Self { root: parts.signing, age };
        TEXT.check_id(parts.id, &identity.user_id().to_hex())?;
        Ok(identity)
    }

    /// An identity file that a passphrase opens; `work_factor` is scrypt's `log2 N`.
    pub fn seal_with_passphrase(
        &self,
        passphrase: &SecretString,
        work_factor: Option<u8>,
    ) -> Result<Vec<u8>, SealError> {
        age_file::seal_with_passphrase(passphrase, work_factor, self.to_secret_text().as_bytes())
    }

    /// An identity file that each of `recipients` opens.
    pub fn seal_to(&self, recipients: &[AnyRecipient]) -> Result<Vec<u8>, SealError> {
        age_file::seal(recipients, self.to_secret_text().as_bytes())
    }

    /// Opens an identity file.
    pub fn open(file: &[u8], unlock: Unlock<'_>) -> Result<Self, IdentityFileError> {
        let text = age_file::open(file, unlock)?;
        Ok(Self::parse_secret_text(&text)?)
    }
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserIdentity({})", self.user_id().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    fn user(seed: u64) -> UserIdentity {
        UserIdentity::generate(&FixedRandom::new(seed)).unwrap()
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn the_text_has_the_three_lines_of_the_format() {
        let text = user(1).to_secret_text();
        let lines: Vec<_> = text.lines().collect();

        assert_eq!(lines[0], format!("# vault identity {}", user(1).user_id()));
        assert!(lines[1].starts_with("# VAULT-ROOT-KEY-1"));
        assert!(lines[2].starts_with("AGE-SECRET-KEY-PQ-1"));
        assert!(lines.len() == 3 && text.ends_with('\n'));
    }

    #[test]
    fn an_identity_sealed_with_a_passphrase_opens_with_it() {
        let file = user(1).seal_with_passphrase(&secret("correct horse"), Some(2)).unwrap();

        let opened = UserIdentity::open(&file, Unlock::Passphrase(&secret("correct horse"))).unwrap();
        let refused = UserIdentity::open(&file, Unlock::Passphrase(&secret("battery"))).unwrap_err();

        assert_eq!(opened.to_secret_text(), user(1).to_secret_text());
        assert!(matches!(refused, IdentityFileError::Open(OpenError::WrongPassphrase)));
    }

    #[test]
    fn an_identity_sealed_to_a_recipient_opens_with_its_identity() {
        let file = user(1).seal_to(&[user(2).recipient()]).unwrap();
        let theirs = [AnyIdentity::parse_native(&user(2).age().to_secret_text().unwrap()).unwrap()];

        let opened = UserIdentity::open(&file, Unlock::Identities(&theirs)).unwrap();

        assert_eq!(opened.user_id(), user(1).user_id());
    }

    #[test]
    fn a_classical_identity_is_kept_as_it_is() {
        let age = AnyIdentity::X25519(age::x25519::Identity::generate());
        let recipient = age.to_recipient().unwrap();
        let user = UserIdentity::new(SigningKey::generate(&FixedRandom::new(1)).unwrap(), age).unwrap();

        let again = UserIdentity::parse_secret_text(user.to_secret_text().as_bytes()).unwrap();

        assert_eq!(again.recipient(), recipient);
    }

    #[test]
    fn any_other_text_is_refused() {
        let good = user(1).to_secret_text();
        let parse = |text: &str| UserIdentity::parse_secret_text(text.as_bytes()).unwrap_err();
        let other_id = good.replace(&user(1).user_id().to_hex(), &user(2).user_id().to_hex());

        assert!(matches!(parse(&other_id), KeyTextError::IdMismatch { .. }));
        assert!(matches!(parse(good.trim_end()), KeyTextError::Form { .. }));
        assert!(matches!(parse(&format!("{}\n", *good)), KeyTextError::Form { .. }));
        assert!(matches!(parse(&good.replace('\n', "\r\n")), KeyTextError::SigningKey { .. }));
        assert!(matches!(parse(&good.replace("# VAULT", "# vault")), KeyTextError::SigningKey { .. }));
        assert!(matches!(parse(&good.replace("AGE-", "age-")), KeyTextError::AgeIdentity { .. }));
        assert!(matches!(parse(&good.replace("identity", "device key")), KeyTextError::Form { .. }));
        assert!(matches!(parse(&"x".repeat(5000)), KeyTextError::Form { .. }));
        assert!(UserIdentity::parse_secret_text(&[0xff, b'\n']).is_err());
    }

    #[test]
    fn debug_output_shows_the_id_only() {
        assert_eq!(format!("{:?}", user(1)), format!("UserIdentity({})", user(1).user_id().short()));
    }
}
