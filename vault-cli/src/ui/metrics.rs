//! Metrics in the text format that Prometheus reads, for its textfile collector.
//!
//! Names and labels are a promise, like the fields of the JSON documents.

use std::fmt::Write as _;

use vault_core::ops::status::{Status, Subject};

/// What `status` knows, as gauges.
pub(crate) fn status(vault: &str, status: &Status) -> String {
    let mut text = String::new();
    let vault_label = format!("vault=\"{}\"", escaped(vault));
    let mut gauge = |name: &str, help: &str, samples: &[(String, String)]| {
        if samples.is_empty() {
            return;
        }
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{{{vault_label}{labels}}} {value}");
        }
    };
    let one = |value: String| [(String::new(), value)];
    gauge("vault_safe", "Whether nothing is overdue.", &one(u8::from(status.overdue.is_empty()).to_string()));
    gauge("vault_status_timestamp_seconds", "When this was found out.", &one(status.now.seconds.to_string()));
    let newest: Vec<_> = status
        .groups
        .iter()
        .filter_map(|group| Some((labels(&group.subject), group.newest?.1.seconds.to_string())))
        .collect();
    gauge("vault_newest_snapshot_timestamp_seconds", "When the newest complete snapshot was made.", &newest);
    let complete: Vec<_> =
        status.groups.iter().map(|group| (labels(&group.subject), group.complete.to_string())).collect();
    gauge("vault_snapshots", "How many complete snapshots there are.", &complete);
    gauge(
        "vault_future_dated_snapshots",
        "How many snapshots are dated in the future.",
        &one(status.future_dated.to_string()),
    );
    let packs = &status.packs;
    gauge("vault_packs", "How many packs are in use.", &one(packs.count.to_string()));
    gauge("vault_pack_bytes", "Bytes in packs that are in use.", &one(packs.bytes.to_string()));
    gauge("vault_packs_never_verified", "How many packs were never verified.", &one(packs.never.to_string()));
    if let Some(since) = packs.verified_since {
        gauge(
            "vault_verified_since_timestamp_seconds",
            "When the pack was verified whose verification is longest ago.",
            &one(since.seconds.to_string()),
        );
    }
    text
}

fn labels(subject: &Subject) -> String {
    match subject {
        Subject::Device(device) => format!(",device=\"{device}\""),
        Subject::Group(group) => {
            let paths: Vec<_> = group.paths.iter().flatten().map(|path| path.to_string_lossy()).collect();
            format!(
                ",host=\"{}\",paths=\"{}\"",
                escaped(group.host.as_deref().unwrap_or_default()),
                escaped(&paths.join(" "))
            )
        }
    }
}

/// A label's value with the three characters escaped that would end it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use vault_core::id::SnapshotId;
    use vault_core::ops::groups::Group;
    use vault_core::ops::status::{GroupStatus, PackStatus};
    use vault_core::time::Timestamp;

    use super::*;

    #[test]
    fn gauges_have_these_names_and_labels() {
        let group =
            Group { host: Some("h\"\n".to_owned()), paths: Some(vec![PathBuf::from("/a\\b")]), tags: None };
        let newest = Some((SnapshotId::new([1; 32]), Timestamp::new(50, 0)));
        let groups =
            vec![GroupStatus { subject: Subject::Group(group), newest, complete: 3, overdue: false }];
        let packs = PackStatus { count: 4, bytes: 5, never: 0, verified_since: Some(Timestamp::new(40, 0)) };
        let found = Status { now: Timestamp::new(60, 0), groups, packs, future_dated: 0, overdue: vec![] };

        let text = status("cd", &found);

        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"vault_safe{vault="cd"} 1"#,
                r#"vault_status_timestamp_seconds{vault="cd"} 60"#,
                r#"vault_newest_snapshot_timestamp_seconds{vault="cd",host="h\"\n",paths="/a\\b"} 50"#,
                r#"vault_snapshots{vault="cd",host="h\"\n",paths="/a\\b"} 3"#,
                r#"vault_future_dated_snapshots{vault="cd"} 0"#,
                r#"vault_packs{vault="cd"} 4"#,
                r#"vault_pack_bytes{vault="cd"} 5"#,
                r#"vault_packs_never_verified{vault="cd"} 0"#,
                r#"vault_verified_since_timestamp_seconds{vault="cd"} 40"#,
            ]
        );
        assert!(text.contains("# TYPE vault_safe gauge\n"));
    }
}
