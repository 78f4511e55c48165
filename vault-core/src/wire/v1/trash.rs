//! `/v1/vaults/{vault}/trash` and `/undelete`: what is condemned and still there.

use serde::{Deserialize, Serialize};

use crate::object::ObjectKey;
use crate::wire::encoding::{Millis, at_most};
use crate::wire::limits::LISTED_OBJECTS;

/// The query of a page of the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrashQuery {
    /// Only those that come after this one: in the order of names, epochs by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ObjectKey>,
}

/// A page of the trash, ascending by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashList {
    /// At most 1000.
    #[serde(deserialize_with = "at_most::<LISTED_OBJECTS, _, _>")]
    pub objects: Vec<TrashedObject>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// An object in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashedObject {
    /// Its name.
    pub path: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// When it was condemned.
    pub condemned_at: Millis,
    /// When it may leave the disk.
    pub leaves_at: Millis,
}

/// Takes objects out of the trash: `{"paths": […]}` or `{"since": time}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undelete {
    /// These; at most 1000.
    #[serde(deserialize_with = "at_most::<LISTED_OBJECTS, _, _>")]
    Paths(Vec<ObjectKey>),
    /// All that were condemned at that time or later.
    Since(Millis),
}

/// How many objects left the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeleted {
    /// Their number.
    pub objects: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undelete_names_paths_or_a_time_and_never_both() {
        let parse = |text: &str| serde_json::from_str::<Undelete>(text).ok();

        assert_eq!(parse(r#"{"since":5}"#), Some(Undelete::Since(Millis(5))));
        assert_eq!(parse(r#"{"paths":[]}"#), Some(Undelete::Paths(Vec::new())));
        assert_eq!(serde_json::to_string(&Undelete::Since(Millis(5))).unwrap(), r#"{"since":5}"#);
        for other in [r#"{"since":5,"paths":[]}"#, "{}", r#"{"until":5}"#, r#"{"since":-1}"#, "5"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
