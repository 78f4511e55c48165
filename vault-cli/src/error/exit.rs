//! How a command that fails ends: the exit code of each error.
//!
//! Every error has one, by what the user can do about it; the codes stand in `exit`.

use std::io;

use vault_core::error::ErrorKind;
use vault_core::keys::age_file::SealError;
use vault_core::keys::key_file::KeyFileError;

use super::CliError;
use crate::exit::Exit;
use crate::schedule::ScheduleError;
use crate::unattended::hooks::HookOutcome;

impl CliError {
    /// How a command that fails so ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Core(error) => error.kind().into(),
            Self::History { error, .. } => error.kind().into(),
            Self::OtherVault { .. } | Self::KitOfOtherVault { .. } => Exit::Integrity,
            Self::Server(error) => error.exit(),
            Self::NoVaultYet(_) => Exit::NotFound,
            Self::Contact(error) => error.exit(),
            Self::Share(error) => error.exit(),
            Self::JsonNeedsOutput
            | Self::OneSnapshot
            | Self::ArchiveToTerminal
            | Self::NoLocation
            | Self::PlaceWithoutOption { .. }
            | Self::TwoVaults { .. }
            | Self::Config(_)
            | Self::Location(_)
            | Self::NotADate { .. }
            | Self::NothingKept
            | Self::NotConfirmed { .. }
            | Self::OptionsDisagree { .. }
            | Self::DeletesTooMuch { .. }
            | Self::NotText { .. }
            | Self::ReadFile { .. }
            | Self::StartCommand { .. }
            | Self::Recipient { .. }
            | Self::NoRecipients { .. }
            | Self::Seal(SealError::MixedRecipients | SealError::WorkFactor { .. })
            | Self::NotPostQuantum { .. } => Exit::Usage,
            Self::Schedule(error) => match error {
                ScheduleError::NoCalendar { .. }
                | ScheduleError::NotForCron { .. }
                | ScheduleError::NotText { .. } => Exit::Usage,
                ScheduleError::Foreign { .. } => Exit::Conflict,
                ScheduleError::File { source, .. } => of_io(source),
                ScheduleError::NotRun { .. } | ScheduleError::Failed { .. } => Exit::Failed,
            },
            Self::VaultExists { .. } | Self::IdentityExists { .. } | Self::FileExists { .. } => {
                Exit::Conflict
            }
            Self::KeyFile(KeyFileError::Read { source, .. } | KeyFileError::Write { source, .. }) => {
                match of_io(source) {
                    // Whatever became of the file, it is a key that is lacking.
                    Exit::Failed | Exit::NotFound => Exit::Keys,
                    exit => exit,
                }
            }
            Self::Interrupted | Self::Declined | Self::Hook { outcome: HookOutcome::Interrupted, .. } => {
                Exit::Interrupted
            }
            Self::Mount(error) => error.exit(),
            Self::Terminal(_)
            | Self::KeyFile(_)
            | Self::DeviceKey { .. }
            | Self::Identity { .. }
            | Self::Unlock(_)
            | Self::IdentityContents(_)
            | Self::Kit { .. }
            | Self::NoIdentity
            | Self::NoPassphrase
            | Self::EmptyPassphrase
            | Self::PassphrasesDiffer
            | Self::PassphraseNotText
            | Self::PassphraseCommand { .. }
            | Self::PassphraseCommandFailed { .. } => Exit::Keys,
            Self::OwnDirectory { source, .. }
            | Self::Scratch { source }
            | Self::WriteFile { source, .. }
            | Self::Output(source) => of_io(source),
            Self::Seal(_)
            | Self::NoHome(_)
            | Self::Signals(_)
            | Self::Hook { .. }
            | Self::KitTooLong
            | Self::Agent { .. }
            | Self::Program { .. } => Exit::Failed,
        }
    }
}

fn of_io(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full.into(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Permission.into(),
        io::ErrorKind::NotFound => ErrorKind::NotFound.into(),
        _ => Exit::Failed,
    }
}
