//! `vault vaults`: which vaults there are, on servers and in the configuration, and what they are called here.
//!
//! A server that cannot be asked is told of, and the rest is listed all the same.

use clap::Subcommand;
use vault_core::error::Error;
use vault_core::id::VaultId;
use vault_core::store::location::Location;
use vault_core::wire::v1::me::{MyVault, Standing};

use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::report;
use crate::servers::{self, Joined};
use crate::ui::{json, summary};

/// List vaults: on the servers that were joined, and in the configuration
///
/// Names of vaults on servers are kept on this machine only; the server knows a vault by its id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  vault vaults\n  vault vaults name 3fa94c1e photos")]
pub(crate) struct Vaults {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Give a vault on a server a name on this machine
    Name(Name),
}

#[derive(Debug, clap::Args)]
struct Name {
    /// The vault's id, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,

    /// Its name from now on
    #[arg(value_name = "NAME")]
    name: String,
}

/// A vault as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// Its name, if it has one here.
    pub(crate) name: Option<String>,
    pub(crate) location: String,
    /// Its id, where it is known.
    pub(crate) vault: Option<VaultId>,
    /// What this device may do there.
    pub(crate) role: Option<Standing>,
    /// Bytes it has on the server.
    pub(crate) used: Option<u64>,
    /// Bytes it may have.
    pub(crate) quota: Option<u64>,
}

impl Vaults {
    /// Lists vaults, or names one.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self.command {
            Some(Command::Name(name)) => name.run(context),
            None => list(context),
        }
    }
}

fn list(context: &Context) -> Result<Exit, CliError> {
    let mut listed: Vec<Listed> = configured(context)?;
    let mut exit = Exit::Done;
    for joined in context.servers()?.all()? {
        context.audit_oneself(&joined)?;
        match mine(context, &joined) {
            Ok(mine) => listed.extend(on_server(&joined, &mine)),
            Err(error) => {
                context.ui.warn(&report::in_one_line(&error));
                listed.extend(on_server(&joined, &[]));
                exit = Exit::Incomplete;
            }
        }
    }
    let document = json::servers::Vaults::new(&listed);
    context.ui.listing(&document, |out| summary::servers::vaults(out, &listed)).map_err(CliError::Output)?;
    Ok(exit)
}

fn configured(context: &Context) -> Result<Vec<Listed>, CliError> {
    let of = |(name, settings): (&String, &crate::config::file::VaultSettings)| {
        let location = Location::parse(&settings.location)?;
        let vault = match &location {
            Location::Server { vault, .. } => *vault,
            _ => None,
        };
        Ok(Listed {
            name: Some(name.clone()),
            location: location.to_string(),
            vault,
            role: None,
            used: None,
            quota: None,
        })
    };
    context.configuration()?.vaults.iter().map(of).collect()
}

fn mine(context: &Context, joined: &Joined) -> Result<Vec<MyVault>, CliError> {
    Ok(context.briefly(joined)?.me().map_err(Error::from)?.vaults)
}

/// The vaults of a server: what it says, and those that have names here which it does not show.
fn on_server(joined: &Joined, mine: &[MyVault]) -> Vec<Listed> {
    let of = |vault: VaultId, mine: Option<&MyVault>| Listed {
        name: joined.name_of(&vault).map(str::to_owned),
        location: joined.location(vault).to_string(),
        vault: Some(vault),
        role: mine.map(|mine| mine.role),
        used: mine.map(|mine| mine.used),
        quota: mine.and_then(|mine| mine.quota),
    };
    let shown = mine.iter().map(|mine| of(mine.vault, Some(mine)));
    let unseen = joined.vaults.values().filter(|vault| !mine.iter().any(|mine| mine.vault == **vault));
    shown.chain(unseen.map(|vault| of(*vault, None))).collect()
}

impl Name {
    fn run(&self, context: &Context) -> Result<Exit, CliError> {
        if !servers::is_name(&self.name) {
            return Err(ServerError::NotAName { name: self.name.clone() }.into());
        }
        let (joined, vault) = self.find(context)?;
        let location = joined.location(vault);
        if let Some((other, _)) = context.servers()?.named(&self.name)?
            && other.vaults.get(&self.name) != Some(&vault)
        {
            return Err(ServerError::NameTaken { name: self.name.clone() }.into());
        }
        if context.configuration()?.vaults.contains_key(&self.name) {
            return Err(ServerError::NameTaken { name: self.name.clone() }.into());
        }
        context.name_vault(&self.name, &location)?;
        let document = json::servers::VaultName::new(&self.name, &vault, &location.to_string());
        let text = format!("{} is {location}\n", self.name);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    /// The only vault whose id begins so.
    fn find(&self, context: &Context) -> Result<(Joined, VaultId), CliError> {
        let wanted = self.id.to_ascii_lowercase();
        let mut found = Vec::new();
        for joined in context.servers()?.all()? {
            let mine = mine(context, &joined)?;
            let ids = mine.iter().map(|mine| mine.vault).filter(|vault| vault.to_hex().starts_with(&wanted));
            found.extend(ids.map(|vault| (joined.clone(), vault)));
        }
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => {
                Err(ServerError::UnknownVault { name: self.id.clone(), known: context.known_names()? }.into())
            }
        }
    }
}
