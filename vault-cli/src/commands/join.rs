//! `vault join`: makes this machine's user known to a server, by an invite.
//!
//! The identity is on this machine before the invite is used up, and the server is remembered only once it has proven that it knows
//! the invite too.

use std::io::Read as _;

use vault_core::error::Error;
use vault_core::keys::age_file::MAX_WORK_FACTOR;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::net::{NetError, NetErrorKind, ServerUrl, Trust};
use vault_core::ops::cards;
use vault_core::wire::UserName;
use vault_core::wire::invite::InviteUrl;
use vault_core::wire::v1::me::Me;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::identity;
use crate::servers::Joined;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::values;

/// Join a server with an invite
///
/// The invite is a URL that the server printed; it is used up. Your identity is made if this machine has none, and sealed with a
/// new passphrase. From then on this machine can make vaults on the server: see `vault backup --init --vault NAME`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault join 'https://vault.example.org:8443/join/1f3a…#Zm9v…'")]
pub(crate) struct Join {
    /// The invite in quotes, or `-` to read it from standard input
    #[arg(value_name = "URL")]
    invite: String,

    /// Name by which others on the server find you [default: what the invite says]
    #[arg(long, value_name = "NAME", value_parser = values::user_name)]
    name: Option<UserName>,

    /// Join anew, though this machine has joined the server before
    #[arg(long)]
    again: bool,

    /// Work that a passphrase costs, as power of two, for tests
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_WORK_FACTOR)))]
    work_factor: Option<u8>,
}

impl Join {
    /// Joins and says who one is there.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let invite = InviteUrl::parse(&self.text()?).map_err(ServerError::from)?;
        let url: ServerUrl = invite.authority.clone().into();
        let servers = context.servers()?;
        if servers.get(&url)?.is_some() && !self.again {
            return Err(ServerError::JoinedAlready { server: url }.into());
        }
        let trust = invite.pin.map_or(Trust::System, Trust::Pin);
        let stranger = context.stranger(&url, trust)?;
        // Before anybody types a passphrase: whether it is the right server, and whether the two understand each other.
        stranger.info().map_err(|error| of_first_contact(&url, error))?;
        let identity = self.identity(context)?;
        let device = context.device()?;
        let recovering = context.stranger(&url, trust)?.asked_by(identity.recovery_key());
        let display = Display::new(context.ui);
        let joined = cards::join(
            (&stranger, &recovering),
            (&invite, self.name.as_ref()),
            (&identity, &device),
            &context.around(&display)?,
        )
        .map_err(|error| match error {
            Error::Net(error) => of_first_contact(&url, error),
            error => error.into(),
        })?;
        display.finish();
        let known = Joined {
            url,
            pin: invite.pin,
            receipt_key: joined.receipt_key,
            user: joined.user,
            name: None,
            since: context.now().seconds,
            card: Some(joined.card),
            audited: Some(context.now().seconds),
            vaults: std::collections::BTreeMap::new(),
        };
        servers.join(&known)?;
        let me = context.server(&known)?.me().map_err(Error::from)?;
        servers.update(&known.url, |known| known.name.clone_from(&me.name))?;
        self.compare_name(context, &me);
        let document = json::servers::Join::new(&known, &device.device_id(), &me, joined.known);
        let text = summary::servers::join(&known, &device.device_id(), &me);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    /// Says where one has another name than one wants.
    fn compare_name(&self, context: &Context, me: &Me) {
        if let (Some(wanted), Some(has)) = (&self.name, &me.name)
            && wanted != has
        {
            context.ui.warn(&format!(
                "you are called {has} there already, not {wanted}: only the operator can change it"
            ));
        }
    }

    fn text(&self) -> Result<Zeroizing<String>, CliError> {
        if self.invite != "-" {
            return Ok(Zeroizing::new(self.invite.clone()));
        }
        let mut text = Zeroizing::new(String::with_capacity(4096));
        let read = std::io::stdin().take(4096).read_to_string(&mut text);
        read.map_err(|source| CliError::ReadFile { path: "-".into(), source })?;
        Ok(text)
    }

    /// The user of this machine, or a new one.
    fn identity(&self, context: &Context) -> Result<UserIdentity, CliError> {
        let directories = context.directories()?;
        if let Some(sealed) = identity::local(directories)? {
            return identity::open(std::slice::from_ref(&sealed), &context.keys_alone(), &mut Ok);
        }
        let passphrase = context.keys_alone().new_passphrase()?;
        let identity = UserIdentity::generate(context.random())?;
        identity::keep(directories, &identity.seal_with_passphrase(&passphrase, self.work_factor)?)?;
        context.ui.warn(
            "without the passphrase nothing that you back up can be restored, and nobody can reset it: keep a copy in another place",
        );
        Ok(identity)
    }
}

/// Says that the server of an invite is another one, where that is what went wrong.
fn of_first_contact(url: &ServerUrl, error: NetError) -> CliError {
    match error.kind() {
        NetErrorKind::Integrity => ServerError::Impostor { server: url.clone(), source: error }.into(),
        _ => Error::from(error).into(),
    }
}
