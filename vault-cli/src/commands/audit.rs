//! `vault audit`: what was done in a vault on a server, as the server's own chain tells it.
//!
//! The chain is verified from its beginning, and must go through the last entry that this machine has seen: then nothing before that was
//! changed or left out since.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use vault_core::error::Error;
use vault_core::id::VaultId;
use vault_core::time::Timestamp;
use vault_core::wire::audit::{AuditEntry, AuditHead};

use crate::context::Context;
use crate::error::{CliError, ServerError};
use crate::exit::Exit;
use crate::identity::make_directory;
use crate::spec;
use crate::ui::{json, summary};

/// Show what was done in a vault on a server
///
/// The server keeps a chain of all that was written, deleted and changed, by which device and from where. It is verified, and compared
/// with what this machine has seen of it before: a break ends with code 8. Only an owner can read it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  vault audit --vault photos\n  vault audit --vault photos --since 2026-11-22"
)]
pub(crate) struct Audit {
    /// Show only what was done at this time or later, as in 2026-11-22T10:00
    #[arg(long, value_name = "TIME", value_parser = spec::begin_of)]
    since: Option<Timestamp>,
}

impl Audit {
    /// Verifies the chain and shows its entries.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (server, vault) = context.vault_on_server()?;
        let local = context.directories()?.of_vault(&vault);
        let file = local.state.join("audit");
        let seen = remembered(&file)?;
        let (mut shown, mut head, mut met) = (Vec::new(), AuditHead::start(&vault), seen.is_none());
        loop {
            let (entries, reached, more) = server.audit(&vault, head).map_err(Error::from)?;
            met |= entries.iter().any(|entry| seen == Some(AuditHead { seq: entry.seq, hash: entry.hash.0 }));
            let since =
                |entry: &AuditEntry| self.since.is_none_or(|since| entry.time.to_timestamp() >= since);
            shown.extend(entries.into_iter().filter(since));
            head = reached;
            if !more {
                break;
            }
        }
        if !met {
            return Err(ServerError::AuditBroken { location: context.location()?.to_string() }.into());
        }
        remember(context, &file, head)?;
        let document = json::audit::Audit::new(&vault, head, &shown);
        context
            .ui
            .listing(&document, |out| summary::audit::entries(out, head, &shown))
            .map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

/// The last entry that this machine has seen: its number, a space, and its hash. A file that is not understood is not passed over.
fn remembered(file: &Path) -> Result<Option<AuditHead>, CliError> {
    let failed = |source| CliError::ReadFile { path: file.to_owned(), source };
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(failed)?,
    };
    let parse = || {
        let (seq, hash) = text.trim_end().split_once(' ')?;
        // Written as the id of a vault is: 64 digits.
        Some(AuditHead { seq: seq.parse().ok()?, hash: *VaultId::parse(hash).ok()?.as_bytes() })
    };
    parse().map(Some).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}

fn remember(context: &Context, file: &Path, head: AuditHead) -> Result<(), CliError> {
    let write = || {
        let directory = file.parent().unwrap_or(Path::new("."));
        make_directory(directory)?;
        let mut temporary = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
        writeln!(temporary, "{} {}", head.seq, VaultId::new(head.hash))?;
        temporary.as_file().sync_data()?;
        temporary.persist(file)?;
        Ok(())
    };
    write().map_err(|source: io::Error| {
        let variable = context.directories().ok().and_then(|directories| directories.variable_for(file));
        CliError::OwnDirectory { path: file.to_owned(), variable, source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_back_or_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("audit");
        assert_eq!(remembered(&file).unwrap(), None);

        fs::write(&file, format!("7 {}\n", "ab".repeat(32))).unwrap();
        assert_eq!(remembered(&file).unwrap(), Some(AuditHead { seq: 7, hash: [0xab; 32] }));

        fs::write(&file, "7").unwrap();
        assert!(remembered(&file).is_err());
    }
}
