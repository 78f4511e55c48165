//! The body of a commit: accepted bytes are the encoding of what they decode to, unless fields may be passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::commit::CommitBody;

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = CommitBody::decode(bytes) else { return };
    let again = body.encode().expect("decoded");
    assert!(again == bytes || again.len() < bytes.len() && CommitBody::decode(&again) == Ok(body));
});
