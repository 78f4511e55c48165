//! What a vault holds of a device's domain when a run begins: what its indexes name, less what the store has lost.
//!
//! Only what is both named and there is relied on; the rest is stored again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::Error;
use crate::id::PackId;
use crate::keys::envelope::DomainKeys;
use crate::progress::{Notice, Severity};
use crate::store::{ObjectKey, ObjectKind};
use crate::surroundings::Surroundings;
use crate::vault::Vault;
use crate::vault::chunk_index::{ChunkIndex, PackPlace};

/// How often to look again when objects vanish while the log grows.
const LOOKS: usize = 5;

/// What the store holds of this device's domain.
pub(super) struct Holdings {
    /// Where its chunks lie.
    pub(super) index: ChunkIndex,
    /// Whether everything is there that the log says is there.
    pub(super) whole: bool,
}

impl Holdings {
    /// Compares the indexes with the objects that the store has. What was lost is stored again as far as the source still has it:
    /// then new snapshots are whole, and old ones that shared it become whole again.
    pub(super) fn of(
        vault: &mut Vault,
        writer: &DomainKeys,
        around: &Surroundings<'_>,
    ) -> Result<Self, Error> {
        for look in 1.. {
            let (mut index, faults) =
                vault.chunk_index(&|domain| (domain == writer.domain).then_some(writer))?;
            let lost = lost_packs(vault, &index)?;
            let whole = faults.is_empty() && lost.is_empty();
            // Perhaps they were condemned just now, and nothing is wrong.
            if !whole && look < LOOKS && vault.follow()? {
                continue;
            }
            let missing = lost.iter().map(|id| Error::Missing { object: ObjectKey::Pack(*id) });
            for fault in faults.into_iter().chain(missing) {
                tell_lost(vault, &fault, around);
            }
            index.hide(&lost);
            index.hide_before(vault.state().readable_from());
            return Ok(Self { index, whole });
        }
        Err(Error::WorkerLost)
    }
}

/// Packs that the index names and the store does not have, or not whole.
fn lost_packs(vault: &Vault, index: &ChunkIndex) -> Result<BTreeSet<PackId>, Error> {
    let mut there = BTreeSet::new();
    vault.store().list(ObjectKind::Pack, &mut |key, bytes| {
        if let ObjectKey::Pack(id) = key {
            there.insert((id, bytes));
        }
        ControlFlow::Continue(())
    })?;
    let is_lost = |pack: &&PackPlace| !there.contains(&(pack.id, pack.bytes.into()));
    Ok(index.packs().filter(is_lost).map(|pack| pack.id).collect())
}

pub(super) fn tell_lost(vault: &Vault, fault: &Error, around: &Surroundings<'_>) {
    around.progress.notice(&Notice {
        severity: Severity::Note,
        subject: Path::new(&vault.store().description()),
        message: &format!("{fault}: what the source still has of it is stored again; run `vault check`"),
    });
}
