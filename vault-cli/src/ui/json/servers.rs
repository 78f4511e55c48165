//! The documents of `join`, `vaults`, `whoami`, `device`, `audit` and `undelete`.

use serde::Serialize;
use vault_core::id::{DeviceId, VaultId};
use vault_core::time::Timestamp;
use vault_core::wire::fingerprint::user_words;
use vault_core::wire::v1::me::{Me, Standing};

use crate::commands::vaults::Listed;
use crate::commands::whoami::Who;
use crate::servers::Joined;
use crate::ui::time;

/// Who one is on a server.
#[derive(Debug, Serialize)]
pub(crate) struct Join {
    command: &'static str,
    server: String,
    pin: Option<String>,
    user: String,
    words: Vec<&'static str>,
    name: Option<String>,
    device: String,
    /// Whether the user was known there before.
    known: bool,
    used: u64,
    quota: Option<u64>,
}

impl Join {
    pub(crate) fn new(joined: &Joined, device: &DeviceId, me: &Me, known: bool) -> Self {
        Self {
            command: "join",
            server: joined.url.to_string(),
            pin: joined.pin.map(|pin| pin.to_string()),
            user: joined.user.to_hex(),
            words: user_words(&joined.user).to_vec(),
            name: me.name.as_ref().map(ToString::to_string),
            device: device.to_hex(),
            known,
            used: me.used,
            quota: me.quota,
        }
    }
}

/// The vaults there are.
#[derive(Debug, Serialize)]
pub(crate) struct Vaults {
    command: &'static str,
    vaults: Vec<OneVault>,
}

#[derive(Debug, Serialize)]
struct OneVault {
    name: Option<String>,
    location: String,
    vault: Option<String>,
    role: Option<Standing>,
    used: Option<u64>,
    quota: Option<u64>,
}

impl Vaults {
    pub(crate) fn new(listed: &[Listed]) -> Self {
        let of = |listed: &Listed| OneVault {
            name: listed.name.clone(),
            location: listed.location.clone(),
            vault: listed.vault.map(|vault| vault.to_hex()),
            role: listed.role,
            used: listed.used,
            quota: listed.quota,
        };
        Self { command: "vaults", vaults: listed.iter().map(of).collect() }
    }
}

/// A name that was given.
#[derive(Debug, Serialize)]
pub(crate) struct VaultName {
    command: &'static str,
    name: String,
    vault: String,
    location: String,
}

impl VaultName {
    pub(crate) fn new(name: &str, vault: &VaultId, location: &str) -> Self {
        Self {
            command: "vaults name",
            name: name.to_owned(),
            vault: vault.to_hex(),
            location: location.to_owned(),
        }
    }
}

/// Who one is.
#[derive(Debug, Serialize)]
pub(crate) struct Whoami {
    command: &'static str,
    user: String,
    words: Vec<&'static str>,
    device: Option<String>,
    servers: Vec<Account>,
}

#[derive(Debug, Serialize)]
struct Account {
    server: String,
    pin: Option<String>,
    name: Option<String>,
    joined: String,
    reachable: bool,
    used: Option<u64>,
    quota: Option<u64>,
    vaults: Option<usize>,
    error: Option<String>,
}

impl Whoami {
    pub(crate) fn new(who: &Who) -> Self {
        let account = |account: &crate::commands::whoami::Account| {
            let me = account.me.as_ref().ok();
            Account {
                server: account.joined.url.to_string(),
                pin: account.joined.pin.map(|pin| pin.to_string()),
                name: me.and_then(|me| me.name.as_ref().map(ToString::to_string)),
                joined: time::iso(Timestamp::new(account.joined.since, 0)),
                reachable: me.is_some(),
                used: me.map(|me| me.used),
                quota: me.and_then(|me| me.quota),
                vaults: me.map(|me| me.vaults.len()),
                error: account.me.as_ref().err().cloned(),
            }
        };
        Self {
            command: "whoami",
            user: who.user.to_hex(),
            words: user_words(&who.user).to_vec(),
            device: who.device.map(|device| device.to_hex()),
            servers: who.accounts.iter().map(account).collect(),
        }
    }
}
