//! `vault check`: verifies what is stored, and names everything that is damaged.
//!
//! Damage is told, not repaired. What was verified in full is noted in the vault, so that it need not be read again soon.

use std::time::Instant;

use vault_core::error::ErrorKind;
use vault_core::id::PackId;
use vault_core::ops;
use vault_core::ops::Surroundings;
use vault_core::ops::check::{Budget, CheckOptions, Sample};
use vault_core::time::Timestamp;
use vault_core::vault::Vault;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::report;
use crate::ui::progress::Display;
use crate::ui::{json, summary};
use crate::values;
use crate::values::duration::duration;

/// Verify a vault
///
/// Verifies the history, the keys, the indexes, the hash of every pack, and that every chunk of every snapshot has its place.
/// With --read-data every pack is opened and every chunk compared with its hash too, which takes about as long as restoring.
///
/// With --max-age only packs are read whose contents were not verified for so long, the longest ago first, and of these at most
/// as much as --budget says: run daily, it verifies everything bit by bit.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault check --read-data --vault /mnt/disk/my-vault\n  \
    vault check --max-age 30d --budget 5%")]
pub(crate) struct Check {
    /// Open and verify all contents too
    #[arg(long)]
    read_data: bool,

    /// Open and verify only what was not for this long, as in 30d
    #[arg(long, value_name = "SPAN", value_parser = duration, conflicts_with = "read_data")]
    max_age: Option<u64>,

    /// Read at most this much: a size, or a share as in 5%
    #[arg(long, value_name = "SIZE", value_parser = values::budget, requires = "max_age")]
    budget: Option<Budget>,

    /// Do not note in the vault what was verified
    #[arg(long)]
    no_attest: bool,
}

impl Check {
    /// Checks and says what was found.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let reader = context.unlock(&vault)?;
        let begun = Instant::now();
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let options = CheckOptions { read_data: self.read_data, sample: self.sample(around.clock.now()) };
        let summary =
            ops::check::check(&vault, &reader, options, &around).map_err(|error| context.explain(error))?;
        let attested = self.attest(context, &mut vault, &summary.verified, &around);
        display.finish();

        for finding in &summary.findings {
            context.ui.damage(&summary::finding(finding));
        }
        let elapsed = begun.elapsed();
        let noted = attested.as_ref().is_ok_and(|attested| *attested);
        let document = json::Check::new(&vault.id().to_hex(), &summary, noted, elapsed);
        let text = summary::check(&summary, &options, elapsed);
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        if !summary.findings.is_empty() {
            report::print_damage(context.vault_text().as_deref());
            return Ok(Exit::Integrity);
        }
        attested?;
        Ok(if summary.interrupted { Exit::Interrupted } else { Exit::Done })
    }

    fn sample(&self, now: Timestamp) -> Option<Sample> {
        let span = i64::try_from(self.max_age?).unwrap_or(i64::MAX);
        let since = Timestamp::new(now.seconds.saturating_sub(span), now.nanos);
        Some(Sample { since, budget: self.budget.unwrap_or(Budget::All) })
    }

    /// Notes in the vault what was verified, if that is possible here; tells whether it is noted.
    fn attest(
        &self,
        context: &Context,
        vault: &mut Vault,
        verified: &[PackId],
        around: &Surroundings<'_>,
    ) -> Result<bool, CliError> {
        if self.no_attest || verified.is_empty() {
            return Ok(false);
        }
        let Some(device) = context.known_device()? else {
            context
                .ui
                .note("this device is not registered in the vault, so what was verified is not noted there");
            return Ok(false);
        };
        match ops::attest::attest(vault, &device, verified, around) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Permission => {
                context.ui.note(&format!("what was verified is not noted in the vault: {error}"));
                Ok(false)
            }
            Err(error) => Err(context.explain(error)),
        }
    }
}
