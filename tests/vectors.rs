//! Published test vectors, from those who wrote the standards: `mlkem768x25519` of age (C2SP/CCTV).
//!
//! A vector counts only if it ends exactly as its file says, errors included; a key in a vector's head that is not understood fails
//! the test rather than being passed over.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::Read as _;
use std::path::Path;

use age::DecryptError;
use sha2::{Digest as _, Sha256};
use vault_core::crypto::age_pq::PqIdentity;

/// How many files CCTV has for this recipient type; fewer means that some were lost.
const VECTORS: usize = 19;

/// The most a vector inflates to; they are of a few kilobytes.
const MAX_INFLATED_BYTES: usize = 1 << 20;

#[derive(Default)]
struct Vector {
    expect: String,
    payload: Option<String>,
    identities: Vec<String>,
    armored: bool,
    age_file: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").expect("an empty line ends the head");
        let mut vector = Self { age_file: bytes[end + 2..].to_vec(), ..Self::default() };
        for line in std::str::from_utf8(&bytes[..end]).unwrap().lines() {
            match line.split_once(": ").expect("lines are key: value") {
                ("expect", value) => value.clone_into(&mut vector.expect),
                ("payload", value) => vector.payload = Some(value.to_owned()),
                ("identity", value) => vector.identities.push(value.to_owned()),
                ("armored", "yes") => vector.armored = true,
                ("compressed", "zlib") => vector.inflate(),
                ("file key" | "comment", _) => {}
                (key, value) => panic!("{}: {key}: {value} is not understood", path.display()),
            }
        }
        vector
    }

    fn inflate(&mut self) {
        self.age_file =
            miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(&self.age_file, MAX_INFLATED_BYTES)
                .unwrap();
    }

    fn decrypt(&self) -> Result<Vec<u8>, DecryptError> {
        let identities: Vec<Box<dyn age::Identity>> =
            self.identities.iter().map(|text| identity(text)).collect();
        let input: Box<dyn std::io::Read> = if self.armored {
            Box::new(age::armor::ArmoredReader::new(&self.age_file[..]))
        } else {
            Box::new(&self.age_file[..])
        };
        let mut plaintext = Vec::new();
        age::Decryptor::new(input)?
            .decrypt(identities.iter().map(AsRef::as_ref))?
            .read_to_end(&mut plaintext)?;
        Ok(plaintext)
    }
}

fn identity(text: &str) -> Box<dyn age::Identity> {
    match PqIdentity::parse(text) {
        Ok(identity) => Box::new(identity),
        Err(_) => Box::new(text.parse::<age::x25519::Identity>().unwrap()),
    }
}

/// CCTV's word for how an attempt ended.
fn outcome(result: &Result<Vec<u8>, DecryptError>) -> &'static str {
    match result {
        Ok(_) => "success",
        Err(DecryptError::NoMatchingKeys) => "no match",
        Err(DecryptError::InvalidMac) => "HMAC failure",
        // The age crate says "unknown format" of any header that its parser gives up on.
        Err(DecryptError::InvalidHeader | DecryptError::UnknownFormat) => "header failure",
        Err(_) => "another failure",
    }
}

#[test]
fn every_hybrid_vector_ends_as_published() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/age-hybrid");
    let mut read = 0;

    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("README.md") {
            continue;
        }
        let vector = Vector::read(&path);
        let result = vector.decrypt();

        assert_eq!(outcome(&result), vector.expect, "{}: {:?}", path.display(), result.err());
        if let Ok(plaintext) = result {
            assert_eq!(Some(hex::encode(Sha256::digest(plaintext))), vector.payload, "{}", path.display());
        }
        read += 1;
    }
    assert_eq!(read, VECTORS);
}
