//! Tidying the index objects: none that names condemned packs stays in force, nor many small ones.
//!
//! What is replaced and what replaces it name the same packs but for condemned ones, so a statement of this kind changes nothing
//! that anybody needs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::error::Error;
use crate::format::index::IndexedPack;
use crate::id::{DomainId, Epoch, IndexId};
use crate::keys::envelope::DomainKeys;
use crate::keys::keyring::KeyringError;
use crate::ops::contribution::begin_session;
use crate::store::ObjectKey;

use super::condemn::{append_once, body};
use super::{PruneSummary, Pruner, Survey, sweep};

/// Index objects with fewer chunks are small: reading one costs more for being one than for what is in it.
const SMALL_CHUNKS: u64 = 50_000;
/// Small ones that a domain may have.
const SMALL_INDEXES: usize = 8;
/// Chunks of index objects that are rewritten together: about 50 MB of memory.
const BATCH_CHUNKS: u64 = 500_000;
/// Index objects that are rewritten together: their ids go into one statement.
const BATCH_INDEXES: usize = 10_000;

/// Replaces what is to be replaced, in every domain that the device may change.
pub(super) fn reindex(
    pruner: &mut Pruner<'_>,
    survey: &Survey,
    summary: &mut PruneSummary,
) -> Result<(), Error> {
    let sizes = sizes(survey)?;
    let naming = naming_condemned(pruner, survey);
    let newest = newest_epochs(survey);
    let domains: BTreeSet<DomainId> = pruner.vault.state().all_indexes().map(|(domain, _)| domain).collect();
    for domain in domains {
        if !pruner.may_change(&domain) {
            continue;
        }
        let mut in_force: BTreeMap<Epoch, Vec<IndexId>> = BTreeMap::new();
        for index in pruner.vault.state().indexes(domain) {
            // One that names nothing has nothing to hide.
            let newest = newest.get(&index).copied().unwrap_or(Epoch(u32::MAX));
            let epoch = pruner.sealed_in(newest);
            in_force.entry(epoch).or_default().push(index);
        }
        for (epoch, in_force) in in_force {
            for batch in batches(&in_force, &sizes, &naming) {
                if pruner.around.stop.requested() {
                    return Ok(());
                }
                replace(pruner, (domain, epoch), &batch, summary)?;
            }
        }
    }
    Ok(())
}

/// How many chunks each index object names.
fn sizes(survey: &Survey) -> Result<BTreeMap<IndexId, u64>, Error> {
    let mut sizes = BTreeMap::new();
    for tally in survey.marks.tally()? {
        *sizes.entry(tally.index).or_insert(0) += tally.chunks;
    }
    Ok(sizes)
}

/// The newest epoch of the packs that each index object names: it is sealed in that one or a later one.
fn newest_epochs(survey: &Survey) -> BTreeMap<IndexId, Epoch> {
    let mut newest = BTreeMap::new();
    for (index, pack, _) in survey.marks.chunks().named() {
        let epoch = newest.entry(index).or_insert(pack.epoch);
        *epoch = pack.epoch.max(*epoch);
    }
    newest
}

fn naming_condemned(pruner: &Pruner<'_>, survey: &Survey) -> HashSet<IndexId> {
    let condemned = pruner.vault.state().condemned();
    let named = survey.marks.chunks().named();
    named.filter(|(_, pack, _)| condemned.contains(&pack.id)).map(|(index, ..)| index).collect()
}

/// The index objects to replace, in the order of the log; each batch fits into memory.
fn batches(
    in_force: &[IndexId],
    sizes: &BTreeMap<IndexId, u64>,
    naming_condemned: &HashSet<IndexId>,
) -> Vec<Vec<IndexId>> {
    let size = |index: &IndexId| sizes.get(index).copied().unwrap_or(0);
    let merges = in_force.iter().filter(|index| size(index) < SMALL_CHUNKS).count() > SMALL_INDEXES;
    let (mut batches, mut chunks) = (Vec::<Vec<IndexId>>::new(), 0);
    for index in in_force {
        let is_merged = merges && size(index) < SMALL_CHUNKS;
        if !is_merged && !naming_condemned.contains(index) {
            continue;
        }
        let is_full = |batch: &Vec<_>| chunks + size(index) > BATCH_CHUNKS || batch.len() == BATCH_INDEXES;
        if batches.last().is_none_or(is_full) {
            batches.push(Vec::new());
            chunks = 0;
        }
        chunks += size(index);
        if let Some(batch) = batches.last_mut() {
            batch.push(*index);
        }
    }
    batches
}

/// Replaces some index objects of a domain by ones of that epoch that name the same packs but for condemned ones.
fn replace(
    pruner: &mut Pruner<'_>,
    (domain, epoch): (DomainId, Epoch),
    batch: &[IndexId],
    summary: &mut PruneSummary,
) -> Result<(), Error> {
    let writer = writer_keys(pruner, domain)?;
    let condemned = pruner.vault.state().condemned().len();
    let Some(packs) = read_all(pruner, &writer, batch)? else { return Ok(()) };
    let writer = writer_keys_of(pruner, domain, epoch)?;
    let session = begin_session(pruner.vault, pruner.device, writer, pruner.around)?;
    packs.into_iter().for_each(|pack| session.adopt(pack));
    let written = session.write_indexes(pruner.vault.store(), pruner.around.random)?;
    let replacements: Vec<IndexId> = written.iter().map(|index| index.id).collect();
    loop {
        let state = pruner.vault.state();
        let still = |index: &IndexId| state.is_index_of(domain, index);
        if state.condemned().len() != condemned || !batch.iter().all(still) {
            // Somebody else was faster, and may even have removed the new ones, of which nobody but this run knows.
            return replacements.iter().try_for_each(|id| sweep::remove(pruner, &ObjectKey::Index(*id)));
        }
        if append_once(pruner, body(domain, Vec::new(), batch.to_vec(), replacements.clone()))? {
            break;
        }
        pruner.vault.follow()?;
    }
    summary.replaced_indexes += batch.len() as u64;
    summary.new_indexes += replacements.len() as u64;
    sweep::replaced(pruner, &batch.iter().copied().collect(), summary)
}

/// The packs that some index objects name, without condemned ones, each once; `None` if an index object is not in force any more.
fn read_all(
    pruner: &Pruner<'_>,
    writer: &DomainKeys,
    batch: &[IndexId],
) -> Result<Option<Vec<IndexedPack>>, Error> {
    let condemned = pruner.vault.state().condemned();
    let (mut packs, mut seen) = (Vec::new(), HashSet::new());
    // The newest word about a pack counts, as in a look-up.
    for index in batch.iter().rev() {
        let named = match pruner.vault.read_index(*index, writer) {
            Ok(named) => named,
            Err(Error::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        packs.extend(
            named.into_iter().rev().filter(|pack| !condemned.contains(&pack.id) && seen.insert(pack.id)),
        );
    }
    packs.reverse();
    Ok(Some(packs))
}

/// The keys to write in a domain, and in an epoch or the one in force before it, from the keys of the member who prunes.
pub(in crate::ops) fn writer_keys_of(
    pruner: &Pruner<'_>,
    domain: DomainId,
    epoch: Epoch,
) -> Result<DomainKeys, Error> {
    let keys = writer_keys(pruner, domain)?;
    let epoch = epoch.min(keys.current.epoch);
    Ok(keys.as_of(epoch).ok_or(KeyringError::UnknownEpoch { epoch })?)
}

/// The keys to write in a domain.
fn writer_keys(pruner: &Pruner<'_>, domain: DomainId) -> Result<DomainKeys, Error> {
    let member = pruner.reader.keyring().member().ok_or(KeyringError::CannotRead)?;
    Ok(DomainKeys::from_member(member, pruner.vault.id(), domain))
}
