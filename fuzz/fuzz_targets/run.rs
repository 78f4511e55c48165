//! A run of the chunk index, as this machine keeps it: never a panic, whatever is in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vault_core::vault::fuzzing::open_any_run(bytes));
