//! The names of objects, and their paths in a store.
//!
//! Every name has exactly one path and every path at most one name: what [`ObjectKey::parse`] accepts,
//! [`ObjectKey::path`] writes the same again.
//!
//! | object | path |
//! |---|---|
//! | pack | `packs/<first 2 hex digits>/<64 hex digits>` |
//! | index | `index/<64 hex digits>` |
//! | statement | `log/<10 decimal digits>` (more only beyond 9,999,999,999) |
//! | envelope | `epochs/<epoch>/<32 hex digits>.age` |
//! | identity | `identities/<32 hex digits>.age` |

use std::fmt;

use crate::id::{Epoch, IndexId, PackId, Seq, UserId};

/// Ends the names of objects that are age files, so that the `age` tool and people recognise them.
const AGE_SUFFIX: &str = ".age";

/// Names one object of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// A pack.
    Pack(PackId),
    /// An index object.
    Index(IndexId),
    /// A statement of the log.
    Statement(Seq),
    /// The envelope of one addressee in one epoch.
    Envelope {
        /// The epoch whose keys it carries.
        epoch: Epoch,
        /// The id of the user or device that can open it.
        addressee: [u8; 16],
        /// The beginning of its SHA-256, where another file has the plain name: nobody who makes envelopes at the same time, or made
        /// some and was interrupted, stands in another's way.
        besides: Option<[u8; 8]>,
    },
    /// The sealed identity of a user.
    Identity(UserId),
}

/// The kinds of object, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// See [`ObjectKey::Pack`].
    Pack,
    /// See [`ObjectKey::Index`].
    Index,
    /// See [`ObjectKey::Statement`].
    Statement,
    /// See [`ObjectKey::Envelope`].
    Envelope,
    /// See [`ObjectKey::Identity`].
    Identity,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Pack, Self::Index, Self::Statement, Self::Envelope, Self::Identity];

    /// The directory that holds all objects of the kind, and nothing else.
    pub const fn directory(self) -> &'static str {
        match self {
            Self::Pack => "packs",
            Self::Index => "index",
            Self::Statement => "log",
            Self::Envelope => "epochs",
            Self::Identity => "identities",
        }
    }

    /// How many path components an object of the kind has below [`Self::directory`].
    pub const fn depth(self) -> usize {
        match self {
            Self::Pack | Self::Envelope => 2,
            Self::Index | Self::Statement | Self::Identity => 1,
        }
    }

    /// Whether objects of the kind are named by a hash of their bytes.
    pub const fn is_content_addressed(self) -> bool {
        matches!(self, Self::Pack | Self::Index)
    }
}

impl ObjectKey {
    /// The plain name of an envelope.
    pub const fn envelope(epoch: Epoch, addressee: [u8; 16]) -> Self {
        Self::Envelope { epoch, addressee, besides: None }
    }

    /// The kind of object it names.
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::Pack(_) => ObjectKind::Pack,
            Self::Index(_) => ObjectKind::Index,
            Self::Statement(_) => ObjectKind::Statement,
            Self::Envelope { .. } => ObjectKind::Envelope,
            Self::Identity(_) => ObjectKind::Identity,
        }
    }

    /// The path of the object below the root of the store, with `/` between its components.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads a path as [`Self::path`] writes it; `None` if it is not exactly the path of an object.
    pub fn parse(path: &str) -> Option<Self> {
        let (directory, rest) = path.split_once('/')?;
        match directory {
            "packs" => {
                let (prefix, name) = rest.split_once('/')?;
                let id = PackId::parse(name).ok()?;
                (prefix == &name[..2]).then_some(Self::Pack(id))
            }
            "index" => IndexId::parse(rest).ok().map(Self::Index),
            "log" => parse_statement(rest),
            "epochs" => parse_envelope(rest),
            "identities" => UserId::parse(rest.strip_suffix(AGE_SUFFIX)?).ok().map(Self::Identity),
            _ => None,
        }
    }
}

fn parse_statement(name: &str) -> Option<ObjectKey> {
    let key = ObjectKey::Statement(Seq(parse_digits(name)?));
    // Only the canonical number of leading zeros: one statement must not have two names.
    (key.path().strip_prefix("log/") == Some(name)).then_some(key)
}

fn parse_envelope(rest: &str) -> Option<ObjectKey> {
    let (number, name) = rest.split_once('/')?;
    let epoch = Epoch(u32::try_from(parse_digits(number)?).ok()?);
    if epoch.to_string() != number {
        return None;
    }
    let name = name.strip_suffix(AGE_SUFFIX)?;
    let (addressee, besides) = name.split_once('-').map_or((name, None), |(id, hash)| (id, Some(hash)));
    // Any id of 16 bytes has this text form; whether it is a user or a device is not the store's to know.
    let addressee = *UserId::parse(addressee).ok()?.as_bytes();
    let besides = match besides {
        Some(text) => Some(parse_hex(text)?),
        None => None,
    };
    Some(ObjectKey::Envelope { epoch, addressee, besides })
}

/// Parses lower-case hexadecimal of exactly that length.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(bytes)
}

/// Parses decimal digits alone: `u64::from_str` would also take a sign.
fn parse_digits(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.kind().directory();
        match self {
            Self::Pack(id) => {
                let name = id.to_hex();
                write!(f, "{directory}/{}/{name}", &name[..2])
            }
            Self::Index(id) => write!(f, "{directory}/{id}"),
            Self::Statement(seq) => write!(f, "{directory}/{:010}", seq.0),
            Self::Envelope { epoch, addressee, besides } => {
                write!(f, "{directory}/{epoch}/{}", hex::encode(addressee))?;
                if let Some(hash) = besides {
                    write!(f, "-{}", hex::encode(hash))?;
                }
                f.write_str(AGE_SUFFIX)
            }
            Self::Identity(user) => write!(f, "{directory}/{user}{AGE_SUFFIX}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_key() -> impl Strategy<Value = ObjectKey> {
        prop_oneof![
            any::<[u8; 32]>().prop_map(|id| ObjectKey::Pack(PackId::new(id))),
            any::<[u8; 32]>().prop_map(|id| ObjectKey::Index(IndexId::new(id))),
            any::<u64>().prop_map(|seq| ObjectKey::Statement(Seq(seq))),
            (any::<u32>(), any::<[u8; 16]>(), any::<Option<[u8; 8]>>()).prop_map(
                |(epoch, addressee, besides)| ObjectKey::Envelope { epoch: Epoch(epoch), addressee, besides }
            ),
            any::<[u8; 16]>().prop_map(|id| ObjectKey::Identity(UserId::new(id))),
        ]
    }

    proptest! {
        #[test]
        fn every_key_parses_back_from_its_path(key in any_key()) {
            let path = key.path();

            prop_assert_eq!(ObjectKey::parse(&path), Some(key));
            prop_assert_eq!(path.split('/').count(), 1 + key.kind().depth());
        }

        #[test]
        fn whatever_parses_is_written_the_same_again(
            path in "(packs|index|log|epochs|identities)/[0-9a-f]{0,2}/?[0-9a-fA-F+]{0,66}(-[0-9a-fA-F]{15,17})?(\\.age)?",
        ) {
            if let Some(key) = ObjectKey::parse(&path) {
                prop_assert_eq!(key.path(), path);
            }
        }
    }

    #[test]
    fn paths_are_as_documented() {
        let hex = "ab".repeat(16);

        assert_eq!(ObjectKey::Pack(PackId::new([0xab; 32])).path(), format!("packs/ab/{hex}{hex}"));
        assert_eq!(ObjectKey::Index(IndexId::new([0xab; 32])).path(), format!("index/{hex}{hex}"));
        assert_eq!(ObjectKey::Statement(Seq(42)).path(), "log/0000000042");
        assert_eq!(ObjectKey::Identity(UserId::new([0xab; 16])).path(), format!("identities/{hex}.age"));
        assert_eq!(ObjectKey::envelope(Epoch(7), [0xab; 16]).path(), format!("epochs/7/{hex}.age"));
        let besides =
            ObjectKey::Envelope { epoch: Epoch(7), addressee: [0xab; 16], besides: Some([0xcd; 8]) };
        assert_eq!(besides.path(), format!("epochs/7/{hex}-cdcdcdcdcdcdcdcd.age"));
    }

    #[test]
    fn near_misses_are_not_objects() {
        let hex = "ab".repeat(16);
        let misses = [
            String::new(),
            "VAULT".into(),
            "log".into(),
            "log/".into(),
            "log/42".into(),
            "log/00000000042".into(),
            "log/+000000042".into(),
            "log/0000000042/".into(),
            "log/../VAULT".into(),
            "/log/0000000042".into(),
            "log/99999999999999999999".into(),
            format!("packs/{hex}{hex}"),
            format!("packs/ac/{hex}{hex}"),
            format!("packs/ab/{hex}{}", hex.to_uppercase()),
            format!("index/ab/{hex}{hex}"),
            format!("epochs/07/{hex}.age"),
            format!("epochs//{hex}.age"),
            format!("epochs/4294967296/{hex}.age"),
            format!("epochs/7/{hex}"),
            format!("epochs/7/{hex}-.age"),
            format!("epochs/7/{hex}-CDCDCDCDCDCDCDCD.age"),
            format!("epochs/7/{hex}-cdcdcdcdcdcdcdcdcd.age"),
            format!("identities/{hex}.AGE"),
            format!("packs/ab/é{}", &hex[..31]),
        ];

        for path in misses {
            assert_eq!(ObjectKey::parse(&path), None, "{path}");
        }
    }
}
