//! The documents of `prune` and `compact`.
//!
//! What compacting prunes stands in its document under the names that pruning has for it.

use std::time::Duration;

use serde::Serialize;
use vault_core::ops::compact::CompactSummary;
use vault_core::ops::prune::PruneSummary;

/// What `prune` did.
#[derive(Debug, Serialize)]
pub(crate) struct Prune {
    command: &'static str,
    vault: String,
    dry_run: bool,
    interrupted: bool,
    deleted_packs: u64,
    orphans: u64,
    leftovers: u64,
    freed_bytes: u64,
    kept_packs: u64,
    kept_bytes: u64,
    unused_bytes: u64,
    replaced_indexes: u64,
    new_indexes: u64,
    seconds: f64,
}

impl Prune {
    pub(crate) fn new(vault: &str, dry_run: bool, summary: &PruneSummary, elapsed: Duration) -> Self {
        Self {
            command: "prune",
            vault: vault.to_owned(),
            dry_run,
            interrupted: summary.interrupted,
            deleted_packs: summary.packs,
            orphans: summary.orphans,
            leftovers: summary.leftovers,
            freed_bytes: summary.freed_bytes,
            kept_packs: summary.kept_packs,
            kept_bytes: summary.kept_bytes,
            unused_bytes: summary.unused_bytes,
            replaced_indexes: summary.replaced_indexes,
            new_indexes: summary.new_indexes,
            seconds: elapsed.as_secs_f64(),
        }
    }
}

/// What `compact` did.
#[derive(Debug, Serialize)]
pub(crate) struct Compact {
    #[serde(flatten)]
    pruned: Prune,
    repacked_packs: u64,
    repacked_bytes: u64,
    new_packs: u64,
    new_bytes: u64,
}

impl Compact {
    pub(crate) fn new(vault: &str, dry_run: bool, summary: &CompactSummary, elapsed: Duration) -> Self {
        let pruned = Prune { command: "compact", ..Prune::new(vault, dry_run, &summary.pruned, elapsed) };
        Self {
            pruned,
            repacked_packs: summary.repacked_packs,
            repacked_bytes: summary.repacked_bytes,
            new_packs: summary.new_packs,
            new_bytes: summary.new_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pruned() -> PruneSummary {
        PruneSummary {
            packs: 1,
            orphans: 2,
            leftovers: 3,
            freed_bytes: 4,
            kept_packs: 5,
            kept_bytes: 6,
            unused_bytes: 7,
            replaced_indexes: 8,
            new_indexes: 9,
            interrupted: true,
        }
    }

    #[test]
    fn prune_has_these_fields() {
        let document = Prune::new("ef", true, &pruned(), Duration::from_secs(2));

        assert_eq!(
            serde_json::to_value(document).unwrap(),
            json!({
                "command": "prune", "vault": "ef", "dry_run": true, "interrupted": true, "deleted_packs": 1,
                "orphans": 2, "leftovers": 3, "freed_bytes": 4, "kept_packs": 5, "kept_bytes": 6,
                "unused_bytes": 7, "replaced_indexes": 8, "new_indexes": 9, "seconds": 2.0,
            })
        );
    }

    #[test]
    fn compact_has_those_and_these_fields() {
        let summary = CompactSummary {
            pruned: pruned(),
            repacked_packs: 10,
            repacked_bytes: 11,
            new_packs: 12,
            new_bytes: 13,
        };

        let document = serde_json::to_value(Compact::new("ef", false, &summary, Duration::ZERO)).unwrap();

        assert_eq!(document["command"], "compact");
        assert_eq!((&document["freed_bytes"], &document["interrupted"]), (&json!(4), &json!(true)));
        assert_eq!((&document["repacked_packs"], &document["repacked_bytes"]), (&json!(10), &json!(11)));
        assert_eq!((&document["new_packs"], &document["new_bytes"]), (&json!(12), &json!(13)));
    }
}
