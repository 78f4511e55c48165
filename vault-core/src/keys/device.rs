//! A device's keys: a signing key for requests and commits, and an age identity that receives writer keys.
//!
//! The text is written in the clear into a file of mode 0600 (see [`key_file`](super::key_file)): a backup must run when nobody is
//! there to type. It is worth little to a thief: with it a device writes, but cannot read.

use std::fmt;

use zeroize::Zeroizing;

use super::key_text::{KeyText, KeyTextError};
use super::recipient::AnyRecipient;
use crate::crypto::age_pq::PqIdentity;
use crate::crypto::bech32_text::Prefix;
use crate::crypto::hash;
use crate::crypto::random::{Random, RandomUnavailable};
use crate::crypto::sign::SigningKey;
use crate::id::DeviceId;

const TEXT: KeyText = KeyText { title: "vault device key", prefix: Prefix::new("VAULT-DEVICE-KEY-") };

/// Both secret keys of a device.
pub struct DeviceKeys {
    signing: SigningKey,
    age: PqIdentity,
}

impl DeviceKeys {
    /// A new device.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomUnavailable> {
        Ok(Self { signing: SigningKey::generate(random)?, age: PqIdentity::generate(random)? })
    }

    /// `BLAKE3("vault/1 hash device" || 0 || signing public key)[..16]`.
    pub fn device_id(&self) -> DeviceId {
        hash::device_id(&self.signing.verifying_key().0)
    }

    /// `DK`: signs requests and commits.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// `DA`: opens writer envelopes.
    pub fn age(&self) -> &PqIdentity {
        &self.age
    }

    /// The public half of `DA`.
    pub fn recipient(&self) -> AnyRecipient {
        self.age.to_recipient().into()
    }

    /// The text of the key file. **It holds the secret keys.**
    pub fn encode(&self) -> Zeroizing<String> {
        TEXT.encode(&self.device_id().to_hex(), &self.signing, &self.age.to_secret_text())
    }

    /// Reads the text of a key file.
    pub fn parse(text: &[u8]) -> Result<Self, KeyTextError> {
        let parts = TEXT.parse(text)?;
        let age = PqIdentity::parse(parts.age).map_err(|_| TEXT.bad_age_identity())?;
        let keys = Self { signing: parts.signing, age };
        TEXT.check_id(parts.id, &keys.device_id().to_hex())?;
        Ok(keys)
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKeys({})", self.device_id().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;

    fn device(seed: u64) -> DeviceKeys {
        DeviceKeys::generate(&FixedRandom::new(seed)).unwrap()
    }

    #[test]
    fn keys_parse_back_from_their_file() {
        let text = device(1).encode();

        let again = DeviceKeys::parse(text.as_bytes()).unwrap();

        assert!(
            text.starts_with(&format!("# vault device key {}\n# VAULT-DEVICE-KEY-1", device(1).device_id()))
        );
        assert_eq!(again.encode(), text);
        assert_eq!(again.recipient(), device(1).recipient());
    }

    #[test]
    fn a_file_put_together_from_two_devices_is_refused() {
        let (one, two) = (device(1).encode(), device(2).encode());
        let swapped = format!(
            "{}\n{}\n",
            one.lines().next().unwrap(),
            two.lines().skip(1).collect::<Vec<_>>().join("\n")
        );

        let refused = DeviceKeys::parse(swapped.as_bytes()).unwrap_err();

        assert!(matches!(refused, KeyTextError::IdMismatch { .. }));
    }

    #[test]
    fn a_users_identity_is_not_a_device_key() {
        let user = super::super::identity_file::UserIdentity::generate(&FixedRandom::new(1)).unwrap();

        assert!(DeviceKeys::parse(user.to_secret_text().as_bytes()).is_err());
    }

    #[test]
    fn debug_output_shows_the_id_only() {
        assert_eq!(format!("{:?}", device(1)), format!("DeviceKeys({})", device(1).device_id().short()));
    }
}
