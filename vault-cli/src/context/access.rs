//! What it takes to reach vaults on servers, and what their names mean.
//!
//! A server is asked only as it was joined: by its pin, as this device, with its receipt key. Nothing is sent before something is asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vault_core::crypto::random::SystemRandom;
use vault_core::crypto::secret::Secret;
use vault_core::crypto::sign::SigningKey;
use vault_core::error::Error;
use vault_core::id::VaultId;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::net::{Means, Patience, Server, ServerUrl, Trust};
use vault_core::store::location::{Access, Location};
use vault_core::wire::link::LinkUrl;

use super::{Chosen, Context};
use crate::clock::{SystemClock, SystemPace};
use crate::config;
use crate::contacts::Contacts;
use crate::error::{CliError, ServerError};
use crate::servers::{self, Joined, Servers};
use crate::signals;

/// How long a question is tried again that nobody has prepared for.
const BRIEF: Patience = Patience {
    budget: Duration::from_secs(5),
    first_wait: Duration::from_millis(200),
    longest_wait: Duration::from_secs(2),
};

/// Where a new vault is to be made.
#[derive(Debug)]
pub(crate) struct NewPlace {
    pub(crate) location: Location,
    /// Its name on this machine, if it is to have one beside its place.
    pub(crate) name: Option<String>,
}

impl Context {
    /// The servers that this machine has joined.
    pub(crate) fn servers(&self) -> Result<Servers, CliError> {
        Ok(Servers::new(self.directories()?.servers()))
    }

    /// The people one shares with.
    pub(crate) fn contacts(&self) -> Result<Contacts, CliError> {
        Ok(Contacts::new(self.directories()?.contacts()))
    }

    /// What it takes to open a location: for a vault on a server that was joined, this device.
    pub(crate) fn access(&self, location: &Location) -> Result<Access, CliError> {
        let Some(url) = location.server() else { return Ok(Access::local()) };
        match self.servers()?.get(url)? {
            Some(joined) => {
                self.audit_later(&joined);
                Ok(Access::to(self.connection(&joined)?))
            }
            None => Ok(Access::local()),
        }
    }

    /// A server that was joined, asked by this device about its user: it must show that user to others as they are.
    pub(crate) fn server(&self, joined: &Joined) -> Result<Arc<Server>, CliError> {
        self.audit_oneself(joined)?;
        self.connection(joined)
    }

    /// A server that was joined, asked by this device.
    fn connection(&self, joined: &Joined) -> Result<Arc<Server>, CliError> {
        if let Some(known) = self.asked.borrow().iter().find(|server| *server.url() == joined.url) {
            return Ok(Arc::clone(known));
        }
        let device = self.device()?;
        let server = self.server_as(joined, copy(device.signing()))?;
        let server = Arc::new(server);
        self.asked.borrow_mut().push(Arc::clone(&server));
        Ok(server)
    }

    /// A server that was joined, asked by the recovery device of the user.
    pub(crate) fn server_recovering(
        &self,
        joined: &Joined,
        identity: &UserIdentity,
    ) -> Result<Server, CliError> {
        self.server_as(joined, identity.recovery_key())
    }

    /// A server that was joined, for a person who waits for the answer: it is soon told that there is none.
    pub(crate) fn briefly(&self, joined: &Joined) -> Result<Server, CliError> {
        let server = self.server_as(joined, copy(self.device()?.signing()))?;
        Ok(server.with_patience(BRIEF))
    }

    /// The same server, asked by this device.
    pub(crate) fn signed_by_device(&self, server: Server) -> Result<Server, CliError> {
        Ok(server.asked_by(copy(self.device()?.signing())))
    }

    fn server_as(&self, joined: &Joined, key: SigningKey) -> Result<Server, CliError> {
        let server = self.stranger(&joined.url, joined.trust())?.with_patience(Patience::default());
        Ok(server.asked_by(key).with_receipt_key(joined.receipt_key))
    }

    /// A server that is asked without signatures.
    #[expect(clippy::unused_self, reason = "what talks to others goes through the context")]
    pub(crate) fn stranger(&self, url: &ServerUrl, trust: Trust) -> Result<Server, CliError> {
        Ok(Server::new(url.clone(), trust, means()).map_err(Error::from)?.with_patience(BRIEF))
    }

    /// The server that a link leads to, which need not be one that was joined.
    #[expect(clippy::unused_self, reason = "what talks to others goes through the context")]
    pub(crate) fn server_of_link(&self, link: &LinkUrl) -> Result<Server, CliError> {
        Ok(Server::of_link(link, means()).map_err(Error::from)?.with_patience(Patience::default()))
    }

    /// The one server that was joined, or that of several which `url` names.
    pub(crate) fn joined_server(&self, url: Option<&str>) -> Result<Joined, CliError> {
        let mut all = self.servers()?.all()?;
        match url {
            Some(text) => {
                let url = ServerUrl::parse(text).map_err(ServerError::from)?;
                let found = all.into_iter().find(|joined| joined.url == url);
                Ok(found.ok_or(ServerError::NotJoined { server: Some(url) })?)
            }
            None if all.len() > 1 => {
                let known = all.iter().map(|joined| joined.url.to_string()).collect();
                Err(ServerError::WhichServer { known }.into())
            }
            None => Ok(all.pop().ok_or(ServerError::NotJoined { server: None })?),
        }
    }

    /// The vault at hand, and the server that it is on.
    pub(crate) fn vault_on_server(&self) -> Result<(Arc<Server>, VaultId), CliError> {
        let location = self.location()?;
        let Location::Server { server, vault: Some(vault) } = &location else {
            return Err(ServerError::NotOnServer { location: location.to_string() }.into());
        };
        let joined = self.joined_server(Some(&server.to_string()))?;
        Ok((self.server(&joined)?, *vault))
    }

    /// The place for a new vault: for a bare name that means nothing yet, a server that was joined, if there is one.
    pub(crate) fn new_place(&self, server: Option<&str>) -> Result<NewPlace, CliError> {
        let text = self.vault.clone().or_else(config::location);
        let name = text.as_deref().and_then(|text| text.to_str()).filter(|text| !text.contains('/'));
        if let Some(name) = name.filter(|name| !Path::new(name).exists())
            && !self.configuration()?.vaults.contains_key(name)
            && self.servers()?.named(name)?.is_none()
            && (server.is_some() || !self.servers()?.all()?.is_empty())
        {
            let joined = self.joined_server(server)?;
            if !servers::is_name(name) {
                return Err(ServerError::NotAName { name: name.to_owned() }.into());
            }
            let location = Location::Server { server: joined.url, vault: None };
            let chosen = Chosen { text: name.into(), name: None, location: location.clone() };
            self.chosen.get_or_init(|| chosen);
            return Ok(NewPlace { location, name: Some(name.to_owned()) });
        }
        match self.location()? {
            Location::Server { vault: None, .. } => Err(ServerError::NewVaultWithoutName.into()),
            location => Ok(NewPlace { location, name: None }),
        }
    }

    /// Gives the vault that was just made its name on this machine, and goes on with it.
    pub(crate) fn name_new_vault(&self, name: &str, location: &Location) -> Result<(), CliError> {
        self.name_vault(name, location)?;
        let name_is = Some(name.to_owned());
        self.made.get_or_init(|| Chosen { text: name.into(), name: name_is, location: location.clone() });
        Ok(())
    }

    /// Gives a vault on a server its name on this machine.
    pub(crate) fn name_vault(&self, name: &str, location: &Location) -> Result<(), CliError> {
        let Location::Server { server, vault: Some(vault) } = location else { return Ok(()) };
        self.servers()?.update(server, |joined| {
            joined.vaults.retain(|_, known| known != vault);
            joined.vaults.insert(name.to_owned(), *vault);
        })
    }

    /// The vault that has a name on this machine, without being in the configuration.
    pub(super) fn named_on_server(&self, name: &str) -> Result<Option<Chosen>, CliError> {
        let Some((joined, vault)) = self.servers()?.named(name)? else { return Ok(None) };
        Ok(Some(Chosen { text: name.into(), name: Some(name.to_owned()), location: joined.location(vault) }))
    }

    /// The names that vaults have: those of the configuration, and those on servers.
    pub(crate) fn known_names(&self) -> Result<Vec<String>, CliError> {
        let mut names: Vec<String> = self.configuration()?.vaults.keys().cloned().collect();
        for joined in self.servers()?.all()? {
            names.extend(joined.vaults.into_keys());
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The only vault with a name on a server, if there is exactly one.
    pub(super) fn usual_on_server(&self) -> Result<Option<String>, CliError> {
        let mut names = self.servers()?.all()?.into_iter().flat_map(|joined| joined.vaults.into_keys());
        let first = names.next();
        Ok(first.filter(|_| names.next().is_none()))
    }
}

/// What a client needs from this machine.
fn means() -> Means {
    Means {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom::new()),
        pace: Arc::new(SystemPace::new()),
        stopped: Arc::new(signals::stop_requested),
    }
}

/// The same key once more.
fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_seed(Secret::new(*key.seed().expose()))
}
