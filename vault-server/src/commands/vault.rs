//! `vault-server vault`: which vaults there are, and the release of what was held.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Subcommand;
use vault_core::bytes::ByteSize;
use vault_core::id::VaultId;
use vault_server::Parts;
use vault_server::config::Config;
use vault_server::db::VaultRecord;

use super::{CommandError, print, user, with_parts};

/// What to do with vaults.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// All vaults
    List,
    /// Let go what was held since more than half of a vault was condemned within a day
    Release {
        /// The vault's id, or enough digits of its beginning
        vault: String,
    },
}

pub(crate) fn run(verb: &Verb, config: &Config, json: bool) -> Result<ExitCode, CommandError> {
    with_parts(config, async |parts| match verb {
        Verb::List => list(parts, json).await,
        Verb::Release { vault } => {
            let vault = find(parts, vault).await?;
            parts.db.set_held(vault, false).await?;
            print(&format!("the trash of {vault} is released"))
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn all(parts: &Parts) -> Result<Vec<VaultRecord>, CommandError> {
    let mut vaults: Vec<VaultRecord> = Vec::new();
    loop {
        let page = parts.db.vaults(vaults.last().map(|vault| &vault.vault), 1000).await?;
        if page.is_empty() {
            return Ok(vaults);
        }
        vaults.extend(page);
    }
}

async fn list(parts: &Parts, json: bool) -> Result<(), CommandError> {
    let vaults = all(parts).await?;
    if json {
        let vaults: Vec<_> = vaults
            .iter()
            .map(|vault| {
                serde_json::json!({
                    "vault": vault.vault.to_hex(), "founder": vault.founder.to_hex(), "used": vault.used,
                    "trash": vault.trashed, "statements": vault.head.seq.0 + 1, "held": vault.held,
                })
            })
            .collect();
        return print(&serde_json::json!({ "vaults": vaults }).to_string());
    }
    let mut text =
        format!("{:<64}  {:<8}  {:>10}  {:>10}  {:>13}", "vault", "founder", "used", "trash", "quota");
    for vault in &vaults {
        let (used, trash) = (ByteSize(vault.used).to_string(), ByteSize(vault.trashed).to_string());
        let held = if vault.held { "  held: vault-server vault release" } else { "" };
        let (founder, quota) = (vault.founder.short(), user::shown(vault.quota));
        let _ = write!(text, "\n{}  {founder}  {used:>10}  {trash:>10}  {quota:>13}{held}", vault.vault);
    }
    print(&text)
}

async fn find(parts: &Parts, text: &str) -> Result<VaultId, CommandError> {
    let vaults = all(parts).await?;
    let mut found = vaults.iter().filter(|vault| !text.is_empty() && vault.vault.to_hex().starts_with(text));
    match (found.next(), found.next()) {
        (Some(vault), None) => Ok(vault.vault),
        (None, _) => Err(CommandError::Usage(format!("there is no vault {text}"))),
        (Some(_), Some(_)) => Err(CommandError::Usage(format!("several vaults begin with {text}"))),
    }
}
