//! A whole card: every entry from the first one on, and its text, which people hand to each other.
//!
//! [`WholeCard`] has no constructor but [`WholeCard::verify`], so that what a contact is pinned to was always followed from its
//! beginning. The text has one form for each card:
//!
//! ```text
//! -----BEGIN VAULT CONTACT CARD-----
//! base64, 64 characters in a line, of: CBOR array [ entry as stored, … ]
//! -----END VAULT CONTACT CARD-----
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::chain::Chain;
use super::entry::{Card, Entry};
use super::error::CardError;
use crate::cbor::{CborError, Decoder, Encoder};
use crate::id::{CardHash, UserId};

/// The longest text of a card that is read: hundreds of changes of several devices fit.
const MAX_TEXT_BYTES: usize = 8 << 20;

const BEGIN: &str = "-----BEGIN VAULT CONTACT CARD-----\n";
const END: &str = "-----END VAULT CONTACT CARD-----\n";
/// Characters in a full line.
const LINE: usize = 64;

/// A card that was verified from its first entry to its newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeCard {
    chain: Chain,
    entries: Vec<Vec<u8>>,
    hashes: Vec<CardHash>,
}

/// A text that is no contact card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardTextError {
    /// Longer than a card may be.
    #[error("the contact card has {bytes} bytes, more than one may have")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not between the two lines that a card has around it, or not the one text of its bytes.
    #[error("not a contact card: expected the whole text from -----BEGIN VAULT CONTACT CARD----- on")]
    NotArmored,
    /// Not a list of entries.
    #[error("the contact card is malformed")]
    Malformed(#[from] CborError),
    /// An entry that does not follow.
    #[error("the contact card does not verify")]
    Card(#[from] CardError),
}

impl WholeCard {
    /// Verifies all entries of the card of `user`, or of whomever the first entry names.
    ///
    /// # Errors
    ///
    /// What is wrong with the first entry that does not follow; an empty card is malformed.
    pub fn verify(user: Option<&UserId>, entries: Vec<Vec<u8>>) -> Result<Self, CardError> {
        let Some((first, rest)) = entries.split_first() else {
            return Err(CborError::Range { field: "entries" }.into());
        };
        let user = match user {
            Some(user) => *user,
            None => Entry::decode(first)?.card().user(),
        };
        let mut chain = Chain::begin(&user, first)?;
        let mut hashes = vec![chain.hash()];
        for entry in rest {
            chain.append(entry)?;
            hashes.push(chain.hash());
        }
        Ok(Self { chain, entries, hashes })
    }

    /// The card up to its newest entry.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What counts now.
    pub fn card(&self) -> &Card {
        self.chain.card()
    }

    /// Whose card it is.
    pub fn user(&self) -> UserId {
        self.chain.user()
    }

    /// All entries as stored.
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.entries
    }

    /// The hash of its first entry.
    pub fn first(&self) -> CardHash {
        // There is always a first one.
        self.hashes.first().copied().unwrap_or(CardHash::new([0; CardHash::LEN]))
    }

    /// Whether entry `seq` is the one with this hash.
    pub fn has(&self, seq: u64, hash: &CardHash) -> bool {
        usize::try_from(seq).is_ok_and(|seq| self.hashes.get(seq) == Some(hash))
    }

    /// The text that people hand to each other.
    ///
    /// # Errors
    ///
    /// [`CardTextError::TooLong`] if nobody would read it.
    pub fn to_text(&self) -> Result<String, CardTextError> {
        let mut out = Encoder::new();
        out.array(self.entries.len());
        for entry in &self.entries {
            out.bytes(entry);
        }
        let base64 = BASE64_STANDARD.encode(out.finish());
        let mut text =
            String::with_capacity(base64.len() + base64.len() / LINE + BEGIN.len() + END.len() + 1);
        text.push_str(BEGIN);
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str(END);
        if text.len() > MAX_TEXT_BYTES { Err(CardTextError::TooLong { bytes: text.len() }) } else { Ok(text) }
    }

    /// Parses the text of a card, and verifies the card.
    pub fn parse(text: &[u8]) -> Result<Self, CardTextError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CardTextError::TooLong { bytes: text.len() });
        }
        let armored = str::from_utf8(text).map_err(|_| CardTextError::NotArmored)?;
        let inner = armored.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let base64: String = inner.ok_or(CardTextError::NotArmored)?.lines().collect();
        let bytes = BASE64_STANDARD.decode(base64).map_err(|_| CardTextError::NotArmored)?;
        let card = Self::verify(None, Decoder::decode_all(&bytes, read_entries)?)?;
        // The same bytes can stand in lines of other lengths.
        if card.to_text()?.as_bytes() == text { Ok(card) } else { Err(CardTextError::NotArmored) }
    }
}

fn read_entries(input: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, CborError> {
    let count = input.array()?;
    (0..count).map(|_| Ok(input.bytes()?.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::ListedDevice;
    use super::*;
    use crate::crypto::secret::Secret;
    use crate::crypto::sign::SigningKey;
    use crate::log::DeviceKind;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(Secret::new([number; 32]))
    }

    fn device(number: u8) -> ListedDevice {
        let recipient = format!("age1pq1device{number}");
        let user = crate::crypto::hash::user_id(&key(1).verifying_key().0);
        ListedDevice::new(&key(number), &user, recipient, DeviceKind::Full)
    }

    /// A card of so many entries.
    fn entries(count: u8) -> Vec<Vec<u8>> {
        let first = Card::first(key(1).verifying_key(), "age1user".into(), vec![device(11)], 1);
        let mut entries = vec![first.sign(&key(1)).unwrap()];
        for number in 1..count {
            let card = WholeCard::verify(None, entries.clone()).unwrap();
            let next = card.card().next(card.chain().hash(), vec![device(11), device(20 + number)], 2);
            entries.push(next.sign(&key(1)).unwrap());
        }
        entries
    }

    #[test]
    fn a_card_reads_back_from_its_text_and_knows_all_its_entries() {
        let card = WholeCard::verify(None, entries(3)).unwrap();
        let text = card.to_text().unwrap();

        assert_eq!(WholeCard::parse(text.as_bytes()).as_ref(), Ok(&card));
        assert!(text.lines().all(|line| line.len() <= 64));
        assert!(card.has(0, &card.first()) && card.has(2, &card.chain().hash()));
        assert!(!card.has(1, &card.first()) && !card.has(3, &card.first()));
    }

    #[test]
    fn a_text_in_another_form_is_refused() {
        let text = WholeCard::verify(None, entries(1)).unwrap().to_text().unwrap();
        let unwrapped: String = text.lines().enumerate().fold(String::new(), |all, (number, line)| {
            let end = if number == 0 || line.len() < 64 || line.starts_with('-') { "\n" } else { "" };
            all + line + end
        });

        for other in [
            text.trim_end().to_owned(),
            format!("{text}\n"),
            text.replace('\n', "\r\n"),
            text.to_lowercase(),
            unwrapped,
            String::new(),
        ] {
            assert!(matches!(WholeCard::parse(other.as_bytes()), Err(CardTextError::NotArmored)), "{other}");
        }
        let long = vec![b'A'; MAX_TEXT_BYTES + 1];
        assert_eq!(WholeCard::parse(&long), Err(CardTextError::TooLong { bytes: long.len() }));
    }

    #[test]
    fn entries_that_do_not_follow_are_refused() {
        let entries = entries(3);
        let verify =
            |at: &[usize]| WholeCard::verify(None, at.iter().map(|at| entries[*at].clone()).collect());

        assert!(verify(&[0, 1, 2]).is_ok() && verify(&[0]).is_ok());
        for wrong in [&[][..], &[1], &[0, 2], &[1, 0], &[0, 1, 1]] {
            assert!(verify(wrong).is_err(), "{wrong:?}");
        }
        let stranger = crate::crypto::hash::user_id(&key(2).verifying_key().0);
        assert!(matches!(
            WholeCard::verify(Some(&stranger), entries.clone()),
            Err(CardError::WrongUser { .. })
        ));
    }
}
