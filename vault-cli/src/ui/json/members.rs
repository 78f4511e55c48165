//! The documents of `member` and `rekey`.

use serde::Serialize;
use vault_core::id::UserId;
use vault_core::log::Role;
use vault_core::ops::membership::Reach;

use crate::commands::member::{Admitted, Expelled, Listed, OfThem};
use crate::commands::rekey::Rekeyed;

/// The members of a vault.
#[derive(Debug, Serialize)]
pub(crate) struct MemberList {
    command: &'static str,
    vault: String,
    members: Vec<OneMember>,
}

#[derive(Debug, Serialize)]
struct OneMember {
    user: String,
    name: Option<String>,
    this: bool,
    role: &'static str,
    devices: usize,
    reads_from: u32,
}

/// The word for a role.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Editor => "editor",
        Role::Reader => "reader",
    }
}

impl MemberList {
    pub(crate) fn new(vault: &str, listed: &[Listed]) -> Self {
        let of = |listed: &Listed| OneMember {
            user: listed.user.to_hex(),
            name: listed.name.clone(),
            this: listed.is_me,
            role: role(listed.role),
            devices: listed.devices,
            reads_from: listed.reads_from.0,
        };
        let members = listed.iter().map(of).collect();
        Self { command: "member list", vault: vault.to_owned(), members }
    }
}

/// Somebody who is a member now.
#[derive(Debug, Serialize)]
pub(crate) struct MemberAdded {
    command: &'static str,
    vault: String,
    name: String,
    role: &'static str,
    verified: bool,
    changed: bool,
    user: Option<String>,
    reads_from: Option<u32>,
    new_epoch: bool,
}

impl MemberAdded {
    pub(crate) fn new(vault: &str, admitted: &Admitted) -> Self {
        let added = admitted.added;
        Self {
            command: "member add",
            vault: vault.to_owned(),
            name: admitted.name.clone(),
            role: role(admitted.role),
            verified: admitted.verified,
            changed: added.is_some(),
            user: added.map(|added| added.user.to_hex()),
            reads_from: added.map(|added| added.reads_from.0),
            new_epoch: added.is_some_and(|added| added.begins_epoch),
        }
    }
}

/// Somebody who is a member no more.
#[derive(Debug, Serialize)]
pub(crate) struct MemberRemoved {
    command: &'static str,
    vault: String,
    user: String,
    devices: u64,
    snapshots_read: u64,
    epoch: u32,
    /// What they gave away, and what they were given.
    grants: Vec<OneGrant>,
}

#[derive(Debug, Serialize)]
struct OneGrant {
    grant: String,
    given_by_them: bool,
    revoked: bool,
}

impl MemberRemoved {
    pub(crate) fn new(vault: &str, (user, expelled): (&UserId, &Expelled)) -> Self {
        let of = |one: &OfThem| OneGrant {
            grant: one.grant.to_hex(),
            given_by_them: one.given,
            revoked: expelled.revoked.contains(&one.grant),
        };
        Self {
            command: "member remove",
            vault: vault.to_owned(),
            user: user.to_hex(),
            devices: expelled.removed.devices,
            snapshots_read: expelled.removed.snapshots_read,
            epoch: expelled.removed.epoch.0,
            grants: expelled.grants.iter().map(of).collect(),
        }
    }
}

/// New keys, and who could read what.
#[derive(Debug, Serialize)]
pub(crate) struct Rekey {
    command: &'static str,
    vault: String,
    epoch: Option<u32>,
    rewritten: Option<Rewritten>,
    epochs: Vec<OneEpoch>,
}

#[derive(Debug, Serialize)]
struct Rewritten {
    packs: u64,
    bytes: u64,
    new_bytes: u64,
    seconds: f64,
    interrupted: bool,
}

#[derive(Debug, Serialize)]
struct OneEpoch {
    epoch: u32,
    packs: u64,
    bytes: u64,
    members: Vec<String>,
    others: Vec<String>,
}

impl Rekey {
    pub(crate) fn new(vault: &str, rekeyed: &Rekeyed) -> Self {
        let hex = |users: &[UserId]| users.iter().map(UserId::to_hex).collect();
        let one = |reach: &Reach| OneEpoch {
            epoch: reach.epoch.0,
            packs: reach.packs,
            bytes: reach.bytes,
            members: hex(&reach.members),
            others: hex(&reach.others),
        };
        let rewritten = rekeyed.rewritten.as_ref().map(|rewritten| Rewritten {
            packs: rewritten.summary.repacked_packs,
            bytes: rewritten.summary.repacked_bytes,
            new_bytes: rewritten.summary.new_bytes,
            seconds: rewritten.elapsed.as_secs_f64(),
            interrupted: rewritten.summary.pruned.interrupted,
        });
        Self {
            command: "rekey",
            vault: vault.to_owned(),
            epoch: rekeyed.epoch.map(|epoch| epoch.0),
            rewritten,
            epochs: rekeyed.reach.iter().map(one).collect(),
        }
    }
}
