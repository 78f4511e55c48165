//! A value that a reader passes over: accepted, it is the deterministic encoding, so a longer form of it is not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::cbor::{Decoder, FIRST_IGNORABLE_KEY};

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(bytes);
    if decoder.unknown_key(FIRST_IGNORABLE_KEY).is_ok() {
        assert!(decoder.remaining().len() < bytes.len());
    }
});
