//! What `forget` decided of each snapshot.

use serde::Serialize;
use vault_core::ops::forget::{Decision, ForgetSummary, GroupDecision};
use vault_core::ops::groups::Group;

use super::prune::Prune;
use super::{PathText, time};

/// What `forget` did, or would do.
#[derive(Debug, Serialize)]
pub(crate) struct Forget {
    command: &'static str,
    vault: String,
    dry_run: bool,
    forgotten: usize,
    kept: usize,
    groups: Vec<ForgetGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prune: Option<Prune>,
}

#[derive(Debug, Serialize)]
struct ForgetGroup {
    host: Option<String>,
    paths: Option<Vec<PathText>>,
    tags: Option<Vec<String>>,
    snapshots: Vec<ForgetSnapshot>,
}

#[derive(Debug, Serialize)]
struct ForgetSnapshot {
    id: String,
    committed: String,
    host: String,
    paths: Vec<PathText>,
    tags: Vec<String>,
    partial: bool,
    keep: bool,
    reasons: Vec<String>,
}

impl Forget {
    pub(crate) fn new(vault: &str, summary: &ForgetSummary, dry_run: bool) -> Self {
        Self {
            command: "forget",
            vault: vault.to_owned(),
            dry_run,
            forgotten: summary.forgotten().count(),
            kept: summary.kept(),
            groups: summary.groups.iter().map(ForgetGroup::new).collect(),
            prune: None,
        }
    }

    /// The same with what pruning did after it.
    pub(crate) fn with_prune(self, prune: Option<Prune>) -> Self {
        Self { prune, ..self }
    }
}

impl ForgetGroup {
    fn new(decided: &GroupDecision) -> Self {
        let Group { host, paths, tags } = &decided.group;
        Self {
            host: host.clone(),
            paths: paths.as_ref().map(|paths| paths.iter().map(|path| PathText::new(path)).collect()),
            tags: tags.clone(),
            snapshots: decided.snapshots.iter().map(ForgetSnapshot::new).collect(),
        }
    }
}

impl ForgetSnapshot {
    fn new(decision: &Decision) -> Self {
        let snapshot = &decision.snapshot;
        Self {
            id: snapshot.id.to_hex(),
            committed: time::iso(snapshot.committed),
            host: snapshot.host.clone(),
            paths: snapshot.paths.iter().map(|path| PathText::new(path)).collect(),
            tags: snapshot.tags.clone(),
            partial: snapshot.partial,
            keep: decision.is_kept(),
            reasons: decision.reasons.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use vault_core::ops::retention::{Period, Reason};
    use vault_core::ops::snapshots::SnapshotInfo;
    use vault_core::ops::snapshots::testing::snapshot;

    use super::*;

    #[test]
    fn forget_has_these_fields() {
        let snapshot = SnapshotInfo { tags: vec!["t".to_owned()], ..snapshot(0xab, 1_795_341_605, "h") };
        let reasons = vec![Reason::Last(1), Reason::Oldest(Period::Weekly)];
        let group = Group { host: Some("h".to_owned()), paths: Some(snapshot.paths.clone()), tags: None };
        let decided = GroupDecision { group, snapshots: vec![Decision { snapshot, reasons }] };

        let document = Forget::new("cd", &ForgetSummary { groups: vec![decided] }, true);

        assert_eq!(
            serde_json::to_value(document).unwrap(),
            json!({
                "command": "forget", "vault": "cd", "dry_run": true, "forgotten": 0, "kept": 1,
                "groups": [{
                    "host": "h", "paths": [{"path": "/a"}], "tags": null,
                    "snapshots": [{
                        "id": "ab".repeat(32), "committed": "2026-11-22T10:00:05Z", "host": "h",
                        "paths": [{"path": "/a"}], "tags": ["t"], "partial": false, "keep": true,
                        "reasons": ["last 1", "oldest weekly"],
                    }],
                }],
            })
        );
    }
}
