//! `vault status`: tells in one line whether someone could restore today.
//!
//! It never asks for a passphrase: the log alone tells when the last snapshots were made. With keys that are given it names
//! hosts and paths too.

use std::io::Write as _;

use jiff::tz::TimeZone;
use vault_core::ops::status::{self, StatusOptions};
use vault_core::vault::{Reader, Vault};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::summary::status as text;
use crate::ui::{json, metrics, stdout};
use crate::values::duration::duration;

/// Tell whether the vault is safe
///
/// The first line says `safe` or `OVERDUE`, and why. Overdue is a machine and set of paths (without keys: a device) whose newest
/// complete snapshot is too old, and, with --verify-within, contents that nobody has verified for so long. Forget the snapshots of what is
/// no longer backed up, and it is no longer asked for.
///
/// No passphrase is asked for; one that is given by option or environment is used to show machines and paths. The exit code is 3 when
/// something is overdue.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault status --vault /mnt/disk/my-vault\n  \
    vault status --max-age 2d --verify-within 60d --quiet")]
pub(crate) struct Status {
    /// How old the newest complete snapshots may be, as in 2d
    #[arg(long, value_name = "SPAN", value_parser = duration, default_value = "7d")]
    max_age: u64,

    /// How long ago all contents may have been verified, as in 60d
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    verify_within: Option<u64>,

    /// Print metrics for Prometheus instead; then the exit code is 0
    #[arg(long, conflicts_with = "json")]
    metrics: bool,
}

impl Status {
    /// Looks and tells.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let vault = context.open(&context.location()?)?;
        let reader = unlock_if_given(context, &vault)?;
        let options =
            StatusOptions { max_age_seconds: self.max_age, verify_within_seconds: self.verify_within };
        let display = Display::new(context.ui);
        let status = status::status(&vault, reader.as_ref(), options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        display.finish();

        let id = vault.id().to_hex();
        if self.metrics {
            let mut out = stdout();
            let written = out.write_all(metrics::status(&id, &status).as_bytes());
            written.and_then(|()| out.flush()).map_err(CliError::Output)?;
            // Whoever collects metrics reads in them what is overdue, and must get them then above all.
            return Ok(Exit::Done);
        }
        let document = json::Status::new(&id, &status, reader.is_some());
        let told = text::status(&status, &TimeZone::system());
        context.ui.result(&document, &told).map_err(CliError::Output)?;
        Ok(if status.overdue.is_empty() { Exit::Done } else { Exit::Incomplete })
    }
}

fn unlock_if_given(context: &Context, vault: &Vault) -> Result<Option<Reader>, CliError> {
    if context.keys()?.are_given() { context.unlock(vault).map(Some) } else { Ok(None) }
}
