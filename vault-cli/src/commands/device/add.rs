//! `vault device add`: takes on a machine that asks, once it is seen to be the right one.
//!
//! The card comes first, then the vaults, then the answer: a machine that gets its answer can use all it was given.

use vault_core::card::ListedDevice;
use vault_core::error::Error;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::log::DeviceKind;
use vault_core::net::ServerUrl;
use vault_core::ops::answer::Answer;
use vault_core::ops::cards::{self, Seen};
use vault_core::ops::enroll::enroll_listed;
use vault_core::wire::fingerprint::{DeviceRequestUrl, Fingerprint, user_words};

use super::compare;
use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::servers::Joined;
use crate::ui::progress::Display;
use crate::ui::{eprint_line, json, summary};
use crate::{identity, report};

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
        let device =
            self.asking(&server.requested_device(&request.request).map_err(Error::from)?, &request)?;
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
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let put = |listed: &mut Vec<ListedDevice>| cards::put(listed, std::slice::from_ref(&device));
        let chain = cards::change(&server, &identity, joined.card, &put, &around)?;
        context.servers()?.update(&joined.url, |joined| joined.card = Some(Seen::of(&chain)))?;
        let (vaults, failed) = Self::enroll(context, &joined, (&identity, &device))?;
        let answer = Answer {
            pin: joined.pin,
            receipt_key: joined.receipt_key,
            identity: (!self.append_only).then_some(sealed),
            vaults: joined.vaults.clone(),
        };
        let sealed = answer.seal(&identity, &joined.url, &device)?;
        server.answer_device(&request.request, &sealed).map_err(Error::from)?;
        display.finish();

        let exit = if failed.is_empty() { Exit::Done } else { Exit::Incomplete };
        let added = Added { server: joined.url, device, vaults, failed };
        let document = json::devices::DeviceAdded::new(&added);
        let text = summary::devices::added(&added, &user_words(&identity.user_id()));
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(exit)
    }

    /// The device that asks, if its keys are those that the URL stands for.
    fn asking(
        &self,
        asked: &vault_core::wire::v1::devices::RequestedDevice,
        request: &DeviceRequestUrl,
    ) -> Result<ListedDevice, CliError> {
        if Fingerprint::of(&asked.signing_key, &asked.recipient) != request.fingerprint {
            let what = "the server shows other keys than those of the machine that asks".to_owned();
            return Err(ServerError::DeviceMismatch { what }.into());
        }
        Ok(ListedDevice {
            signing_key: asked.signing_key,
            recipient: asked.recipient.clone(),
            kind: if self.append_only { DeviceKind::AppendOnly } else { DeviceKind::Full },
        })
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
