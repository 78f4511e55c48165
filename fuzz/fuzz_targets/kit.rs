//! A recovery kit, as a block or as codes: what is accepted is accepted again in both of its dresses.
//!
//! The check in the text is made to fit first, since what is behind it is at stake.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::keys::kit::{Kit, KitError, KitIdentity};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let kit = match Kit::parse(text) {
        Err(KitError::Check { expected, found }) if !expected.is_empty() => {
            Kit::parse(&text.replace(&expected, &found))
        }
        parsed => parsed,
    };
    let Ok(kit) = kit else { return };
    let codes: Vec<String> = kit.to_codes().iter().map(|code| code.to_string()).collect();
    // A kit that was read from a block may be longer than codes can be.
    for again in [Some(kit.to_text().to_string()), (codes.len() <= 999).then(|| codes.join("\n"))] {
        let Some(again) = again.filter(|text| text.len() <= 1 << 18) else { continue };
        let again = Kit::parse(&again).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((again.vault, again.head, &again.location), (kit.vault, kit.head, &kit.location));
        assert_eq!(identity(&again), identity(&kit));
    }
});

fn identity(kit: &Kit) -> (bool, &[u8]) {
    match &kit.identity {
        KitIdentity::Sealed(file) => (true, file),
        KitIdentity::Plain(text) => (false, text),
    }
}
