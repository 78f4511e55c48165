//! A chain: a card up to the newest entry that was verified.
//!
//! [`Verified`] has no constructor but [`Chain::begin`] and [`Chain::verify`], so nothing unverified can enter a chain.

use super::device::check_consents;
use super::entry::{Card, Entry};
use super::error::CardError;
use crate::id::{CardHash, UserId};

/// An entry that was verified against the card before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified(Entry);

/// The newest entry of a card; by its hashes it stands for all before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    user: UserId,
    newest: Entry,
}

impl Verified {
    /// The entry.
    pub fn get(&self) -> &Entry {
        &self.0
    }
}

impl Chain {
    /// Verifies the first entry of the card of `user`.
    pub fn begin(user: &UserId, stored: &[u8]) -> Result<Self, CardError> {
        let entry = Entry::decode(stored)?;
        check_links(user, (0, CardHash::new([0; CardHash::LEN])), &entry)?;
        entry.check_signature()?; // [4]
        check_consents(user, None, entry.card())?; // [5]
        Ok(Self { user: *user, newest: entry })
    }

    /// Takes up a card at an entry that the caller has stored itself: what is before it is not looked at.
    ///
    /// **Not for entries that somebody else shows:** an older one would be accepted.
    pub fn resume(user: &UserId, stored: &[u8]) -> Result<Self, CardError> {
        let entry = Entry::decode(stored)?;
        check_links(user, (entry.card().seq, entry.card().prev), &entry)?;
        entry.check_signature()?;
        Ok(Self { user: *user, newest: entry })
    }

    /// Verifies the entry that follows; the chain stays as it is.
    pub fn verify(&self, stored: &[u8]) -> Result<Verified, CardError> {
        let entry = Entry::decode(stored)?;
        check_links(&self.user, (self.next_seq(), self.newest.hash()), &entry)?;
        entry.check_signature()?; // [4]
        check_consents(&self.user, Some(self.card()), entry.card())?; // [5]
        Ok(Verified(entry))
    }

    /// Makes a verified entry the newest one.
    ///
    /// # Errors
    ///
    /// As for [`Self::verify`], if it was verified against another chain.
    pub fn apply(&mut self, Verified(entry): Verified) -> Result<(), CardError> {
        check_links(&self.user, (self.next_seq(), self.newest.hash()), &entry)?;
        self.newest = entry;
        Ok(())
    }

    /// Verifies the entry that follows, and makes it the newest one.
    pub fn append(&mut self, stored: &[u8]) -> Result<(), CardError> {
        let verified = self.verify(stored)?;
        self.apply(verified)
    }

    /// Whose card it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// What counts now.
    pub fn card(&self) -> &Card {
        self.newest.card()
    }

    /// The hash of the newest entry, which the next one names.
    pub fn hash(&self) -> CardHash {
        self.newest.hash()
    }

    /// Where the next entry stands.
    pub fn next_seq(&self) -> u64 {
        self.card().seq.saturating_add(1)
    }
}

/// Step 3: whether the entry is of this card and comes next on it.
fn check_links(user: &UserId, (seq, prev): (u64, CardHash), entry: &Entry) -> Result<(), CardError> {
    let card = entry.card();
    let found = card.user();
    if found != *user {
        return Err(CardError::WrongUser { expected: *user, found });
    }
    if card.seq != seq {
        return Err(CardError::WrongSeq { expected: seq, found: card.seq });
    }
    // The first has none before it, also where a card is taken up at it.
    let none = CardHash::new([0; CardHash::LEN]);
    if card.prev != prev || (seq == 0) && prev != none {
        return Err(CardError::BrokenChain { seq });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{ListedDevice, MAX_DEVICES, MAX_ENTRY_BYTES};
    use super::*;
    use crate::cbor::{CborError, Encoder};
    use crate::crypto::hash;
    use crate::crypto::labels::SIGN_CARD;
    use crate::crypto::secret::Secret;
    use crate::crypto::sign::SigningKey;
    use crate::log::DeviceKind;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(Secret::new([number; 32]))
    }

    fn device(number: u8) -> ListedDevice {
        let recipient = format!("age1pq1device{number}");
        ListedDevice::new(&key(number), &user(), recipient, DeviceKind::Full)
    }

    fn user() -> UserId {
        hash::user_id(&key(1).verifying_key().0)
    }

    fn first() -> Card {
        Card::first(
            key(1).verifying_key(),
            "age1pq1user".into(),
            vec![device(11), device(12)],
            1_790_000_000_000,
        )
    }

    fn chain() -> Chain {
        Chain::begin(&user(), &first().sign(&key(1)).unwrap()).unwrap()
    }

    #[test]
    fn a_card_is_followed_from_entry_to_entry() {
        let mut chain = chain();
        let next = chain.card().next(chain.hash(), vec![device(12)], 5);

        chain.append(&next.sign(&key(1)).unwrap()).unwrap();

        assert_eq!((chain.user(), chain.next_seq(), chain.card()), (user(), 2, &next));
        assert!(chain.card().device(&device(12).id()).is_some());
        assert_eq!(chain.card().device(&device(11).id()), None);
        let newest = next.sign(&key(1)).unwrap();
        assert_eq!(Chain::resume(&user(), &newest), Ok(chain));
    }

    #[test]
    fn entries_of_others_places_and_chains_are_refused() {
        let chain = chain();
        let next = chain.card().next(chain.hash(), vec![device(12)], 5);
        let verify = |card: &Card, by: u8| chain.verify(&card.sign(&key(by)).unwrap()).map(drop);
        let other = Card { root_key: key(2).verifying_key(), ..next.clone() };
        let found = hash::user_id(&key(2).verifying_key().0);

        assert_eq!(verify(&next, 1), Ok(()));
        assert_eq!(verify(&next, 2), Err(CardError::BadSignature { seq: 1 }));
        assert_eq!(verify(&other, 2), Err(CardError::WrongUser { expected: user(), found }));
        assert_eq!(
            verify(&Card { seq: 2, ..next.clone() }, 1),
            Err(CardError::WrongSeq { expected: 1, found: 2 })
        );
        assert_eq!(verify(&first(), 1), Err(CardError::WrongSeq { expected: 1, found: 0 }));
        let prev = CardHash::new([9; 32]);
        assert_eq!(verify(&Card { prev, ..next.clone() }, 1), Err(CardError::BrokenChain { seq: 1 }));
        let begun = Chain::begin(&user(), &next.sign(&key(1)).unwrap());
        assert_eq!(begun, Err(CardError::WrongSeq { expected: 0, found: 1 }));
        let stranger = first().sign(&key(1)).unwrap();
        assert!(matches!(Chain::begin(&found, &stranger), Err(CardError::WrongUser { .. })));
        let linked = Card { prev, ..first() }.sign(&key(1)).unwrap();
        assert_eq!(Chain::resume(&user(), &linked), Err(CardError::BrokenChain { seq: 0 }));
    }

    #[test]
    fn an_entry_verified_for_one_chain_does_not_enter_another() {
        let mut chain = chain();
        let next = chain.card().next(chain.hash(), vec![], 5).sign(&key(1)).unwrap();
        let verified = chain.verify(&next).unwrap();
        chain.apply(verified.clone()).unwrap();

        assert_eq!(chain.apply(verified), Err(CardError::WrongSeq { expected: 2, found: 1 }));
    }

    #[test]
    fn devices_stand_in_order_and_once_and_are_at_most_64() {
        let mut card = first();
        card.devices.reverse();
        assert!(matches!(card.sign(&key(1)), Err(CardError::DeviceOrder { .. })));
        let twice = Card::first(key(1).verifying_key(), "age1u".into(), vec![device(3), device(3)], 0);
        assert_eq!(twice.sign(&key(1)), Err(CardError::DeviceOrder { device: device(3).id() }));

        let long = |number| ListedDevice::new(&key(number), &user(), "x".repeat(2000), DeviceKind::Full);
        let full = Card::first(key(1).verifying_key(), "x".repeat(2000), (1..=64).map(long).collect(), 0);
        assert!(Chain::begin(&user(), &full.sign(&key(1)).unwrap()).is_ok());
        let more = Card::first(key(1).verifying_key(), "age1u".into(), (1..=65).map(device).collect(), 0);
        assert_eq!(more.sign(&key(1)), Err(CardError::TooManyDevices { devices: MAX_DEVICES + 1 }));
    }

    #[test]
    fn every_beginning_and_every_changed_byte_is_refused() {
        let stored = first().sign(&key(1)).unwrap();

        for length in 0..stored.len() {
            assert!(Chain::begin(&user(), &stored[..length]).is_err(), "{length}");
        }
        for at in 0..stored.len() {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            assert!(Chain::begin(&user(), &changed).is_err(), "{at}");
        }
        let large = vec![0; MAX_ENTRY_BYTES + 1];
        assert_eq!(Entry::decode(&large), Err(CardError::TooLarge { bytes: large.len() }));
    }

    #[test]
    fn a_later_version_is_named_and_unknown_keys_of_an_entry_are_refused() {
        let mut payload = Encoder::new();
        payload.map(1).uint(0).uint(2);
        let payload = payload.finish();
        let entry = |extra: bool| {
            let mut out = Encoder::new();
            out.map(2 + usize::from(extra))
                .uint(0)
                .bytes(&payload)
                .uint(1)
                .bytes(&key(1).sign(SIGN_CARD, &payload));
            if extra {
                out.uint(128).uint(0);
            }
            out.finish()
        };

        assert_eq!(Entry::decode(&entry(false)), Err(CardError::NewerVersion { version: 2 }));
        assert_eq!(Entry::decode(&entry(true)), Err(CborError::UnknownKey { key: 128 }.into()));
    }
}
