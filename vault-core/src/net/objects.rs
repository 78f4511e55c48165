//! A vault's objects on a server: put, read, listed.
//!
//! An answer is checked for what it can be checked for at once: its length, the range it names, the order of a list. Whoever uses an
//! object compares it with its hash.

use super::client::Server;
use super::error::{NetError, NetErrorKind};
use super::request::{Answer, Request, number};
use crate::crypto::hash::object_hash;
use crate::id::VaultId;
use crate::object::{ObjectKey, ObjectKind};
use crate::time::Timestamp;
use crate::wire::v1::objects::{KindName, ObjectInfo, ObjectList, ObjectQuery, ObjectsFound};
use crate::wire::v1::paths;
use crate::wire::v1::trash::{TrashList, Undelete, Undeleted};
use crate::wire::{Millis, STORED_AT_HEADER, limits};

/// What an object's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length in bytes.
    pub size: u64,
    /// When the server took it.
    pub stored_at: Timestamp,
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    New,
    /// It was there.
    Same,
    /// Something else has the name.
    Differs,
}

/// A part of an object, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// The bytes asked for.
    Bytes(Vec<u8>),
    /// The object ends before the range does; its length.
    EndsAt(u64),
}

impl Server {
    /// Puts an object.
    pub fn put_object(&self, vault: &VaultId, key: &ObjectKey, bytes: &[u8]) -> Result<Stored, NetError> {
        let digest = match key {
            // Named by its hash; if that is wrong, the server finds out.
            ObjectKey::Pack(id) => *id.as_bytes(),
            ObjectKey::Index(id) => *id.as_bytes(),
            _ => object_hash(bytes),
        };
        let request = Request::put_hashed(paths::object(vault, key), bytes, digest);
        match self.ask(&Request { probed: true, ..request }) {
            Ok(answer) if answer.status == 201 => Ok(Stored::New),
            Ok(_) => Ok(Stored::Same),
            Err(error) if error.kind() == NetErrorKind::Taken => Ok(Stored::Differs),
            Err(error) => Err(error),
        }
    }

    /// Reads an object of at most `limit` bytes.
    pub fn object(&self, vault: &VaultId, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, NetError> {
        Ok(self.ask(&Request::get(paths::object(vault, key)).limit(limit))?.body)
    }

    /// Reads `length` bytes of an object, at least one, from `offset`.
    pub fn object_range(
        &self,
        vault: &VaultId,
        key: &ObjectKey,
        (offset, length): (u64, u32),
    ) -> Result<Part, NetError> {
        let wanted = u64::from(length);
        let request = Request::get(paths::object(vault, key)).limit(wanted);
        let answer = match self.ask(&Request { range: Some((offset, wanted)), ..request }) {
            Ok(answer) => answer,
            Err(error) => return self.why_no_range(vault, key, offset.saturating_add(wanted), error),
        };
        self.part_of(answer, (offset, wanted))
    }

    /// The part that an answer to a range has.
    pub(super) fn part_of(&self, answer: Answer, (offset, wanted): (u64, u64)) -> Result<Part, NetError> {
        let first_last_size = answer.header("content-range").and_then(content_range);
        match first_last_size.filter(|_| answer.status == 206) {
            Some((first, last, _)) if first == offset && last.checked_sub(first) == Some(wanted - 1) => {
                if answer.body.len() as u64 != wanted {
                    return Err(self.not_the_protocol("a range has another length than it says"));
                }
                Ok(Part::Bytes(answer.body))
            }
            Some((first, _, Some(size))) if first == offset && size < offset.saturating_add(wanted) => {
                Ok(Part::EndsAt(size))
            }
            _ => Err(self.not_the_protocol("an answer is not the range that was asked for")),
        }
    }

    /// A server refuses a range that is not wholly inside: then the length says so.
    fn why_no_range(
        &self,
        vault: &VaultId,
        key: &ObjectKey,
        end: u64,
        error: NetError,
    ) -> Result<Part, NetError> {
        let may_be =
            matches!(&error, NetError::Refused { problem, .. } if matches!(problem.status, 400 | 416));
        match may_be.then(|| self.object_head(vault, key)).transpose()? {
            Some(head) if head.size < end => Ok(Part::EndsAt(head.size)),
            _ => Err(error),
        }
    }

    /// An object's length and age.
    pub fn object_head(&self, vault: &VaultId, key: &ObjectKey) -> Result<ObjectHead, NetError> {
        let answer = self.ask(&Request::head(paths::object(vault, key)))?;
        let said = number(&answer.head, "content-length").zip(number(&answer.head, STORED_AT_HEADER));
        let (size, stored_at) =
            said.ok_or_else(|| self.not_the_protocol("an object's head lacks its length or time"))?;
        Ok(ObjectHead { size, stored_at: Millis(stored_at).to_timestamp() })
    }

    /// Objects of a kind after a name, in the order of names; and whether there are more.
    pub fn objects(
        &self,
        vault: &VaultId,
        kind: ObjectKind,
        after: Option<&ObjectKey>,
    ) -> Result<(Vec<(ObjectKey, ObjectHead)>, bool), NetError> {
        if KindName::of(kind).is_none() {
            return Ok((Vec::new(), false));
        }
        let mut request = Request::get(paths::objects(vault)).with("kind", kind.directory());
        if let Some(after) = after {
            request = request.with("after", after.path());
        }
        let answer = self.ask(&request.with("limit", limits::LISTED_OBJECTS))?;
        let listed: ObjectList = self.json(&answer)?;
        let mut objects = Vec::with_capacity(listed.objects.len());
        let mut last = after.copied();
        for object in listed.objects {
            // Out of order or repeated, a list might never end.
            if object.path.kind() != kind || last.is_some_and(|last| last >= object.path) {
                return Err(self.not_the_protocol("a list of objects is not in order"));
            }
            last = Some(object.path);
            objects.push(named(object));
        }
        if listed.more && objects.is_empty() {
            return Err(self.not_the_protocol("a list of objects goes on, but does not get further"));
        }
        Ok((objects, listed.more))
    }

    /// Which of some objects are there: at most 1000 are asked for at once.
    pub fn which_objects(
        &self,
        vault: &VaultId,
        keys: &[ObjectKey],
    ) -> Result<Vec<(ObjectKey, ObjectHead)>, NetError> {
        let query = ObjectQuery { paths: keys.to_vec() };
        let json = self.to_json(&query)?;
        let answer = self.ask(&Request::post(paths::object_query(vault), &json).repeatable())?;
        let found: ObjectsFound = self.json(&answer)?;
        if found.objects.iter().any(|object| !keys.contains(&object.path)) {
            return Err(self.not_the_protocol("an answer names objects that were not asked for"));
        }
        Ok(found.objects.into_iter().map(named).collect())
    }

    /// Takes objects out of the trash, and returns how many.
    pub fn undelete(&self, vault: &VaultId, what: &Undelete) -> Result<u64, NetError> {
        let json = self.to_json(what)?;
        let answer = self.ask(&Request::post(paths::undelete(vault), &json).repeatable())?;
        let done: Undeleted = self.json(&answer)?;
        Ok(done.objects)
    }

    /// What is in the trash after a name.
    pub fn trash(&self, vault: &VaultId, after: Option<&ObjectKey>) -> Result<TrashList, NetError> {
        let mut request = Request::get(paths::trash(vault));
        if let Some(after) = after {
            request = request.with("after", after.path());
        }
        let answer = self.ask(&request)?;
        self.json(&answer)
    }
}

fn named(object: ObjectInfo) -> (ObjectKey, ObjectHead) {
    (object.path, ObjectHead { size: object.size, stored_at: object.stored_at.to_timestamp() })
}

/// Reads `bytes a-b/size` (RFC 9110, section 14.4); a size that is not told is `*`.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    Some((first.parse().ok()?, last.parse().ok()?, size))
}
