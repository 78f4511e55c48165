//! Removing from the store what the log says is no longer needed.
//!
//! A pack is removed only after a statement condemned it. An index object is removed if others took its place, or if it was never
//! in force and names nothing but condemned packs.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::Error;
use crate::id::IndexId;
use crate::store::{ObjectKey, ObjectKind, Removal, StoreError};
use crate::vault::reader::domain_keys;

use super::plan::is_older;
use super::{PruneSummary, Pruner, Survey};

/// Removes every condemned pack that the store had when it was surveyed \[5\].
pub(in crate::ops) fn packs(
    pruner: &Pruner<'_>,
    survey: &mut Survey,
    summary: &mut PruneSummary,
) -> Result<(), Error> {
    let condemned = pruner.vault.state().condemned();
    let there: Vec<_> = survey
        .stored
        .iter()
        .filter(|(id, _)| condemned.contains(id))
        .map(|(id, bytes)| (*id, *bytes))
        .collect();
    for (id, bytes) in there {
        if pruner.around.stop.requested() {
            return Ok(());
        }
        remove(pruner, &ObjectKey::Pack(id))?;
        survey.stored.remove(&id);
        summary.freed_bytes += bytes;
    }
    Ok(())
}

/// Removes index objects that are in force nowhere and never will be \[6\].
pub(super) fn indexes(
    pruner: &mut Pruner<'_>,
    orphan_age: Duration,
    summary: &mut PruneSummary,
) -> Result<(), Error> {
    let mut there = Vec::new();
    pruner.vault.store().list(ObjectKind::Index, &mut |key, bytes| {
        if let ObjectKey::Index(id) = key {
            there.push((id, bytes));
        }
        ControlFlow::Continue(())
    })?;
    // After the list: what is in it and was named meanwhile must be known as named.
    pruner.vault.follow()?;
    for (id, bytes) in there {
        if pruner.around.stop.requested() {
            return Ok(());
        }
        if !is_needed(pruner, &id) && is_done_with(pruner, id, orphan_age)? {
            remove(pruner, &ObjectKey::Index(id))?;
            summary.freed_bytes += bytes;
        }
    }
    Ok(())
}

/// Whether an index object is in force, or of a grant that holds.
fn is_needed(pruner: &Pruner<'_>, id: &IndexId) -> bool {
    let state = pruner.vault.state();
    state.is_index(id) || state.is_index_of_grant(id, pruner.around.clock.now().seconds)
}

/// Whether an index object that is not in force will never be: it was replaced, it is of a grant that holds no longer, or every pack in it is condemned. Whoever wrote it
/// and still runs sees that statement before they append theirs, and does not name it.
fn is_done_with(pruner: &Pruner<'_>, id: IndexId, orphan_age: Duration) -> Result<bool, Error> {
    let state = pruner.vault.state();
    if state.was_index(&id) || state.was_index_of_grant(&id) {
        return Ok(true);
    }
    if !is_older(pruner, &ObjectKey::Index(id), orphan_age)? {
        return Ok(false);
    }
    let keys = domain_keys(state, pruner.reader.keyring())?;
    // Whose it is stands nowhere; that no key opens it says nothing about what it names.
    let packs = keys.values().find_map(|keys| pruner.vault.read_index(id, keys).ok());
    Ok(packs.is_some_and(|packs| packs.iter().all(|pack| state.condemned().contains(&pack.id))))
}

/// Removes index objects that this run replaced, unless they are in force in another domain.
pub(super) fn replaced(
    pruner: &Pruner<'_>,
    ids: &BTreeSet<IndexId>,
    summary: &mut PruneSummary,
) -> Result<(), Error> {
    for id in ids.iter().filter(|id| !pruner.vault.state().is_index(id)) {
        let key = ObjectKey::Index(*id);
        let bytes = pruner.vault.store().size(&key).unwrap_or(0);
        remove(pruner, &key)?;
        summary.freed_bytes += bytes;
    }
    Ok(())
}

/// Removes an object; that it is gone already is as good, and so is that the store follows the log by itself.
pub(super) fn remove(pruner: &Pruner<'_>, key: &ObjectKey) -> Result<(), Error> {
    match pruner.vault.store().remove(key) {
        Err(StoreError::NotFound { .. }) | Ok(Removal::Done | Removal::ByTheLog) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
