//! `GET /v1/me`: who a device is to the server.

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, UserId, VaultId};
use crate::log::{DeviceKind, Role};
use crate::wire::name::UserName;

/// Who asks, and what they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// The user.
    pub user: UserId,
    /// The user's name on the server, if they have one.
    #[serde(default)]
    pub name: Option<UserName>,
    /// The device that asks.
    pub device: DeviceId,
    /// Bytes that the user's vaults may have; `null` without a limit.
    pub quota: Option<u64>,
    /// Bytes that the vaults founded by the user have, trash included.
    pub used: u64,
    /// The vaults that the device is a member of.
    pub vaults: Vec<MyVault>,
}

/// One vault of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MyVault {
    /// The vault.
    pub vault: VaultId,
    /// What the device may do there.
    pub role: Standing,
    /// Bytes it has, trash included.
    pub used: u64,
    /// Bytes it may have; `null` without a limit of its own.
    pub quota: Option<u64>,
}

/// What a device may do in a vault: its user's role, unless it is append-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Everything.
    Owner,
    /// Reads and backs up.
    Editor,
    /// Reads.
    Reader,
    /// Backs up.
    AppendOnly,
}

impl Standing {
    /// The standing of a device of that kind, of a user with that role.
    pub fn of(role: Role, kind: DeviceKind) -> Self {
        match (kind, role) {
            (DeviceKind::AppendOnly, _) => Self::AppendOnly,
            (DeviceKind::Full, Role::Owner) => Self::Owner,
            (DeviceKind::Full, Role::Editor) => Self::Editor,
            (DeviceKind::Full, Role::Reader) => Self::Reader,
        }
    }
}
