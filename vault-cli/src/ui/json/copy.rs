//! The document of `copy`.

use std::time::Duration;

use serde::Serialize;
use vault_core::ops::copy::Copied;

/// What `copy` did.
#[derive(Debug, Serialize)]
pub(crate) struct Copy {
    command: &'static str,
    vault: String,
    to: String,
    snapshots: Vec<Snapshot>,
    seconds: f64,
}

/// What became of one snapshot.
#[derive(Debug, Serialize)]
struct Snapshot {
    from: String,
    to: String,
    was_there: bool,
    added_bytes: u64,
    stored_bytes: u64,
}

impl Copy {
    pub(crate) fn new((vault, to): (&str, &str), copied: &[Copied], elapsed: Duration) -> Self {
        let snapshot = |copied: &Copied| Snapshot {
            from: copied.from.to_hex(),
            to: copied.to.to_hex(),
            was_there: copied.was_there,
            added_bytes: copied.added_bytes,
            stored_bytes: copied.stored_bytes,
        };
        Self {
            command: "copy",
            vault: vault.to_owned(),
            to: to.to_owned(),
            snapshots: copied.iter().map(snapshot).collect(),
            seconds: elapsed.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use vault_core::id::SnapshotId;

    use super::*;

    #[test]
    fn copy_has_these_fields() {
        let (from, to) = (SnapshotId::new([1; 32]), SnapshotId::new([2; 32]));
        let copied = Copied { from, to, was_there: true, added_bytes: 3, stored_bytes: 4 };

        let document = Copy::new(("ab", "cd"), &[copied], Duration::from_millis(1_500));

        assert_eq!(
            serde_json::to_value(document).unwrap(),
            serde_json::json!({
                "command": "copy", "vault": "ab", "to": "cd", "seconds": 1.5,
                "snapshots": [{
                    "from": "01".repeat(32), "to": "02".repeat(32), "was_there": true,
                    "added_bytes": 3, "stored_bytes": 4,
                }],
            })
        );
    }
}
