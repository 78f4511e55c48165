//! Where envelopes lie: under the plain name of their addressee, or under a second name where another file has taken that.
//!
//! Nothing here is ever replaced or removed. Several who make the keys of one epoch at the same time, or one who was interrupted and
//! begins again, leave files beside each other; the members statement that is appended pins those that count.

use crate::crypto::hash::object_hash;
use crate::error::Error;
use crate::id::Epoch;
use crate::keys::envelope::{Envelope, EnvelopeError};
use crate::store::{ObjectKey, Put, Store, StoreError};

use super::{AGE_FILE_MAX_BYTES, get_named};

/// Stores an envelope of that epoch; returns when it is durable.
pub(crate) fn put(
    store: &dyn Store,
    epoch: Epoch,
    addressee: [u8; 16],
    sealed: &Envelope,
) -> Result<(), Error> {
    let plain = ObjectKey::envelope(epoch, addressee);
    if put_or_same(store, &plain, sealed)? {
        return Ok(());
    }
    let object = second_name(epoch, addressee, &sealed.pin);
    if put_or_same(store, &object, sealed)? { Ok(()) } else { Err(Error::AlreadyThere { object }) }
}

/// Reads the envelope with that SHA-256.
///
/// # Errors
///
/// [`Error::Missing`] or [`Error::Envelope`] if it is not there, or another is in its place.
pub(crate) fn get(
    store: &dyn Store,
    epoch: Epoch,
    addressee: [u8; 16],
    pin: &[u8; 32],
) -> Result<Vec<u8>, Error> {
    let plain = ObjectKey::envelope(epoch, addressee);
    let found = get_named(store, &plain, AGE_FILE_MAX_BYTES);
    if found.as_ref().is_ok_and(|file| object_hash(file) == *pin) {
        return found;
    }
    let second = second_name(epoch, addressee, pin);
    match store.get(&second, AGE_FILE_MAX_BYTES) {
        Ok(file) if object_hash(&file) == *pin => Ok(file),
        Ok(file) => Err(other_than_pinned(second, pin, &file)),
        // What is wrong is said of the name that it had first.
        Err(StoreError::NotFound { .. }) => found.and_then(|file| Err(other_than_pinned(plain, pin, &file))),
        Err(error) => Err(error.into()),
    }
}

fn second_name(epoch: Epoch, addressee: [u8; 16], pin: &[u8; 32]) -> ObjectKey {
    let mut beginning = [0; 8];
    beginning.copy_from_slice(&pin[..8]);
    ObjectKey::Envelope { epoch, addressee, besides: Some(beginning) }
}

/// Whether the file is there now under that name; false if another is.
fn put_or_same(store: &dyn Store, object: &ObjectKey, sealed: &Envelope) -> Result<bool, Error> {
    match store.put_new(object, &sealed.file)? {
        Put::Created => Ok(true),
        Put::AlreadyThere => Ok(get_named(store, object, AGE_FILE_MAX_BYTES)? == sealed.file),
    }
}

fn other_than_pinned(object: ObjectKey, pin: &[u8; 32], file: &[u8]) -> Error {
    let source = EnvelopeError::Pin { expected: *pin, found: object_hash(file) };
    Error::Envelope { object, source }
}
