//! An index object around its sealed body: accepted bytes are the encoding of what they decode to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::index::{decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let Ok((header, sealed)) = decode(bytes) else { return };
    assert_eq!(encode(&header, sealed).as_deref(), Ok(bytes));
});
