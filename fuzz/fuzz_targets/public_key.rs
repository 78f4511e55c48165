//! The keys that others give: recipients, and files of identities. A recipient that is accepted is accepted as it is shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::crypto::bech32_text::Prefix;
use vault_core::keys::NoCallbacks;
use vault_core::keys::identity::parse_identity_file;
use vault_core::keys::recipient::AnyRecipient;

const PREFIX: Prefix = Prefix::new("vault");

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_identity_file(bytes, None, NoCallbacks);
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(recipient) = AnyRecipient::parse(text) {
        let shown = recipient.to_string();
        let again = AnyRecipient::parse(&shown).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.to_string(), shown);
    }
    if let Ok(key) = PREFIX.decode::<5>(text) {
        assert_eq!(*PREFIX.encode(key.expose()), text);
    }
});
