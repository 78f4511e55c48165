//! The recovery kit: what is needed, beside a passphrase, to read a vault again when every machine is lost.
//!
//! A kit is one line of ASCII, its *payload*, in two dresses: a block of text that people can read, whose second half is an
//! ordinary age file, and texts for QR codes. Both carry a check over the whole payload, so that a kit that was typed wrongly
//! or put together from two is refused before anybody doubts the passphrase.
//!
//! ```text
//! payload  1,<vault id>,<seq>,<hash of the head>,<location>,sealed|plain,<base64 of the identity>[,<contact>;…]
//! contact  <name>:<user id>:<when words were compared, in seconds since 1970, or ->
//! check    SHA-256(payload)[..4] as hex
//! code     VAULT-KIT:<number>/<count>:<check>:<part of the payload>
//! ```
//!
//! In the location every byte but letters, digits and `/ . _ - : ~` is written `%xx`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::crypto::hash::object_hash;
use crate::id::{Seq, StatementHash, UserId, VaultId};
use crate::log::Head;

/// The longest kit that is read: an identity sealed to several post-quantum recipients is below 20 kB.
const MAX_BYTES: usize = 1 << 18;
/// Characters of the payload in one code: with what stands before them they fit into a QR code of version 13 with error
/// correction M, which is narrow enough for a terminal of 80 columns.
const PART: usize = 300;
/// The most codes that a kit has.
const MAX_CODES: usize = 999;

const BEGIN: &str = "-----BEGIN VAULT RECOVERY KIT-----";
const END: &str = "-----END VAULT RECOVERY KIT-----";
const BEGIN_AGE: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END_AGE: &str = "-----END AGE ENCRYPTED FILE-----";
const BEGIN_PLAIN: &str = "-----BEGIN VAULT IDENTITY-----";
const END_PLAIN: &str = "-----END VAULT IDENTITY-----";
const CODE: &str = "VAULT-KIT:";

/// What a kit holds.
pub struct Kit {
    /// The vault.
    pub vault: VaultId,
    /// The newest statement that was known: an older log is a rollback.
    pub head: Head,
    /// Where the vault was, as bytes of a path or a URL.
    pub location: Vec<u8>,
    /// What opens it.
    pub identity: KitIdentity,
    /// The people one shares with. Their ids are hashes of their root keys: with these nobody else can be put in their place.
    pub contacts: Vec<KitContact>,
}

/// Somebody one shares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitContact {
    /// What they are called: letters, digits and `. _ -`.
    pub name: String,
    /// Who they are.
    pub user: UserId,
    /// When words were compared with them, in seconds since 1970 UTC.
    pub verified: Option<i64>,
}

impl KitContact {
    fn fields(&self) -> (&str, UserId, String) {
        (&self.name, self.user, self.verified.map_or_else(|| "-".to_owned(), |seconds| seconds.to_string()))
    }

    fn parse(name: &str, user: &str, verified: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let verified = if verified == "-" { None } else { Some(verified.parse().ok()?) };
        let user = UserId::parse(user).ok()?;
        let is_name = !name.is_empty() && name.bytes().all(is_plain);
        is_name.then(|| Self { name: name.to_owned(), user, verified })
    }
}

/// The user's identity in a kit.
pub enum KitIdentity {
    /// An identity file: a passphrase or key is needed beside the kit.
    Sealed(Vec<u8>),
    /// The plaintext of one: the kit alone opens everything.
    Plain(Zeroizing<Vec<u8>>),
}

/// Why a text is no kit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// There is neither a block nor a code in it.
    #[error("there is no recovery kit in the text")]
    NoKit,
    /// It is longer than any kit.
    #[error("{bytes} bytes are too long for a recovery kit")]
    TooLong {
        /// Length of the text.
        bytes: usize,
    },
    /// The block begins and does not end.
    #[error("the recovery kit is cut off: {END} is missing")]
    CutOff,
    /// A code is missing.
    #[error("code {number} of {count} is missing")]
    MissingCode {
        /// Its number.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// Codes of different kits.
    #[error("the codes belong to different recovery kits")]
    Mixed,
    /// The kit was made by a newer version.
    #[error("the recovery kit is of version {found:?}; this program reads version 1")]
    Version {
        /// What it says.
        found: String,
    },
    /// Some of it was changed.
    #[error("the recovery kit was changed: its check is {expected}, what is read has {found}")]
    Check {
        /// The check in the kit.
        expected: String,
        /// The check of what was read.
        found: String,
    },
    /// Something in it is not well formed.
    #[error("{what} of the recovery kit is not well formed")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
}

impl Kit {
    /// The block of text. **With a plain identity it opens everything.**
    pub fn to_text(&self) -> Zeroizing<String> {
        let (payload, identity) = (self.payload(), self.identity_block());
        let contacts: String = self.contacts.iter().fold(String::new(), |mut lines, contact| {
            let (name, user, verified) = contact.fields();
            // Writing to a `String` cannot fail.
            let _ = writeln!(lines, "contact {name} {user} {verified}");
            lines
        });
        let text = format!(
            "{BEGIN}\nversion 1\nvault {}\nhead {} {}\nlocation {}\n{contacts}check {}\n{}{END}\n",
            self.vault,
            self.head.seq,
            self.head.hash,
            escape(&self.location),
            check(&payload),
            *identity,
        );
        Zeroizing::new(text)
    }

    /// The texts for QR codes, in order. **With a plain identity they open everything.**
    pub fn to_codes(&self) -> Vec<Zeroizing<String>> {
        let payload = self.payload();
        let count = payload.len().div_ceil(PART);
        let check = check(&payload);
        let parts = payload.as_bytes().chunks(PART).enumerate();
        parts
            .map(|(i, part)| {
                let part = str::from_utf8(part).expect("the payload is ASCII");
                Zeroizing::new(format!("{CODE}{}/{count}:{check}:{part}", i + 1))
            })
            .collect()
    }

    /// Reads a kit: the block wherever it stands in the text, or else the texts of all codes, in any order.
    pub fn parse(text: &str) -> Result<Self, KitError> {
        if text.len() > MAX_BYTES {
            return Err(KitError::TooLong { bytes: text.len() });
        }
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        match lines.iter().position(|line| *line == BEGIN) {
            Some(begin) => parse_block(&lines[begin + 1..]),
            None => parse_codes(&lines),
        }
    }

    fn payload(&self) -> Zeroizing<String> {
        let (kind, identity) = match &self.identity {
            KitIdentity::Sealed(file) => ("sealed", &file[..]),
            KitIdentity::Plain(text) => ("plain", &text[..]),
        };
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(identity));
        let (seq, hash, location) = (self.head.seq, self.head.hash, escape(&self.location));
        let contacts = self.contacts.iter().map(|contact| {
            let (name, user, verified) = contact.fields();
            format!("{name}:{user}:{verified}")
        });
        let contacts = contacts.collect::<Vec<_>>().join(";");
        let comma = if contacts.is_empty() { "" } else { "," };
        Zeroizing::new(format!(
            "1,{},{seq},{hash},{location},{kind},{}{comma}{contacts}",
            self.vault, *encoded
        ))
    }

    fn identity_block(&self) -> Zeroizing<String> {
        let (begin, end, identity) = match &self.identity {
            KitIdentity::Sealed(file) => (BEGIN_AGE, END_AGE, &file[..]),
            KitIdentity::Plain(text) => (BEGIN_PLAIN, END_PLAIN, &text[..]),
        };
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(identity));
        // Of its final size, so that growing leaves no copies.
        let mut block =
            Zeroizing::new(String::with_capacity(encoded.len() * 2 + begin.len() + end.len() + 4));
        // Writing to a `String` cannot fail.
        let _ = writeln!(block, "{begin}");
        for line in encoded.as_bytes().chunks(64) {
            let _ = writeln!(block, "{}", str::from_utf8(line).expect("base64 is ASCII"));
        }
        let _ = writeln!(block, "{end}");
        block
    }

    /// Reads a payload and compares it with its check.
    fn parse_payload(payload: &str, expected: &str) -> Result<Self, KitError> {
        let mut fields = payload.split(',');
        let mut next = |what| fields.next().ok_or(KitError::Malformed { what });
        let version = next("the version")?;
        if version != "1" {
            return Err(KitError::Version { found: version.chars().take(20).collect() });
        }
        let found = check(payload);
        if found != expected {
            return Err(KitError::Check { expected: expected.chars().take(20).collect(), found });
        }
        let vault = VaultId::parse(next("the vault id")?)
            .map_err(|_| KitError::Malformed { what: "the vault id" })?;
        let (seq, hash) = (next("the head")?, next("the head")?);
        let head = head(seq, hash)?;
        let location = unescape(next("the location")?)?;
        let (kind, encoded) = (next("the identity")?, next("the identity")?);
        let malformed = KitError::Malformed { what: "the identity" };
        let identity = Zeroizing::new(BASE64_STANDARD.decode(encoded).map_err(|_| malformed.clone())?);
        let identity = match kind {
            "sealed" => KitIdentity::Sealed(identity.to_vec()),
            "plain" => KitIdentity::Plain(identity),
            _ => return Err(malformed),
        };
        let contacts = fields.next().map_or(Ok(Vec::new()), parse_contacts)?;
        if fields.next().is_some() {
            return Err(KitError::Malformed { what: "the end" });
        }
        Ok(Self { vault, head, location, identity, contacts })
    }
}

fn parse_contacts(text: &str) -> Result<Vec<KitContact>, KitError> {
    let contact = |text: &str| {
        let (name, rest) = text.split_once(':')?;
        let (user, verified) = rest.split_once(':')?;
        KitContact::parse(name, user, verified)
    };
    let contacts = text.split(';').map(|text| contact(text).ok_or(KitError::Malformed { what: "a contact" }));
    contacts.collect()
}

fn head(seq: &str, hash: &str) -> Result<Head, KitError> {
    let malformed = |_| KitError::Malformed { what: "the head" };
    let seq = Seq(seq.parse().map_err(|_| KitError::Malformed { what: "the head" })?);
    Ok(Head { seq, hash: StatementHash::parse(hash).map_err(malformed)? })
}

/// `SHA-256(payload)[..4]` as hex.
fn check(payload: &str) -> String {
    object_hash(payload.as_bytes())[..4].iter().fold(String::with_capacity(8), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Puts the payload of a block together again; `lines` follow its beginning.
fn parse_block(lines: &[&str]) -> Result<Kit, KitError> {
    let end = lines.iter().position(|line| *line == END).ok_or(KitError::CutOff)?;
    let lines = &lines[..end];
    let field = |name: &'static str| {
        let values = lines.iter().filter_map(|line| line.strip_prefix(name));
        let mut values = values.filter(|value| value.is_empty() || value.starts_with(' '));
        values.next().map(str::trim).ok_or(KitError::Malformed { what: name })
    };
    let version = field("version")?;
    let (seq, hash) = field("head")?.split_once(' ').ok_or(KitError::Malformed { what: "head" })?;
    let between = |begin, end| {
        let first = lines.iter().position(|line| *line == begin)? + 1;
        let length = lines[first..].iter().position(|line| *line == end)?;
        Some(&lines[first..first + length])
    };
    let sealed = between(BEGIN_AGE, END_AGE).map(|lines| ("sealed", lines));
    let plain = || between(BEGIN_PLAIN, END_PLAIN).map(|lines| ("plain", lines));
    let (kind, identity) = sealed.or_else(plain).ok_or(KitError::Malformed { what: "the identity" })?;
    let identity = Zeroizing::new(identity.concat());
    let contacts = lines.iter().filter_map(|line| line.strip_prefix("contact "));
    let contacts = contacts.map(|contact| contact.replace(' ', ":")).collect::<Vec<_>>().join(";");
    let comma = if contacts.is_empty() { "" } else { "," };
    let payload = Zeroizing::new(format!(
        "{version},{},{seq},{hash},{},{kind},{}{comma}{contacts}",
        field("vault")?,
        field("location")?,
        *identity
    ));
    Kit::parse_payload(&payload, field("check")?)
}

/// Puts codes together again.
fn parse_codes(lines: &[&str]) -> Result<Kit, KitError> {
    let codes: Vec<Code<'_>> =
        lines.iter().filter_map(|line| line.strip_prefix(CODE)).map(Code::parse).collect::<Result<_, _>>()?;
    let Some(first) = codes.first() else { return Err(KitError::NoKit) };
    if codes.iter().any(|code| (code.count, code.check) != (first.count, first.check)) {
        return Err(KitError::Mixed);
    }
    let mut payload = Zeroizing::new(String::with_capacity(first.count.saturating_mul(PART)));
    for number in 1..=first.count {
        let code = codes.iter().find(|code| code.number == number);
        let code = code.ok_or(KitError::MissingCode { number, count: first.count })?;
        payload.push_str(code.part);
    }
    Kit::parse_payload(&payload, first.check)
}

/// One code.
struct Code<'a> {
    number: usize,
    count: usize,
    check: &'a str,
    part: &'a str,
}

impl<'a> Code<'a> {
    /// Reads what follows [`CODE`].
    fn parse(text: &'a str) -> Result<Self, KitError> {
        let malformed = || KitError::Malformed { what: "a code" };
        let mut fields = text.splitn(3, ':');
        let (number, count) = fields.next().and_then(|field| field.split_once('/')).ok_or_else(malformed)?;
        let (check, part) = (fields.next().ok_or_else(malformed)?, fields.next().ok_or_else(malformed)?);
        let (number, count) =
            (number.parse().map_err(|_| malformed())?, count.parse().map_err(|_| malformed())?);
        if !(1..=MAX_CODES).contains(&count) || part.len() > PART {
            return Err(malformed());
        }
        Ok(Self { number, count, check, part })
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len()), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"/._-:~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
        text
    })
}

fn unescape(text: &str) -> Result<Vec<u8>, KitError> {
    let malformed = || KitError::Malformed { what: "the location" };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(malformed)?;
        let digits = str::from_utf8(digits).map_err(|_| malformed())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| malformed())?);
        rest = after;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kit(identity: KitIdentity) -> Kit {
        Kit {
            vault: VaultId::new([0xab; 32]),
            head: Head { seq: Seq(17), hash: StatementHash::new([0xcd; 32]) },
            location: b"/mnt/my disk, 2/caf\xe9".to_vec(),
            identity,
            contacts: Vec::new(),
        }
    }

    fn sealed() -> Kit {
        kit(KitIdentity::Sealed((0..450_u32).map(|i| (i * 7) as u8).collect()))
    }

    fn joined(codes: &[Zeroizing<String>]) -> String {
        codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join("\r\n")
    }

    #[track_caller]
    fn assert_same(a: &Kit, b: &Kit) {
        assert_eq!(*a.payload(), *b.payload());
    }

    #[test]
    fn a_kit_is_read_from_its_text_wherever_it_stands() {
        let text = format!("Keep this.\r\n\r\n  {}\nMore.", sealed().to_text().replace('\n', "\r\n  "));

        assert_same(&Kit::parse(&text).unwrap(), &sealed());
        assert_eq!(Kit::parse(&text).unwrap().location, sealed().location);
    }

    #[test]
    fn the_sealed_identity_stands_in_the_text_as_an_age_file() {
        let text = sealed().to_text();
        let block = text.split_once(BEGIN_AGE).unwrap().1.split_once(END_AGE).unwrap().0;
        assert!(block.trim().lines().all(|line| line.len() <= 64));

        let file = BASE64_STANDARD.decode(block.replace('\n', "")).unwrap();

        assert!(matches!(sealed().identity, KitIdentity::Sealed(sealed) if sealed == file));
    }

    #[test]
    fn a_kit_is_read_from_its_codes_in_any_order() {
        let mut codes = sealed().to_codes();
        assert!(codes.len() > 1 && codes.iter().all(|code| code.len() <= 331));
        codes.reverse();

        assert_same(&Kit::parse(&joined(&codes)).unwrap(), &sealed());
        let last = codes.pop();
        assert!(last.is_some());
        assert!(matches!(Kit::parse(&joined(&codes)), Err(KitError::MissingCode { number: 1, .. })));
    }

    #[test]
    fn contacts_come_back_and_none_is_changed_unseen() {
        let contact =
            |name: &str, verified| KitContact { name: name.to_owned(), user: UserId::new([7; 16]), verified };
        let kit = Kit {
            contacts: vec![contact("anna", Some(1_700_000_000)), contact("b.c-d_e", None)],
            ..sealed()
        };
        let text = kit.to_text();

        for read in [Kit::parse(&text).unwrap(), Kit::parse(&joined(&kit.to_codes())).unwrap()] {
            assert_eq!(read.contacts, kit.contacts);
        }
        for (from, to) in
            [("0707", "0708"), ("anna", "hanna"), ("contact b.c-d_e", "contract b.c-d_e"), (" -\n", " 5\n")]
        {
            assert!(matches!(Kit::parse(&text.replacen(from, to, 1)), Err(KitError::Check { .. })), "{from}");
        }
    }

    #[test]
    fn codes_of_two_kits_are_not_mixed() {
        let other = kit(KitIdentity::Sealed(vec![1; 450]));
        let mut codes = sealed().to_codes();
        codes[0] = other.to_codes().swap_remove(0);

        assert!(matches!(Kit::parse(&joined(&codes)), Err(KitError::Mixed)));
    }

    #[test]
    fn a_plain_identity_is_marked_as_such() {
        let plain = kit(KitIdentity::Plain(Zeroizing::new(b"# vault identity\n".to_vec())));

        for text in [plain.to_text().to_string(), joined(&plain.to_codes())] {
            let parsed = Kit::parse(&text).unwrap();
            assert!(matches!(&parsed.identity, KitIdentity::Plain(text) if text.starts_with(b"# vault")));
        }
    }

    #[test]
    fn a_kit_that_was_changed_is_refused_with_what_is_wrong() {
        let text = sealed().to_text();
        let parse = |text: &str| Kit::parse(text).err();
        let cut = text.split_once(END).unwrap().0;

        assert!(matches!(parse(&text.replace("head 17", "head 18")), Some(KitError::Check { .. })));
        assert!(matches!(parse(&text.replace("abab", "abac")), Some(KitError::Check { .. })));
        assert!(matches!(parse(&text.replace("version 1", "version 2")), Some(KitError::Version { .. })));
        assert!(matches!(
            parse(&text.replace("vault ab", "vault: ab")),
            Some(KitError::Malformed { what: "vault" })
        ));
        assert_eq!(parse(cut), Some(KitError::CutOff));
        assert_eq!(parse("hello"), Some(KitError::NoKit));
        assert_eq!(parse("VAULT-KIT:1/0:00:x"), Some(KitError::Malformed { what: "a code" }));
        assert!(matches!(parse(&"x".repeat(MAX_BYTES + 1)), Some(KitError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn any_kit_comes_back(location in prop::collection::vec(any::<u8>(), 0..50), file in prop::collection::vec(any::<u8>(), 0..3000)) {
            let kit = Kit { location, ..kit(KitIdentity::Sealed(file)) };
            prop_assert_eq!(&*Kit::parse(&kit.to_text()).unwrap().payload(), &*kit.payload());
            prop_assert_eq!(&*Kit::parse(&joined(&kit.to_codes())).unwrap().payload(), &*kit.payload());
        }

        #[test]
        fn no_text_makes_it_panic(text in "(VAULT-KIT:[0-9/:,%a-f]{0,40}\n){0,4}|-----BEGIN VAULT RECOVERY KIT-----\n[ -~\n]{0,200}") {
            let _ = Kit::parse(&text);
        }
    }
}
