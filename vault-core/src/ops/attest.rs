//! Says in the log which packs were verified in full, so that others need not read them again soon.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::id::PackId;
use crate::keys::device::DeviceKeys;
use crate::log::{self, Attest, Body, MAX_LISTED_IDS};
use crate::vault::Vault;

use super::Surroundings;

/// Attests packs that `check` has read in full and found sound, in as many statements as it takes. Any certified device may.
pub fn attest(
    vault: &mut Vault,
    device: &DeviceKeys,
    packs: &[PackId],
    around: &Surroundings<'_>,
) -> Result<(), Error> {
    let packs: Vec<PackId> = packs.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let id = device.device_id();
    for batch in packs.chunks(MAX_LISTED_IDS) {
        vault.append(&|state| {
            if state.device(&id).is_none() {
                return Err(Error::DeviceUnknown { vault: state.vault() });
            }
            // Of those condemned meanwhile the statement would say nothing.
            let body = Body::Attest(Attest { packs: batch.to_vec() });
            Ok(log::sign(&state.draft(id, around.clock.now(), body), device.signing())?)
        })?;
    }
    Ok(())
}
