//! A post-quantum stanza: a line of its arguments, then its body. Out of form it is an invalid header, never "not mine".
#![no_main]

use std::sync::LazyLock;

use age::Identity as _;
use age_core::format::Stanza;
use libfuzzer_sys::fuzz_target;
use vault_core::crypto::age_pq::PqIdentity;
use vault_core::crypto::secret::Secret;

static IDENTITY: LazyLock<PqIdentity> = LazyLock::new(|| PqIdentity::from_seed(Secret::new([7; 32])));

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let Some(Ok(line)) = parts.next().map(str::from_utf8) else { return };
    let mut words = line.split(' ').map(str::to_owned);
    let tag = words.next().unwrap_or_default();
    let stanza = Stanza { tag, args: words.collect(), body: parts.next().unwrap_or_default().to_vec() };
    let in_form = stanza.args.len() == 1 && stanza.args[0].len() == 1494 && stanza.body.len() == 32;
    let answer = IDENTITY.unwrap_stanza(&stanza);
    if stanza.tag != "mlkem768x25519" {
        assert!(answer.is_none());
    } else if !in_form {
        assert!(answer.is_some_and(|answer| answer.is_err()));
    }
});
