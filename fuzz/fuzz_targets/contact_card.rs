//! The text of a contact card: accepted text is the text of the card that it parses to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::card::WholeCard;

fuzz_target!(|bytes: &[u8]| {
    let Ok(card) = WholeCard::parse(bytes) else { return };
    assert_eq!(card.to_text().map(String::into_bytes), Ok(bytes.to_vec()));
    assert!(card.has(0, &card.first()) && card.has(card.card().seq, &card.chain().hash()));
});
