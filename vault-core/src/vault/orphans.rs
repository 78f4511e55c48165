//! Packs that an interrupted run left: stored, but named by no index.
//!
//! The next run of the same machine takes over those that it knows, so that what was uploaded is not uploaded again. That a table opens
//! says only that it is of somebody who has the domain's key, which every member can derive.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::chunk::compress::Decompressor;
use crate::crypto::aead::SealedKind;
use crate::error::{Error, Fault};
use crate::format::index::IndexedPack;
use crate::format::pack::{HEADER_MAX_BYTES, PACK_MAX_BYTES, PackHeader, TRAILER_BYTES, Trailer};
use crate::format::raw_limit;
use crate::format::table::Table;
use crate::id::PackId;
use crate::keys::envelope::DomainKeys;
use crate::store::{ObjectKey, ObjectKind, Store};

use super::Vault;

/// The ids and sizes of the packs that none of the `indexed` is.
pub(crate) fn orphans(store: &dyn Store, indexed: &BTreeSet<PackId>) -> Result<Vec<(PackId, u64)>, Error> {
    let mut found = Vec::new();
    store.list(ObjectKind::Pack, &mut |key, bytes| {
        if let ObjectKey::Pack(id) = key
            && !indexed.contains(&id)
        {
            found.push((id, bytes));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Reads what is in a pack from the pack itself; an error if it is not whole or not of this domain.
pub(crate) fn read_table(
    vault: &Vault,
    keys: &DomainKeys,
    id: PackId,
    bytes: u64,
) -> Result<IndexedPack, Error> {
    let store = vault.store();
    let key = ObjectKey::Pack(id);
    let damaged = |fault: Fault| Error::pack(id, fault);
    if bytes > u64::from(PACK_MAX_BYTES) || bytes < u64::from(TRAILER_BYTES) {
        return Err(damaged(Fault::WrongSize { expected: PACK_MAX_BYTES.into(), found: bytes }));
    }
    let head = store.get_range(&key, 0, HEADER_MAX_BYTES.min(bytes as u32))?;
    let header = PackHeader::decode(&head).map_err(|error| damaged(error.into()))?;
    if header.vault != *vault.id() {
        return Err(damaged(Fault::Misplaced { what: "the vault" }));
    }
    let end = store.get_range(&key, bytes - u64::from(TRAILER_BYTES), TRAILER_BYTES)?;
    let end = end.try_into().map_err(|_| damaged(Fault::TableDiffers))?;
    let trailer = Trailer::decode(&end, bytes).map_err(|error| damaged(error.into()))?;

    let mut unit = store.get_range(&key, trailer.table_offset.into(), trailer.table_bytes)?;
    let k_index =
        keys.k_index(header.epoch).ok_or_else(|| damaged(Fault::NoEpochKeys { epoch: header.epoch }))?;
    let seal = header.origin().table(k_index, header.pack_number);
    let body = seal
        .open_in_place(&mut unit)
        .map_err(|source| damaged(Fault::Sealed { part: "its table", source }))?;
    let raw = Decompressor::new()?
        .unpack(body, raw_limit(SealedKind::Table) as usize)
        .map_err(|error| damaged(error.into()))?;
    let table = Table::decode(&raw).map_err(|error| damaged(error.into()))?;
    trailer.check_table(&table, header.encoded_bytes()).map_err(|error| damaged(error.into()))?;
    Ok(IndexedPack {
        id,
        bytes: bytes as u32,
        session: header.session,
        pack_number: header.pack_number,
        epoch: header.epoch,
        table,
    })
}
