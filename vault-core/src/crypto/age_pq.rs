//! age's post-quantum recipient type `mlkem768x25519` (C2SP age.md), which the age crate does not have yet.
//!
//! A file key is sealed by HPKE to an X-Wing key: it stays secret as long as ML-KEM-768 or X25519 does. Stanzas are read in
//! their one canonical form; everything else is an invalid header, never "not mine". When the age crate brings this type
//! itself, these two take its place: the format is the same.

use std::collections::HashSet;
use std::fmt;
use std::io;

use age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::bech32_text::{Bech32Error, Prefix};
use super::hpke;
use super::random::{Random, RandomUnavailable, SystemRandom};
use super::secret::Secret;
use super::xwing::{PUBLIC_KEY_BYTES, PublicKey, SEED_BYTES, SHARE_BYTES, SecretKey};

/// What every identity begins with, before the `1`.
pub const IDENTITY_PREFIX: Prefix = Prefix::new("AGE-SECRET-KEY-PQ-");
/// What every recipient begins with, before the `1`.
pub const RECIPIENT_PREFIX: Prefix = Prefix::new("age1pq");

const STANZA_TAG: &str = "mlkem768x25519";
const HPKE_INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
const BODY_BYTES: usize = FILE_KEY_BYTES + hpke::TAG_BYTES;
/// Characters of a share in base64 without padding.
const SHARE_CHARACTERS: usize = (SHARE_BYTES * 8).div_ceil(6);

/// Keeps age from sealing one file to a post-quantum and a classical recipient: the weaker would decide.
const LABEL: &str = "postquantum";

/// Text that is not a post-quantum key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePqError {
    /// The text is not a key of this kind.
    #[error(transparent)]
    Text(#[from] Bech32Error),
    /// The text is well formed, but nobody can have made this key honestly.
    #[error("the key is weak: it was not made by an age tool")]
    WeakKey,
}

/// The public half: what an age file is sealed to.
#[derive(Clone)]
pub struct PqRecipient(PublicKey);

impl PqRecipient {
    /// Parses `age1pq1…`.
    pub fn parse(text: &str) -> Result<Self, ParsePqError> {
        let bytes = RECIPIENT_PREFIX.decode::<PUBLIC_KEY_BYTES>(text)?;
        PublicKey::from_bytes(bytes.expose()).map(Self).map_err(|_| ParsePqError::WeakKey)
    }
}

impl fmt::Display for PqRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&RECIPIENT_PREFIX.encode(&self.0.to_bytes()))
    }
}

impl fmt::Debug for PqRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string();
        write!(f, "PqRecipient({}…)", text.get(..16).unwrap_or_default())
    }
}

impl PartialEq for PqRecipient {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bytes() == other.0.to_bytes()
    }
}

impl Eq for PqRecipient {}

impl age::Recipient for PqRecipient {
    /// `-> mlkem768x25519 base64(enc)`, body `HPKE.SealBase(pk, info, aad = "", file key)` (C2SP age.md, section
    /// "The hybrid recipient type"). The seed of the share comes from the operating system, fresh for each stanza.
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let seed = Secret::generate(&SystemRandom::new()).map_err(io::Error::other)?;
        let (share, shared) = self.0.encapsulate(&seed);
        let stanza = Stanza {
            tag: STANZA_TAG.to_owned(),
            args: vec![BASE64_STANDARD_NO_PAD.encode(&share[..])],
            body: hpke::seal(&shared, HPKE_INFO, file_key.expose_secret()),
        };
        Ok((vec![stanza], HashSet::from([LABEL.to_owned()])))
    }
}

/// The secret half: what opens an age file.
pub struct PqIdentity {
    seed: Secret<SEED_BYTES>,
}

impl PqIdentity {
    /// The identity that grows from `seed`.
    pub fn from_seed(seed: Secret<SEED_BYTES>) -> Self {
        Self { seed }
    }

    /// A new identity.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomUnavailable> {
        Secret::generate(random).map(Self::from_seed)
    }

    /// Parses `AGE-SECRET-KEY-PQ-1…`.
    pub fn parse(text: &str) -> Result<Self, Bech32Error> {
        IDENTITY_PREFIX.decode(text).map(Self::from_seed)
    }

    /// The seed, for storing the identity. **It is the secret key.**
    pub fn seed(&self) -> &Secret<SEED_BYTES> {
        &self.seed
    }

    /// `AGE-SECRET-KEY-PQ-1…`. **It is the secret key.**
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        IDENTITY_PREFIX.encode(self.seed.expose())
    }

    /// The public half.
    pub fn to_recipient(&self) -> PqRecipient {
        PqRecipient(SecretKey::from_seed(&self.seed).public_key())
    }

    fn open_stanza(&self, stanza: &Stanza) -> Result<Option<FileKey>, DecryptError> {
        let [share] = &stanza.args[..] else { return Err(DecryptError::InvalidHeader) };
        let share = decode_share(share).ok_or(DecryptError::InvalidHeader)?;
        // The length is checked before opening, so that no one ciphertext can be made to fit several keys.
        if stanza.body.len() != BODY_BYTES {
            return Err(DecryptError::InvalidHeader);
        }
        let shared =
            SecretKey::from_seed(&self.seed).decapsulate(&share).map_err(|_| DecryptError::InvalidHeader)?;
        Ok(hpke::open(&shared, HPKE_INFO, &stanza.body)
            .map(|opened| FileKey::init_with_mut(|file_key| file_key.copy_from_slice(&opened))))
    }
}

impl fmt::Debug for PqIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PqIdentity(…)")
    }
}

impl age::Identity for PqIdentity {
    /// `HPKE.OpenBase(enc, sk, info, aad = "", body)`. A stanza for someone else gives `None`: another identity may fit.
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != STANZA_TAG {
            return None;
        }
        self.open_stanza(stanza).transpose()
    }
}

/// The share in canonical base64 without padding.
fn decode_share(text: &str) -> Option<[u8; SHARE_BYTES]> {
    if text.len() != SHARE_CHARACTERS {
        return None;
    }
    BASE64_STANDARD_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use age::{Identity as _, Recipient as _};

    use super::*;
    use crate::crypto::random::FixedRandom;

    fn identity(seed: u64) -> PqIdentity {
        PqIdentity::generate(&FixedRandom::new(seed)).unwrap()
    }

    fn stanza() -> Stanza {
        let file_key = FileKey::new(Box::new([5; FILE_KEY_BYTES]));
        let (mut stanzas, labels) = identity(1).to_recipient().wrap_file_key(&file_key).unwrap();
        assert!(labels.contains("postquantum"));
        stanzas.remove(0)
    }

    fn refused(stanza: &Stanza) -> bool {
        matches!(identity(1).unwrap_stanza(stanza), Some(Err(DecryptError::InvalidHeader)))
    }

    #[test]
    fn what_is_sealed_to_a_recipient_opens_with_its_identity_only() {
        let sealed = age::encrypt(&identity(1).to_recipient(), b"key packet").unwrap();

        assert_eq!(age::decrypt(&identity(1), &sealed).unwrap(), b"key packet");
        assert!(matches!(age::decrypt(&identity(2), &sealed), Err(DecryptError::NoMatchingKeys)));
    }

    #[test]
    fn keys_parse_back_from_their_text() {
        let text = identity(1).to_secret_text();
        let recipient = identity(1).to_recipient().to_string();

        assert!(text.starts_with("AGE-SECRET-KEY-PQ-1") && text.len() == 77);
        assert!(recipient.starts_with("age1pq1") && recipient.len() == 1959);
        assert_eq!(PqIdentity::parse(&text).unwrap().to_recipient().to_string(), recipient);
        assert_eq!(PqRecipient::parse(&recipient).unwrap(), identity(1).to_recipient());
    }

    #[test]
    fn a_classical_key_is_not_a_post_quantum_one() {
        let classical = age::x25519::Identity::generate();
        let recipient = PqRecipient::parse(&classical.to_public().to_string());
        let identity = PqIdentity::parse(classical.to_string().expose_secret());

        assert!(matches!(recipient, Err(ParsePqError::Text(Bech32Error::Prefix { .. }))));
        assert!(matches!(identity, Err(Bech32Error::Prefix { .. })));
    }

    #[test]
    fn a_recipient_that_would_add_nothing_is_refused() {
        let mut bytes = *SecretKey::from_seed(identity(1).seed()).public_key().to_bytes();
        bytes[PUBLIC_KEY_BYTES - 32..].fill(0);

        let refused = PqRecipient::parse(&RECIPIENT_PREFIX.encode(&bytes));

        assert_eq!(refused.unwrap_err(), ParsePqError::WeakKey);
    }

    #[test]
    fn a_post_quantum_and_a_classical_recipient_do_not_share_a_file() {
        let recipients: [&dyn age::Recipient; 2] =
            [&identity(1).to_recipient(), &age::x25519::Identity::generate().to_public()];

        let refused = age::Encryptor::with_recipients(recipients.into_iter());

        assert!(matches!(refused, Err(EncryptError::IncompatibleRecipients { .. })));
    }

    #[test]
    fn stanzas_out_of_form_are_invalid_headers() {
        let mut no_argument = stanza();
        no_argument.args.clear();
        let mut two_arguments = stanza();
        two_arguments.args.push("more".to_owned());
        let mut padded = stanza();
        padded.args[0].push_str("==");
        let mut not_canonical = stanza();
        // 1120 bytes leave four unused bits in the last character; canonical text has them zero.
        not_canonical.args[0].pop();
        not_canonical.args[0].push('/');
        let mut short_body = stanza();
        short_body.body.pop();

        for bad in [no_argument, two_arguments, padded, not_canonical, short_body] {
            assert!(refused(&bad), "{:?}", bad.args);
        }
    }

    #[test]
    fn a_stanza_of_another_type_is_passed_over() {
        let mut other = stanza();
        other.tag = "X25519".to_owned();

        assert!(identity(1).unwrap_stanza(&other).is_none());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        assert_eq!(format!("{:?}", identity(1)), "PqIdentity(…)");
    }
}
