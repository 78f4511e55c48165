//! `vault member remove`: new keys for everyone else. What the member has read before they may have kept, and that is said.
//!
//! What they gave away, and what they were given, holds without them being a member: it is told, and taken back on request.

use vault_core::id::{GrantId, UserId};
use vault_core::log::{Granted, State};
use vault_core::ops::membership::{self, Removed};

use crate::commands::revoke::revoke;
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault member remove anna --vault team\n  \
    vault member remove anna --revoke-grants --vault team")]
pub(super) struct Remove {
    /// A contact, or the beginning of a member's id
    #[arg(value_name = "NAME")]
    who: String,

    /// Take back, too, what they gave away from the vault, and what they were given of it
    #[arg(long)]
    revoke_grants: bool,
}

/// Somebody who is a member no more.
pub(crate) struct Expelled {
    pub(crate) who: String,
    pub(crate) removed: Removed,
    /// Grants that they gave, or were given.
    pub(crate) grants: Vec<OfThem>,
    /// Which of these were taken back.
    pub(crate) revoked: Vec<GrantId>,
}

/// A grant that somebody gave, or was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfThem {
    pub(crate) grant: GrantId,
    /// Whether they gave it.
    pub(crate) given: bool,
}

/// What somebody gave, or was given.
fn of_them(state: &State, user: &UserId) -> Vec<OfThem> {
    let of = |granted: &Granted| {
        let (given, received) =
            (granted.user == *user, granted.grant.envelope_for(user.as_bytes()).is_some());
        (given || received).then_some(OfThem { grant: granted.grant.id, given })
    };
    state.grants().iter().filter_map(of).collect()
}

impl Remove {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let user = super::find(vault.state().members(), &context.contacts()?, &self.who)?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let identity = context.own_identity(&vault)?;
        let removed = membership::remove(&mut vault, &identity, &user, &around)?;
        display.finish();
        let removed = removed.ok_or_else(|| ShareError::NoSuchMember { who: self.who.clone() })?;

        let grants = of_them(vault.state(), &user);
        let revoked = if self.revoke_grants && !grants.is_empty() {
            let ids: Vec<_> = grants.iter().map(|one| one.grant).collect();
            revoke(context, &mut vault, &ids)?
        } else {
            Vec::new()
        };
        let expelled = Expelled { who: self.who.clone(), removed, grants, revoked };
        let document = json::members::MemberRemoved::new(&vault.id().to_hex(), (&user, &expelled));
        context.ui.result(&document, &summary::members::removed(&expelled)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
