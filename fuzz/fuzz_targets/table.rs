//! A pack's table: accepted bytes are the encoding of what they decode to, and its places can be walked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::format::table::Table;

fuzz_target!(|bytes: &[u8]| {
    let Ok(table) = Table::decode(bytes) else { return };
    let mut again = Vec::new();
    table.encode(&mut again);
    assert_eq!(again, bytes);
    assert_eq!(table.chunks().count(), table.chunk_rows().len());
});
