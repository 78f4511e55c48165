//! Appending a condemn: the one moment that decides what is deleted.
//!
//! A statement is made for one state of the log and appended only as its next one. So every snapshot before it has been marked, and
//! nothing that it names is needed by any of them.

use crate::error::Error;
use crate::id::{DomainId, IndexId, PackId};
use crate::log::{self, Body, Condemn};

use super::{Pruner, Survey};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) enum Appended {
    /// The packs that were still planned are condemned.
    Done(Vec<PackId>),
    /// Others condemned packs first: the survey must be taken again.
    Outdated,
}

/// Condemns those of `packs` that are planned until the end, and brings `replacements`, which name what was copied from them, into
/// force \[4\]. Without any of both nothing is appended.
pub(in crate::ops) fn condemn(
    pruner: &mut Pruner<'_>,
    survey: &mut Survey,
    domain: DomainId,
    (packs, replacements): (&[PackId], &[IndexId]),
) -> Result<Appended, Error> {
    loop {
        let packs: Vec<PackId> = packs.iter().copied().filter(|id| survey.marks.is_planned(id)).collect();
        if packs.is_empty() && replacements.is_empty() {
            return Ok(Appended::Done(packs));
        }
        let body = body(domain, packs.clone(), Vec::new(), replacements.to_vec());
        if append_once(pruner, body)? {
            survey.condemned(&packs);
            return Ok(Appended::Done(packs));
        }
        if pruner.around.stop.requested() {
            return Err(Error::Interrupted);
        }
        pruner.vault.follow()?;
        // Nothing may be appended before all that stands before it is marked.
        while !survey.is_outdated(pruner) {
            match survey.catch_up(pruner) {
                Ok(()) => break,
                // What could not be read is perhaps gone for a good reason, which the log tells.
                Err(error) if !pruner.vault.follow()? => return Err(error),
                Err(_) => {}
            }
        }
        if survey.is_outdated(pruner) {
            return Ok(Appended::Outdated);
        }
    }
}

/// A condemn with its lists in order.
pub(super) fn body(
    domain: DomainId,
    mut packs: Vec<PackId>,
    mut replaced: Vec<IndexId>,
    mut replacements: Vec<IndexId>,
) -> Body {
    packs.sort_unstable();
    replaced.sort_unstable();
    replacements.sort_unstable();
    Body::Condemn(Condemn { domain, packs, replaced, replacements })
}

/// Appends a statement after the state as it is known; false if another came first.
pub(super) fn append_once(pruner: &mut Pruner<'_>, body: Body) -> Result<bool, Error> {
    let device = pruner.device;
    let payload = pruner.vault.state().draft(device.device_id(), pruner.around.clock.now(), body);
    let stored = log::sign(&payload, device.signing())?;
    Ok(pruner.vault.try_append(&stored)?.is_some())
}
