//! A whole age file, as a vault stores identities and envelopes: what opens is shorter than the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vault_core::crypto::age_pq::PqIdentity;
use vault_core::crypto::secret::Secret;
use vault_core::keys::age_file::{Unlock, open};
use vault_core::keys::identity::AnyIdentity;

static IDENTITIES: LazyLock<[AnyIdentity; 1]> =
    LazyLock::new(|| [AnyIdentity::PostQuantum(PqIdentity::from_seed(Secret::new([7; 32])))]);

fuzz_target!(|bytes: &[u8]| {
    let Ok(opened) = open(bytes, Unlock::Identities(&*IDENTITIES)) else { return };
    assert!(opened.len() < bytes.len());
});
