//! What to try next where it is not certain who somebody is.
//!
//! After an alarm the advice is to ask the person, by another way than the server; never to go on.

use crate::error::ContactError;
use crate::ui::human::shell_word;

pub(super) fn next_step(error: &ContactError) -> String {
    match error {
        ContactError::Unknown { .. } => {
            "see whom you have: `vault contact list`; or add them: `vault contact add NAME`".to_owned()
        }
        ContactError::Nobody { .. } => {
            "ask them for their name there, which `vault whoami` shows; or for a card: `vault whoami --card FILE`"
                .to_owned()
        }
        ContactError::Yourself { .. } => "see who you are: `vault whoami`".to_owned(),
        ContactError::KnownAs { known } => format!("use that name, or remove it first: `vault contact remove {known}`"),
        ContactError::OtherKeys { name, .. }
        | ContactError::OtherWords { name, .. }
        | ContactError::OtherUser { name, .. }
        | ContactError::CardFileChanged { name, .. } => ask(name.as_str()),
        ContactError::Card { name, .. } => ask(name),
        ContactError::ForeignName { .. } => {
            "do not go on: others who look you up find somebody else; tell them by another way than the server, and \
             compare `vault whoami` with what their `vault contact show` says"
                .to_owned()
        }
        ContactError::OwnCard { .. } => super::server::CARD.to_owned(),
        ContactError::CardText { .. } => "ask for the whole file that `vault whoami --card FILE` writes".to_owned(),
        ContactError::File { path } => format!(
            "move it away and add the contact again: `mv {0} {0}.old`",
            shell_word(&path.to_string_lossy())
        ),
    }
}

/// The advice of every alarm about a contact.
fn ask(name: &str) -> String {
    format!(
        "share nothing with {name} now: somebody may stand between you; ask them, by another way than the server, for \
         the words of `vault whoami`. Only if they say that they began anew: `vault contact remove {name}`, and add them again"
    )
}
