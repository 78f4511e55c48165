//! `init`: makes a vault: genesis, epoch 1, envelopes for its first user and device.

use crate::card::ListedDevice;
use crate::chunk::cut::Params;
use crate::crypto::hash::{dedup_root_commitment, vault_id};
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;
use crate::error::Error;
use crate::id::{Epoch, Seq, VaultId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{DomainKeys, MemberEpoch, MemberKeys};
use crate::keys::identity_file::UserIdentity;
use crate::log::{self, Body, ChunkerParams, Device, Genesis, Members, Payload, PqPolicy, Role, State, User};
use crate::store::location::{Access, Location};
use crate::store::{ObjectKey, Put, Store};
use crate::vault::envelopes;

use super::Surroundings;
use super::cards::machine;

/// What a new vault is to be.
pub struct InitOptions<'a> {
    /// Where.
    pub location: &'a Location,
    /// What it takes to reach that.
    pub access: &'a Access,
    /// Its founder and owner.
    pub identity: &'a UserIdentity,
    /// The founder's identity as it is to be stored in the vault, sealed; `None` if it is not to be, because whoever keeps the vault
    /// could try passphrases on it.
    pub sealed_identity: Option<&'a [u8]>,
    /// The founder's first device.
    pub device: &'a DeviceKeys,
    /// Whether every recipient must be post-quantum.
    pub pq: PqPolicy,
    /// Sizes of chunks.
    pub chunker: Params,
}

/// What was made.
#[derive(Debug, Clone, Copy)]
pub struct InitSummary {
    /// The new vault.
    pub vault: VaultId,
}

/// Makes a vault. It exists once this returns, and not before: an interruption leaves no vault.
pub fn init(options: &InitOptions<'_>, around: &Surroundings<'_>) -> Result<InitSummary, Error> {
    let root = options.identity.root();
    let now = around.clock.now();
    let genesis = Payload::genesis(
        Genesis {
            root_key: root.verifying_key(),
            pq: options.pq,
            chunker: ChunkerParams {
                min: options.chunker.min(),
                mask_bits: options.chunker.mask_bits() as u8,
                max: options.chunker.max(),
            },
            nonce: around.random.bytes()?,
        },
        now,
    );
    let vault = vault_id(&genesis.encode());
    let stored_genesis = log::sign(&genesis, root)?;
    let state = State::begin(&vault, &stored_genesis)?;

    let keys = MemberKeys {
        current: MemberEpoch::generate(Epoch::FIRST, around.random)?,
        dedup_root: Secret::generate(around.random)?,
        earlier: Vec::new(),
    };
    let user = options.identity.user_id();
    let device = options.device.device_id();
    let member = keys.seal(&vault, (&user, Epoch::FIRST), &options.identity.recipient())?;
    let writer = DomainKeys::from_member(&keys, &vault, user.into());
    let writer = writer.seal(&vault, &device, &options.device.recipient())?;
    let members = Members {
        epoch: Epoch::FIRST,
        epoch_recipient: keys.current.identity.to_recipient().to_string(),
        users: vec![User {
            id: user,
            root_key: root.verifying_key(),
            recipient: options.identity.recipient().to_string(),
            role: Role::Owner,
            devices: vec![certified(&vault, &machine(options.device, &user), root, writer.pin)],
            envelope_hash: member.pin,
            reads_from: Epoch::FIRST,
        }],
        dedup_commitment: dedup_root_commitment(&vault, &keys.dedup_root),
        final_heads: Vec::new(),
    };
    let stored_members = log::sign(&state.draft(user, now, Body::Members(members)), root)?;
    // What would not verify must not be stored: nobody could open the vault.
    state.verify(&stored_members)?;

    let new = options.location.create(vault, options.access)?;
    if let Some(sealed) = options.sealed_identity {
        put(new.store(), &ObjectKey::Identity(user), sealed)?;
    }
    envelopes::put(new.store(), Epoch::FIRST, *user.as_bytes(), &member)?;
    envelopes::put(new.store(), Epoch::FIRST, *device.as_bytes(), &writer)?;
    put(new.store(), &ObjectKey::Statement(Seq::GENESIS), &stored_genesis)?;
    put(new.store(), &ObjectKey::Statement(Seq::GENESIS.next()), &stored_members)?;
    new.publish()?;
    Ok(InitSummary { vault })
}

/// A device with its user's certificate and the hash of its writer envelope.
pub(super) fn certified(
    vault: &VaultId,
    device: &ListedDevice,
    root: &SigningKey,
    envelope_hash: [u8; 32],
) -> Device {
    let ListedDevice { signing_key, recipient, kind, .. } = device.clone();
    Device {
        id: device.id(),
        signing_key,
        certificate: log::certify_device(root, vault, (&signing_key, kind), &recipient),
        recipient,
        kind,
        envelope_hash,
    }
}

/// Puts an object that nobody else can have put.
fn put(store: &dyn Store, key: &ObjectKey, bytes: &[u8]) -> Result<(), Error> {
    match store.put_new(key, bytes)? {
        Put::Created => Ok(()),
        Put::AlreadyThere => Err(Error::AlreadyThere { object: *key }),
    }
}
