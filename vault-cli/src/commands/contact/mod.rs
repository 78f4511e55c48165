//! `vault contact`: the people one shares with: who they are, and whether that was compared.
//!
//! A contact never changes silently: who has other keys than before is another person until the two have spoken.

mod add;
mod list;
mod remove;
mod show;
mod verify;

pub(crate) use self::add::Added;
pub(crate) use self::show::Shown;
pub(crate) use self::verify::Verified;

use clap::Subcommand;
use vault_core::wire::fingerprint::pair_words;

use crate::commands::whoami::own_user;
use crate::contacts::Contact;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;

/// The people you share with: add them, compare words with them
///
/// A contact comes from a server's directory, from a card that `vault whoami --card` wrote, or is a plain age or ssh recipient. Compare
/// the words that `vault contact verify` shows with those that they see: only then is it certain that nobody stands between you.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault contact add alice\n  \
    vault contact add bob --card bob.card\n  \
    vault contact add carol --recipient age1…\n  \
    vault contact verify alice\n  \
    vault contact list")]
pub(crate) struct ContactCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add somebody, unverified until you have compared words
    Add(add::Add),
    /// Compare words with a contact: both of you see the same
    Verify(verify::Verify),
    /// List your contacts
    List(list::List),
    /// Show a contact: words, devices, since when
    Show(show::Show),
    /// Forget a contact; what was shared with them stays shared
    Remove(remove::Remove),
}

impl ContactCommand {
    /// Does one of them.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self.command {
            Command::Add(command) => command.run(context),
            Command::Verify(command) => command.run(context),
            Command::List(list::List {}) => list::List::run(context),
            Command::Show(command) => command.run(context),
            Command::Remove(command) => command.run(context),
        }
    }
}

/// The words to compare with a contact: twelve that both see, six where the contact is a recipient only.
fn words_with(context: &Context, contact: &Contact) -> Result<Vec<&'static str>, CliError> {
    Ok(match contact.user() {
        Some(user) => pair_words(&own_user(context)?, &user).to_vec(),
        None => contact.words().to_vec(),
    })
}
