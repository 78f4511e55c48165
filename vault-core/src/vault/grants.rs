//! The packs that grants need: whoever deletes keeps them, whether or not a snapshot needs them.

use crate::crypto::hash::object_hash;
use crate::error::{Error, Fault};
use crate::log::Granted;
use crate::store::ObjectKey;
use crate::wire::ranges::{RANGES_BYTES, Ranges};

use super::Vault;

impl Vault {
    /// Which bytes of which packs a grant gives. That it cannot be told is damage.
    pub(crate) fn ranges_of(&self, granted: &Granted) -> Result<Ranges, Error> {
        let (id, grant) = (granted.grant.ranges, granted.grant.id);
        let object = self.get_named(&ObjectKey::Index(id), RANGES_BYTES)?;
        if object_hash(&object) != *id.as_bytes() {
            return Err(Error::index(id, Fault::WrongHash));
        }
        match Ranges::decode(&object) {
            Ok(ranges) if ranges.vault == *self.id() && ranges.grant == grant => Ok(ranges),
            Ok(_) => Err(Error::index(id, Fault::Misplaced { what: "the list of ranges" })),
            Err(_) => Err(Error::index(id, Fault::Malformed { what: "it is not a list of ranges" })),
        }
    }
}
