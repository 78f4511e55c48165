//! `vault device add`: takes on a machine that asks, once it is seen to be the right one.
//!
//! The new machine is answered; when it agrees, it is put on the card, and then into the vaults. Whatever of this was done before is
//! not done again, so after an interruption the same command ends the work.

use std::time::Duration;

use vault_core::card::ListedDevice;
use vault_core::error::Error;
use vault_core::id::{RequestId, UserId};
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::DeviceKind;
use vault_core::net::{NetErrorKind, Server, ServerUrl};
use vault_core::ops::answer::Answer;
use vault_core::ops::cards::{self, Seen};
use vault_core::ops::enroll::enroll_listed;
use vault_core::wire::fingerprint::{DeviceRequestUrl, Fingerprint, user_words};
use vault_core::wire::v1::devices::{NewDevice, RequestedDevice};

use super::{MINUTES, compare, wait_for};
use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::servers::Joined;
use crate::ui::progress::Display;
use crate::ui::{eprint_line, json, summary};
use crate::{identity, report};

/// When is asked first whether the new machine agrees.
const SOON: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault device add 'https://vault.example.org:8443/device/1f3a…#Zm9v…'")]
pub(super) struct Add {
    /// The URL in quotes that the new machine shows
    #[arg(value_name = "URL")]
    request: String,

    /// Let it back up only: it gets no identity, and reads nothing
    #[arg(long)]
    append_only: bool,

    /// The six words that the new machine shows, where nobody can be asked
    #[arg(long, value_name = "WORDS")]
    yes_words: Option<String>,
}

/// A device that was taken on.
pub(crate) struct Added {
    pub(crate) server: ServerUrl,
    pub(crate) device: ListedDevice,
    /// The vaults that it may back up into.
    pub(crate) vaults: Vec<String>,
    /// Those where it could not be registered.
    pub(crate) failed: Vec<String>,
}

impl Add {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, CliError> {
        let request = DeviceRequestUrl::parse(&self.request).map_err(ServerError::from)?;
        let url: ServerUrl = request.authority.clone().into();
        let joined = context.joined_server(Some(&url.to_string()))?;
        check_pins(&joined, &request)?;
        let server = context.server(&joined)?;
        let asked = asking(&server, &request)?;
        let words = request.fingerprint.words();
        if self.yes_words.is_none() {
            eprint_line(&format!("The new machine's words: {}", words.join(" ")));
        }
        compare(
            &words,
            self.yes_words.as_deref(),
            ("Does the new machine show the same words?", "the machine that asks has other words"),
        )?;

        let sealed = identity::local(context.directories()?)?.ok_or(CliError::NoIdentity)?;
        let identity = identity::open(std::slice::from_ref(&sealed), &context.keys_alone(), &mut Ok)?;
        let answer = Answer {
            pin: joined.pin,
            receipt_key: joined.receipt_key,
            identity: (!self.append_only).then_some(sealed),
            vaults: joined.vaults.clone(),
        };
        let sealed = answer.seal(&identity, &joined.url, &asked)?;
        // An answer that is there already is ours, or the new machine agrees to be somebody else's.
        server.answer_device(&request.request, &sealed).map_err(Error::from)?;
        let device = self.agreed(&server, &request.request, (asked, &joined.user))?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let put = |listed: &mut Vec<ListedDevice>| cards::put(listed, std::slice::from_ref(&device));
        let chain = cards::change(&server, &identity, joined.card, &put, &around)?;
        context.servers()?.update(&joined.url, |joined| joined.card = Some(Seen::of(&chain)))?;
        display.finish();
        let (vaults, failed) = Self::enroll(context, &joined, (&identity, &device))?;

        let exit = if failed.is_empty() { Exit::Done } else { Exit::Incomplete };
        let added = Added { server: joined.url, device, vaults, failed };
        let document = json::devices::DeviceAdded::new(&added);
        let text = summary::devices::added(&added);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(exit)
    }

    /// The device as it is to stand on the card, once it has agreed to that.
    fn agreed(
        &self,
        server: &Server,
        request: &RequestId,
        (asked, user): (NewDevice, &UserId),
    ) -> Result<ListedDevice, CliError> {
        eprint_line(&format!(
            "Waiting for the new machine, which must show these words of yours: {}",
            user_words(user).join(" ")
        ));
        let mut ask = || match server.device_consent(request) {
            Err(error) if error.kind() == NetErrorKind::Network => Ok(None),
            answer => Ok(answer.map_err(Error::from)?),
        };
        let Some(consent) = wait_for(SOON, &mut ask)? else {
            return Err(ServerError::NotAgreed { minutes: MINUTES }.into());
        };
        let NewDevice { signing_key, recipient } = asked;
        consent.verify(&signing_key, user, &recipient).map_err(|_| {
            let what = "the new machine has agreed to be a device of somebody else".to_owned();
            ServerError::DeviceMismatch { what }
        })?;
        let kind = if self.append_only { DeviceKind::AppendOnly } else { DeviceKind::Full };
        Ok(ListedDevice { signing_key, recipient, kind, consent })
    }

    /// Registers the device in every vault on the server that the user is a member of; one that fails is told of.
    fn enroll(
        context: &Context,
        joined: &Joined,
        (identity, device): (&UserIdentity, &ListedDevice),
    ) -> Result<(Vec<String>, Vec<String>), CliError> {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        for mine in context.server(joined)?.me().map_err(Error::from)?.vaults {
            let name = joined.name_of(&mine.vault).map_or_else(|| mine.vault.short(), str::to_owned);
            let enrolled = context
                .open(&joined.location(mine.vault))
                .and_then(|mut vault| Ok(enroll_listed(&mut vault, identity, device, &around)?));
            match enrolled {
                Ok(()) => done.push(name),
                Err(error) => {
                    context.ui.warn(&format!("not registered in {name}: {}", report::in_one_line(&error)));
                    failed.push(name);
                }
            }
        }
        display.finish();
        Ok((done, failed))
    }
}

/// The machine that asks, if its keys are those that the URL stands for.
fn asking(server: &Server, request: &DeviceRequestUrl) -> Result<NewDevice, CliError> {
    let RequestedDevice { signing_key, recipient } =
        server.requested_device(&request.request).map_err(Error::from)?;
    if Fingerprint::of(&signing_key, &recipient) != request.fingerprint {
        let what = "the server shows other keys than those of the machine that asks".to_owned();
        return Err(ServerError::DeviceMismatch { what }.into());
    }
    Ok(NewDevice { signing_key, recipient })
}

/// Refuses where the new machine has seen another server than this one knows.
fn check_pins(joined: &Joined, request: &DeviceRequestUrl) -> Result<(), CliError> {
    match request.pin {
        // One that trusts the roots of the system is told the pin in the answer.
        Some(_) if request.pin != joined.pin => {
            let what = format!("the new machine has seen another key of {} than this one", joined.url);
            Err(ServerError::DeviceMismatch { what }.into())
        }
        _ => Ok(()),
    }
}
