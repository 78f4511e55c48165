//! `vault device request`: a new machine asks to be taken on, waits for the answer, and agrees.
//!
//! The new machine knows nothing yet, not even whether it talks to the right server: the URL carries what it saw, and the machine that
//! answers compares. Only when its user is seen to be the same on both machines, the new one agrees to be put on that user's card.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use vault_core::card::Consent;
use vault_core::error::Error;
use vault_core::id::{RequestId, UserId};
use vault_core::keys::device::DeviceKeys;
use vault_core::log::DeviceKind;
use vault_core::net::{NetError, NetErrorKind, Server, ServerUrl, Trust};
use vault_core::ops::answer::Answer;
use vault_core::ops::cards::{self, Seen};
use vault_core::wire::authority::Pin;
use vault_core::wire::fingerprint::{DeviceRequestUrl, Fingerprint, user_words};

use super::{MINUTES, compare, wait_for};
use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::identity;
use crate::servers::Joined;
use crate::ui::qr::Code;
use crate::ui::{eprint_line, json, stdout, summary};

/// When is asked first whether there is an answer.
const SOON: Duration = Duration::from_secs(1);
/// When is looked first whether the device is on the card: in between the server does not know who asks.
const LATER: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault device request https://vault.example.org:8443")]
pub(super) struct Request {
    /// The server
    #[arg(value_name = "URL")]
    server: String,

    /// Your six words, where nobody can be asked: `vault whoami` on the other machine shows them
    #[arg(long, value_name = "WORDS")]
    yes_words: Option<String>,
}

impl Request {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        let url = ServerUrl::parse(&self.server).map_err(ServerError::from)?;
        if context.servers()?.get(&url)?.is_some() {
            return Err(ServerError::JoinedAlready { server: url }.into());
        }
        let device = context.device()?;
        let pin = first_contact(context, &url)?;
        let trust = pin.map_or(Trust::System, Trust::Pin);
        let stranger = context.stranger(&url, trust)?;
        stranger.info().map_err(Error::from)?;

        let new = cards::asking(&device);
        let fingerprint = Fingerprint::of(&new.signing_key, &new.recipient);
        let request = stranger.request_device(&new).map_err(Error::from)?.request;
        let authority = url.authority().clone();
        show(context, &DeviceRequestUrl { authority, request, fingerprint, pin })?;
        let asking = context.signed_by_device(stranger)?;
        let sealed = wait_for_answer(&asking, &request)?;
        let (answer, user) = Answer::open(&sealed, &device, &url)?;
        if pin.is_some() && answer.pin != pin {
            let what = "the machine that answers knows another key of the server".to_owned();
            return Err(ServerError::DeviceMismatch { what }.into());
        }
        self.compare_user(&user)?;
        let consent = Consent::sign(device.signing(), &user, &new.recipient);
        asking.consent(&request, &consent).map_err(Error::from)?;
        let joined = Joined {
            url,
            pin: answer.pin,
            receipt_key: answer.receipt_key,
            user,
            name: None,
            since: context.now().seconds,
            card: None,
            audited: None,
            vaults: answer.vaults.clone(),
        };
        settle(context, joined, (&answer, &device))
    }

    /// Makes sure that whoever answers is the user of this machine.
    fn compare_user(&self, user: &UserId) -> Result<(), CliError> {
        let words = user_words(user);
        if self.yes_words.is_none() {
            eprint_line(&format!("The other machine answers. Your words: {}", words.join(" ")));
        }
        compare(
            &words,
            self.yes_words.as_deref(),
            ("Does the other machine show the same words for you?", "the user who answers has other words"),
        )
    }
}

/// The key that the server shows, unless the roots of the system vouch for it.
fn first_contact(context: &Context, url: &ServerUrl) -> Result<Option<Pin>, CliError> {
    match context.stranger(url, Trust::System)?.info() {
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == NetErrorKind::Integrity => {}
        Err(error) => return Err(Error::from(error).into()),
    }
    // No server has this key: the one that it has is told in the error.
    match context.stranger(url, Trust::Pin(Pin([0; 32])))?.info() {
        Err(NetError::WrongPin { found, .. }) => Ok(Some(found)),
        Err(error) => Err(Error::from(error).into()),
        Ok(_) => Ok(None),
    }
}

/// Shows the URL and the words: on stdout where a person reads the result, else on stderr.
fn show(context: &Context, url: &DeviceRequestUrl) -> Result<(), CliError> {
    let terminal = std::io::stdout().is_terminal();
    let text = url.to_string();
    // A URL of this length always fits into a code.
    let code = Code::new(&text).map(|code| code.to_text(terminal)).unwrap_or_default();
    let shown = format!(
        "On a machine of yours that has your identity:\n\n  vault device add '{text}'\n\n{code}\n\
         It must show these words: {}\n\nWaiting for the answer, for {MINUTES} minutes at most.\n",
        url.fingerprint.words().join(" ")
    );
    if context.ui.json {
        eprint_line(shown.trim_end());
        return Ok(());
    }
    let mut out = stdout();
    out.write_all(shown.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Waits until there is an answer.
fn wait_for_answer(server: &Server, request: &RequestId) -> Result<Vec<u8>, CliError> {
    let mut ask = || match server.device_answer(request) {
        Ok(answer) => Ok(answer),
        // Perhaps it is back by the next time.
        Err(error) if error.kind() == NetErrorKind::Network => Ok(None),
        // A request that has expired is unknown, and so is who asks.
        Err(error) if error.kind() == NetErrorKind::Unauthorized => Err(not_approved()),
        Err(error) => Err(Error::from(error).into()),
    };
    wait_for(SOON, &mut ask)?.ok_or_else(not_approved)
}

fn not_approved() -> CliError {
    ServerError::NotApproved { minutes: MINUTES }.into()
}

/// Waits until this device is on the card: how far that goes, and what it may do.
fn wait_for_card(
    context: &Context,
    joined: &Joined,
    device: &DeviceKeys,
) -> Result<(Seen, DeviceKind), CliError> {
    let server = context.server(joined)?;
    let mut waited = false;
    let mut look = || {
        // At once it cannot be there, and every question that is signed by nobody is one that the server takes note of.
        if !std::mem::replace(&mut waited, true) {
            return Ok(None);
        }
        match cards::read(&server, &joined.user, None) {
            Ok(chain) => Ok(Some(chain)),
            Err(Error::Net(error))
                if matches!(error.kind(), NetErrorKind::Unauthorized | NetErrorKind::Network) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    };
    let chain = wait_for(LATER, &mut look)?.ok_or_else(not_approved)?;
    let Some(listed) = chain.card().device(&device.device_id()) else {
        let what = "the card that the server shows does not have this device".to_owned();
        return Err(ServerError::DeviceMismatch { what }.into());
    };
    Ok((Seen::of(&chain), listed.kind))
}

/// Puts into place what the answer brings, once this device is seen on the card.
fn settle(
    context: &Context,
    mut joined: Joined,
    (answer, device): (&Answer, &DeviceKeys),
) -> Result<Exit, CliError> {
    let (seen, kind) = wait_for_card(context, &joined, device)?;
    joined.card = Some(seen);
    let directories = context.directories()?;
    match (&answer.identity, identity::local(directories)?) {
        (Some(sealed), None) => drop(identity::keep(directories, sealed)?),
        (Some(_), Some(_)) => context.ui.note("this machine has an identity already: it is left as it is"),
        (None, _) => {}
    }
    context.servers()?.join(&joined)?;
    let document = json::devices::DeviceRequested::new(&joined, &device.device_id(), kind);
    let text = summary::devices::requested(&joined, &device.device_id(), kind);
    context.ui.result(&document, &text).map_err(CliError::Output)?;
    Ok(Exit::Done)
}
