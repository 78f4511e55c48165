//! Fingerprints: how people see that a key is whose they think it is: a new machine of their own, or another person.
//!
//! A device's fingerprint is the hash of both its public keys. The URL carries all of it, for machines; six words show 66 bits, for
//! people who compare by eye within the 15 minutes that a request lives.
//!
//! Two people compare *twelve* words, six of each user. Words of one hash over both users would be shorter, but somebody between the
//! two chooses a key towards each: with 66 bits of one hash, 2^33 keys for each side hold a pair for which both see the same. With
//! six words of each user there is nothing to pair: each side's six must be hit alone, which takes 2^66 keys.

use std::fmt;

use bip39::Language;

use super::authority::{Authority, Pin};
use super::encoding::{from_base64url, to_base64url};
use crate::crypto::hash;
use crate::crypto::sign::VerifyingKey;
use crate::id::{RequestId, UserId};

/// Words that people compare.
pub const WORDS: usize = 6;

/// Bits that a word shows.
const BITS: usize = 11;

/// The words of BIP-39: no two of them share their first four letters.
const LANGUAGE: Language = Language::English;

/// The hash of a new device's public keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// `https://HOST[:PORT]/device/REQUEST#FINGERPRINT[.PIN]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequestUrl {
    /// Where the request waits.
    pub authority: Authority,
    /// The request.
    pub request: RequestId,
    /// What the keys in the request must hash to.
    pub fingerprint: Fingerprint,
    /// The server's key; without it, the server's certificate must chain to the roots of the system.
    pub pin: Option<Pin>,
}

/// Text that is not the URL of a device request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a device request: expected https://HOST/device/…#…")]
pub struct ParseRequestError;

impl Fingerprint {
    /// `BLAKE3("vault/1 hash request" || 0x00 || signing public key || recipient)`.
    pub fn of(signing_key: &VerifyingKey, recipient: &str) -> Self {
        Self(hash::device_fingerprint(&signing_key.0, recipient))
    }

    /// The first 66 bits as six words, most significant bit first.
    pub fn words(&self) -> [&'static str; WORDS] {
        let bit = |at: usize| usize::from(self.0[at / 8] >> (7 - at % 8) & 1);
        std::array::from_fn(|word| {
            let number = (0..BITS).fold(0, |number, at| number << 1 | bit(word * BITS + at));
            LANGUAGE.word_list()[number]
        })
    }
}

/// The words by which people recognise a user: the first 66 bits of the id, which is a hash of the root key.
pub fn user_words(user: &UserId) -> [&'static str; WORDS] {
    let mut bytes = [0; 32];
    bytes[..UserId::LEN].copy_from_slice(user.as_bytes());
    Fingerprint(bytes).words()
}

/// The words that two people compare, the same on both sides: those of the smaller id, then those of the other.
pub fn pair_words(one: &UserId, other: &UserId) -> [&'static str; 2 * WORDS] {
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    let (first, second) = (user_words(first), user_words(second));
    std::array::from_fn(|at| if at < WORDS { first[at] } else { second[at - WORDS] })
}

/// The words of a recipient that has no card: the first 66 bits of a hash of its text.
pub fn recipient_words(recipient: &str) -> [&'static str; WORDS] {
    Fingerprint(hash::recipient_fingerprint(recipient)).words()
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl DeviceRequestUrl {
    /// Parses the URL; blanks around it are ignored.
    pub fn parse(text: &str) -> Result<Self, ParseRequestError> {
        parse(text.trim()).ok_or(ParseRequestError)
    }
}

fn parse(text: &str) -> Option<DeviceRequestUrl> {
    let (authority, rest) = text.strip_prefix("https://")?.split_once("/device/")?;
    let (request, fragment) = rest.split_once('#')?;
    let (fingerprint, pin) = match fragment.split_once('.') {
        Some((fingerprint, pin)) => (fingerprint, Some(Pin::parse(pin)?)),
        None => (fragment, None),
    };
    Some(DeviceRequestUrl {
        authority: Authority::parse(authority)?,
        request: RequestId::parse(request).ok()?,
        fingerprint: Fingerprint(from_base64url(fingerprint)?),
        pin,
    })
}

impl fmt::Display for DeviceRequestUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = super::v1::paths::device(&self.request);
        write!(f, "https://{}{path}#{}", self.authority, to_base64url(&self.fingerprint.0))?;
        self.pin.iter().try_for_each(|pin| write!(f, ".{pin}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_has_a_word_for_every_number_and_four_letters_tell_them_apart() {
        let words = LANGUAGE.word_list();
        let beginnings: BTreeSet<_> = words.iter().map(|word| &word[..word.len().min(4)]).collect();

        assert_eq!((words.len(), beginnings.len()), (1 << BITS, 1 << BITS));
        assert!(
            words.is_sorted() && words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
        );
    }

    #[test]
    fn the_words_show_the_first_66_bits() {
        let mut bytes = [0; 32];
        assert_eq!(Fingerprint(bytes).words(), ["abandon"; 6]);
        assert_eq!(Fingerprint([0xff; 32]).words(), ["zoo"; 6]);
        bytes[8] = 0b0011_1111;
        assert_eq!(Fingerprint(bytes).words(), ["abandon"; 6]);
        bytes[8] = 0b0100_0000;
        assert_eq!(Fingerprint(bytes).words()[5], "ability");
        for at in 0..WORDS * BITS {
            let mut bytes = [0; 32];
            bytes[at / 8] = 0x80 >> (at % 8);
            let changed = Fingerprint(bytes).words().iter().position(|word| *word != "abandon");
            assert_eq!(changed, Some(at / BITS), "{at}");
        }
    }

    #[test]
    fn the_words_of_a_user_are_those_of_the_id() {
        assert_eq!(user_words(&UserId::new([0xff; 16])), ["zoo"; 6]);
        assert_ne!(user_words(&UserId::new([1; 16])), user_words(&UserId::new([2; 16])));
    }

    #[test]
    fn two_people_see_the_same_words_and_either_ones_change_them() {
        let (alice, bob, mallory) = (UserId::new([1; 16]), UserId::new([2; 16]), UserId::new([3; 16]));
        let words = pair_words(&alice, &bob);

        assert_eq!(pair_words(&bob, &alice), words);
        assert_eq!((&words[..6], &words[6..]), (&user_words(&alice)[..], &user_words(&bob)[..]));
        assert_ne!(pair_words(&alice, &mallory), words);
        assert_ne!(pair_words(&mallory, &bob), words);
        assert_ne!(recipient_words("age1a"), recipient_words("age1b"));
    }

    #[test]
    fn both_keys_make_the_fingerprint() {
        let of = |key: u8, recipient: &str| Fingerprint::of(&VerifyingKey([key; 32]), recipient);

        assert_eq!(of(1, "age1a"), of(1, "age1a"));
        assert_ne!(of(1, "age1a"), of(2, "age1a"));
        assert_ne!(of(1, "age1a"), of(1, "age1b"));
    }

    #[test]
    fn a_request_parses_back_from_its_url_and_every_other_text_is_refused() {
        let url = DeviceRequestUrl {
            authority: Authority::parse("[::1]:8443").unwrap(),
            request: RequestId::new([3; 16]),
            fingerprint: Fingerprint([4; 32]),
            pin: Some(Pin([5; 32])),
        };
        let text = url.to_string();
        let without_pin = DeviceRequestUrl { pin: None, ..url.clone() };

        assert_eq!(DeviceRequestUrl::parse(&without_pin.to_string()), Ok(without_pin));
        for other in [
            text.replace("https", "http"),
            text.replace('#', ""),
            format!("{text}A"),
            text.replace("/device/", "/join/"),
        ] {
            assert_eq!(DeviceRequestUrl::parse(&other), Err(ParseRequestError), "{other}");
        }
        assert_eq!(DeviceRequestUrl::parse(&text), Ok(url));
    }
}
