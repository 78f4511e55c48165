//! `vault tag`: gives snapshots other tags.
//!
//! The tags that were there before stay in the vault's history, but no command shows them.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use vault_core::ops;
use vault_core::ops::snapshots::snapshots;
use vault_core::ops::tag::TagChange;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::spec;
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Change the tags of snapshots
///
/// --set replaces all tags and --clear removes them; --add and --remove change single ones. Each may be repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault tag latest --add keep --vault /mnt/disk/my-vault\n  \
    vault tag 3fa94c1e 2026-11-22 --set before-upgrade")]
#[command(override_usage = "vault tag [OPTIONS] <SNAP>... --add <TAG>")]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Tag {
    /// Snapshots (latest, an id, a date)
    #[arg(value_name = "SNAP", required = true)]
    snapshots: Vec<String>,

    /// Add this tag
    #[arg(long, value_name = "TAG", group = "change")]
    add: Vec<String>,

    /// Remove this tag
    #[arg(long, value_name = "TAG", group = "change")]
    remove: Vec<String>,

    /// Have this tag, and none but those set and added
    #[arg(long, value_name = "TAG", group = "change")]
    set: Vec<String>,

    /// Remove all tags
    #[arg(long, group = "change", conflicts_with_all = ["set", "remove"])]
    clear: bool,
}

impl Tag {
    /// Changes the tags and shows those in force.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut vault = context.open(&context.location()?)?;
        let device = context.device()?;
        let reader = context.unlock(&vault)?;
        let (list, zone) = (snapshots(&vault, &reader)?, TimeZone::system());
        let found: BTreeSet<_> =
            self.snapshots.iter().map(|text| spec::resolve(&list, text, &zone)).collect::<Result<_, _>>()?;
        let found: Vec<_> = found.into_iter().collect();
        let all = self.clear || !self.set.is_empty();
        let change = TagChange { set: all.then_some(self.set), add: self.add, remove: self.remove };

        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let tagged = ops::tag::tag(&mut vault, (&reader, &device), &found, &change, &around)
            .map_err(|error| context.explain(error))?;
        display.finish();

        let document = json::Tag::new(&vault.id().to_hex(), &tagged);
        context.ui.result(&document, &summary::tag::tagged(&tagged)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}
