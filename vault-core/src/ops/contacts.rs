//! Other people's cards: read whole, and compared with what was pinned of them before.
//!
//! What was pinned changes only by what the same card adds: everything else is told, and never taken.

use crate::card::{Card, CardError, WholeCard};
use crate::crypto::sign::VerifyingKey;
use crate::error::Error;
use crate::id::{CardHash, UserId};
use crate::keys::device::DeviceKeys;
use crate::keys::identity_file::UserIdentity;
use crate::net::{NetErrorKind, Server};
use crate::ops::Surroundings;
use crate::ops::cards::{self, Seen};
use crate::wire::Millis;

/// What is pinned of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The user: the hash of the root key.
    pub user: UserId,
    /// What signs the card.
    pub root_key: VerifyingKey,
    /// What is sealed to the person, by the newest entry that was seen.
    pub recipient: String,
    /// The first entry of the card.
    pub first: CardHash,
    /// The newest entry that was seen.
    pub seen: Seen,
}

/// How a card that is shown is not the one that was pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardChange {
    /// There is none any more.
    #[error("no card is shown, and there was one")]
    Gone,
    /// It does not verify.
    #[error("the card that is shown does not verify")]
    Invalid(#[from] CardError),
    /// It is another person's.
    #[error("the card belongs to {found:?}, and was that of {expected:?}")]
    OtherUser {
        /// Whose it was.
        expected: UserId,
        /// Whose it is.
        found: UserId,
    },
    /// It begins with another entry.
    #[error("the card begins with {found:?}, and began with {expected:?}")]
    OtherBeginning {
        /// The first entry before.
        expected: CardHash,
        /// The first entry now.
        found: CardHash,
    },
    /// It does not have the newest entry that was seen.
    #[error(
        "the card ends with entry {} ({:?}), without entry {} ({:?}) that was seen before",
        .found.seq, .found.hash, .expected.seq, .expected.hash
    )]
    RolledBack {
        /// The newest entry that was seen.
        expected: Seen,
        /// The newest entry now.
        found: Seen,
    },
}

impl Pinned {
    /// Pins a card that was not known before.
    pub fn of(card: &WholeCard) -> Self {
        Self {
            user: card.user(),
            root_key: card.card().root_key,
            recipient: card.card().recipient.clone(),
            first: card.first(),
            seen: Seen::of(card.chain()),
        }
    }

    /// Whether a card is of the same person, and sealed to in the same way: it may be another one, as for another server.
    pub fn has_same_keys(&self, card: &WholeCard) -> bool {
        let card = card.card();
        card.user() == self.user && card.root_key == self.root_key && card.recipient == self.recipient
    }

    /// Takes up what the card has added; on any other difference it stays as it is.
    pub fn follow(&mut self, card: &WholeCard) -> Result<(), CardChange> {
        let (expected, found) = (self.user, card.user());
        if found != expected {
            return Err(CardChange::OtherUser { expected, found });
        }
        let (expected, found) = (self.first, card.first());
        if found != expected {
            return Err(CardChange::OtherBeginning { expected, found });
        }
        let (expected, found) = (self.seen, Seen::of(card.chain()));
        if !card.has(expected.seq, &expected.hash) {
            return Err(CardChange::RolledBack { expected, found });
        }
        *self = Self::of(card);
        Ok(())
    }
}

/// Reads the whole card of a user from a server, and verifies it; what is wrong with it is the inner error.
pub fn read(server: &Server, user: &UserId) -> Result<Result<WholeCard, CardChange>, Error> {
    match server.card(user, 0) {
        Ok(entries) if entries.is_empty() => Ok(Err(CardChange::Gone)),
        Ok(entries) => Ok(WholeCard::verify(Some(user), entries).map_err(CardChange::from)),
        Err(error) if error.kind() == NetErrorKind::NotFound => Ok(Err(CardChange::Gone)),
        Err(error) => Err(error.into()),
    }
}

/// Makes the card of a user whom no server knows.
pub fn own_card(
    identity: &UserIdentity,
    device: &DeviceKeys,
    around: &Surroundings<'_>,
) -> Result<WholeCard, Error> {
    let devices = vec![cards::recovery(identity), cards::machine(device, &identity.user_id())];
    let time = Millis::from_timestamp(around.clock.now()).0;
    let recipient = identity.recipient().to_string();
    let card = Card::first(identity.root().verifying_key(), recipient, devices, time);
    let entry = card.sign(identity.root())?;
    Ok(WholeCard::verify(Some(&identity.user_id()), vec![entry])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::FixedRandom;
    use crate::crypto::sign::SigningKey;
    use crate::ops::Stop;
    use crate::progress::Recording;
    use crate::time::{FixedClock, Timestamp};

    struct Person {
        identity: UserIdentity,
        card: WholeCard,
    }

    impl Person {
        fn new(seed: u64) -> Self {
            let random = FixedRandom::new(seed);
            let (identity, device) =
                (UserIdentity::generate(&random).unwrap(), DeviceKeys::generate(&random).unwrap());
            let (clock, progress, stop) =
                (FixedClock(Timestamp::new(seed as i64, 0)), Recording::default(), Stop::new());
            let around = Surroundings { clock: &clock, random: &random, progress: &progress, stop: &stop };
            let card = own_card(&identity, &device, &around).unwrap();
            Self { identity, card }
        }

        /// The card with one more entry that has one device less and this recipient.
        fn next(&self, entries: &[Vec<u8>], recipient: Option<&str>) -> Vec<Vec<u8>> {
            let card = WholeCard::verify(None, entries.to_vec()).unwrap();
            let mut next = card.card().next(card.chain().hash(), vec![], 7);
            if let Some(recipient) = recipient {
                recipient.clone_into(&mut next.recipient);
            }
            [entries, &[next.sign(root(&self.identity)).unwrap()]].concat()
        }
    }

    fn root(identity: &UserIdentity) -> &SigningKey {
        identity.root()
    }

    fn whole(entries: &[Vec<u8>]) -> WholeCard {
        WholeCard::verify(None, entries.to_vec()).unwrap()
    }

    #[test]
    fn what_a_card_adds_is_taken_up() {
        let person = Person::new(1);
        let mut pinned = Pinned::of(&person.card);
        let entries = person.next(&[person.card.entries()[0].clone()], Some("age1other"));

        pinned.follow(&whole(&entries)).unwrap();

        assert_eq!((pinned.recipient.as_str(), pinned.seen.seq), ("age1other", 1));
        assert_eq!(pinned.first, person.card.first());
    }

    #[test]
    fn every_other_card_is_refused_and_changes_nothing() {
        let (person, other) = (Person::new(1), Person::new(2));
        let one = person.card.entries().to_vec();
        let two = person.next(&one, None);
        let fork = person.next(&one, Some("age1fork"));
        let mut pinned = Pinned::of(&whole(&two));
        let before = pinned.clone();
        let again = {
            let mut card = person.card.card().clone();
            card.time += 1;
            whole(&[card.sign(person.identity.root()).unwrap()])
        };

        assert!(matches!(pinned.follow(&whole(&one)), Err(CardChange::RolledBack { .. })));
        assert!(matches!(pinned.follow(&whole(&fork)), Err(CardChange::RolledBack { .. })));
        assert!(matches!(pinned.follow(&again), Err(CardChange::OtherBeginning { .. })));
        assert!(matches!(pinned.follow(&other.card), Err(CardChange::OtherUser { .. })));
        assert_eq!(pinned, before);
        assert!(pinned.has_same_keys(&again) && !pinned.has_same_keys(&other.card));
        assert!(!pinned.has_same_keys(&whole(&fork)));
    }
}
