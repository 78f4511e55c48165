//! `vault device`: the machines of the user: which there are, how one is taken on, and how one is cut off.
//!
//! A new machine and one that has the identity compare words in both directions: nobody in between can be taken for either.

mod add;
mod list;
mod remove;
mod request;

pub(crate) use self::add::Added;
pub(crate) use self::list::Listed;
pub(crate) use self::remove::Removed;

use std::time::Duration;

use clap::Subcommand;
use vault_core::time::Pace as _;

use crate::clock::SystemPace;
use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::signals;
use crate::ui::prompt;

/// How long a request of a new machine lives.
const MINUTES: u64 = 15;

/// Your machines: list them, take one on, or remove one
///
/// On the new machine, `vault device request` shows a URL and six words and waits. On a machine that has your identity, `vault device
/// add` takes the URL; when the words are the same there, and yours the same on the new machine, it is one of yours.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault device list\n  \
    vault device request https://vault.example.org:8443\n  \
    vault device add 'https://vault.example.org:8443/device/1f3a…#Zm9v…'\n  \
    vault device remove 3fa94c1e")]
pub(crate) struct Device {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List your devices on servers
    List(list::List),
    /// Ask from a new machine to be taken on
    Request(request::Request),
    /// Take on the machine that asks
    Add(add::Add),
    /// Cut a device off: from the server at once, from vaults by new keys
    Remove(remove::Remove),
}

impl Device {
    /// Does one of them.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self.command {
            Command::List(command) => command.run(context),
            Command::Request(command) => command.run(context),
            Command::Add(command) => command.run(context),
            Command::Remove(command) => command.run(context),
        }
    }
}

/// Asks again and again, first after `every`, until there is something or the request has ended; each wait is longer by half.
fn wait_for<T>(
    mut every: Duration,
    ask: &mut dyn FnMut() -> Result<Option<T>, CliError>,
) -> Result<Option<T>, CliError> {
    signals::stop_operation().map_err(CliError::Signals)?;
    let pace = SystemPace::new();
    while pace.elapsed() < Duration::from_secs(60 * MINUTES) {
        if let Some(found) = ask()? {
            return Ok(Some(found));
        }
        let until = pace.elapsed() + every;
        while pace.elapsed() < until {
            if signals::stop_requested() {
                return Err(CliError::Interrupted);
            }
            pace.wait(Duration::from_millis(200));
        }
        every = Duration::from_secs(5).min(every * 3 / 2);
    }
    Ok(None)
}

/// Makes sure that two machines show the same words: by those that an option gives, or by asking.
fn compare(words: &[&str], given: Option<&str>, (question, what): (&str, &str)) -> Result<(), CliError> {
    let is_same = match given {
        Some(given) => given.split_whitespace().map(str::to_ascii_lowercase).eq(words.iter().copied()),
        None if prompt::possible() => prompt::confirm(question).map_err(CliError::Terminal)?,
        None => return Err(ServerError::WordsNotCompared.into()),
    };
    if is_same { Ok(()) } else { Err(ServerError::DeviceMismatch { what: what.to_owned() }.into()) }
}
