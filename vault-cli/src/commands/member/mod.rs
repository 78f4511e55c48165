//! `vault member`: the people of a vault: who they are, who comes, and who goes.
//!
//! People are named as this machine calls them; who is not among its contacts, by the beginning of their id.

mod add;
mod list;
mod remove;

pub(crate) use self::add::Admitted;
pub(crate) use self::list::Listed;
pub(crate) use self::remove::{Expelled, OfThem};

use clap::{Subcommand, ValueEnum};
use vault_core::id::UserId;
use vault_core::log::{Members, Role};

use crate::contacts::{Contact, Contacts};
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;

/// The people of a vault: list them, add one, or remove one
///
/// An owner changes the membership, an editor backs up and reads, a reader reads. Who is removed gets no key of what is backed up from
/// then on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault member list --vault team\n  \
    vault member add anna --role editor --vault team\n  \
    vault member remove anna --vault team")]
pub(crate) struct Member {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the members of the vault
    List(list::List),
    /// Add a contact, or give a member another role or more history
    Add(add::Add),
    /// Remove a member with all their devices: new keys from now on
    Remove(remove::Remove),
}

impl Member {
    /// Does one of them.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self.command {
            Command::List(list::List {}) => list::List::run(context),
            Command::Add(command) => command.run(context),
            Command::Remove(command) => command.run(context),
        }
    }
}

/// A role, as it is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// Everything, and changes the membership
    Owner,
    /// Backs up, and reads everything
    Editor,
    /// Reads everything
    Reader,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Self::Owner,
            RoleName::Editor => Self::Editor,
            RoleName::Reader => Self::Reader,
        }
    }
}

/// The member that somebody means: by the name of a contact, or by the beginning of an id.
fn find(members: Option<&Members>, contacts: &Contacts, who: &str) -> Result<UserId, CliError> {
    let users = members.into_iter().flat_map(|members| &members.users);
    let unknown = || ShareError::NoSuchMember { who: who.to_owned() };
    let named =
        contacts.all()?.iter().find(|contact| contact.name.to_string() == who).and_then(Contact::user);
    let wanted = who.to_ascii_lowercase();
    let is_meant = |id: &UserId| match named {
        Some(user) => *id == user,
        None => wanted.len() >= 4 && id.to_hex().starts_with(&wanted),
    };
    let mut found = users.map(|user| user.id).filter(is_meant);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(unknown().into()),
    }
}
