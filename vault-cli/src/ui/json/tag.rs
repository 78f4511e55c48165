//! What tags snapshots have after `tag`.

use serde::Serialize;
use vault_core::ops::tag::Tagged;

/// The tags in force.
#[derive(Debug, Serialize)]
pub(crate) struct Tag {
    command: &'static str,
    vault: String,
    snapshots: Vec<TaggedSnapshot>,
}

#[derive(Debug, Serialize)]
struct TaggedSnapshot {
    id: String,
    tags: Vec<String>,
    changed: bool,
}

impl Tag {
    pub(crate) fn new(vault: &str, tagged: &[Tagged]) -> Self {
        let snapshot = |tagged: &Tagged| TaggedSnapshot {
            id: tagged.snapshot.to_hex(),
            tags: tagged.tags.clone(),
            changed: tagged.changed,
        };
        Self { command: "tag", vault: vault.to_owned(), snapshots: tagged.iter().map(snapshot).collect() }
    }
}
