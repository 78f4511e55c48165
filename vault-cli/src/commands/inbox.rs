//! `vault inbox`: what the user was given, and by whom.
//!
//! Nothing is fetched: what is shown stands in the statements of the grants. One that is not from whom it is said to be is told of and
//! never shown as theirs.

use vault_core::error::Error;
use vault_core::ops::grants::GivenContents;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::granted::{self, Found, Giver, Givers, Keys, Offered};
use crate::report;
use crate::ui::{json, summary};

/// List what you were given
///
/// On all servers that this machine has joined; with --vault DIR also what a vault in a directory has for you. Who gave it is one of your
/// contacts, or a stranger, shown by the words of their card.
///
/// Fetch it with `vault get`; or look into it as into a snapshot, which is called inbox:GRANT then.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  vault inbox\n  vault ls inbox:3fa94c1e\n  vault get 3fa94c1e --target ./trip"
)]
pub(crate) struct Inbox {
    /// Ask only this server
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

/// Something that was given to the user.
pub(crate) struct Listed {
    pub(crate) offered: Offered,
    pub(crate) giver: Giver,
    /// What it is, where it could be opened.
    pub(crate) contents: Option<GivenContents>,
}

impl Inbox {
    /// Lists it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let keys = keys(context)?;
        let ids = match &keys {
            Some(keys) => keys.ids(),
            None => Some(context.servers()?.all()?.iter().map(|joined| *joined.user.as_bytes()).collect()),
        };
        let Found { offered, failures } = granted::all(context, self.server.as_deref(), ids.as_deref())?;
        let mut exit = Exit::Done;
        for failure in &failures {
            context.ui.warn(&report::in_one_line(failure));
            exit = Exit::Incomplete;
        }
        let givers = Givers::new(context);
        let mut listed = Vec::new();
        for offered in offered.into_iter().filter(|offered| offered.holds) {
            let id = offered.grant.short();
            match open(&givers, keys.as_ref(), offered) {
                Ok(Some(one)) => listed.push(one),
                // Taken back a moment ago.
                Ok(None) => {}
                Err(error) if error.exit() == Exit::Integrity => {
                    context.ui.damage(&format!("grant {id}: {}", report::in_one_line(&error)));
                    exit = Exit::Integrity;
                }
                Err(error) => return Err(error),
            }
        }
        if keys.is_none() && !listed.is_empty() {
            context.ui.note("what it is can be told only with your passphrase");
        }
        let document = json::grants::Inbox::new(&listed);
        context
            .ui
            .listing(&document, |out| summary::grants::inbox(out, &listed))
            .map_err(CliError::Output)?;
        Ok(exit)
    }
}

/// The keys of the user; none where nobody can be asked for a passphrase.
fn keys(context: &Context) -> Result<Option<Keys>, CliError> {
    match Keys::load(context) {
        Err(CliError::NoPassphrase | CliError::NoIdentity) => Ok(None),
        keys => keys.map(Some),
    }
}

/// Who gave it, and what it is.
fn open(givers: &Givers<'_>, keys: Option<&Keys>, offered: Offered) -> Result<Option<Listed>, CliError> {
    let offer = match offered.read() {
        Err(CliError::Core(Error::NoSuchGrant { .. })) => return Ok(None),
        offer => offer?,
    };
    let giver = givers.of(&offered, &offer)?;
    let contents = match keys {
        Some(keys) => match keys.unseal(&offer, &giver) {
            // In a vault at hand, where a key does not say whose it is: it is for somebody else.
            Err(Error::NoSuchGrant { .. }) => return Ok(None),
            unsealed => Some(unsealed?.contents()?),
        },
        None => None,
    };
    Ok(Some(Listed { offered, giver, contents }))
}
