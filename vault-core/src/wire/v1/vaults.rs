//! `GET /v1/vaults/{vault}`: what the server knows about a vault.

use serde::{Deserialize, Serialize};

use super::log::HeadText;

/// A vault, as its server sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultInfo {
    /// The newest statement.
    pub head: HeadText,
    /// Bytes it has, trash included.
    pub used: u64,
    /// Bytes it may have; `null` without a limit of its own.
    pub quota: Option<u64>,
    /// Nothing younger leaves the disk, whoever signs.
    pub min_age_days: u32,
    /// What is condemned stays in the trash so long.
    pub grace_days: u32,
    /// Whether the trash is on hold, since too much was condemned at once.
    pub held: bool,
}
