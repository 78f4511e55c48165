//! What a link opens: for whoever has it, without an account, an identity or a configuration.
//!
//! That it opens is known before a download is counted; nothing of it stays on this machine but what is restored.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use vault_core::error::Error;
use vault_core::keys::SecretString;
use vault_core::keys::age_file::OpenError;
use vault_core::keys::envelope::EnvelopeError;
use vault_core::keys::grant::LinkError;
use vault_core::net::{GrantAccess, GrantedObjects, NetError, NetErrorKind, Server};
use vault_core::ops::grants::{GivenContents, Means, Offer, Opened, Unsealed};
use vault_core::vault::LocalPaths;
use vault_core::wire::link::LinkUrl;

use super::{check_is, store_of};
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::ui::prompt;
use crate::unlock;

/// How often a passphrase may be mistyped.
const ATTEMPTS: usize = 3;

/// The status of an answer about something that is used up.
const GONE: u16 = 410;

/// A download that has begun.
pub(crate) struct Download {
    pub(crate) contents: GivenContents,
    pub(crate) opened: Opened,
    /// How many downloads are left after this one, if they are counted.
    pub(crate) left: Option<u32>,
    /// Holds the index while it is used.
    _scratch: TempDir,
}

/// Begins a download by a link.
pub(crate) fn by_link(
    context: &Context,
    link: &LinkUrl,
    passphrase_file: Option<&Path>,
) -> Result<Download, CliError> {
    let server = context.server_of_link(link)?;
    let token = link.secret.token(&link.grant);
    let stored = server.link(&link.grant, &token).map_err(|error| refused(&server, error))?;
    let offer = Offer::read(&stored)?;
    check_is(&offer, &link.grant)?;
    let unsealed = unseal(&offer, link, passphrase_file)?;
    let contents = unsealed.contents()?;
    let scratch = tempfile::tempdir().map_err(|source| CliError::Scratch { source })?;
    let local = LocalPaths { state: scratch.path().join("state"), cache: scratch.path().join("cache") };
    // From here on it is counted.
    let begun = server.open_link(&link.grant, &token).map_err(|error| refused(&server, error))?;
    let access = GrantAccess::Link { token, ticket: begun.ticket };
    let objects = GrantedObjects { server: Arc::new(server), grant: link.grant, access };
    let opened = unsealed.open(store_of(context, objects, offer.vault()), local)?;
    Ok(Download { contents, opened, left: begun.left, _scratch: scratch })
}

/// Opens the keys; where a passphrase is needed, with that of the file, else of whoever sits there.
fn unseal<'o>(
    offer: &'o Offer,
    link: &LinkUrl,
    passphrase_file: Option<&Path>,
) -> Result<Unsealed<'o>, CliError> {
    let open = |passphrase: Option<&SecretString>| {
        offer.unseal(&Means::Link { secret: &link.secret, passphrase }).map_err(of_unsealing)
    };
    match offer.unseal(&Means::Link { secret: &link.secret, passphrase: None }) {
        Err(Error::Link(LinkError::NeedsPassphrase)) => {}
        result => return Ok(result?),
    }
    if let Some(path) = passphrase_file {
        return open(Some(&unlock::first_line_of_file(path)?));
    }
    if !prompt::possible() {
        return Err(ShareError::NoLinkPassphrase.into());
    }
    for _ in 1..ATTEMPTS {
        match open(Some(&unlock::ask("Passphrase of the link")?)) {
            Err(CliError::Share(error)) if matches!(*error, ShareError::LinkPassphrase) => prompt::again(),
            result => return result,
        }
    }
    open(Some(&unlock::ask("Passphrase of the link")?))
}

fn of_unsealing(error: Error) -> CliError {
    match error {
        Error::Link(LinkError::Packet(EnvelopeError::Open(OpenError::WrongPassphrase))) => {
            ShareError::LinkPassphrase.into()
        }
        error => error.into(),
    }
}

/// What a server means that refuses a link.
fn refused(server: &Server, error: NetError) -> CliError {
    match &error {
        NetError::Refused { problem, .. } if problem.status == GONE => ShareError::LinkUsedUp.into(),
        NetError::Refused { .. }
            if matches!(error.kind(), NetErrorKind::NotFound | NetErrorKind::Unauthorized) =>
        {
            ShareError::LinkUnknown { server: server.url().clone() }.into()
        }
        _ => Error::from(error).into(),
    }
}
