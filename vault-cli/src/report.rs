//! How a failure is told: what happened, why, and what to try next.
//!
//! Every error ends with a line `next:`. Text that comes from elsewhere is escaped: no file name or server can write control
//! characters to the terminal through an error.

mod next_step;

use std::error::Error as StdError;
use std::panic::PanicHookInfo;

use vault_core::error::Error;

use crate::error::CliError;
use crate::ui::human::message;
use crate::ui::{Label, eprint_line};

pub(crate) use next_step::next_step;

/// Tells a failure on stderr; `vault` is the text that names the vault.
pub(crate) fn print(error: &CliError, vault: Option<&str>, colored: bool) {
    eprint_line(&lines(error, vault, colored).join("\n"));
}

/// Tells what to do about damage that a check found.
pub(crate) fn print_damage(vault: Option<&str>) {
    let next = next_step::command("restore latest --target ./rescued", vault);
    eprint_line(&message(&format!(
        "  next: save what is whole: `{next}`; then delete damaged packs and back up again: what the source still has is stored anew"
    )));
}

/// The lines that tell a failure.
fn lines(error: &CliError, vault: Option<&str>, colored: bool) -> Vec<String> {
    let told: &(dyn StdError + 'static) = match error {
        // A store's error says by itself what happened, and to what.
        CliError::Core(Error::Store(error)) => error,
        CliError::Core(Error::Net(error)) => error,
        CliError::History { error, .. } => &**error,
        error => error,
    };
    let mut lines = vec![format!("{}: {}", Label::Error.text(colored), message(&told.to_string()))];
    lines.extend(causes(told).into_iter().map(|cause| format!("  caused by: {cause}")));
    lines.push(format!("  next: {}", message(&next_step(error, vault))));
    lines
}

/// What an error was caused by, one text for each link of the chain.
pub(crate) fn causes(error: &(dyn StdError + 'static)) -> Vec<String> {
    std::iter::successors(error.source(), |cause| (*cause).source())
        .map(|cause| message(&cause.to_string()))
        .collect()
}

/// What happened and why, in one line.
pub(crate) fn in_one_line(error: &CliError) -> String {
    let told: &(dyn StdError + 'static) = match error {
        CliError::Core(Error::Store(error)) => error,
        CliError::Core(Error::Net(error)) => error,
        CliError::History { error, .. } => &**error,
        error => error,
    };
    causes(told).into_iter().fold(message(&told.to_string()), |text, cause| text + ": " + &cause)
}

/// Makes a panic one line without backtrace, in whichever thread it happens.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| eprint_line(&panic_line(info))));
}

fn panic_line(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let place =
        info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    format!("internal error{place}: {}; please report this, with the command that led to it", message(text))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use vault_core::store::StoreError;

    #[test]
    fn an_error_is_told_with_its_causes_and_the_next_step() {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = CliError::Core(Error::Source { path: PathBuf::from("/a b"), source });

        assert_eq!(
            lines(&error, None, false),
            [
                "error: cannot back up \"/a b\"",
                "  caused by: no such file",
                "  next: '/a b' does not exist; see what is beside it: `ls -a /`"
            ]
        );
    }

    #[test]
    fn the_next_step_names_the_vault_at_hand() {
        let error = CliError::Core(Error::NoSuchSnapshot { wanted: "x".to_owned() });

        let next = lines(&error, Some("/mnt/my vault"), false).pop();

        assert_eq!(
            next.as_deref(),
            Some("  next: see what there is: `vault snapshots --vault '/mnt/my vault'`")
        );
    }

    #[test]
    fn a_vault_of_a_newer_format_asks_for_a_newer_program() {
        let newer = StoreError::NewerFormat { path: PathBuf::from("v"), found: 2, supported: 1 };
        let error = CliError::Core(newer.into());

        let next = lines(&error, None, false).pop();

        assert_eq!(next.as_deref(), Some("  next: use a newer version of this program"));
    }

    #[test]
    fn an_error_cannot_write_control_characters() {
        let error = CliError::VaultExists { location: "\x1b[2J\nerror: gone".to_owned() };

        let text = lines(&error, Some("\x07"), true).join("\n");

        assert!(!text.contains("\x1b[2J") && !text.contains('\x07'), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }
}
