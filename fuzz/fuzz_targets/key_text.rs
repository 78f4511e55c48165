//! The texts of identities and device keys: accepted text is the text of what it parses to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::identity_file::UserIdentity;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(identity) = UserIdentity::parse_secret_text(bytes) {
        assert_eq!(identity.to_secret_text().as_bytes(), bytes);
    }
    if let Ok(device) = DeviceKeys::parse(bytes) {
        assert_eq!(device.encode().as_bytes(), bytes);
    }
});
