//! `vault contact verify`: two people see the same words, and say so.
//!
//! The words depend on both users: whoever stands between them has other keys, and so both would see other words.

use vault_core::wire::UserName;

use super::words_with;
use crate::contacts::{self, Contact};
use crate::context::Context;
use crate::error::{CliError, ContactError, ServerError};
use crate::exit::Exit;
use crate::ui::qr::Code;
use crate::ui::{eprint_line, json, prompt, summary};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  vault contact verify alice")]
pub(super) struct Verify {
    /// The contact
    #[arg(value_name = "NAME")]
    name: String,

    /// The words that they see, or their own six, where nobody can be asked
    #[arg(long, value_name = "WORDS")]
    yes_words: Option<String>,

    /// Show the words as a QR code too
    #[arg(long)]
    qr: bool,
}

/// A contact that words were compared with.
pub(crate) struct Verified {
    pub(crate) name: UserName,
    pub(crate) words: Vec<&'static str>,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (contact, _) = contacts::newest(context, &self.name)?;
        let words = words_with(context, &contact)?;
        if self.qr || self.yes_words.is_none() {
            eprint_line(&self.shown(context, &contact, &words));
        }
        self.compare(&contact, &words)?;
        let now = context.now().seconds;
        let user = contact.user();
        context.contacts()?.update(&contact.name, |known| {
            // What was compared, and nothing that came in between.
            if known.user() == user && known.words() == contact.words() {
                known.verified = Some(now);
            }
        })?;
        let verified = Verified { name: contact.name, words };
        let document = json::contacts::ContactVerified::new(&verified);
        context.ui.result(&document, &summary::contacts::verified(&verified)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    fn shown(&self, context: &Context, contact: &Contact, words: &[&str]) -> String {
        let whose = match contact.user() {
            Some(_) => format!("{} sees the same with `vault contact verify`:", contact.name),
            None => format!("The key of {} has these words:", contact.name),
        };
        let mut text = format!("{whose}\n\n{}", summary::contacts::in_rows(words));
        if self.qr
            && let Ok(code) = Code::new(&words.join(" "))
        {
            text += "\n";
            text += &code.to_text(context.ui.stderr.terminal);
        }
        text
    }

    fn compare(&self, contact: &Contact, words: &[&str]) -> Result<(), CliError> {
        let is_same = match &self.yes_words {
            Some(given) => {
                let given: Vec<String> = given.split_whitespace().map(str::to_ascii_lowercase).collect();
                given == words || given == contact.words()
            }
            None if prompt::possible() => {
                let question = format!("Does {} see the same words?", contact.name);
                prompt::confirm(&question).map_err(CliError::Terminal)?
            }
            None => return Err(ServerError::WordsNotCompared.into()),
        };
        if is_same {
            return Ok(());
        }
        Err(ContactError::OtherWords { name: contact.name.clone(), expected: words.join(" ") }.into())
    }
}
