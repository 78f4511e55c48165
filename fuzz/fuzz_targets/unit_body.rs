//! The opened body of a sealed unit: what is accepted has the length that it states, within the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::chunk::compress::Decompressor;

const LIMIT: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(raw) = Decompressor::new().expect("memory").unpack(bytes, LIMIT) else { return };
    let stated = u32::from_le_bytes(bytes[1..5].try_into().expect("a body has a head"));
    assert!(raw.len() == stated as usize && raw.len() <= LIMIT);
});
