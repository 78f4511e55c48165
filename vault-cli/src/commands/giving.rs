//! What `share` and `link` have in common: what is given of which snapshot, and until when.

use vault_core::chunk::compress::Level;
use vault_core::id::SnapshotId;
use vault_core::ops::grants::{self, LinkOptions, ShareOptions, ShareTo, Shared};
use vault_core::vault::{Reader, Vault};

use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::filter::FilterOptions;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::values::until::{Until, until};

#[derive(Debug, clap::Args)]
pub(super) struct Giving {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    pub(super) what: Spec,

    /// Until when: a time from now as in 30d, or a date [default: until it is taken back]
    #[arg(long, value_name = "TIME|DATE", value_parser = until)]
    expires: Option<Until>,

    #[command(flatten)]
    filter: FilterOptions,
}

/// To whom it is given.
pub(super) struct Receivers<'l> {
    pub(super) to: Vec<ShareTo>,
    pub(super) link: Option<LinkOptions<'l>>,
}

impl Giving {
    /// The end in seconds since 1970, which must be to come.
    pub(super) fn end(&self, context: &Context) -> Result<Option<u64>, CliError> {
        let resolve = |until: Until| until.resolve(context.now()).ok_or(ShareError::ExpiresBefore);
        Ok(self.expires.map(resolve).transpose()?)
    }

    /// The snapshot of which it is given.
    pub(super) fn snapshot(
        &self,
        context: &Context,
        vault: &Vault,
        reader: &Reader,
    ) -> Result<SnapshotId, CliError> {
        context.snapshot_among(vault, reader, &self.what, &self.filter)
    }

    /// Gives it until `expires`, and shows how far it is.
    pub(super) fn give(
        &self,
        context: &Context,
        (vault, reader, snapshot): (&mut Vault, &Reader, SnapshotId),
        (receivers, expires): (Receivers<'_>, Option<u64>),
    ) -> Result<Shared, CliError> {
        let options = ShareOptions {
            snapshot,
            path: self.what.path.clone(),
            to: receivers.to,
            link: receivers.link,
            expires,
            level: Level::DEFAULT,
        };
        let device = context.device()?;
        let display = Display::new(context.ui);
        let around = context.around(&display)?;
        let shared = grants::share(vault, reader, &device, &options, &around)
            .map_err(|error| context.explain(error))?;
        display.finish();
        Ok(shared)
    }
}
