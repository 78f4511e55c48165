//! `vault link`: makes a URL that opens a folder or file of a snapshot to whoever has it.
//!
//! The URL is the secret. It goes to standard output alone, so that it can be passed on without being shown; a server never has it whole.

use std::path::PathBuf;

use vault_core::keys::age_file::MAX_WORK_FACTOR;
use vault_core::keys::{ExposeSecret as _, SecretString};
use vault_core::ops::grants::{LinkOptions, Shared};
use vault_core::wire::link::{LinkSecret, LinkUrl};
use zeroize::Zeroizing;

use super::giving::{Giving, Receivers};
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::ui::qr::Code;
use crate::ui::{Verbosity, eprint_line, json, prompt, summary};
use crate::unlock;

/// Make a link to a folder or file of a snapshot
///
/// Whoever has the URL fetches it with `vault get`, without an account. What opens it stands behind the `#`, and is sent to no server:
/// whoever sees the URL has what it opens, so send it over a way that you trust, and a passphrase, if there is one, over another.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault link photos:latest:/Trip --expires 7d --max-downloads 5\n  \
    vault link photos:latest:/Trip --passphrase --qr")]
pub(crate) struct Link {
    /// How often it may be fetched
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_downloads: Option<u32>,

    /// Ask for a passphrase that is needed beside the URL
    #[arg(long)]
    passphrase: bool,

    /// Read that passphrase from the first line of FILE
    #[arg(long = "link-passphrase-file", value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_beside: Option<PathBuf>,

    /// Show the URL as a QR code too, on standard error
    #[arg(long)]
    qr: bool,

    /// Work that a passphrase costs, as power of two, for tests
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_WORK_FACTOR)))]
    work_factor: Option<u8>,

    #[command(flatten)]
    giving: Giving,
}

/// A link that was made.
pub(crate) struct Made {
    pub(crate) shared: Shared,
    /// **It is the secret.**
    pub(crate) url: Zeroizing<String>,
    /// Until when, in seconds since 1970.
    pub(crate) expires: Option<u64>,
    pub(crate) downloads: Option<u32>,
    /// Whether a passphrase is needed beside it.
    pub(crate) passphrase: bool,
}

impl Link {
    /// Makes the link and prints it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let expires = self.giving.end(context)?;
        let location = context.location_of(&self.giving.what)?;
        let Some(url) = location.server() else {
            return Err(ShareError::LinkNeedsServer { location: location.to_string() }.into());
        };
        let joined = context.joined_server(Some(&url.to_string()))?;
        let mut vault = context.open(&location)?;
        let reader = context.unlock(&vault)?;
        let snapshot = self.giving.snapshot(context, &vault, &reader)?;
        let passphrase = self.passphrase()?;
        let secret = LinkSecret::generate(context.random())?;
        let link = LinkOptions {
            secret: &secret,
            downloads: self.max_downloads,
            passphrase: passphrase.as_ref().map(|passphrase| (passphrase, self.work_factor)),
        };
        let receivers = Receivers { to: Vec::new(), link: Some(link) };
        let shared = self.giving.give(context, (&mut vault, &reader, snapshot), (receivers, expires))?;

        let authority = joined.url.authority().clone();
        let url = LinkUrl { authority, grant: shared.grant, secret, pin: joined.pin }.expose();
        let passphrase = passphrase.is_some();
        let made = Made { shared, url, expires, downloads: self.max_downloads, passphrase };
        self.show(context, &vault.id().to_hex(), &made)
    }

    /// What is asked for beside the URL, if it was wanted.
    fn passphrase(&self) -> Result<Option<SecretString>, CliError> {
        let passphrase = match &self.passphrase_beside {
            Some(path) => unlock::first_line_of_file(path)?,
            None if !self.passphrase => return Ok(None),
            None if !prompt::possible() => return Err(ShareError::NoLinkPassphrase.into()),
            None => unlock::ask_twice("Passphrase for the link")?,
        };
        if passphrase.expose_secret().is_empty() {
            Err(CliError::EmptyPassphrase)
        } else {
            Ok(Some(passphrase))
        }
    }

    /// The URL alone goes to stdout, everything else to stderr.
    fn show(&self, context: &Context, vault: &str, made: &Made) -> Result<Exit, CliError> {
        if !context.ui.json && context.ui.verbosity >= Verbosity::Normal {
            eprint_line(summary::grants::linked(made).trim_end());
        }
        if self.qr
            && let Ok(code) = Code::new(&made.url)
        {
            eprint_line(code.to_text(context.ui.stderr.terminal).trim_end_matches('\n'));
        }
        let document = json::grants::Link::new(vault, made);
        let line = Zeroizing::new(format!("{}\n", *made.url));
        context.ui.answer(&document, &line).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
