//! What stands between this machine and its vaults: reach, history, registration, room.

use std::time::Duration;

use vault_core::vault::Vault;

use super::machine::{SKEW, space};
use super::{Findings, leftovers};
use crate::context::Context;
use crate::error::CliError;
use crate::ui::human;

/// Looks at the vault that is named, or else at every vault that has a name.
pub(super) fn examine(context: &Context, findings: &mut Findings) {
    if context.names_vault() {
        return vault(&context.again(), findings);
    }
    match context.known_names() {
        Ok(names) if !names.is_empty() => {
            names.iter().for_each(|name| vault(&context.for_vault(name), findings));
        }
        Ok(_) => findings.warn("vault", "none is named", "name it: `vault doctor --vault LOCATION`"),
        // Told as a fault of the configuration or of a server.
        Err(_) => {}
    }
}

fn vault(context: &Context, findings: &mut Findings) {
    let name = context.vault_text();
    let opened = context.location().and_then(|location| Ok((context.open(&location)?, location)));
    let (vault, location) = match opened {
        Ok(opened) => opened,
        Err(error) => return findings.fail_with("vault", &error, name.as_deref()),
    };
    let head = vault.state().head().seq.0;
    findings.ok(
        "vault",
        format!(
            "{location}: {}, {} verified, {}",
            vault.id().short(),
            human::counted(head + 1, "statement"),
            human::counted(vault.state().snapshots().len() as u64, "snapshot")
        ),
    );
    dates(context, &vault, findings);
    registration(context, &vault, findings);
    if let Some(directory) = location.directory() {
        space("vault", directory, findings);
        let stale = leftovers(directory, 2);
        if stale > 0 {
            findings.warn(
                "vault",
                format!("{} in {location}", human::counted(stale as u64, "old temporary file")),
                &format!(
                    "delete what interrupted runs left: `find {location} -name '.tmp-*' -mtime +1 -delete`"
                ),
            );
        }
    }
}

/// A snapshot from the future: one of two clocks is wrong.
fn dates(context: &Context, vault: &Vault, findings: &mut Findings) {
    let now = context.now().seconds;
    let newest = vault.state().snapshots().iter().map(|snapshot| snapshot.time.seconds).max();
    let ahead = newest.map_or(0, |newest| newest.saturating_sub(now));
    let ahead = Duration::from_secs(u64::try_from(ahead).unwrap_or(0));
    if ahead > SKEW {
        findings.warn(
            "clock",
            format!("a snapshot is dated {} in the future", human::duration(ahead)),
            "compare this machine's clock with that of the machine that made it",
        );
    }
}

fn registration(context: &Context, vault: &Vault, findings: &mut Findings) {
    let exists = context.directories().map(|directories| directories.device_key().exists());
    match exists {
        Ok(true) => {}
        _ => return,
    }
    match context.device() {
        Ok(device) if vault.knows_device(&device) => {
            findings.ok("device", format!("{} may back up without asking", device.device_id().short()));
        }
        Ok(device) => {
            let hint = crate::report::next_step(
                &CliError::Core(vault_core::error::Error::DeviceUnknown { vault: *vault.id() }),
                context.vault_text().as_deref(),
            );
            findings.warn(
                "device",
                format!("{} is not registered in this vault", device.device_id().short()),
                &hint,
            );
        }
        // Told as a fault of the key file.
        Err(_) => {}
    }
}
