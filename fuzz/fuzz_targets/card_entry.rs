//! An entry of a card: whatever the bytes are, they are read or refused; what is read is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::card::{Entry, MAX_DEVICES};

fuzz_target!(|bytes: &[u8]| {
    let Ok(entry) = Entry::decode(bytes) else { return };
    assert!(entry.card().devices.len() <= MAX_DEVICES);
});
