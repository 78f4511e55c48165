//! The body of an annotation: accepted bytes are the encoding of what they decode to, unless fields may be passed over.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::annotation::AnnotationBody;

fuzz_target!(|bytes: &[u8]| {
    let Ok(body) = AnnotationBody::decode(bytes) else { return };
    let again = body.encode();
    assert!(again == bytes || again.len() < bytes.len() && AnnotationBody::decode(&again) == Ok(body));
});
