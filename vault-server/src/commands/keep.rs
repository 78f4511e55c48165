//! `vault-server check` and `backup`: whether what the server keeps is whole, and a copy of it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use vault_core::bytes::ByteSize;
use vault_server::config::Config;
use vault_server::state::SystemClock;
use vault_server::tls::{CERTIFICATE_FILE, KEY_FILE};
use vault_server::{RECEIPT_KEY_FILE, jobs, jobs_of};

use super::{CommandError, print, with_parts};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Read every object through, and compare it with its name
    #[arg(long)]
    read_data: bool,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// Where to; must not exist. It is a data directory again
    directory: PathBuf,
}

pub(crate) fn check(
    arguments: &CheckArguments,
    config: &Config,
    json: bool,
) -> Result<ExitCode, CommandError> {
    let report = with_parts(config, async |parts| {
        let jobs = jobs_of(config, parts, Arc::new(SystemClock));
        let checked = jobs::check(&jobs, arguments.read_data).await;
        checked
            .map_err(|source| CommandError::Failed { what: "the check did not end", source: source.into() })
    })?;
    let is_good = report.faults.is_empty();
    if json {
        let faults: Vec<_> = report
            .faults
            .iter()
            .map(|(vault, key, fault)| {
                serde_json::json!({ "vault": vault.to_hex(), "path": key.path(), "fault": format!("{fault:?}") })
            })
            .collect();
        let document =
            serde_json::json!({ "objects": report.objects, "bytes": report.bytes, "faults": faults });
        print(&document.to_string())?;
    } else {
        let mut text = format!("{} objects, {}", report.objects, ByteSize(report.bytes));
        for (vault, key, fault) in &report.faults {
            let _ = write!(text, "\n{} {key}: {fault:?}", vault.short());
        }
        text += if is_good { ": all are there" } else { "\nthe clients' next check says what to do" };
        print(&text)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(8) })
}

pub(crate) fn backup(
    arguments: &BackupArguments,
    config: &Config,
    json: bool,
) -> Result<ExitCode, CommandError> {
    let names = [RECEIPT_KEY_FILE, CERTIFICATE_FILE, KEY_FILE];
    let keys: Vec<_> = names.iter().map(|name| config.data.join(name)).filter(|path| path.exists()).collect();
    let report = with_parts(config, async |parts| {
        let jobs = jobs_of(config, parts, Arc::new(SystemClock));
        let done = jobs::backup(&jobs, &arguments.directory, &keys).await;
        done.map_err(|source| CommandError::Failed { what: "the backup is not whole", source: source.into() })
    })?;
    if json {
        let document = serde_json::json!({
            "objects": report.objects, "bytes": report.bytes, "missing": report.missing, "keys": report.keys,
        });
        print(&document.to_string())?;
    } else {
        let (to, size) = (arguments.directory.display(), ByteSize(report.bytes));
        print(&format!("{} objects, {size}, and {} key files copied to {to}", report.objects, report.keys))?;
    }
    if report.missing > 0 {
        return Err(CommandError::NotInOrder(format!(
            "{} objects are missing: vault-server check",
            report.missing
        )));
    }
    Ok(ExitCode::SUCCESS)
}
