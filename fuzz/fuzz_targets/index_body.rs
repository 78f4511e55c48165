//! An opened index body: accepted bytes are the encoding of what they decode to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::index::{decode_body, encode_body};

fuzz_target!(|bytes: &[u8]| {
    let Ok(packs) = decode_body(bytes) else { return };
    assert_eq!(encode_body(&packs).as_deref(), Ok(bytes));
});
