//! A statement of the log: what is accepted, signed again over its payload, is the payload that was signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::id::Seq;
use vault_core::log::Statement;

fuzz_target!(|bytes: &[u8]| {
    let Ok(statement) = Statement::decode(Seq(1), bytes) else { return };
    let again = statement.payload().encode();
    // Fields passed over are not encoded again.
    assert!(again == statement.signed_bytes() || again.len() < statement.signed_bytes().len());
});
