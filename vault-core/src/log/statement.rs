//! A statement: a payload and its signatures, as they are stored.
//!
//! A decoded statement has only been read. Whether it is true for a log, `verify` decides; nothing acts on it before.

use super::error::LogError;
use super::payload::{Author, Payload};
use super::{MAX_SIGNATURES, MAX_STATEMENT_BYTES};
use crate::cbor::{CborError, Decoder, Encoder};
use crate::crypto::hash;
use crate::crypto::labels::SIGN_STATEMENT;
use crate::crypto::sign::{SIGNATURE_BYTES, SigningKey, VerifyingKey};
use crate::id::{Seq, StatementHash};

/// A statement as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    payload: Payload,
    signed: Vec<u8>,
    signatures: Vec<Signature>,
    hash: StatementHash,
}

/// One signature of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Whose it claims to be.
    pub signer: Author,
    /// `Ed25519("vault/1 sign statement" || 0x00 || payload)`.
    pub bytes: [u8; SIGNATURE_BYTES],
}

/// Encodes a statement that its author signs.
///
/// # Errors
///
/// [`LogError::TooLarge`] if it would be larger than a statement may be.
pub fn sign(payload: &Payload, key: &SigningKey) -> Result<Vec<u8>, LogError> {
    sign_with(payload, &[(payload.author, key)])
}

/// Encodes a statement with several signatures, of which one is the author's.
///
/// # Errors
///
/// [`LogError::TooLarge`] if it would be larger than a statement may be.
pub fn sign_with(payload: &Payload, signers: &[(Author, &SigningKey)]) -> Result<Vec<u8>, LogError> {
    let signed = payload.encode();
    let mut out = Encoder::new();
    out.array(2).bytes(&signed).array(signers.len());
    for (signer, key) in signers {
        out.array(2).bytes(&signer.0).bytes(&key.sign(SIGN_STATEMENT, &signed));
    }
    let stored = out.finish();
    check_size(payload.seq, &stored)?;
    Ok(stored)
}

impl Statement {
    /// Decodes the stored bytes of the statement at `seq`, which is only for naming it in errors.
    pub fn decode(seq: Seq, stored: &[u8]) -> Result<Self, LogError> {
        // [1]
        check_size(seq, stored)?;
        let (signed, signatures) =
            Decoder::decode_all(stored, read).map_err(|source| LogError::Malformed { seq, source })?;
        let payload = Payload::decode(seq, signed)?;
        Ok(Self { payload, signed: signed.to_vec(), signatures, hash: hash::statement_hash(stored) })
    }

    /// What it says.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// What it says, without a copy.
    pub fn into_payload(self) -> Payload {
        self.payload
    }

    /// The bytes that the signatures cover: the payload as it was received.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The signatures it carries.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Whether its author has signed it with this key. For who knows nothing else of the log.
    pub fn is_signed_by(&self, key: &VerifyingKey) -> bool {
        let by_author = self.signatures.iter().filter(|signature| signature.signer == self.payload.author);
        let mut verified =
            by_author.map(|signature| key.verify(SIGN_STATEMENT, &self.signed, &signature.bytes).is_ok());
        verified.next().is_some_and(|first| first && verified.all(|each| each))
    }

    /// The hash of its stored bytes, which the next statement names.
    pub fn hash(&self) -> StatementHash {
        self.hash
    }
}

fn check_size(seq: Seq, stored: &[u8]) -> Result<(), LogError> {
    match stored.len() {
        bytes if bytes > MAX_STATEMENT_BYTES => Err(LogError::TooLarge { seq, bytes }),
        _ => Ok(()),
    }
}

fn read<'a>(input: &mut Decoder<'a>) -> Result<(&'a [u8], Vec<Signature>), CborError> {
    input.array_of(2, "statement")?;
    let payload = input.bytes()?;
    let count = input.array()?;
    if !(1..=MAX_SIGNATURES).contains(&count) {
        return Err(CborError::Range { field: "number of signatures" });
    }
    let mut signatures = Vec::with_capacity(count);
    for _ in 0..count {
        input.array_of(2, "signature")?;
        let signer = Author(input.bytes_array("signer")?);
        signatures.push(Signature { signer, bytes: input.bytes_array("signature")? });
    }
    Ok((payload, signatures))
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::super::testing::{Example, Person};
    use super::*;

    fn malformed(stored: &[u8]) -> CborError {
        match Statement::decode(Seq(1), stored) {
            Err(LogError::Malformed { seq: Seq(1), source }) => source,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_statement_decodes_to_what_was_signed() {
        let example = Example::new();
        let payload = example.log.draft(example.alice.id(), Body::Members(example.members(1)));
        let signers = [(payload.author, &example.alice.root), (example.bob.id().into(), &example.bob.root)];

        let stored = sign_with(&payload, &signers).unwrap();

        let statement = Statement::decode(Seq(5), &stored).unwrap();
        assert_eq!(statement.payload(), &payload);
        assert_eq!(statement.signed_bytes(), payload.encode());
        assert_eq!(statement.signatures().len(), 2);
        assert_eq!(statement.hash(), hash::statement_hash(&stored));
    }

    #[test]
    fn the_size_is_checked_before_anything_is_read() {
        let stored = vec![0xff; MAX_STATEMENT_BYTES + 1];

        let error = LogError::TooLarge { seq: Seq(1), bytes: stored.len() };
        assert_eq!(Statement::decode(Seq(1), &stored), Err(error));
    }

    #[test]
    fn a_statement_that_would_be_too_large_is_not_signed() {
        let example = Example::new();
        let mut members = example.members(1);
        members.users[0].recipient = "x".repeat(MAX_STATEMENT_BYTES);
        let payload = example.log.draft(example.alice.id(), Body::Members(members));

        assert!(matches!(sign(&payload, &example.alice.root), Err(LogError::TooLarge { seq: Seq(5), .. })));
    }

    #[test]
    fn a_statement_has_one_to_eight_signatures() {
        let example = Example::new();
        let payload = example.log.draft(example.alice.id(), Body::Members(example.members(1)));
        let many: Vec<Person> = (1..=9).map(Person::new).collect();
        let signers: Vec<_> = many.iter().map(|person| (person.id().into(), &person.root)).collect();
        let with = |count: usize| sign_with(&payload, &signers[..count]).unwrap();

        assert_eq!(malformed(&with(0)), CborError::Range { field: "number of signatures" });
        assert!(Statement::decode(Seq(1), &with(8)).is_ok());
        assert_eq!(malformed(&with(9)), CborError::Range { field: "number of signatures" });
    }

    #[test]
    fn every_beginning_of_a_statement_is_refused_and_so_is_anything_after_it() {
        let stored = Example::new().log.stored[1].clone();

        for length in 0..stored.len() {
            assert!(Statement::decode(Seq(1), &stored[..length]).is_err(), "{length}");
        }
        assert_eq!(malformed(&[stored, vec![0]].concat()), CborError::Trailing { bytes: 1 });
    }

    #[test]
    fn a_longer_form_of_a_length_is_refused() {
        // The payload's length, 19 xx xx, written as 1a 00 00 xx xx.
        let stored = Example::new().log.stored[1].clone();
        assert_eq!(stored[..2], [0x82, 0x59]);

        let longer = [&[0x82, 0x5a, 0, 0], &stored[2..]].concat();

        assert_eq!(malformed(&longer), CborError::NotDeterministic);
    }
}
