//! The documents of `device`.

use serde::Serialize;
use vault_core::id::DeviceId;
use vault_core::log::DeviceKind;
use vault_core::wire::fingerprint::user_words;

use crate::commands::device::{Added, Listed, Removed};
use crate::servers::Joined;

/// The devices of the user.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceList {
    command: &'static str,
    devices: Vec<OneDevice>,
}

#[derive(Debug, Serialize)]
struct OneDevice {
    server: String,
    device: String,
    kind: &'static str,
    this: bool,
}

/// The word for a kind of device.
pub(crate) fn kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Full => "full",
        DeviceKind::AppendOnly => "append_only",
    }
}

impl DeviceList {
    pub(crate) fn new(listed: &[Listed]) -> Self {
        let of = |listed: &Listed| OneDevice {
            server: listed.server.to_string(),
            device: listed.id.to_hex(),
            kind: if listed.recovery { "recovery" } else { kind(listed.kind) },
            this: listed.this,
        };
        Self { command: "device list", devices: listed.iter().map(of).collect() }
    }
}

/// A device that has been taken on, as it says itself.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceRequested {
    command: &'static str,
    server: String,
    device: String,
    kind: &'static str,
    user: String,
    words: Vec<&'static str>,
    vaults: Vec<String>,
}

impl DeviceRequested {
    pub(crate) fn new(joined: &Joined, device: &DeviceId, of_kind: DeviceKind) -> Self {
        Self {
            command: "device request",
            server: joined.url.to_string(),
            device: device.to_hex(),
            kind: kind(of_kind),
            user: joined.user.to_hex(),
            words: user_words(&joined.user).to_vec(),
            vaults: joined.vaults.keys().cloned().collect(),
        }
    }
}

/// A device that was taken on.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceAdded<'a> {
    command: &'static str,
    server: String,
    device: String,
    kind: &'static str,
    vaults: &'a [String],
    failed: &'a [String],
}

impl<'a> DeviceAdded<'a> {
    pub(crate) fn new(added: &'a Added) -> Self {
        Self {
            command: "device add",
            server: added.server.to_string(),
            device: added.device.id().to_hex(),
            kind: kind(added.device.kind),
            vaults: &added.vaults,
            failed: &added.failed,
        }
    }
}

/// A device that was cut off.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceRemoved<'a> {
    command: &'static str,
    server: Option<String>,
    device: String,
    vaults: &'a [String],
    failed: &'a [String],
}

impl<'a> DeviceRemoved<'a> {
    pub(crate) fn new(removed: &'a Removed) -> Self {
        Self {
            command: "device remove",
            server: removed.server.as_ref().map(ToString::to_string),
            device: removed.device.to_hex(),
            vaults: &removed.vaults,
            failed: &removed.failed,
        }
    }
}
