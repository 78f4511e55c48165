//! Who could still read what: the epochs in which the store holds something, and everyone who was ever given their keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Epoch, PackId, UserId};
use crate::log::State;
use crate::vault::Reader;

/// What is sealed in one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The epoch.
    pub epoch: Epoch,
    /// Packs sealed in it that are in use.
    pub packs: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Members who have its keys.
    pub members: Vec<UserId>,
    /// Others who were given its keys, and may have kept them: they can open whatever of it they come by.
    pub others: Vec<UserId>,
}

/// The epochs in which packs in use are sealed, ascending, and the one in force.
pub fn report(state: &State, reader: &Reader) -> Vec<Reach> {
    let mut packs: BTreeMap<Epoch, BTreeMap<PackId, u64>> = BTreeMap::new();
    packs.extend(state.epoch().map(|epoch| (epoch, BTreeMap::new())));
    for pack in reader.packs() {
        packs.entry(pack.epoch).or_default().insert(pack.id, pack.bytes.into());
    }
    let members: BTreeSet<UserId> =
        state.members().into_iter().flat_map(|members| members.users.iter().map(|user| user.id)).collect();
    let reach = |(epoch, packs): (Epoch, BTreeMap<PackId, u64>)| {
        let (members, others) = state.who_could_read(epoch).partition(|user| members.contains(user));
        Reach { epoch, packs: packs.len() as u64, bytes: packs.values().sum(), members, others }
    };
    packs.into_iter().map(reach).collect()
}
