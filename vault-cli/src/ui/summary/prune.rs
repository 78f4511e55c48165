//! What `prune` and `compact` did, for people.

use std::fmt::Write as _;
use std::time::Duration;

use vault_core::bytes::ByteSize;
use vault_core::ops::compact::CompactSummary;
use vault_core::ops::prune::PruneSummary;

use super::super::human::{count, counted, duration};
use super::Lines;

/// What `prune` did, or would do.
pub(crate) fn prune(dry_run: bool, summary: &PruneSummary, elapsed: Duration) -> String {
    let mut lines = Lines::new(&headline(dry_run, summary, elapsed));
    lines.row(if dry_run { "to delete" } else { "deleted" }, &deleted(summary));
    kept(&mut lines, summary);
    if summary.unused_bytes > summary.kept_bytes / 10 {
        lines.row("next", "`vault compact` frees most of what is unused");
    }
    lines.0
}

/// What `compact` did, or would do.
pub(crate) fn compact(dry_run: bool, summary: &CompactSummary, elapsed: Duration) -> String {
    let pruned = &summary.pruned;
    let mut lines = Lines::new(&headline(dry_run, pruned, elapsed));
    let packs = |packs, bytes| format!("{}, {}", counted(packs, "pack"), ByteSize(bytes));
    if dry_run {
        lines.row("to repack", &packs(summary.repacked_packs, summary.repacked_bytes));
        lines.row("to delete", &deleted(pruned));
    } else {
        let old = packs(summary.repacked_packs, summary.repacked_bytes);
        lines.row("repacked", &format!("{old}, into {}", packs(summary.new_packs, summary.new_bytes)));
        lines.row("deleted", &deleted(pruned));
    }
    kept(&mut lines, pruned);
    lines.0
}

fn headline(dry_run: bool, summary: &PruneSummary, elapsed: Duration) -> String {
    let freed = ByteSize(summary.freed_bytes);
    match (dry_run, summary.interrupted) {
        (true, _) => format!("would delete {freed}; nothing was changed"),
        (false, false) => format!("freed {freed} in {}", duration(elapsed)),
        (false, true) => format!("interrupted after {}: {freed} freed so far", duration(elapsed)),
    }
}

fn deleted(summary: &PruneSummary) -> String {
    let mut text = counted(summary.packs, "pack");
    if summary.orphans > 0 {
        // Writing to a `String` cannot fail.
        let _ = write!(text, ", {} of them left by interrupted runs", count(summary.orphans));
    }
    if summary.leftovers > 0 {
        let _ = write!(text, "; {} left by an earlier prune", counted(summary.leftovers, "pack"));
    }
    text
}

fn kept(lines: &mut Lines, summary: &PruneSummary) {
    let unused = if summary.unused_bytes == 0 {
        String::new()
    } else {
        format!(", about {} of it unused", ByteSize(summary.unused_bytes))
    };
    let bytes = ByteSize(summary.kept_bytes);
    lines.row("kept", &format!("{}, {bytes}{unused}", counted(summary.kept_packs, "pack")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> PruneSummary {
        PruneSummary {
            packs: 12,
            freed_bytes: 300 << 20,
            kept_packs: 40,
            kept_bytes: 1 << 30,
            unused_bytes: 200 << 20,
            ..PruneSummary::default()
        }
    }

    #[test]
    fn a_prune_is_told_in_aligned_rows() {
        let orphans = PruneSummary { orphans: 2, leftovers: 1, ..summary() };

        assert_eq!(
            prune(false, &orphans, Duration::from_secs(2)),
            "freed 300.0 MiB in 2.0 s\n  \
               deleted    12 packs, 2 of them left by interrupted runs; 1 pack left by an earlier prune\n  \
               kept       40 packs, 1.0 GiB, about 200.0 MiB of it unused\n  \
               next       `vault compact` frees most of what is unused\n"
        );
    }

    #[test]
    fn a_dry_run_and_an_interruption_say_so_first() {
        let interrupted = PruneSummary { interrupted: true, ..summary() };

        assert!(prune(true, &summary(), Duration::ZERO).starts_with("would delete 300.0 MiB; nothing was"));
        assert!(
            prune(false, &interrupted, Duration::from_secs(2))
                .starts_with("interrupted after 2.0 s: 300.0 MiB freed so far\n")
        );
    }

    #[test]
    fn a_compaction_tells_what_became_of_what() {
        let compacted = CompactSummary {
            pruned: PruneSummary { unused_bytes: 0, ..summary() },
            repacked_packs: 3,
            repacked_bytes: 96 << 20,
            new_packs: 1,
            new_bytes: 30 << 20,
        };

        assert_eq!(
            compact(false, &compacted, Duration::from_secs(2)),
            "freed 300.0 MiB in 2.0 s\n  \
               repacked   3 packs, 96.0 MiB, into 1 pack, 30.0 MiB\n  \
               deleted    12 packs\n  \
               kept       40 packs, 1.0 GiB\n"
        );
    }
}
