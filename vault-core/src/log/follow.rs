//! Following a log: from its beginning to its end, past the head that the reader remembers.
//!
//! A state comes out only if the log extends the remembered head. A server can hide the newest statements from someone who has
//! never seen them, but it cannot take back, change or insert one that a reader has verified.
//!
//! Statements up to the remembered head are not verified by signature again. The reader did that when it came to remember the
//! head; now it follows the hashes and finds, at the head's place, the remembered hash. The hash covers the stored bytes of
//! that statement, and by `prev` those of every one before, so they are the bytes that were verified then. If the hash is
//! another one, or the log ends before, everything read is dropped.

use std::convert::Infallible;

use super::error::LogError;
use super::head::Head;
use super::state::State;
use super::verify::Proof;
use crate::id::{Seq, StatementHash, VaultId};

/// Why a log cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError<E: std::error::Error + 'static> {
    /// A statement could not be read.
    #[error("statement {seq} could not be read")]
    Read {
        /// Where it stands.
        seq: Seq,
        /// What the store says.
        source: E,
    },
    /// A statement is not what must stand there.
    #[error("the log is not valid")]
    Invalid(#[from] LogError),
    /// There is no log.
    #[error("there is no log")]
    Empty,
    /// A statement is not there, though a later one is. Only who can list the statements finds this out.
    #[error("statement {missing} is missing, though statement {later} is there")]
    Gap {
        /// The first one that is missing.
        missing: Seq,
        /// The last one that is there.
        later: Seq,
    },
    /// Another statement stands at the remembered head's place: someone shows different readers different logs.
    #[error("statement {seq} was {expected} and is now {found}")]
    Forked {
        /// The remembered head's place.
        seq: Seq,
        /// The remembered hash.
        expected: StatementHash,
        /// The hash of what stands there now.
        found: StatementHash,
    },
    /// The log ends before the remembered head: someone shows an older state, or has lost statements.
    #[error("the log reached statement {} before and now ends earlier", remembered.seq)]
    RolledBack {
        /// The remembered head.
        remembered: Head,
        /// The last statement that is there; `None` if there is none.
        found_last: Option<Seq>,
    },
}

/// Reads the log of `vault` from the genesis on until `read` has no further statement, and folds it.
///
/// `read` gives the stored bytes of one statement, `None` if there is none of that number. A gap counts as the end of the log.
pub fn follow<E: std::error::Error + 'static>(
    remembered: Option<Head>,
    vault: &VaultId,
    read: &mut dyn FnMut(Seq) -> Result<Option<Vec<u8>>, E>,
) -> Result<(State, Head), FollowError<E>> {
    let proof = |seq: Seq| match remembered {
        Some(head) if seq <= head.seq => Proof::LaterHead,
        _ => Proof::Signatures,
    };
    let Some(genesis) = read_at(Seq::GENESIS, read)? else {
        return Err(match remembered {
            Some(remembered) => FollowError::RolledBack { remembered, found_last: None },
            None => FollowError::Empty,
        });
    };
    let mut state = State::begin_with(vault, &genesis, proof(Seq::GENESIS))?;
    check_remembered(remembered, state.head())?;
    while let Some(stored) = read_at(state.next_seq(), read)? {
        state.append_with(&stored, proof(state.next_seq()))?;
        check_remembered(remembered, state.head())?;
    }
    match remembered {
        Some(remembered) if remembered.seq > state.head().seq => {
            Err(FollowError::RolledBack { remembered, found_last: Some(state.head().seq) })
        }
        _ => {
            let head = state.head();
            Ok((state, head))
        }
    }
}

/// Folds statements that the reader has verified before: those after `state`, or all from the genesis on, the last of which is `remembered`.
///
/// The state comes out only if the last one has the remembered hash.
pub fn replay<'s>(
    state: Option<State>,
    vault: &VaultId,
    stored: impl IntoIterator<Item = &'s [u8]>,
    remembered: Head,
) -> Result<State, FollowError<Infallible>> {
    let mut stored = stored.into_iter();
    let mut state = match state {
        Some(state) => state,
        None => State::begin_with(vault, stored.next().ok_or(FollowError::Empty)?, Proof::LaterHead)?,
    };
    for stored in stored {
        state.append_with(stored, Proof::LaterHead)?;
    }
    let reached = state.head();
    check_remembered(Some(remembered), reached)?;
    if reached.seq == remembered.seq {
        Ok(state)
    } else {
        Err(FollowError::RolledBack { remembered, found_last: Some(reached.seq) })
    }
}

/// Reads and folds what was appended since `state`, verifying every statement, and tells the new head.
///
/// After an error the state holds the statements before the one at fault.
pub fn extend<E: std::error::Error + 'static>(
    state: &mut State,
    read: &mut dyn FnMut(Seq) -> Result<Option<Vec<u8>>, E>,
) -> Result<Head, FollowError<E>> {
    while let Some(stored) = read_at(state.next_seq(), read)? {
        state.append(&stored)?;
    }
    Ok(state.head())
}

fn read_at<E: std::error::Error + 'static>(
    seq: Seq,
    read: &mut dyn FnMut(Seq) -> Result<Option<Vec<u8>>, E>,
) -> Result<Option<Vec<u8>>, FollowError<E>> {
    read(seq).map_err(|source| FollowError::Read { seq, source })
}

fn check_remembered<E: std::error::Error + 'static>(
    remembered: Option<Head>,
    reached: Head,
) -> Result<(), FollowError<E>> {
    match remembered {
        Some(Head { seq, hash }) if seq == reached.seq && hash != reached.hash => {
            Err(FollowError::Forked { seq, expected: hash, found: reached.hash })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Body;
    use super::super::testing::{Example, TestLog, commit};
    use super::*;
    use crate::cbor::CborError;

    /// Follows the log in which statement `seq` is replaced.
    fn with_statement(log: &TestLog, seq: usize, stored: Vec<u8>, remembered: Option<Head>) -> bool {
        let mut log = log.clone();
        log.stored[seq] = stored;
        log.follow(remembered).is_ok()
    }

    fn flipped(stored: &[u8], byte: usize, bit: u8) -> Vec<u8> {
        let mut stored = stored.to_vec();
        stored[byte] ^= 1 << bit;
        stored
    }

    #[test]
    fn every_remembered_head_leads_to_the_same_state() {
        let log = Example::new().log;
        let head = log.follow(None).unwrap().head();

        assert_eq!(head, log.head(4));
        for seq in 0..log.stored.len() {
            assert_eq!(log.follow(Some(log.head(seq))).unwrap().head(), head);
        }
    }

    #[test]
    fn a_log_that_ends_before_the_remembered_head_is_a_rollback() {
        let mut log = Example::new().log;
        let remembered = log.head(4);

        while let Some(_last) = log.stored.pop() {
            let found_last = log.stored.len().checked_sub(1).map(|seq| Seq(seq as u64));
            let rolled_back = FollowError::RolledBack { remembered, found_last };
            assert_eq!(log.follow(Some(remembered)).unwrap_err(), rolled_back);
        }
        assert_eq!(log.follow(None).unwrap_err(), FollowError::Empty);
    }

    #[test]
    fn a_log_that_goes_another_way_is_a_fork_even_if_every_statement_is_valid() {
        let example = Example::new();
        let (mut one, mut other) = (example.log.clone(), example.log.clone());
        one.push_commit(&example.laptop, commit(1, 5));
        other.push_commit(&example.laptop, commit(1, 6)).push_commit(&example.laptop, commit(1, 7));
        assert!(other.follow(None).is_ok());

        let (expected, found) = (one.head(5).hash, other.head(5).hash);

        let forked = FollowError::Forked { seq: Seq(5), expected, found };
        assert_eq!(other.follow(Some(one.head(5))).unwrap_err(), forked);
    }

    #[test]
    fn unsigned_statements_pass_only_before_the_remembered_head() {
        let example = Example::new();
        let mut log = example.log.clone();
        let mut state = example.state();
        let payload = log.draft(example.laptop.id(), Body::Commit(commit(1, 5)));
        log.push(&payload, &example.nas.key);

        // Nobody comes to remember this head, for nobody could verify it: the test only shows where trust begins.
        assert!(log.follow(Some(log.head(5))).is_ok());
        for remembered in [None, Some(log.head(4))] {
            assert!(matches!(
                log.follow(remembered),
                Err(FollowError::Invalid(LogError::BadSignature { .. }))
            ));
        }
        assert!(extend::<Infallible>(&mut state, &mut |seq| Ok(log.read(seq))).is_err());
    }

    #[test]
    fn swapped_dropped_and_repeated_statements_are_refused() {
        let log = Example::new().log;
        for seq in 0..4 {
            let mut swapped = log.clone();
            swapped.stored.swap(seq, seq + 1);
            let mut dropped = log.clone();
            dropped.stored.remove(seq);
            let mut repeated = log.clone();
            repeated.stored.insert(seq, log.stored[seq].clone());

            for tampered in [swapped, dropped, repeated] {
                assert!(matches!(tampered.follow(None), Err(FollowError::Invalid(_))), "{seq}");
                assert!(tampered.follow(Some(log.head(4))).is_err(), "{seq}");
            }
        }
    }

    #[test]
    fn a_gap_is_the_end_of_the_log() {
        let log = Example::new().log;
        let mut gap = |seq: Seq| Ok::<_, Infallible>(if seq == Seq(3) { None } else { log.read(seq) });

        let (state, head) = follow(None, &log.vault, &mut gap).unwrap();
        let remembering = follow(Some(log.head(4)), &log.vault, &mut gap).unwrap_err();

        assert_eq!((state.next_seq(), head), (Seq(3), log.head(2)));
        assert!(matches!(remembering, FollowError::RolledBack { found_last: Some(Seq(2)), .. }));
    }

    #[test]
    fn a_statement_cut_short_anywhere_is_refused() {
        let log = Example::new().log;
        for (seq, stored) in log.stored.iter().enumerate() {
            for length in 0..stored.len() {
                assert!(!with_statement(&log, seq, stored[..length].to_vec(), None), "{seq}: {length}");
            }
        }
    }

    #[test]
    fn any_flipped_bit_before_the_remembered_head_is_refused() {
        let log = Example::new().log;
        for (seq, stored) in log.stored.iter().enumerate() {
            for (byte, bit) in (0..stored.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
                let changed = flipped(stored, byte, bit);
                assert!(!with_statement(&log, seq, changed, Some(log.head(4))), "{seq}: {byte}, {bit}");
            }
        }
    }

    #[test]
    fn a_flip_in_any_byte_is_refused_without_remembering_anything() {
        let log = Example::new().log;
        for (seq, stored) in log.stored.iter().enumerate() {
            for byte in 0..stored.len() {
                let changed = flipped(stored, byte, (byte % 8) as u8);
                assert!(!with_statement(&log, seq, changed, None), "{seq}: {byte}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_other_bytes_in_a_statements_place_are_refused(
            seq in 0..5_usize, at: prop::sample::Index, bit in 0..8_u8, more: Vec<u8>, remember: bool,
        ) {
            let log = Example::new().log;
            let mut changed = flipped(&log.stored[seq], at.index(log.stored[seq].len()), bit);
            changed.extend(more);

            prop_assert!(!with_statement(&log, seq, changed, remember.then(|| log.head(4))));
        }
    }

    #[test]
    fn what_was_appended_since_is_read_without_the_rest() {
        let mut example = Example::new();
        let mut state = example.state();
        example.log.push_commit(&example.nas, commit(1, 5)).push_commit(&example.nas, commit(1, 6));
        let mut asked = Vec::new();

        let head = extend::<Infallible>(&mut state, &mut |seq| {
            asked.push(seq);
            Ok(example.log.read(seq))
        });

        assert_eq!(head, Ok(example.log.head(6)));
        assert_eq!(asked, [Seq(5), Seq(6), Seq(7)]);
        assert_eq!(state.snapshots().len(), 5);
    }

    fn replayed(log: &TestLog, from: usize, remembered: Head) -> Result<State, FollowError<Infallible>> {
        let begun = (from > 0).then(|| {
            let before = log.stored[..from].iter().map(|stored| &stored[..]);
            replay(None, &log.vault, before, log.head(from - 1)).unwrap()
        });
        replay(begun, &log.vault, log.stored[from..].iter().map(|stored| &stored[..]), remembered)
    }

    #[test]
    fn what_was_verified_before_is_replayed_in_any_parts_and_to_its_head_only() {
        let log = Example::new().log;
        for from in 0..log.stored.len() {
            let state = replayed(&log, from, log.head(4)).unwrap();
            assert_eq!((state.head(), state.snapshots().len()), (log.head(4), 3));

            let forked = Head { hash: log.head(3).hash, ..log.head(4) };
            assert!(matches!(replayed(&log, from, forked), Err(FollowError::Forked { .. })));
            let mut shorter = log.clone();
            shorter.stored.pop();
            if from < shorter.stored.len() {
                let error = replayed(&shorter, from, log.head(4)).unwrap_err();
                assert!(matches!(error, FollowError::RolledBack { .. }), "{error}");
            }
        }
        for (seq, byte) in (0..5).flat_map(|seq| (0..log.stored[seq].len()).map(move |byte| (seq, byte))) {
            let mut changed = log.clone();
            changed.stored[seq] = flipped(&log.stored[seq], byte, (byte % 8) as u8);
            assert!(replayed(&changed, 0, log.head(4)).is_err(), "{seq}: {byte}");
        }
    }

    #[test]
    fn a_state_that_keeps_nothing_sealed_says_the_same_of_everything_else() {
        let mut example = Example::new();
        let before = example.state();
        let mut lean = before.clone();
        lean.drop_sealed();
        let dropped_first = lean.dropped_bytes();
        example.log.push_commit(&example.nas, commit(1, 5)).push_commit(&example.nas, commit(1, 6));
        for stored in &example.log.stored[5..] {
            lean.append(stored).unwrap();
        }

        let whole = example.state();
        assert_eq!((lean.head(), lean.snapshots().len()), (whole.head(), whole.snapshots().len()));
        assert_eq!(lean.all_indexes().collect::<Vec<_>>(), whole.all_indexes().collect::<Vec<_>>());
        let sealed = |state: &State| {
            let sizes = state.snapshots().iter().map(|snapshot| &snapshot.commit);
            sizes.map(|commit| (commit.body.len() + commit.session_envelope.len()) as u64).sum::<u64>()
        };
        assert_eq!((sealed(&lean), dropped_first), (0, sealed(&before)));
        assert_eq!((lean.dropped_bytes(), whole.dropped_bytes()), (sealed(&whole), 0));
    }

    #[test]
    fn a_read_error_is_passed_on_with_its_place() {
        let log = Example::new().log;
        let mut broken = |seq: Seq| match seq {
            Seq(2) => Err(CborError::NotUtf8),
            _ => Ok(log.read(seq)),
        };

        let error = follow(None, &log.vault, &mut broken).unwrap_err();

        assert_eq!(error, FollowError::Read { seq: Seq(2), source: CborError::NotUtf8 });
    }
}
