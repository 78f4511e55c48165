//! `vault share`: gives a folder or file of a snapshot to contacts.
//!
//! What was given is stored in the vault, and nothing is copied: who is given it reads it there.

use vault_core::chunk::compress::Level;
use vault_core::log::{MAX_ADDRESSEES, PqPolicy};
use vault_core::ops::grants::{self, ShareOptions, ShareTo, Shared};
use vault_core::vault::Vault;

use crate::contacts::Addressee;
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::granted::id_of_recipient;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::values::until::{Until, until};

/// Give a folder or file of a snapshot to contacts
///
/// They find it with `vault inbox` and fetch it with `vault get`. They see the names, times and contents of what you give, and nothing
/// else of the vault; owners, attributes and where it came from stay with you. `vault revoke` takes it back, except for what they
/// have fetched.
///
/// In a vault that lies in a directory, whoever can read the directory opens it with `vault get GRANT --vault DIR`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault share photos:latest:/Trip --to anna --to bob --expires 30d\n  \
    vault share 2026-11-22:/letter.odt --to anna --vault ./my-vault")]
pub(crate) struct Share {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    what: Spec,

    /// A contact to give it to (may be repeated): see `vault contact list`
    #[arg(long, value_name = "NAME", required = true)]
    to: Vec<String>,

    /// Until when: a time from now as in 30d, or a date [default: until it is taken back]
    #[arg(long, value_name = "TIME|DATE", value_parser = until)]
    expires: Option<Until>,

    #[command(flatten)]
    filter: FilterOptions,
}

/// What was given to contacts.
pub(crate) struct Given {
    pub(crate) shared: Shared,
    pub(crate) to: Vec<Addressee>,
    /// Until when, in seconds since 1970.
    pub(crate) expires: Option<u64>,
    /// Where those who were given it find it, if that is a directory.
    pub(crate) directory: Option<String>,
}

impl Share {
    /// Gives it, and says to whom.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let expires = resolve(context, self.expires)?;
        if self.to.len() > MAX_ADDRESSEES {
            return Err(ShareError::TooMany { asked: self.to.len(), most: MAX_ADDRESSEES }.into());
        }
        let location = context.location_of(&self.what)?;
        let mut vault = context.open(&location)?;
        let named = |name: &String| Addressee::named(context, name);
        let to: Vec<_> = self.to.iter().map(named).collect::<Result<_, _>>()?;
        if location.server().is_some() {
            let (server, _) = context.vault_on_server()?;
            to.iter().try_for_each(|addressee| addressee.check_account(&server))?;
        }
        to.iter().try_for_each(|addressee| check_policy(&vault, addressee))?;
        let reader = context.unlock(&vault)?;
        let options = ShareOptions {
            snapshot: context.snapshot_among(&vault, &reader, &self.what, &self.filter)?,
            path: self.what.path.clone(),
            to: to.iter().map(share_to).collect(),
            link: None,
            expires,
            level: Level::DEFAULT,
        };
        let device = context.device()?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let shared = grants::share(&mut vault, &reader, &device, &options, &around)
            .map_err(|error| context.explain(error))?;
        display.finish();

        let directory = location.directory().map(|_| location.to_string());
        let given = Given { shared, to, expires, directory };
        let document = json::grants::Share::new(&vault.id().to_hex(), &given);
        context.ui.result(&document, &summary::grants::shared(&given)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

/// The end that was asked for, which must be to come.
pub(super) fn resolve(context: &Context, expires: Option<Until>) -> Result<Option<u64>, CliError> {
    let resolve = |until: Until| until.resolve(context.now()).ok_or(ShareError::ExpiresBefore);
    Ok(expires.map(resolve).transpose()?)
}

fn share_to(addressee: &Addressee) -> ShareTo {
    let id = match addressee.user() {
        Some(user) => *user.as_bytes(),
        None => id_of_recipient(addressee.recipient.as_str()),
    };
    ShareTo { id, recipient: addressee.recipient.clone() }
}

/// Refuses a recipient that the vault would not take as a member's.
fn check_policy(vault: &Vault, addressee: &Addressee) -> Result<(), ShareError> {
    if vault.state().pq() == PqPolicy::Required && !addressee.recipient.is_post_quantum() {
        return Err(ShareError::NotPostQuantum { name: addressee.name().to_owned() });
    }
    Ok(())
}
