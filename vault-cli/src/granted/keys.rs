//! What opens that which was given: the user's identity, or a key of which the giver knew only the recipient.
//!
//! Where both are at hand, the identity comes first.

use vault_core::crypto::hash;
use vault_core::error::Error;
use vault_core::keys::age_file::OpenError;
use vault_core::keys::envelope::EnvelopeError;
use vault_core::keys::identity::AnyIdentity;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::ops::grants::{Means, Offer, Unsealed};

use super::Giver;
use crate::context::Context;
use crate::error::CliError;

/// The keys of whoever opens.
pub(crate) struct Keys {
    user: Option<UserIdentity>,
    /// Those of `--identity`.
    bare: Vec<AnyIdentity>,
}

/// The id that a grant has for a recipient of which nothing else is known: the first half of its fingerprint. The comment behind an ssh
/// key is no part of it.
pub(crate) fn id_of_recipient(text: &str) -> [u8; 16] {
    let key = match text.splitn(3, ' ').collect::<Vec<_>>()[..] {
        [kind, key, _] => format!("{kind} {key}"),
        _ => text.to_owned(),
    };
    let fingerprint = hash::recipient_fingerprint(&key);
    std::array::from_fn(|at| fingerprint[at])
}

impl Keys {
    /// The identity of this machine, and the keys of `--identity`, which need not be ones that open the identity.
    pub(crate) fn load(context: &Context) -> Result<Self, CliError> {
        let bare = context.keys_alone().identities()?;
        match context.machine_identity() {
            Ok(user) => Ok(Self { user: Some(user), bare }),
            Err(
                CliError::NoIdentity
                | CliError::Unlock(OpenError::NotForTheseIdentities | OpenError::NeedsPassphrase),
            ) if !bare.is_empty() => Ok(Self { user: None, bare }),
            Err(error) => Err(error),
        }
    }

    /// By which ids something can be given to them; `None` if a key does not say whose it is.
    pub(crate) fn ids(&self) -> Option<Vec<[u8; 16]>> {
        let user = self.user.iter().map(|user| Some(*user.user_id().as_bytes()));
        let of_key = |key: &AnyIdentity| Some(id_of_recipient(key.to_recipient()?.as_str()));
        user.chain(self.bare.iter().map(of_key)).collect()
    }

    /// Opens the keys of what was given.
    pub(crate) fn unseal<'o>(&self, offer: &'o Offer, giver: &Giver) -> Result<Unsealed<'o>, Error> {
        let sender = giver.sender();
        if let Some(user) = &self.user {
            let means = Means::Addressee { id: *user.user_id().as_bytes(), identity: user.age(), sender };
            match offer.unseal(&means) {
                Err(Error::NoSuchGrant { .. }) => {}
                result => return result,
            }
        }
        for identity in &self.bare {
            for to in &offer.grant().to {
                match offer.unseal(&Means::Addressee { id: to.id, identity, sender }) {
                    Err(Error::GrantEnvelope(EnvelopeError::Open(OpenError::NotForTheseIdentities))) => {}
                    result => return result,
                }
            }
        }
        Err(Error::NoSuchGrant { wanted: offer.grant().id.short() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_of_an_ssh_key_is_no_part_of_who_somebody_is() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL+OjxdlXXnuimWlwY2IwznnRH/gp9pLbEbQhGVwKoW5";

        assert_eq!(id_of_recipient(&format!("{key} carol at home")), id_of_recipient(key));
        assert_ne!(id_of_recipient("age1a"), id_of_recipient("age1b"));
    }
}
