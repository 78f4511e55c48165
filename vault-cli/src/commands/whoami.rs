//! `vault whoami`: who the user of this machine is, to servers and to other people.
//!
//! Asks for a passphrase only where no server that was joined remembers the user.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use vault_core::card::{CardTextError, WholeCard};
use vault_core::error::Error;
use vault_core::id::{DeviceId, UserId};
use vault_core::keys::identity_file::UserIdentity;
use vault_core::keys::key_file::{read_private, write_private};
use vault_core::ops::cards::Seen;
use vault_core::ops::contacts;
use vault_core::wire::v1::me::Me;

use crate::context::Context;
use crate::error::{CliError, ContactError};
use crate::exit::Exit;
use crate::servers::Joined;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::{context, identity, report};

/// Show who you are: identity, this device, and the servers
///
/// The six words are a fingerprint of your identity. Whoever wants to be sure to share with you, and not with somebody else,
/// compares them with you over the telephone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  vault whoami\n  vault whoami --card me.card")]
pub(crate) struct Whoami {
    /// Print your contact card, or write it to FILE: what others take with `vault contact add --card`
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    card: Option<PathBuf>,
}

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
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        if let Some(file) = self.card {
            return write_card(context, Some(&*file).filter(|file| *file != Path::new("-")));
        }
        let joined = context.servers()?.all()?;
        let user = own_user(context)?;
        let device = context.known_device()?.map(|device| device.device_id());
        let mut exit = Exit::Done;
        let mut accounts = Vec::new();
        for joined in joined {
            context.audit_oneself(&joined)?;
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

/// Who the user of this machine is: as a server that was joined knows them, else by their identity.
pub(super) fn own_user(context: &Context) -> Result<UserId, CliError> {
    match known_user(context)? {
        Some(user) => Ok(user),
        None => with_identity(context, &mut |identity| Ok(identity.user_id())),
    }
}

/// Who the user of this machine is, as far as that is known without a passphrase.
pub(super) fn known_user(context: &Context) -> Result<Option<UserId>, CliError> {
    if let Some(joined) = context.servers()?.all()?.first() {
        return Ok(Some(joined.user));
    }
    Ok(kept_card(context)?.map(|(card, _)| card.user()))
}

fn with_identity<T>(
    context: &Context,
    use_it: &mut dyn FnMut(UserIdentity) -> Result<T, Error>,
) -> Result<T, CliError> {
    let sealed: Vec<Vec<u8>> = identity::local(context.directories()?)?.into_iter().collect();
    identity::open(&sealed, &context.keys_alone(), use_it)
}

/// Writes one's own card.
fn write_card(context: &Context, file: Option<&Path>) -> Result<Exit, CliError> {
    let (card, text) = own_card(context)?;
    let Some(path) = file else {
        let document = json::contacts::OwnCard::new(&card, Some(&text));
        context.ui.answer(&document, &text).map_err(CliError::Output)?;
        return Ok(Exit::Done);
    };
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => CliError::FileExists { path: path.to_owned() },
        _ => CliError::WriteFile { path: path.to_owned(), source },
    })?;
    let document = json::contacts::OwnCard::new(&card, None);
    context.ui.result(&document, &summary::contacts::own_card(&card, path)).map_err(CliError::Output)?;
    Ok(Exit::Done)
}

/// One's own card: that of the first server that was joined; else the one that this machine made once, so that it is always the same.
fn own_card(context: &Context) -> Result<(WholeCard, String), CliError> {
    if let Some(joined) = context.servers()?.all()?.first() {
        let server = context.server(joined)?;
        let card = context::own_card(&server, joined)?;
        context.servers()?.update(&joined.url, |joined| joined.card = Some(Seen::of(card.chain())))?;
        let text = card.to_text().map_err(|source| of_own("-", source))?;
        return Ok((card, text));
    }
    if let Some(kept) = kept_card(context)? {
        return Ok(kept);
    }
    let device = context.device()?;
    let display = Display::new(context.ui);
    let around = context.around(&display)?;
    let card = with_identity(context, &mut |identity| contacts::own_card(&identity, &device, &around))?;
    display.finish();
    let path = context.directories()?.own_card();
    let text = card.to_text().map_err(|source| of_own(&path, source))?;
    path.parent()
        .map_or(Ok(()), identity::make_directory)
        .map_err(|source| CliError::WriteFile { path: path.clone(), source })?;
    write_private(&path, text.as_bytes())?;
    Ok((card, text))
}

/// The card that this machine made, if it has made one.
fn kept_card(context: &Context) -> Result<Option<(WholeCard, String)>, CliError> {
    let path = context.directories()?.own_card();
    if !path.exists() {
        return Ok(None);
    }
    let text = read_private(&path)?;
    let card = WholeCard::parse(&text).map_err(|source| of_own(&path, source))?;
    Ok(Some((card, String::from_utf8_lossy(&text).into_owned())))
}

fn of_own(path: impl Into<PathBuf>, source: CardTextError) -> CliError {
    ContactError::CardText { path: path.into(), source }.into()
}
