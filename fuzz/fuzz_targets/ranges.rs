//! The list of ranges of a grant: accepted bytes are the encoding of what they decode to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::wire::ranges::Ranges;

fuzz_target!(|bytes: &[u8]| {
    let Ok(ranges) = Ranges::decode(bytes) else { return };
    assert_eq!(ranges.encode(), bytes);
});
