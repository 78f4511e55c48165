//! `vault snapshots`: lists what can be restored.
//!
//! Oldest first, so that the latest stands where the eye is when the list is long.

use std::io::Write as _;

use jiff::tz::TimeZone;
use vault_core::ops::groups::GroupBy;
use vault_core::ops::snapshots::{SnapshotInfo, snapshots};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::filter::{self, FilterOptions};
use crate::ui::{json, listing, stdout};

/// List the snapshots of a vault
///
/// Each line is a snapshot: the beginning of its id, when the backup began, on which machine, and what was backed up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault snapshots --vault /mnt/disk/my-vault\n  \
    vault snapshots --host laptop --latest 3 --group")]
pub(crate) struct Snapshots {
    /// Show groups under headings [by default of one host and paths]
    #[arg(long, value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "host,paths", value_parser = filter::group_by)]
    group: Option<GroupBy>,

    #[command(flatten)]
    filter: FilterOptions,

    /// Only the N newest of each machine and set of paths
    #[arg(long, value_name = "N", help_heading = "Which snapshots")]
    latest: Option<usize>,
}

impl Snapshots {
    /// Lists them.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let vault = context.open(&context.location()?)?;
        let reader = context.unlock(&vault)?;
        let all = snapshots(&vault, &reader)?;
        let is_empty = all.is_empty();
        let list = self.choose(all);
        let mut out = stdout();
        let written = if context.ui.json {
            json::write_document(&mut out, &json::Snapshots::new(&vault.id().to_hex(), &list))
        } else if list.is_empty() {
            context.ui.note(if is_empty {
                "there is no snapshot in this vault yet; `vault backup PATH` makes one"
            } else {
                "no snapshot fits; `vault snapshots` without options shows all"
            });
            Ok(())
        } else if let Some(by) = self.group {
            listing::groups(&by.divide(list), &TimeZone::system(), &mut out)
        } else {
            listing::snapshots(&list, &TimeZone::system()).write(&mut out)
        };
        written.and_then(|()| out.flush()).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }

    /// The snapshots that the options ask for, in their order.
    fn choose(&self, mut list: Vec<SnapshotInfo>) -> Vec<SnapshotInfo> {
        let filter = self.filter.filter();
        list.retain(|snapshot| filter.takes(snapshot));
        let Some(most) = self.latest else { return list };
        let mut newest = Vec::new();
        for mut of_group in GroupBy::default().divide(list.clone()).into_values() {
            let first = of_group.len().saturating_sub(most);
            newest.extend(of_group.drain(first..).map(|snapshot| snapshot.id));
        }
        list.retain(|snapshot| newest.contains(&snapshot.id));
        list
    }
}
