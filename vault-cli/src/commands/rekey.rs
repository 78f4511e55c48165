//! `vault rekey`: new keys for what is backed up from now on, and on request for what is there.
//!
//! What was stored before stays readable by everyone who ever had its keys, until it is rewritten.

use std::time::{Duration, Instant};

use vault_core::id::{Epoch, UserId};
use vault_core::ops::compact::{CompactOptions, CompactSummary, compact};
use vault_core::ops::membership::{self, Reach};
use vault_core::vault::{Reader, Vault};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Begin with new keys: after a device was lost, or to re-encrypt what is there
///
/// New keys hold for what is backed up from now on. --rewrite also seals again what is there, so that keys which somebody else may have
/// open nothing of it any more; interrupt it with Ctrl-C, and run it again to go on. --report changes nothing: it says who could read what.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault rekey --vault team\n  \
    vault rekey --rewrite --vault team\n  \
    vault rekey --report --vault team")]
pub(crate) struct Rekey {
    /// Seal again what was stored under earlier keys
    #[arg(long)]
    rewrite: bool,

    /// Only say who could still read what
    #[arg(long, conflicts_with = "rewrite")]
    report: bool,
}

/// What was rewritten.
pub(crate) struct Rewritten {
    pub(crate) summary: CompactSummary,
    pub(crate) elapsed: Duration,
}

/// What rekeying has come to.
pub(crate) struct Rekeyed {
    /// The epoch that began; none if one without anything in it was there.
    pub(crate) epoch: Option<Epoch>,
    pub(crate) rewritten: Option<Rewritten>,
    /// Who could read what now.
    pub(crate) reach: Vec<Reach>,
    /// What this machine calls people.
    pub(crate) names: Vec<(UserId, String)>,
}

/// Whether packs are there that everyone can read and that are sealed in an earlier epoch than the one in force.
fn is_left_to_rewrite(vault: &Vault, reader: &Reader) -> bool {
    let state = vault.state();
    let is_left = |reach: &Reach| {
        reach.packs > 0 && reach.epoch >= state.readable_from() && Some(reach.epoch) < state.epoch()
    };
    membership::report(state, reader).iter().any(is_left)
}

impl Rekey {
    /// Rekeys and says who could read what.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let identity = context.own_identity(&vault)?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        // A rewriting that is taken up again needs no newer keys.
        let goes_on = self.rewrite && is_left_to_rewrite(&vault, &vault.unlock(&identity)?);
        let begins = !self.report && !goes_on;
        let epoch = begins.then(|| membership::rekey(&mut vault, &identity, &around)).transpose()?;
        let mut reader = vault.unlock(&identity)?;
        let mut rewritten = None;
        if self.rewrite {
            let begun = Instant::now();
            let options = CompactOptions { rewrite: true, ..CompactOptions::default() };
            let device = context.device()?;
            let summary = compact(&mut vault, &reader, &device, &options, &around)
                .map_err(|error| context.explain(error))?;
            rewritten = Some(Rewritten { summary, elapsed: begun.elapsed() });
            reader = vault.unlock(&identity)?;
        }
        display.finish();

        let contacts = context.contacts()?.all()?;
        let names = contacts
            .into_iter()
            .filter_map(|contact| Some((contact.user()?, contact.name.to_string())))
            .collect();
        let interrupted = rewritten.as_ref().is_some_and(|one| one.summary.pruned.interrupted);
        let reach = membership::report(vault.state(), &reader);
        let rekeyed = Rekeyed { epoch, rewritten, reach, names };
        let document = json::members::Rekey::new(&vault.id().to_hex(), &rekeyed);
        context.ui.result(&document, &summary::members::rekeyed(&rekeyed)).map_err(CliError::Output)?;
        Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
    }
}
