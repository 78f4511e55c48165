//! A device on a card, and its own word that it belongs there.
//!
//! A public key is known to many: to every server that it was used at, to all members of a vault. So a card lists a device only with a
//! signature by the device itself, over the user: nobody can put another's device on a card of their own.

use super::Card;
use super::error::CardError;
use crate::crypto::hash;
use crate::crypto::labels::SIGN_CONSENT;
use crate::crypto::sign::{BadSignature, SIGNATURE_BYTES, SigningKey, VerifyingKey};
use crate::id::{DeviceId, UserId};
use crate::log::DeviceKind;

/// One device on a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// Signs requests.
    pub signing_key: VerifyingKey,
    /// What is sealed to the device: the text of an age recipient, opaque here.
    pub recipient: String,
    /// Whether it may read.
    pub kind: DeviceKind,
    /// The device's own word: see [`Consent`].
    pub consent: Consent,
}

/// `Ed25519("vault/1 sign consent" || 0x00 || user id || recipient)` by the device's key: that it is this user's, and has this recipient.
///
/// The kind is the user's to choose, so it is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent(pub [u8; SIGNATURE_BYTES]);

impl ListedDevice {
    /// A device of which the secret key is at hand.
    pub fn new(key: &SigningKey, user: &UserId, recipient: String, kind: DeviceKind) -> Self {
        let consent = Consent::sign(key, user, &recipient);
        Self { signing_key: key.verifying_key(), recipient, kind, consent }
    }

    /// The hash of the signing key.
    pub fn id(&self) -> DeviceId {
        hash::device_id(&self.signing_key.0)
    }
}

impl Consent {
    /// Agrees to be a device of `user`.
    pub fn sign(key: &SigningKey, user: &UserId, recipient: &str) -> Self {
        Self(key.sign(SIGN_CONSENT, &message(user, recipient)))
    }

    /// Whether the device that has this key and recipient agrees to be one of `user`.
    pub fn verify(&self, key: &VerifyingKey, user: &UserId, recipient: &str) -> Result<(), BadSignature> {
        key.verify(SIGN_CONSENT, &message(user, recipient), &self.0)
    }
}

fn message(user: &UserId, recipient: &str) -> Vec<u8> {
    [user.as_bytes().as_slice(), recipient.as_bytes()].concat()
}

/// Step 5: whether each device agrees that did not stand on the verified card `before` with the same word.
pub(super) fn check_consents(user: &UserId, before: Option<&Card>, card: &Card) -> Result<(), CardError> {
    let known = before.map_or(&[][..], |before| &before.devices);
    for device in &card.devices {
        let ListedDevice { signing_key, recipient, consent, .. } = device;
        let is_verified = known.iter().any(|known| {
            (&known.signing_key, &known.recipient, &known.consent) == (signing_key, recipient, consent)
        });
        if !is_verified && consent.verify(signing_key, user, recipient).is_err() {
            return Err(CardError::NoConsent { seq: card.seq, device: device.id() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Chain;
    use super::*;
    use crate::crypto::secret::Secret;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(Secret::new([number; 32]))
    }

    fn user(number: u8) -> UserId {
        hash::user_id(&key(number).verifying_key().0)
    }

    fn device(number: u8, of: u8) -> ListedDevice {
        ListedDevice::new(&key(number), &user(of), "age1pq1device".into(), DeviceKind::Full)
    }

    fn first(devices: Vec<ListedDevice>) -> Card {
        Card::first(key(1).verifying_key(), "age1pq1user".into(), devices, 5)
    }

    fn begin(devices: Vec<ListedDevice>) -> Result<Chain, CardError> {
        Chain::begin(&user(1), &first(devices).sign(&key(1))?)
    }

    #[test]
    fn nobody_lists_a_device_of_which_they_know_the_public_key_only() {
        let mine = device(11, 1);
        let no_consent = |seq| CardError::NoConsent { seq, device: mine.id() };
        let unsigned = ListedDevice { consent: Consent([0; 64]), ..mine.clone() };
        let by_the_user =
            ListedDevice { consent: Consent::sign(&key(1), &user(1), &mine.recipient), ..mine.clone() };

        assert_eq!(begin(vec![unsigned]), Err(no_consent(0)));
        assert_eq!(begin(vec![by_the_user]), Err(no_consent(0)));
        // As it stands on another user's card.
        assert_eq!(begin(vec![device(11, 2)]), Err(no_consent(0)));
        let sealed_to_another = ListedDevice { recipient: "age1pq1other".into(), ..mine.clone() };
        assert_eq!(begin(vec![sealed_to_another]), Err(no_consent(0)));

        let append_only = ListedDevice { kind: DeviceKind::AppendOnly, ..mine };
        assert!(begin(vec![append_only, device(12, 1)]).is_ok());
    }

    #[test]
    fn a_device_that_comes_or_changes_later_is_asked_too() {
        let chain = begin(vec![device(11, 1), device(12, 1)]).unwrap();
        let next = |devices| {
            let next = chain.card().next(chain.hash(), devices, 6);
            chain.verify(&next.sign(&key(1)).unwrap()).map(drop)
        };
        let refused = |number| Err(CardError::NoConsent { seq: 1, device: device(number, 1).id() });
        let changed = ListedDevice { recipient: "age1pq1other".into(), ..device(12, 1) };

        assert_eq!(next(vec![device(12, 1), device(13, 1)]), Ok(()));
        assert_eq!(next(vec![device(12, 1), device(13, 2)]), refused(13));
        assert_eq!(next(vec![changed]), refused(12));
    }
}
