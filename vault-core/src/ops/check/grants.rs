//! The objects of grants: that everything a grant names is there and is what it was.
//!
//! What a grant gives of other sessions' packs is verified with them; here it is its own packs, its index objects and its list of ranges.

use std::ops::ControlFlow;

use crate::crypto::hash::object_hash;
use crate::error::{Error, Fault};
use crate::format::pack::PACK_MAX_BYTES;
use crate::id::IndexId;
use crate::log::Granted;
use crate::store::ObjectKey;
use crate::wire::limits::INDEX_BYTES;
use crate::wire::ranges::PackRanges;

use super::{Amount, Check, Ended, packs};

impl Check<'_> {
    /// Verifies the objects of every grant that holds.
    pub(super) fn grants(&mut self) -> Ended {
        let now = self.around.clock.now().seconds;
        for granted in self.vault.state().grants().iter().filter(|granted| granted.holds_at(now)) {
            for index in &granted.grant.indexes {
                if self.around.stop.requested() {
                    return Ok(ControlFlow::Break(()));
                }
                self.index_of_grant(*index)?;
            }
            if self.packs_of_grant(granted)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn index_of_grant(&mut self, id: IndexId) -> Result<(), Error> {
        let key = ObjectKey::Index(id);
        let read = self.vault.get_named(&key, INDEX_BYTES);
        self.small_object(key, read, |object| {
            if object_hash(object) == *id.as_bytes() {
                Ok(())
            } else {
                Err(Error::index(id, Fault::WrongHash))
            }
        })
    }

    fn packs_of_grant(&mut self, granted: &Granted) -> Ended {
        let key = ObjectKey::Index(granted.grant.ranges);
        let ranges = match self.vault.ranges_of(granted) {
            Ok(ranges) => ranges,
            Err(error) => {
                self.report.found(Some(key), error)?;
                return Ok(ControlFlow::Continue(()));
            }
        };
        self.looked_at(Amount { items: 1, bytes: ranges.encode().len() as u64 });
        for PackRanges { pack, .. } in ranges.packs.iter().filter(|pack| pack.is_whole()) {
            if self.around.stop.requested() {
                return Ok(ControlFlow::Break(()));
            }
            if !self.report.named.insert(*pack) {
                continue;
            }
            let key = ObjectKey::Pack(*pack);
            if self.chosen.is_some() {
                if let Err(error) = packs::size(self.vault.store(), *pack) {
                    self.report.bad_pack(*pack, error)?;
                }
                continue;
            }
            let read = self.vault.get_named(&key, PACK_MAX_BYTES.into());
            self.looked_at(Amount { items: 1, bytes: read.as_ref().map_or(0, |bytes| bytes.len() as u64) });
            match read {
                Ok(bytes) if object_hash(&bytes) == *pack.as_bytes() => {}
                Ok(_) => drop(self.report.bad_pack(*pack, Error::pack(*pack, Fault::WrongHash))?),
                Err(error) => drop(self.report.bad_pack(*pack, error)?),
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
