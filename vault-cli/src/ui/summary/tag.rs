//! What tags snapshots have after `tag`, for people: a line for each.

use std::fmt::Write as _;

use vault_core::ops::tag::Tagged;

use super::super::human::message;

/// A line for each snapshot, with its tags.
pub(crate) fn tagged(tagged: &[Tagged]) -> String {
    let mut text = String::new();
    for one in tagged {
        let tags: Vec<String> = one.tags.iter().map(|tag| message(tag)).collect();
        let tags = if tags.is_empty() { "no tags".to_owned() } else { tags.join(",") };
        let unchanged = if one.changed { "" } else { " (as before)" };
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "snapshot {}: {tags}{unchanged}", one.snapshot.short());
    }
    text
}

#[cfg(test)]
mod tests {
    use vault_core::id::SnapshotId;

    use super::*;

    #[test]
    fn each_snapshot_has_a_line_with_its_tags() {
        let one = |tags: &[&str], changed| Tagged {
            snapshot: SnapshotId::new([0xab; 32]),
            tags: tags.iter().copied().map(str::to_owned).collect(),
            changed,
        };

        assert_eq!(
            tagged(&[one(&["a", "b\n"], true), one(&[], false)]),
            "snapshot abababab: a,b \nsnapshot abababab: no tags (as before)\n"
        );
    }
}
