//! The header at the start of a pack: what it takes of the bytes is the encoding of what it decodes to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::pack::PackHeader;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = PackHeader::decode(bytes) else { return };
    let mut again = Vec::new();
    header.encode(&mut again).expect("decoded");
    assert_eq!(again, bytes[..header.encoded_bytes()]);
});
