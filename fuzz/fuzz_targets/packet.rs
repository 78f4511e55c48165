//! The packets inside key envelopes: never a panic, whatever an envelope holds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vault_core::keys::decode_any_packet(bytes));
