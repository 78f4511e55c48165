//! `vault whoami`: who the user of this machine is, to servers and to other people.
//!
//! Asks for a passphrase only where no server that was joined remembers the user.

use vault_core::error::Error;
use vault_core::id::{DeviceId, UserId};
use vault_core::wire::v1::me::Me;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::servers::Joined;
use crate::ui::{json, summary};
use crate::{identity, report};

/// Show who you are: identity, this device, and the servers
///
/// The six words are a fingerprint of your identity. Whoever wants to be sure to share with you, and not with somebody else,
/// compares them with you over the telephone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault whoami")]
pub(crate) struct Whoami {}

/// A server, and what it says about the user.
pub(crate) struct Account {
    pub(crate) joined: Joined,
    /// What it says; why it says nothing.
    pub(crate) me: Result<Me, String>,
}

/// What there is to say.
pub(crate) struct Who {
    pub(crate) user: UserId,
    /// This device, if it has keys.
    pub(crate) device: Option<DeviceId>,
    pub(crate) accounts: Vec<Account>,
}

impl Whoami {
    /// Says who one is.
    pub(crate) fn run(context: &Context) -> Result<Exit, CliError> {
        let joined = context.servers()?.all()?;
        let user = match joined.first() {
            Some(joined) => joined.user,
            None => of_identity(context)?,
        };
        let device = context.known_device()?.map(|device| device.device_id());
        let mut exit = Exit::Done;
        let mut accounts = Vec::new();
        for joined in joined {
            let asked = context.briefly(&joined).and_then(|server| Ok(server.me().map_err(Error::from)?));
            let me = asked.map_err(|error| {
                exit = Exit::Incomplete;
                report::in_one_line(&error)
            });
            accounts.push(Account { joined, me });
        }
        let who = Who { user, device, accounts };
        let document = json::servers::Whoami::new(&who);
        context.ui.answer(&document, &summary::servers::whoami(&who)).map_err(CliError::Output)?;
        Ok(exit)
    }
}

fn of_identity(context: &Context) -> Result<UserId, CliError> {
    let sealed: Vec<Vec<u8>> = identity::local(context.directories()?)?.into_iter().collect();
    identity::open(&sealed, &context.keys_alone(), &mut |identity| Ok(identity.user_id()))
}
