//! `vault device remove`: cuts a device off.
//!
//! First from the server, which counts from the next request on; then from each vault, by new keys that it does not get. What it has
//! read before it may have kept. A device that an earlier attempt has taken off the card only is found in the vaults. A vault in a
//! directory has no server to refuse the device; there new keys are all.

use std::collections::BTreeSet;
use std::sync::Arc;

use vault_core::card::{Chain, ListedDevice};
use vault_core::error::Error;
use vault_core::id::{DeviceId, UserId};
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::Members;
use vault_core::net::{Server, ServerUrl};
use vault_core::ops::cards::{self, Seen};
use vault_core::ops::membership::remove_device;
use vault_core::store::location::{Access, Location};
use vault_core::vault::Vault;
use vault_core::wire::v1::me::MyVault;

use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::servers::Joined;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::{identity, report};

/// The least digits of an id that name a device.
const SHORTEST: usize = 4;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  vault device remove 3fa94c1e\n  vault device remove 3fa94c1e --vault /mnt/disk/my-vault"
)]
pub(super) struct Remove {
    /// The device's id, or the beginning of it
    #[arg(value_name = "DEVICE")]
    device: String,

    /// On this server, where several were joined
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// A device that was cut off.
pub(crate) struct Removed {
    /// The server that refuses it from now on; none for a vault in a directory.
    pub(crate) server: Option<ServerUrl>,
    pub(crate) device: DeviceId,
    /// The vaults that have new keys now.
    pub(crate) vaults: Vec<String>,
    /// Those where it could not be removed.
    pub(crate) failed: Vec<String>,
}

impl Remove {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        if self.server.is_none()
            && context.names_vault()
            && let Location::Directory(_) = context.location()?
        {
            return self.remove_from_directory(context);
        }
        let joined = context.joined_server(self.server.as_deref())?;
        let sealed: Vec<Vec<u8>> = identity::local(context.directories()?)?.into_iter().collect();
        let identity = identity::open(&sealed, &context.keys_alone(), &mut Ok)?;
        // Asked by the identity itself: so a machine can remove itself too.
        let server = Arc::new(context.server_recovering(&joined, &identity)?);
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let vaults = Vaults { context, joined: &joined, server: &server };
        let chain = cards::read(&server, &joined.user, joined.card)?;
        let device = self.find(&chain, &identity, &vaults)?;
        let without = |listed: &mut Vec<ListedDevice>| listed.retain(|known| known.id() != device);
        let chain = cards::change(&server, &identity, joined.card, &without, &around)?;
        context.servers()?.update(&joined.url, |joined| joined.card = Some(Seen::of(&chain)))?;
        display.finish();
        let (vaults, failed) = vaults.expel(&identity, &device)?;

        let exit = if failed.is_empty() { Exit::Done } else { Exit::Incomplete };
        let removed = Removed { server: Some(joined.url), device, vaults, failed };
        let document = json::devices::DeviceRemoved::new(&removed);
        context.ui.result(&document, &summary::devices::removed(&removed)).map_err(CliError::Output)?;
        Ok(exit)
    }

    fn remove_from_directory(&self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let known = vault.state().members().into_iter().flat_map(Members::devices);
        let device = self.only(known.map(|(_, device)| device.id).collect())?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let identity = context.own_identity(&vault)?;
        remove_device(&mut vault, &identity, &device, &around)?;
        display.finish();

        let vaults = vec![context.vault_text().unwrap_or_default()];
        let removed = Removed { server: None, device, vaults, failed: Vec::new() };
        let document = json::devices::DeviceRemoved::new(&removed);
        context.ui.result(&document, &summary::devices::removed(&removed)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    /// The only device whose id begins so: on the card, or else in a vault. What the identity itself asks as is no machine, and cannot be
    /// cut off.
    fn find(
        &self,
        chain: &Chain,
        identity: &UserIdentity,
        vaults: &Vaults<'_>,
    ) -> Result<DeviceId, CliError> {
        let recovery = cards::recovery(identity).id();
        let machines = chain.card().devices.iter().map(ListedDevice::id).filter(|id| *id != recovery);
        match self.only(machines.collect()) {
            Ok(only) => Ok(only),
            Err(_) => self.only(vaults.devices_of(&chain.user())?),
        }
    }

    /// The only one of some devices whose id begins as was asked for: by four digits at least, as a slip must cut off nothing.
    fn only(&self, devices: Vec<DeviceId>) -> Result<DeviceId, CliError> {
        let wanted = self.device.to_ascii_lowercase();
        let is_meant = |id: &DeviceId| wanted.len() >= SHORTEST && id.to_hex().starts_with(&wanted);
        let mut found: BTreeSet<DeviceId> = devices.into_iter().filter(is_meant).collect();
        match (found.pop_first(), found.pop_first()) {
            (Some(only), None) => Ok(only),
            _ => Err(ServerError::NoSuchDevice { device: self.device.clone() }.into()),
        }
    }
}

/// A vault with its name, if it can be opened.
type Opened = (String, Result<Vault, CliError>);

/// The vaults on a server that the user is a member of.
struct Vaults<'a> {
    context: &'a Context,
    joined: &'a Joined,
    server: &'a Arc<Server>,
}

impl Vaults<'_> {
    fn open(&self) -> Result<Vec<Opened>, CliError> {
        let access = Access::to(Arc::clone(self.server));
        let open = |mine: MyVault| {
            let name = self.joined.name_of(&mine.vault).map_or_else(|| mine.vault.short(), str::to_owned);
            (name, self.context.open_through(&self.joined.location(mine.vault), None, &access))
        };
        Ok(self.server.me().map_err(Error::from)?.vaults.into_iter().map(open).collect())
    }

    /// The devices of a user that vaults know.
    fn devices_of(&self, user: &UserId) -> Result<Vec<DeviceId>, CliError> {
        let mut devices = Vec::new();
        for vault in self.open()?.into_iter().filter_map(|(_, vault)| vault.ok()) {
            let known = vault.state().member(user).map_or(&[][..], |user| &user.devices);
            devices.extend(known.iter().map(|device| device.id));
        }
        Ok(devices)
    }

    /// Gives every vault that knows the device new keys; one that fails is told of.
    fn expel(
        &self,
        identity: &UserIdentity,
        device: &DeviceId,
    ) -> Result<(Vec<String>, Vec<String>), CliError> {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let display = Display::new(self.context.ui);
        let around = self.context.around(&display)?;
        for (name, vault) in self.open()? {
            match vault.and_then(|mut vault| Ok(remove_device(&mut vault, identity, device, &around)?)) {
                Ok(true) => done.push(name),
                Ok(false) => {}
                Err(error) => {
                    self.context
                        .ui
                        .warn(&format!("not removed from {name}: {}", report::in_one_line(&error)));
                    failed.push(name);
                }
            }
        }
        display.finish();
        Ok((done, failed))
    }
}
