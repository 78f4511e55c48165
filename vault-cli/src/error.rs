//! What can go wrong at the edge: the command line, this machine's files, passphrases; and what the library says.
//!
//! Like the library's errors these are facts without advice; what to try next stands in `report`.

mod contact;
mod exit;
mod server;
mod share;

use std::io;
use std::path::PathBuf;

use vault_core::crypto::random::RandomUnavailable;
use vault_core::error::Error;
use vault_core::keys::KeyTextError;
use vault_core::keys::age_file::{OpenError, SealError};
use vault_core::keys::identity::IdentityError;
use vault_core::keys::identity_file::IdentityFileError;
use vault_core::keys::key_file::KeyFileError;
use vault_core::keys::kit::KitError;
use vault_core::keys::recipient::RecipientError;
use vault_core::store::StoreError;
use vault_core::store::location::ParseLocationError;

pub(crate) use self::contact::ContactError;
pub(crate) use self::server::ServerError;
pub(crate) use self::share::ShareError;

use crate::commands::mount::MountError;
use crate::config::file::ConfigError;
use crate::paths::NoHome;
use crate::schedule::ScheduleError;
use crate::spec::ResolveError;
use crate::unattended::hooks::HookOutcome;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The library failed.
    #[error(transparent)]
    Core(#[from] Error),
    /// The log of the vault does not verify, or is not the one that this machine remembers.
    #[error("{error}")]
    History {
        /// What is wrong.
        error: Box<Error>,
        /// Where this machine keeps what it remembers.
        remembered: PathBuf,
    },
    /// Another vault stands where one was before.
    #[error("{location} holds vault {found}, but vault {expected} stood there before")]
    OtherVault {
        /// Where.
        location: String,
        /// The vault that is remembered.
        expected: String,
        /// The vault that is there now.
        found: String,
        /// The file that remembers it.
        places: PathBuf,
    },
    /// Something about a server.
    #[error(transparent)]
    Server(Box<ServerError>),
    /// Something about a contact.
    #[error(transparent)]
    Contact(Box<ContactError>),
    /// See [`ShareError`].
    #[error(transparent)]
    Share(Box<ShareError>),
    /// No vault is named.
    #[error("no vault is given")]
    NoLocation,
    /// A place stands where only options are taken.
    #[error("the place of a new vault is named with --vault")]
    PlaceWithoutOption {
        /// What stands there.
        place: String,
    },
    /// There is no vault at a place where one could be made.
    #[error(transparent)]
    NoVaultYet(StoreError),
    /// `--vault` and the argument name different vaults.
    #[error("two vaults are named: {option} and {named}")]
    TwoVaults {
        /// What `--vault` says.
        option: String,
        /// What stands before the snapshot.
        named: String,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A command of a profile could not be run, or failed.
    #[error("the command {name} of profile {profile} {outcome}")]
    Hook {
        /// Which: `before`, `after` and so on.
        name: &'static str,
        /// The profile.
        profile: String,
        /// How it ended.
        outcome: HookOutcome,
    },
    /// The text after `--vault` is no location.
    #[error(transparent)]
    Location(#[from] ParseLocationError),
    /// A new vault was to be made where one is.
    #[error("there is a vault at {location} already")]
    VaultExists {
        /// Where.
        location: String,
    },
    /// The text is no date.
    #[error("{text:?} is not a date: expected one like 2026-11-22 or 2026-11-22T10:00")]
    NotADate {
        /// The text.
        text: String,
    },
    /// Rules that keep nothing.
    #[error("these rules keep no snapshot at all")]
    NothingKept,
    /// There is no home directory to keep keys in.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// A file that an option names cannot be read.
    #[error("cannot read {path:?}")]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A command whose output was to be backed up cannot be started.
    #[error("cannot start {program:?}")]
    StartCommand {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file that an option names is not text.
    #[error("{path:?} is not text in UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A directory of this machine's own cannot be used.
    #[error("cannot make directory {path:?}")]
    OwnDirectory {
        /// The directory.
        path: PathBuf,
        /// The variable that moves it elsewhere.
        variable: Option<&'static str>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A key file of this machine's own cannot be read or written.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The key file of this device holds something else.
    #[error("cannot use the device key {path:?}")]
    DeviceKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: KeyTextError,
    },
    /// A file that should hold an identity to open with does not.
    #[error("cannot use {path:?} as identity")]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: IdentityError,
    },
    /// The user's identity does not open.
    #[error("your identity could not be opened")]
    Unlock(#[source] OpenError),
    /// The user's identity opens, but is not one.
    #[error("your identity cannot be used")]
    IdentityContents(#[source] IdentityFileError),
    /// The user's identity could not be sealed.
    #[error("your identity could not be sealed")]
    Seal(#[from] SealError),
    /// A recipient is not one.
    #[error("{text:?} is not a recipient that can be used")]
    Recipient {
        /// The text.
        text: String,
        /// Why not.
        #[source]
        source: RecipientError,
    },
    /// A file with recipients has none.
    #[error("there are no recipients in {path:?}")]
    NoRecipients {
        /// The file.
        path: PathBuf,
    },
    /// The policy asks for more than a recipient gives.
    #[error("recipient {recipient} is not post-quantum, but --pq required asks for that")]
    NotPostQuantum {
        /// The recipient.
        recipient: String,
    },
    /// Recipients for a new identity, where there is one.
    #[error("this machine has an identity already: {path:?}")]
    IdentityExists {
        /// The identity.
        path: PathBuf,
    },
    /// A text is no recovery kit, or not a whole one.
    #[error("{name} cannot be used as recovery kit")]
    Kit {
        /// The file.
        name: String,
        /// Why not.
        #[source]
        source: KitError,
    },
    /// Another vault stands at the place of a kit.
    #[error("the recovery kit belongs to vault {expected}, but there is vault {found}")]
    KitOfOtherVault {
        /// The vault of the kit.
        expected: String,
        /// The vault that is there.
        found: String,
    },
    /// An identity does not fit into QR codes.
    #[error("the identity is too long for a recovery kit")]
    KitTooLong,
    /// There is no room for a temporary directory.
    #[error("cannot make a temporary directory")]
    Scratch {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A schedule could not be made, shown or removed.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// This program's own file is not known.
    #[error("cannot find out where this program is")]
    Program {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The agent cannot be started or asked.
    #[error("the passphrase cannot be kept for a while")]
    Agent {
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no identity, neither on this machine nor in the vault.
    #[error("there is no identity, neither on this machine nor in the vault")]
    NoIdentity,
    /// A passphrase is needed, and there is nobody to ask.
    #[error("a passphrase is needed, and there is no terminal to ask for it")]
    NoPassphrase,
    /// A new passphrase is empty.
    #[error("the new passphrase is empty")]
    EmptyPassphrase,
    /// A new passphrase was typed in two ways.
    #[error("the two passphrases are not the same")]
    PassphrasesDiffer,
    /// The passphrase in the environment is not text.
    #[error("the passphrase in VAULT_PASSPHRASE is not text in UTF-8")]
    PassphraseNotText,
    /// The command that should give the passphrase could not be run.
    #[error("cannot run the passphrase command {command:?}")]
    PassphraseCommand {
        /// The command.
        command: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The command that should give the passphrase failed.
    #[error("the passphrase command {command:?} ended with {status}")]
    PassphraseCommandFailed {
        /// The command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// Something is not done without a yes, and there is nobody to ask.
    #[error("{what} needs a confirmation, and there is no terminal to ask for it")]
    NotConfirmed {
        /// What is to be done.
        what: String,
    },
    /// Two options that exclude each other.
    #[error("{one} cannot be used with {other}")]
    OptionsDisagree {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// The user said no.
    #[error("nothing was done")]
    Declined,
    /// Files would be deleted where nobody means it.
    #[error(
        "--delete in {path:?} would delete what is not in the snapshot from your whole home directory, or more"
    )]
    DeletesTooMuch {
        /// Where.
        path: PathBuf,
    },
    /// Stopped while a question was asked.
    #[error("interrupted")]
    Interrupted,
    /// The terminal failed.
    #[error("cannot ask on the terminal")]
    Terminal(#[source] io::Error),
    /// The vault cannot be shown as a file system.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Signals cannot be caught.
    #[error("cannot listen for Ctrl-C")]
    Signals(#[source] io::Error),
    /// A document was asked for where the contents of a file go.
    #[error("--json needs --output: standard output has the contents")]
    JsonNeedsOutput,
    /// Several snapshots were named where one is looked at.
    #[error("--by-path looks at one snapshot")]
    OneSnapshot,
    /// An archive would go to a terminal.
    #[error("a tar archive is not written to a terminal")]
    ArchiveToTerminal,
    /// A file to be written exists.
    #[error("{path:?} exists already")]
    FileExists {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {path:?}")]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The result cannot be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl CliError {
    /// A failure of the agent.
    pub(crate) fn from_agent(source: io::Error) -> Self {
        Self::Agent { source }
    }

    /// Whether whoever read the result went away, which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<ResolveError> for CliError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Find(error) => Self::Core(error),
            ResolveError::NotADate { text } => Self::NotADate { text },
        }
    }
}

impl From<IdentityFileError> for CliError {
    fn from(error: IdentityFileError) -> Self {
        match error {
            IdentityFileError::Open(error) => Self::Unlock(error),
            error => Self::IdentityContents(error),
        }
    }
}

impl From<ShareError> for CliError {
    fn from(error: ShareError) -> Self {
        Self::Share(Box::new(error))
    }
}

impl From<ServerError> for CliError {
    fn from(error: ServerError) -> Self {
        Self::Server(Box::new(error))
    }
}

impl From<ContactError> for CliError {
    fn from(error: ContactError) -> Self {
        Self::Contact(Box::new(error))
    }
}

impl From<RandomUnavailable> for CliError {
    fn from(error: RandomUnavailable) -> Self {
        Self::Core(error.into())
    }
}
