//! The answer to a new device: what a machine that has the user's identity gives to one that asked to be taken on.
//!
//! It is sealed to the new device and signed by the user's root key over who it is for, so that neither the server nor anybody else
//! can answer instead: all that is left to people is to compare the words of the user on both machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::crypto::hash::{device_id, user_id};
use crate::crypto::labels::SIGN_ANSWER;
use crate::crypto::sign::{SIGNATURE_BYTES, VerifyingKey};
use crate::error::Error;
use crate::id::{DeviceId, UserId, VaultId};
use crate::keys::age_file;
use crate::keys::device::DeviceKeys;
use crate::keys::identity_file::UserIdentity;
use crate::keys::recipient::AnyRecipient;
use crate::net::ServerUrl;
use crate::wire::ByteText;
use crate::wire::authority::Pin;
use crate::wire::v1::devices::NewDevice;

/// The form of answers that this version writes and reads.
const VERSION: u32 = 1;

/// What a new device is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// By what the server is recognised; without one, by the roots of the system.
    pub pin: Option<Pin>,
    /// By what the server's receipts verify.
    pub receipt_key: VerifyingKey,
    /// The user's identity as it is sealed; none for a device that only backs up.
    pub identity: Option<Vec<u8>>,
    /// Vaults on the server by the names that they have on the machine that answers.
    pub vaults: BTreeMap<String, VaultId>,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    version: u32,
    server: String,
    device: DeviceId,
    root_key: VerifyingKey,
    pin: Option<String>,
    receipt_key: VerifyingKey,
    identity: Option<ByteText>,
    vaults: BTreeMap<String, VaultId>,
}

impl Answer {
    /// Signs the answer, and seals it to the device.
    pub fn seal(
        &self,
        identity: &UserIdentity,
        server: &ServerUrl,
        device: &NewDevice,
    ) -> Result<Vec<u8>, Error> {
        let payload = Payload {
            version: VERSION,
            server: server.to_string(),
            device: device_id(&device.signing_key.0),
            root_key: identity.root().verifying_key(),
            pin: self.pin.map(|pin| pin.to_string()),
            receipt_key: self.receipt_key,
            identity: self.identity.clone().map(ByteText),
            vaults: self.vaults.clone(),
        };
        let payload = serde_json::to_vec(&payload).map_err(|_| malformed())?;
        let mut signed = identity.root().sign(SIGN_ANSWER, &payload).to_vec();
        signed.extend_from_slice(&payload);
        Ok(age_file::seal(&[AnyRecipient::parse(&device.recipient)?], &signed)?)
    }

    /// Opens the answer to this device, and tells whose root key has signed it.
    ///
    /// **That it is the user's own is for people to say**, by the words of the user.
    pub fn open(sealed: &[u8], device: &DeviceKeys, server: &ServerUrl) -> Result<(Self, UserId), Error> {
        let signed = age_file::open_with(sealed, &[device.age()])
            .map_err(|_| Error::Answer { what: "it is not sealed to this device" })?;
        let (signature, json) = signed.split_at_checked(SIGNATURE_BYTES).ok_or_else(malformed)?;
        let payload: Payload = serde_json::from_slice(json).map_err(|_| malformed())?;
        payload
            .root_key
            .verify(SIGN_ANSWER, json, signature)
            .map_err(|_| Error::Answer { what: "it is not signed by the user whom it names" })?;
        if payload.version != VERSION {
            return Err(Error::Answer { what: "it was made by a newer version of the program" });
        }
        if payload.device != device.device_id() || payload.server != server.to_string() {
            return Err(Error::Answer { what: "it is for another device or server" });
        }
        let pin = payload.pin.map(|pin| Pin::parse(&pin).ok_or_else(malformed)).transpose()?;
        let answer = Self {
            pin,
            receipt_key: payload.receipt_key,
            identity: payload.identity.map(|identity| identity.0),
            vaults: payload.vaults,
        };
        Ok((answer, user_id(&payload.root_key.0)))
    }
}

fn malformed() -> Error {
    Error::Answer { what: "it is malformed" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;
    use crate::ops::cards::asking;

    #[test]
    fn only_the_device_that_asked_opens_it_and_only_for_its_server() {
        let identity = UserIdentity::generate(&FixedRandom::new(1)).unwrap();
        let [device, other] = [2, 3].map(|seed| DeviceKeys::generate(&FixedRandom::new(seed)).unwrap());
        let [here, there] = ["https://a", "https://b"].map(|url| ServerUrl::parse(url).unwrap());
        let answer = Answer {
            pin: Some(Pin([6; 32])),
            receipt_key: VerifyingKey([4; 32]),
            identity: Some(b"sealed".to_vec()),
            vaults: [("photos".to_owned(), VaultId::new([5; 32]))].into(),
        };

        let sealed = answer.seal(&identity, &here, &asking(&device)).unwrap();

        assert_eq!(Answer::open(&sealed, &device, &here).unwrap(), (answer.clone(), identity.user_id()));
        assert!(Answer::open(&sealed, &other, &here).is_err());
        assert!(Answer::open(&sealed, &device, &there).is_err());
        let forwarded = {
            let opened = age_file::open_with(&sealed, &[device.age()]).unwrap();
            age_file::seal(&[other.recipient()], &opened).unwrap()
        };
        assert!(matches!(Answer::open(&forwarded, &other, &here), Err(Error::Answer { .. })));
        let mut opened = age_file::open_with(&sealed, &[device.age()]).unwrap().to_vec();
        *opened.last_mut().unwrap() = b' ';
        let changed = age_file::seal(&[device.recipient()], &opened).unwrap();
        assert!(matches!(Answer::open(&changed, &device, &here), Err(Error::Answer { .. })));
    }
}
