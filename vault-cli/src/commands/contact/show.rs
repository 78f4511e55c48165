//! `vault contact show`: who a contact is, by the newest card that their server shows.
//!
//! What is shown is what is pinned: a card that does not go on from it is an alarm instead.

use vault_core::id::DeviceId;
use vault_core::log::DeviceKind;

use super::words_with;
use crate::contacts::{self, Contact};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::qr::Code;
use crate::ui::{json, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault contact show alice")]
pub(super) struct Show {
    /// The contact
    #[arg(value_name = "NAME")]
    name: String,

    /// Show the words to compare as a QR code too
    #[arg(long)]
    qr: bool,
}

/// A contact, with all there is to say.
pub(crate) struct Shown {
    pub(crate) contact: Contact,
    /// The words to compare.
    pub(crate) words: Vec<&'static str>,
    /// The devices on their card, where a server shows it.
    pub(crate) devices: Vec<(DeviceId, DeviceKind)>,
    /// The words as a QR code, if it was asked for.
    pub(crate) code: Option<String>,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (contact, card) = contacts::newest(context, &self.name)?;
        let words = words_with(context, &contact)?;
        let code = self.qr.then(|| Code::new(&words.join(" ")).ok()).flatten();
        let code = code.map(|code| code.to_text(std::io::IsTerminal::is_terminal(&std::io::stdout())));
        let listed = card.iter().flat_map(|card| &card.card().devices);
        let devices = listed.map(|device| (device.id(), device.kind)).collect();
        let shown = Shown { contact, words, devices, code };
        let document = json::contacts::ContactShown::new(&shown);
        context.ui.answer(&document, &summary::contacts::shown(&shown)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
