//! The end of a whole pack: an accepted trailer is the encoding of what it decodes to, and the table is within the pack.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::pack::Trailer;

fuzz_target!(|pack: &[u8]| {
    let Ok(trailer) = Trailer::of_pack(pack) else { return };
    assert!(pack.ends_with(&trailer.encode()));
    assert!(trailer.table_in(pack).is_some());
});
