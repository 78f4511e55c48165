//! `vault revoke`: takes back what was given. What somebody has fetched stays with them, and that is said.

use std::collections::BTreeSet;

use vault_core::error::Error;
use vault_core::id::GrantId;
use vault_core::log::State;
use vault_core::ops::grants;
use vault_core::vault::Vault;

use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Take back what was given away
///
/// From then on nobody fetches it any more, with the vault or with a link. What they have fetched stays with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault revoke 3fa94c1e --vault photos")]
pub(crate) struct Revoke {
    /// Grants, by four digits of their ids or more: see `vault grants`
    #[arg(value_name = "GRANT", required = true)]
    grants: Vec<String>,
}

impl Revoke {
    /// Takes them back.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let find = |wanted: &String| find(vault.state(), wanted);
        let found: BTreeSet<_> = self.grants.iter().map(find).collect::<Result<_, _>>()?;
        let found: Vec<_> = found.into_iter().collect();
        let revoked = revoke(context, &mut vault, &found)?;
        let document = json::grants::Revoke::new(&vault.id().to_hex(), &revoked);
        context.ui.result(&document, &summary::grants::revoked(&revoked)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

/// Takes grants back; those that somebody else has just taken back are passed over.
pub(in crate::commands) fn revoke(
    context: &Context,
    vault: &mut Vault,
    ids: &[GrantId],
) -> Result<Vec<GrantId>, CliError> {
    let device = context.device()?;
    let display = Display::new(context.ui);
    let around = context.around(&display)?;
    let mut revoked = Vec::with_capacity(ids.len());
    for id in ids {
        if grants::revoke(vault, &device, id, &around)? {
            revoked.push(*id);
        }
    }
    display.finish();
    Ok(revoked)
}

/// The only grant whose id begins so.
fn find(state: &State, wanted: &str) -> Result<GrantId, CliError> {
    let digits = wanted.to_ascii_lowercase();
    let ids = state.grants().iter().map(|granted| granted.grant.id);
    let mut found = ids.filter(|id| digits.len() >= 4 && id.to_hex().starts_with(&digits));
    match (found.next(), found.count()) {
        (Some(only), 0) => Ok(only),
        (Some(_), others) => Err(ShareError::Several { wanted: wanted.to_owned(), count: others + 1 }.into()),
        (None, _) => Err(Error::NoSuchGrant { wanted: wanted.to_owned() }.into()),
    }
}
