//! `/v1/vaults/{vault}/objects`: lists of objects, and questions which of some are there. Objects themselves are binary.

use serde::{Deserialize, Serialize};

use crate::object::{ObjectKey, ObjectKind};
use crate::wire::encoding::{Millis, at_most};
use crate::wire::limits::LISTED_OBJECTS;

/// The query of a list of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Of which kind.
    pub kind: KindName,
    /// Only those that come after this one: in the order of names, epochs by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ObjectKey>,
    /// The most to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A kind of object by the name of its directory. Statements are not objects here: they have routes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindName {
    /// `packs`.
    Packs,
    /// `index`.
    Index,
    /// `epochs`.
    Epochs,
    /// `identities`.
    Identities,
}

/// One object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectInfo {
    /// Its name.
    pub path: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// Since when it is there, by the server's clock.
    pub stored_at: Millis,
}

/// A page of objects, ascending by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectList {
    /// At most 1000.
    #[serde(deserialize_with = "at_most::<LISTED_OBJECTS, _, _>")]
    pub objects: Vec<ObjectInfo>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// Asks which of some objects are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectQuery {
    /// At most 1000.
    #[serde(deserialize_with = "at_most::<LISTED_OBJECTS, _, _>")]
    pub paths: Vec<ObjectKey>,
}

/// Those of the objects asked for that are there, ascending by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectsFound {
    /// At most 1000.
    #[serde(deserialize_with = "at_most::<LISTED_OBJECTS, _, _>")]
    pub objects: Vec<ObjectInfo>,
}

impl KindName {
    /// The name of a kind; `None` for statements.
    pub const fn of(kind: ObjectKind) -> Option<Self> {
        match kind {
            ObjectKind::Pack => Some(Self::Packs),
            ObjectKind::Index => Some(Self::Index),
            ObjectKind::Envelope => Some(Self::Epochs),
            ObjectKind::Identity => Some(Self::Identities),
            ObjectKind::Statement => None,
        }
    }

    /// The kind of that name.
    pub const fn kind(self) -> ObjectKind {
        match self {
            Self::Packs => ObjectKind::Pack,
            Self::Index => ObjectKind::Index,
            Self::Epochs => ObjectKind::Envelope,
            Self::Identities => ObjectKind::Identity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_their_directories() {
        for kind in ObjectKind::ALL {
            let Some(name) = KindName::of(kind) else { continue };
            assert_eq!(name.kind(), kind);
            assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{}\"", kind.directory()));
        }
        assert!(serde_json::from_str::<KindName>("\"log\"").is_err());
    }

    #[test]
    fn no_more_than_a_thousand_paths_are_taken() {
        let paths = |count: usize| {
            let path = format!("\"index/{}\"", "ab".repeat(32));
            format!("{{\"paths\":[{}]}}", vec![path; count].join(","))
        };

        assert_eq!(serde_json::from_str::<ObjectQuery>(&paths(1000)).unwrap().paths.len(), 1000);
        assert!(serde_json::from_str::<ObjectQuery>(&paths(1001)).is_err());
    }

    #[test]
    fn requests_refuse_members_they_do_not_know_and_answers_ignore_them() {
        assert!(serde_json::from_str::<ObjectQuery>(r#"{"paths":[],"path":[]}"#).is_err());
        assert!(serde_json::from_str::<ObjectList>(r#"{"objects":[],"more":false,"new":1}"#).is_ok());
    }
}
