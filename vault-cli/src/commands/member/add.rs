//! `vault member add`: makes a contact a member, or changes what one may do.
//!
//! Keys are those of the contact: what this machine has pinned. That they were never compared is said, and does not hinder.

use vault_core::log::Role;
use vault_core::ops::membership::{self, Added, History, Newcomer};

use crate::contacts::{self, ContactKeys};
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

use super::RoleName;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault member add anna --role editor --vault team\n  \
    vault member add anna --role reader --history full --vault team")]
pub(super) struct Add {
    /// A contact: see `vault contact list`
    #[arg(value_name = "NAME")]
    name: String,

    /// What they may do
    #[arg(long, value_enum)]
    role: RoleName,

    /// What they may read: what is backed up from now on, or all of it
    #[arg(long, value_enum, default_value = "from-now")]
    history: HistoryName,
}

/// What somebody may read, as it is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HistoryName {
    /// What is backed up from now on; what is there is stored once more by the next backups
    FromNow,
    /// Every snapshot there is
    Full,
}

/// Somebody who is a member now.
pub(crate) struct Admitted {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Whether the contact's words were ever compared.
    pub(crate) verified: bool,
    /// What was changed; `None` if all was so.
    pub(crate) added: Option<Added>,
}

impl Add {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        let contact = contacts::newest(context, &self.name)?.0;
        let ContactKeys::User { pinned, .. } = &contact.keys else {
            return Err(ShareError::NoUser { name: self.name.clone() }.into());
        };
        let newcomer = Newcomer {
            root_key: pinned.root_key,
            recipient: pinned.recipient.clone(),
            role: self.role.into(),
            history: if self.history == HistoryName::Full { History::Full } else { History::FromNow },
        };
        let mut vault = context.open(&context.location()?)?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let identity = context.own_identity(&vault)?;
        let added = membership::add(&mut vault, &identity, &newcomer, &around)?;
        display.finish();

        let admitted = Admitted {
            name: contact.name.to_string(),
            role: newcomer.role,
            verified: contact.verified.is_some(),
            added,
        };
        let document = json::members::MemberAdded::new(&vault.id().to_hex(), &admitted);
        context.ui.result(&document, &summary::members::added(&admitted)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
