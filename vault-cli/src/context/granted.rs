//! Grants in the place of vaults: a command that reads a snapshot reads what one was given in the same way.
//!
//! What is opened so has one snapshot and a reader of its own; the user's keys of a vault have no part in it.

use vault_core::id::SnapshotId;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::store::location::{Location, OpenStore};
use vault_core::vault::{Reader, Vault};

use super::Context;
use crate::clock::SystemPace;
use crate::error::{CliError, ShareError};
use crate::granted::{self, Wanted};
use crate::spec::Spec;
use crate::{agent, identity, report};

/// The grant that a command reads.
pub(super) struct OpenGrant {
    /// As it was named.
    wanted: String,
    snapshot: SnapshotId,
    /// Until somebody takes it.
    reader: Option<Reader>,
}

impl Context {
    /// Opens the vault that a snapshot is in, or the grant.
    pub(crate) fn open_for(&self, spec: &Spec) -> Result<Vault, CliError> {
        self.open_meant(spec, false)
    }

    /// As [`Self::open_for`], to fetch contents: whoever gave a grant is told.
    pub(crate) fn fetch_for(&self, spec: &Spec) -> Result<Vault, CliError> {
        self.open_meant(spec, true)
    }

    fn open_meant(&self, spec: &Spec, fetches: bool) -> Result<Vault, CliError> {
        let Some(id) = spec.grant() else { return self.open(&self.location_of(spec)?) };
        let given = granted::open(self, Wanted { id, from_stranger: false, fetches })?;
        let opened = given.opened;
        let (wanted, reader) = (id.to_owned(), Some(opened.reader));
        *self.grant.borrow_mut() = Some(OpenGrant { wanted, snapshot: opened.snapshot, reader });
        Ok(opened.vault)
    }

    /// The reader of the grant that is open, if one is.
    pub(super) fn reader_of_grant(&self) -> Option<Reader> {
        self.grant.borrow_mut().as_mut().and_then(|grant| grant.reader.take())
    }

    /// The snapshot of the grant that is open, if one is or is meant: it has no other one beside it.
    pub(super) fn snapshot_of_grant(&self, spec: &Spec) -> Result<Option<SnapshotId>, CliError> {
        match (&*self.grant.borrow(), spec.grant()) {
            (None, None) => Ok(None),
            (Some(open), Some(meant)) if open.wanted == meant => Ok(Some(open.snapshot)),
            _ => Err(ShareError::OneGrant.into()),
        }
    }

    /// Where the vault is that an option names, if one does.
    pub(crate) fn named_location(&self) -> Result<Option<Location>, CliError> {
        self.vault.as_ref().map(|_| self.location()).transpose()
    }

    /// A store that moves no more than the user lets it.
    pub(crate) fn limited(&self, store: OpenStore) -> OpenStore {
        match self.bandwidth {
            Some(bytes_per_second) => store.limited(bytes_per_second, Box::new(SystemPace::new())),
            None => store,
        }
    }

    /// The identity of this machine, for what needs no vault: one that the agent keeps, or the sealed one.
    pub(crate) fn machine_identity(&self) -> Result<UserIdentity, CliError> {
        let (keys, directories) = (self.keys_alone(), self.directories()?);
        if !keys.are_given()
            && let Some(user) = self.servers()?.all()?.first().map(|joined| joined.user)
            && let Some(kept) =
                agent::give(&directories.agent()).into_iter().find(|kept| kept.user_id() == user)
        {
            return Ok(kept);
        }
        let sealed: Vec<Vec<u8>> = identity::local(directories)?.into_iter().collect();
        let opened = identity::open(&sealed, &keys, &mut Ok)?;
        if let Some(time) = keys.unlock_for()
            && let Err(error) = agent::keep(&directories.agent(), &opened.to_secret_text(), time)
        {
            self.ui.warn(&report::in_one_line(&CliError::from_agent(error)));
        }
        Ok(opened)
    }
}
