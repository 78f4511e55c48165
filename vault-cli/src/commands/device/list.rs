//! `vault device list`: the devices on the user's card, as the user signed it.
//!
//! What the server shows is verified before anything of it is listed.

use vault_core::id::DeviceId;
use vault_core::log::DeviceKind;
use vault_core::net::ServerUrl;
use vault_core::ops::cards::{self, Seen};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::servers::Joined;
use crate::ui::{json, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault device list")]
pub(super) struct List {
    /// Only those on this server
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// A device on a card.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) server: ServerUrl,
    pub(crate) id: DeviceId,
    pub(crate) kind: DeviceKind,
    /// Whether it is the device at hand.
    pub(crate) this: bool,
    /// Whether it is no machine, but what the identity itself can ask as.
    pub(crate) recovery: bool,
}

impl List {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        let all = match &self.server {
            Some(_) => vec![context.joined_server(self.server.as_deref())?],
            None => context.servers()?.all()?,
        };
        if all.is_empty() {
            context.joined_server(None)?;
        }
        let mut listed = Vec::new();
        for joined in all {
            listed.extend(devices(context, &joined)?);
        }
        let document = json::devices::DeviceList::new(&listed);
        context
            .ui
            .listing(&document, |out| summary::devices::list(out, &listed))
            .map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

fn devices(context: &Context, joined: &Joined) -> Result<Vec<Listed>, CliError> {
    let server = context.server(joined)?;
    let chain = cards::read(&server, &joined.user, joined.card)?;
    context.servers()?.update(&joined.url, |joined| joined.card = Some(Seen::of(&chain)))?;
    let card = chain.card();
    let of = |device: &vault_core::card::ListedDevice| Listed {
        server: joined.url.clone(),
        id: device.id(),
        kind: device.kind,
        this: Some(device.id()) == server.device(),
        // No machine has the recipient of the user.
        recovery: device.recipient == card.recipient,
    };
    Ok(card.devices.iter().map(of).collect())
}
