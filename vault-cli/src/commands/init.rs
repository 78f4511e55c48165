//! `vault init`: makes a vault, and an identity for a user who has none.
//!
//! The identity is on this machine before the vault exists, so that no vault is ever made that nobody can open.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;
use vault_core::chunk::cut::Params;
use vault_core::id::VaultId;
use vault_core::keys::age_file::MAX_WORK_FACTOR;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::keys::recipient::AnyRecipient;
use vault_core::log::PqPolicy;
use vault_core::ops;
use vault_core::store::location::Location;

use crate::context::{Context, NewPlace};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{human, json, summary};
use crate::unlock::read_file;
use crate::{identity, values};

/// Make a new vault
///
/// The vault is made in a directory that is empty or does not exist, or, where --vault is a bare name and a server was joined, on
/// that. Your identity opens it: the first time, one is made,
/// sealed with a passphrase or to --recipient, and kept on this machine and in the vault. Further vaults use the same one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  vault init --vault /mnt/disk/my-vault\n  vault init --vault photos --server https://vault.example.org:8443"
)]
pub(crate) struct Init {
    /// Taken only to say where the place is named
    #[arg(hide = true, value_name = "DIR")]
    place: Option<OsString>,

    #[command(flatten)]
    new: NewVault,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "New vault")]
pub(crate) struct NewVault {
    /// Seal a new identity to this age or ssh-ed25519 recipient
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,

    /// Seal a new identity to the recipients in FILE, one on a line
    #[arg(long, value_name = "FILE")]
    recipients_file: Vec<PathBuf>,

    /// Whether recipients are post-quantum: required or preferred
    #[arg(long, value_enum, value_name = "POLICY", hide_possible_values = true)]
    pq: Option<Pq>,

    /// Make it on this server, where several were joined
    #[arg(long, value_name = "URL")]
    server: Option<String>,

    /// Keep the sealed identity on the server too, which could try passphrases on it
    #[arg(long)]
    store_identity: bool,

    /// Sizes of chunks, for measurements
    #[arg(long, hide = true, value_name = "MIN,BITS,MAX", value_parser = values::chunker)]
    chunker: Option<Params>,

    /// Work that a passphrase costs, as power of two, for tests
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_WORK_FACTOR)))]
    work_factor: Option<u8>,
}

/// Whether recipients that a quantum computer could break are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pq {
    /// Refuse them
    Required,
    /// Accept them
    Preferred,
}

/// What was made.
pub(super) struct Made {
    vault: VaultId,
    pub(super) location: Location,
    policy: PqPolicy,
    identity: PathBuf,
}

impl Init {
    /// Makes the vault and says so.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        if let Some(place) = self.place {
            return Err(CliError::PlaceWithoutOption { place: place.to_string_lossy().into_owned() });
        }
        let place = self.new.place(context)?;
        let location = &place.location;
        if location.open(&context.access(location)?).is_ok() {
            return Err(CliError::VaultExists { location: location.to_string() });
        }
        let made = self.new.make(context, &place)?;
        let (vault, location) = (made.vault.to_hex(), made.location.to_string());
        let document = json::Init::new(&vault, &location, policy_name(made.policy), &made.identity);
        let text = summary::init(&vault, &location, &made.identity);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

impl NewVault {
    /// Where the vault is to be made.
    pub(super) fn place(&self, context: &Context) -> Result<NewPlace, CliError> {
        context.new_place(self.server.as_deref())
    }

    /// Makes a vault, and an identity if this machine has none.
    pub(super) fn make(&self, context: &Context, place: &NewPlace) -> Result<Made, CliError> {
        let location = &place.location;
        let founder = self.founder(context)?;
        let device = context.device()?;
        let options = ops::init::InitOptions {
            location,
            access: &context.access(location)?,
            identity: &founder.identity,
            // A server could try passphrases on it.
            sealed_identity: (location.server().is_none() || self.store_identity)
                .then_some(&founder.sealed[..]),
            device: &device,
            pq: founder.policy,
            chunker: self.chunker.unwrap_or_default(),
        };
        let display = Display::new(context.ui);
        let made = ops::init::init(&options, &context.around(&display)?)?;
        display.finish();
        let location = location.of_vault(made.vault);
        context.remember_place(&location, made.vault)?;
        if let Some(name) = &place.name {
            context.name_new_vault(name, &location)?;
        }
        if founder.is_new {
            context.ui.warn(&format!(
                "without the {} nothing in the vault can be restored, and nobody can reset it: keep a copy in another place",
                if self.has_recipients() { "key of a recipient" } else { "passphrase" }
            ));
        }
        let identity = context.directories()?.identity();
        Ok(Made { vault: made.vault, location, policy: founder.policy, identity })
    }

    fn has_recipients(&self) -> bool {
        !self.recipient.is_empty() || !self.recipients_file.is_empty()
    }

    /// The user who owns the new vault: the one of this machine, or a new one.
    fn founder(&self, context: &Context) -> Result<Founder, CliError> {
        let directories = context.directories()?;
        let recipients = self.recipients()?;
        let Some(sealed) = identity::local(directories)? else {
            return self.new_founder(context, &recipients);
        };
        if self.has_recipients() {
            return Err(CliError::IdentityExists { path: directories.identity() });
        }
        let openers: Vec<AnyRecipient> = context
            .keys()?
            .identities()?
            .iter()
            .filter_map(vault_core::keys::identity::AnyIdentity::to_recipient)
            .collect();
        let identity = identity::open(std::slice::from_ref(&sealed), &context.keys()?, &mut Ok)?;
        let policy = self.policy(context, openers.iter().chain([&identity.recipient()]))?;
        Ok(Founder { identity, sealed, policy, is_new: false })
    }

    fn new_founder(&self, context: &Context, recipients: &[AnyRecipient]) -> Result<Founder, CliError> {
        let policy = self.policy(context, recipients)?;
        let identity = UserIdentity::generate(context.random())?;
        let sealed = if recipients.is_empty() {
            identity.seal_with_passphrase(&context.keys()?.new_passphrase()?, self.work_factor)?
        } else {
            identity.seal_to(recipients)?
        };
        identity::keep(context.directories()?, &sealed)?;
        Ok(Founder { identity, sealed, policy, is_new: true })
    }

    /// The policy asked for, or the strictest that the recipients meet.
    fn policy<'a>(
        &self,
        context: &Context,
        recipients: impl IntoIterator<Item = &'a AnyRecipient>,
    ) -> Result<PqPolicy, CliError> {
        let classical = recipients.into_iter().find(|recipient| !recipient.is_post_quantum());
        match (self.pq, classical) {
            (Some(Pq::Required), Some(recipient)) => {
                Err(CliError::NotPostQuantum { recipient: recipient.as_str().to_owned() })
            }
            (Some(Pq::Preferred), _) => Ok(PqPolicy::Preferred),
            (None, Some(recipient)) => {
                context.ui.note(&format!(
                    "recipient {} is not post-quantum: the vault will accept others that are not",
                    human::message(recipient.as_str())
                ));
                Ok(PqPolicy::Preferred)
            }
            (_, None) => Ok(PqPolicy::Required),
        }
    }

    fn recipients(&self) -> Result<Vec<AnyRecipient>, CliError> {
        let mut recipients = Vec::new();
        for text in &self.recipient {
            recipients.push(recipient(text)?);
        }
        for path in &self.recipients_file {
            let bytes = read_file(path)?;
            let text = str::from_utf8(&bytes).map_err(|_| CliError::NotText { path: path.clone() })?;
            let before = recipients.len();
            for line in values::meaningful_lines(text) {
                recipients.push(recipient(line)?);
            }
            if recipients.len() == before {
                return Err(CliError::NoRecipients { path: path.clone() });
            }
        }
        Ok(recipients)
    }
}

/// The owner of a new vault.
struct Founder {
    identity: UserIdentity,
    sealed: Vec<u8>,
    policy: PqPolicy,
    is_new: bool,
}

fn recipient(text: &str) -> Result<AnyRecipient, CliError> {
    AnyRecipient::parse_own(text.trim())
        .map_err(|source| CliError::Recipient { text: text.to_owned(), source })
}

fn policy_name(policy: PqPolicy) -> &'static str {
    match policy {
        PqPolicy::Required => "required",
        PqPolicy::Preferred => "preferred",
    }
}
