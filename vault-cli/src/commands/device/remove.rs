//! `vault device remove`: cuts a device off.
//!
//! First from the server, which counts from the next request on; then from each vault, by new keys that it does not get. What it has
//! read before it may have kept.

use std::sync::Arc;

use vault_core::card::ListedDevice;
use vault_core::error::Error;
use vault_core::id::DeviceId;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::net::{Server, ServerUrl};
use vault_core::ops::cards::{self, Seen};
use vault_core::ops::expel::expel;
use vault_core::store::location::Access;

use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::servers::Joined;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::{identity, report};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault device remove 3fa94c1e")]
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
    pub(crate) server: ServerUrl,
    pub(crate) device: DeviceId,
    /// The vaults that have new keys now.
    pub(crate) vaults: Vec<String>,
    /// Those where it could not be removed.
    pub(crate) failed: Vec<String>,
}

impl Remove {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        let joined = context.joined_server(self.server.as_deref())?;
        let sealed: Vec<Vec<u8>> = identity::local(context.directories()?)?.into_iter().collect();
        let identity = identity::open(&sealed, &context.keys_alone(), &mut Ok)?;
        // Asked by the identity itself: so a machine can remove itself too.
        let server = Arc::new(context.server_recovering(&joined, &identity)?);
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let chain = cards::read(&server, &joined.user, joined.card)?;
        let device = self.find(&chain.card().devices, &identity)?;
        let without = |listed: &mut Vec<ListedDevice>| listed.retain(|known| known.id() != device);
        let chain = cards::change(&server, &identity, joined.card, &without, &around)?;
        context.servers()?.update(&joined.url, |joined| joined.card = Some(Seen::of(&chain)))?;
        display.finish();
        let (vaults, failed) = expel_from_all(context, &joined, &server, (&identity, &device))?;

        let exit = if failed.is_empty() { Exit::Done } else { Exit::Incomplete };
        let removed = Removed { server: joined.url, device, vaults, failed };
        let document = json::devices::DeviceRemoved::new(&removed);
        context.ui.result(&document, &summary::devices::removed(&removed)).map_err(CliError::Output)?;
        Ok(exit)
    }

    /// The only device whose id begins so. What the identity itself asks as is no machine, and cannot be cut off.
    fn find(&self, listed: &[ListedDevice], identity: &UserIdentity) -> Result<DeviceId, CliError> {
        let wanted = self.device.to_ascii_lowercase();
        let recovery = cards::recovery(identity).id();
        let mut found = listed
            .iter()
            .map(ListedDevice::id)
            .filter(|id| *id != recovery && !wanted.is_empty() && id.to_hex().starts_with(&wanted));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(ServerError::NoSuchDevice { device: self.device.clone() }.into()),
        }
    }
}

/// Gives every vault that knows the device new keys; one that fails is told of.
fn expel_from_all(
    context: &Context,
    joined: &Joined,
    server: &Arc<Server>,
    (identity, device): (&UserIdentity, &DeviceId),
) -> Result<(Vec<String>, Vec<String>), CliError> {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let display = Display::new(context.ui);
    let around = context.around(&display)?;
    let access = Access::to(Arc::clone(server));
    for mine in server.me().map_err(Error::from)?.vaults {
        let name = joined.name_of(&mine.vault).map_or_else(|| mine.vault.short(), str::to_owned);
        let expelled = context
            .open_through(&joined.location(mine.vault), None, &access)
            .and_then(|mut vault| Ok(expel(&mut vault, identity, device, &around)?));
        match expelled {
            Ok(true) => done.push(name),
            Ok(false) => {}
            Err(error) => {
                context.ui.warn(&format!("not removed from {name}: {}", report::in_one_line(&error)));
                failed.push(name);
            }
        }
    }
    display.finish();
    Ok((done, failed))
}
