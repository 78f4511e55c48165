//! The headers of a signed request: whatever they are, they are read or refused, and nothing forged verifies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::crypto::sign::VerifyingKey;
use vault_core::wire::Authority;
use vault_core::wire::signing::{Claimed, Parts};

const NAMES: [&str; 5] = ["signature-input", "signature", "content-digest", "content-length", "transfer-encoding"];

fuzz_target!(|bytes: &[u8]| {
    // One header in each line; its first byte chooses the name.
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| line.split_first());
    let headers = lines.map(|(name, value)| (NAMES[usize::from(*name) % NAMES.len()], value));
    let Ok(claimed) = Claimed::parse(headers) else { return };
    let authority = Authority::parse("example.com").expect("this is an authority");
    let parts = Parts { method: "GET", authority: &authority, path: "/", query: None };
    assert!(claimed.verify(&VerifyingKey([9; 32]), &parts).is_err());
});
