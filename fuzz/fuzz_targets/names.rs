//! Short texts: names of objects, a remembered head, the file `VAULT`, the note of a restore. A name has one text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::log::Head;
use vault_core::ops::restore::decode_any_note;
use vault_core::store::{ObjectKey, decode_any_vault_file};

fuzz_target!(|bytes: &[u8]| {
    if let Some(id) = decode_any_vault_file(bytes) {
        assert!(bytes.windows(64).any(|text| text == id.to_string().as_bytes()));
    }
    for run in decode_any_note(bytes) {
        assert!(run.len() == 16 && run.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(key) = ObjectKey::parse(text) {
        assert_eq!(key.path(), text);
    }
    if let Ok(head) = Head::parse(text) {
        assert_eq!(head.to_string(), text);
    }
});
