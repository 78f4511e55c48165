//! Small age files: sealing and opening them in memory, with errors that say which key is missing; and sealing a stream of any length.
//!
//! What is opened never exceeds the sealed bytes, stands in a buffer that is wiped, and is returned only after all of it has been
//! authenticated. age does not say who sealed a file: callers compare it with a pin, or check what stands inside.

use std::io::{Read as _, Write};

use age::secrecy::SecretString;
use age::stream::StreamWriter;
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use zeroize::Zeroizing;

use super::identity::AnyIdentity;
use super::recipient::AnyRecipient;

/// scrypt's `log2 N` when nothing else is asked: 128 MiB of memory and about half a second, the first choice of the OWASP
/// password storage guide. One more would alone take the memory that a whole backup may take.
pub const DEFAULT_WORK_FACTOR: u8 = 17;

/// The highest `log2 N` that is made or accepted: 1 GiB. Files come from stores that may be hostile, and each step doubles both.
pub const MAX_WORK_FACTOR: u8 = 20;

/// The longest file that is opened.
pub const MAX_BYTES: usize = 1 << 20;

/// What opens a file.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// A passphrase, for a file that was sealed with one.
    Passphrase(&'a SecretString),
    /// Identities, of which one belongs to a recipient of the file.
    Identities(&'a [AnyIdentity]),
}

/// Why a file could not be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// No recipient was given.
    #[error("there is nobody to seal to")]
    NoRecipients,
    /// Post-quantum and classical recipients together: the weaker would decide.
    #[error("post-quantum and other recipients cannot share one file")]
    MixedRecipients,
    /// The work factor is outside 1 to [`MAX_WORK_FACTOR`].
    #[error("scrypt work factor {asked} is not between 1 and {MAX_WORK_FACTOR}")]
    WorkFactor {
        /// What was asked for.
        asked: u8,
    },
    /// Anything else; in memory only a failing source of randomness.
    #[error("sealing failed")]
    Failed(#[source] EncryptError),
}

/// Why a file did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is not an age file, or its header is not well formed.
    #[error("not a well-formed age file")]
    Malformed,
    /// The file is longer than any that is made.
    #[error("{bytes} bytes are too long for a key file")]
    TooLong {
        /// Length of the file.
        bytes: usize,
    },
    /// The passphrase is not the one the file was sealed with.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// A passphrase was given, but the file is sealed to recipients.
    #[error("sealed to a key, not with a passphrase")]
    NeedsIdentity,
    /// Identities were given, but the file is sealed with a passphrase.
    #[error("sealed with a passphrase, not to a key")]
    NeedsPassphrase,
    /// None of the identities belongs to a recipient of the file.
    #[error("not sealed to any of these identities")]
    NotForTheseIdentities,
    /// The passphrase of the identity itself, an encrypted ssh key, is wrong.
    #[error("the identity is protected by a passphrase, and the one given is wrong")]
    IdentityLocked,
    /// Opening would take more work than is accepted.
    #[error("opening asks for scrypt work factor {required}, more than {MAX_WORK_FACTOR}")]
    ExcessiveWork {
        /// The file's `log2 N`.
        required: u8,
    },
    /// The right key was found, but the file is not what was sealed.
    #[error("the age file was altered or cut off")]
    Altered,
}

/// Seals `plaintext` to every one of `recipients`.
pub fn seal(recipients: &[AnyRecipient], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    let encryptor = Encryptor::with_recipients(recipients.iter().map(AnyRecipient::as_age))?;
    write(encryptor, plaintext)
}

/// Begins an age file in `output` that every one of `recipients` opens: what is written to the result is sealed as it comes. Only
/// `finish` makes it whole; a file that was not finished does not open to its end.
pub fn seal_stream<W: Write>(recipients: &[AnyRecipient], output: W) -> Result<StreamWriter<W>, SealError> {
    let encryptor = Encryptor::with_recipients(recipients.iter().map(AnyRecipient::as_age))?;
    Ok(encryptor.wrap_output(output).map_err(EncryptError::Io)?)
}

/// Seals `plaintext` with a passphrase, by scrypt with `N = 2^work_factor`, by default [`DEFAULT_WORK_FACTOR`].
///
/// The age crate would measure this machine instead; a fixed number keeps the file openable wherever it is carried.
pub fn seal_with_passphrase(
    passphrase: &SecretString,
    work_factor: Option<u8>,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let work_factor = work_factor.unwrap_or(DEFAULT_WORK_FACTOR);
    if !(1..=MAX_WORK_FACTOR).contains(&work_factor) {
        return Err(SealError::WorkFactor { asked: work_factor });
    }
    let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(work_factor);
    write(Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))?, plaintext)
}

/// Opens a file with what the user gave.
pub fn open(file: &[u8], unlock: Unlock<'_>) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    match unlock {
        Unlock::Passphrase(passphrase) => open_with_passphrase(file, passphrase),
        Unlock::Identities(identities) => {
            let identities: Vec<_> =
                identities.iter().map(|identity| identity as &dyn age::Identity).collect();
            open_with(file, &identities)
        }
    }
}

/// Opens a file that is sealed to one of `identities`.
pub fn open_with(file: &[u8], identities: &[&dyn age::Identity]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let decryptor = header(file)?;
    if decryptor.is_scrypt() {
        return Err(OpenError::NeedsPassphrase);
    }
    read(decryptor, file.len(), identities).map_err(|error| match error {
        DecryptError::NoMatchingKeys => OpenError::NotForTheseIdentities,
        DecryptError::KeyDecryptionFailed => OpenError::IdentityLocked,
        other => altered(&other),
    })
}

fn open_with_passphrase(file: &[u8], passphrase: &SecretString) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let decryptor = header(file)?;
    if !decryptor.is_scrypt() {
        return Err(OpenError::NeedsIdentity);
    }
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    read(decryptor, file.len(), &[&identity]).map_err(|error| match error {
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            OpenError::WrongPassphrase
        }
        other => altered(&other),
    })
}

/// Checks all that can be checked of a file without its keys: that its header is well-formed. Damage after it goes unseen.
pub fn check_form(file: &[u8]) -> Result<(), OpenError> {
    header(file).map(drop)
}

fn header(file: &[u8]) -> Result<Decryptor<&[u8]>, OpenError> {
    if file.len() > MAX_BYTES {
        return Err(OpenError::TooLong { bytes: file.len() });
    }
    Decryptor::new_buffered(file).map_err(|_| OpenError::Malformed)
}

/// The plaintext, which is shorter than the file: the buffer never grows.
fn read(
    decryptor: Decryptor<&[u8]>,
    file_bytes: usize,
    identities: &[&dyn age::Identity],
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let mut plaintext = Zeroizing::new(Vec::with_capacity(file_bytes));
    decryptor.decrypt(identities.iter().copied())?.read_to_end(&mut plaintext)?;
    Ok(plaintext)
}

fn altered(error: &DecryptError) -> OpenError {
    match error {
        DecryptError::ExcessiveWork { required, .. } => OpenError::ExcessiveWork { required: *required },
        DecryptError::InvalidHeader | DecryptError::UnknownFormat => OpenError::Malformed,
        _ => OpenError::Altered,
    }
}

fn write(encryptor: Encryptor, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).map_err(EncryptError::Io)?;
    writer.write_all(plaintext).map_err(EncryptError::Io)?;
    writer.finish().map_err(EncryptError::Io)?;
    Ok(file)
}

impl From<EncryptError> for SealError {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::MissingRecipients => Self::NoRecipients,
            EncryptError::IncompatibleRecipients { .. } => Self::MixedRecipients,
            other => Self::Failed(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::age_pq::PqIdentity;
    use crate::crypto::random::FixedRandom;

    fn identity(seed: u64) -> AnyIdentity {
        AnyIdentity::PostQuantum(PqIdentity::generate(&FixedRandom::new(seed)).unwrap())
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn sealed_to(seed: u64) -> Vec<u8> {
        seal(&[identity(seed).to_recipient().unwrap()], b"keys").unwrap()
    }

    #[test]
    fn each_recipient_opens_and_nobody_else() {
        let file = seal(&[identity(1).to_recipient().unwrap(), identity(2).to_recipient().unwrap()], b"keys")
            .unwrap();

        for seed in [1, 2] {
            assert_eq!(open(&file, Unlock::Identities(&[identity(seed)])).unwrap().as_slice(), b"keys");
        }
        let refused = open(&file, Unlock::Identities(&[identity(3)]));
        assert!(matches!(refused, Err(OpenError::NotForTheseIdentities)));
    }

    #[test]
    fn the_error_says_which_kind_of_key_is_needed() {
        let by_passphrase = seal_with_passphrase(&secret("right"), Some(2), b"keys").unwrap();
        let (right, wrong) = (secret("right"), secret("wrong"));

        assert_eq!(open(&by_passphrase, Unlock::Passphrase(&right)).unwrap().as_slice(), b"keys");
        let refused = open(&by_passphrase, Unlock::Passphrase(&wrong));
        assert!(matches!(refused, Err(OpenError::WrongPassphrase)));
        let refused = open(&by_passphrase, Unlock::Identities(&[identity(1)]));
        assert!(matches!(refused, Err(OpenError::NeedsPassphrase)));
        let refused = open(&sealed_to(1), Unlock::Passphrase(&right));
        assert!(matches!(refused, Err(OpenError::NeedsIdentity)));
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_refused() {
        let file = sealed_to(1);
        let identities = [identity(1)];

        for length in 0..file.len() {
            assert!(open(&file[..length], Unlock::Identities(&identities)).is_err(), "{length}");
        }
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(open(&altered, Unlock::Identities(&identities)).is_err(), "{at}");
        }
    }

    #[test]
    fn work_beyond_the_limit_is_refused_before_it_is_done() {
        let mut file = seal_with_passphrase(&secret("right"), Some(9), b"keys").unwrap();
        let line_end = file.windows(3).position(|w| w == b" 9\n").unwrap();
        file.splice(line_end..line_end + 3, *b" 63\n");

        let refused = open(&file, Unlock::Passphrase(&secret("right")));

        assert!(matches!(refused, Err(OpenError::ExcessiveWork { required: 63 })));
        for asked in [0, MAX_WORK_FACTOR + 1, 255] {
            let refused = seal_with_passphrase(&secret("right"), Some(asked), b"");
            assert!(matches!(refused, Err(SealError::WorkFactor { .. })));
        }
    }

    #[test]
    fn a_stream_is_sealed_as_it_comes_and_does_not_open_before_it_is_finished() {
        let seal_all = |file: &mut Vec<u8>| {
            let mut writer = seal_stream(&[identity(1).to_recipient().unwrap()], file).unwrap();
            writer.write_all(&vec![7; 100_000]).unwrap();
            writer.write_all(b"end").unwrap();
            writer.finish().map(drop).unwrap();
        };
        let mut file = Vec::new();
        seal_all(&mut file);

        let opened = open(&file, Unlock::Identities(&[identity(1)])).unwrap();
        assert!(opened.len() == 100_003 && opened.ends_with(b"\x07end"));
        let mut unfinished = Vec::new();
        let mut writer = seal_stream(&[identity(1).to_recipient().unwrap()], &mut unfinished).unwrap();
        writer.write_all(&vec![7; 100_000]).unwrap();
        drop(writer);
        assert!(open(&unfinished, Unlock::Identities(&[identity(1)])).is_err());
        assert!(matches!(seal_stream(&[], Vec::new()), Err(SealError::NoRecipients)));
    }

    #[test]
    fn recipients_must_be_given_and_must_not_be_mixed() {
        let classical = AnyIdentity::X25519(age::x25519::Identity::generate()).to_recipient().unwrap();

        assert!(matches!(seal(&[], b""), Err(SealError::NoRecipients)));
        let mixed = seal(&[identity(1).to_recipient().unwrap(), classical], b"");
        assert!(matches!(mixed, Err(SealError::MixedRecipients)));
    }

    #[test]
    fn a_file_longer_than_any_that_is_made_is_not_even_parsed() {
        let refused = open(&vec![b'a'; MAX_BYTES + 1], Unlock::Identities(&[]));

        assert!(matches!(refused, Err(OpenError::TooLong { bytes }) if bytes == MAX_BYTES + 1));
    }
}
