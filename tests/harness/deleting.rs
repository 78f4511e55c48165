//! Options of those who delete, for tests in which nothing is too new to go.
//!
//! What they leave is what live snapshots need, and nothing else.

use std::time::Duration;

use vault_core::chunk::compress::Level;
use vault_core::ops::compact::CompactOptions;
use vault_core::ops::prune::PruneOptions;

/// Everything that no live snapshot needs, however new.
pub const PRUNE_ALL: PruneOptions = PruneOptions { dry_run: false, orphan_age: Duration::ZERO };

/// Packs of which more than a tenth is not needed, and all that [`PRUNE_ALL`] deletes.
pub const COMPACT_ALL: CompactOptions = CompactOptions {
    dry_run: false,
    max_unused_percent: 10,
    rewrite: false,
    max_bytes: None,
    orphan_age: Duration::ZERO,
    level: Level::FAST,
};
