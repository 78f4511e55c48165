//! What was given to the user: found, shown to be whose it is, and opened.
//!
//! Nothing is opened of which it is not certain by whom it was given, and nothing is fetched before it is certain that it opens.
//!
//! ```text
//! it is found: on the servers that were joined, or in the log of a vault at hand  [1]
//! its statement is read, and must be the one that was asked for                   [2]
//! whoever gave it has signed it, with a device on their card                      [3]
//! it opens with the identity, or with a key of --identity                         [4]
//! only then anything of it is fetched                                             [5]
//! ```

mod giver;
mod keys;
mod link;

pub(crate) use self::giver::{Giver, Givers, Who};
pub(crate) use self::keys::{Keys, id_of_recipient};
pub(crate) use self::link::by_link;

use std::rc::Rc;
use std::sync::Arc;

use vault_core::error::Error;
use vault_core::id::{GrantId, Seq, UserId, VaultId};
use vault_core::net::{GrantAccess, GrantedObjects, NetErrorKind, Server};
use vault_core::ops::grants::{GivenContents, Offer, Opened};
use vault_core::store::location::{Location, OpenStore};
use vault_core::store::{ObjectKey, Store};
use vault_core::time::Timestamp;
use vault_core::vault::{LocalPaths, Vault};
use vault_core::wire::limits;
use vault_core::wire::v1::grants::Received;

use crate::context::Context;
use crate::error::{CliError, ServerError, ShareError};
use crate::exit::Exit;
use crate::identity;
use crate::servers::Joined;

/// The fewest digits by which a grant is named.
const LEAST_DIGITS: usize = 4;

/// Where grants are.
enum Place {
    /// On a server, which is soon told to answer.
    Server { joined: Box<Joined>, server: Box<Server> },
    /// In the log of a vault that lies in a directory.
    Vault(Vault),
}

/// One grant to the user, as whoever keeps it says.
pub(crate) struct Offered {
    pub(crate) grant: GrantId,
    pub(crate) vault: VaultId,
    /// Who gave it: shown by its statement, and not before.
    pub(crate) from: UserId,
    /// When it was given.
    pub(crate) given: Timestamp,
    /// When it ends.
    pub(crate) expires: Option<Timestamp>,
    /// Whether it holds now.
    pub(crate) holds: bool,
    place: Rc<Place>,
    /// Its statement, in the log of a vault.
    seq: Seq,
}

/// What was found, and which servers could not be asked.
pub(crate) struct Found {
    pub(crate) offered: Vec<Offered>,
    pub(crate) failures: Vec<CliError>,
}

/// Which grant is to be opened, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'w> {
    /// The beginning of its id.
    pub(crate) id: &'w str,
    /// Whether it may be from somebody who is no contact.
    pub(crate) from_stranger: bool,
    /// Whether its contents are fetched, which whoever gave it is told.
    pub(crate) fetches: bool,
}

/// A grant that was opened, and what is known of it.
pub(crate) struct Given {
    pub(crate) grant: GrantId,
    pub(crate) giver: Giver,
    pub(crate) contents: GivenContents,
    pub(crate) opened: Opened,
}

/// Everything that was given to the user: on the servers that were joined, or one of them, and with `--vault` in that vault.
///
/// In the log of a vault only grants to one of `ids` are taken, if any are said.
pub(crate) fn all(
    context: &Context,
    server: Option<&str>,
    ids: Option<&[[u8; 16]]>,
) -> Result<Found, CliError> {
    let named = context.named_location()?;
    let mut found = Found { offered: Vec::new(), failures: Vec::new() };
    if let Some(location) = named.as_ref().filter(|location| location.directory().is_some()) {
        found.offered = in_vault(context, location, ids)?;
    }
    let joined = match server {
        Some(_) => vec![context.joined_server(server)?],
        None => context.servers()?.all()?,
    };
    if joined.is_empty() && named.is_none() {
        return Err(ServerError::NotJoined { server: None }.into());
    }
    let of_vault = match named {
        Some(Location::Server { vault, .. }) => vault,
        _ => None,
    };
    for joined in joined {
        match on_server(context, joined) {
            Ok(offered) => found.offered.extend(offered),
            Err(error) if error.exit() == Exit::Integrity => return Err(error),
            Err(error) => found.failures.push(error),
        }
    }
    found.offered.retain(|offered| of_vault.is_none_or(|vault| offered.vault == vault));
    // What is in a vault at hand and on its server is one thing.
    let mut seen = std::collections::BTreeSet::new();
    found.offered.retain(|offered| seen.insert(offered.grant));
    Ok(found)
}

/// What a server has for its user.
fn on_server(context: &Context, joined: Joined) -> Result<Vec<Offered>, CliError> {
    context.audit_oneself(&joined)?;
    let server = context.briefly(&joined)?;
    let received = server.inbox().map_err(Error::from)?;
    let place = Rc::new(Place::Server { joined: Box::new(joined), server: Box::new(server) });
    let of = |received: Received| Offered {
        grant: received.grant,
        vault: received.vault,
        from: received.from,
        given: received.given_at.to_timestamp(),
        expires: received.expires_at.map(vault_core::wire::Millis::to_timestamp),
        holds: true,
        place: Rc::clone(&place),
        seq: Seq::GENESIS,
    };
    Ok(received.into_iter().map(of).collect())
}

/// What the log of a vault has for the user.
fn in_vault(
    context: &Context,
    location: &Location,
    ids: Option<&[[u8; 16]]>,
) -> Result<Vec<Offered>, CliError> {
    let vault = context.open(location)?;
    let (id, now) = (*vault.id(), context.now().seconds);
    let place = Rc::new(Place::Vault(vault));
    let Place::Vault(vault) = &*place else { return Ok(Vec::new()) };
    let is_meant = |to: [u8; 16]| ids.is_none_or(|ids| ids.contains(&to));
    let grants = vault.state().grants().iter();
    let for_user = grants.filter(|granted| granted.grant.to.iter().any(|to| is_meant(to.id)));
    let seconds = |seconds: u64| Timestamp::new(i64::try_from(seconds).unwrap_or(i64::MAX), 0);
    let offered = for_user.map(|granted| Offered {
        grant: granted.grant.id,
        vault: id,
        from: granted.user,
        given: granted.time,
        expires: granted.grant.expires.map(seconds),
        holds: granted.holds_at(now),
        place: Rc::clone(&place),
        seq: granted.seq,
    });
    Ok(offered.collect())
}

/// The only grant whose id begins so.
fn find(context: &Context, wanted: &str) -> Result<Offered, CliError> {
    let digits = wanted.to_ascii_lowercase();
    let Found { mut offered, mut failures } = all(context, None, None)?; // [1]
    let is_meant = |id: &GrantId| digits.len() >= LEAST_DIGITS && id.to_hex().starts_with(&digits);
    offered.retain(|offered| is_meant(&offered.grant));
    let count = offered.len();
    match (offered.pop(), count, failures.pop()) {
        (Some(only), 1, _) => Ok(only),
        (Some(_), ..) => Err(ShareError::Several { wanted: wanted.to_owned(), count }.into()),
        (None, _, Some(unasked)) => Err(unasked),
        (None, _, None) => Err(Error::NoSuchGrant { wanted: wanted.to_owned() }.into()),
    }
}

impl Offered {
    /// Reads its statement.
    pub(crate) fn read(&self) -> Result<Offer, CliError> {
        let stored = match &*self.place {
            Place::Server { server, .. } => {
                server.grant(&self.grant).map_err(|error| match error.kind() {
                    NetErrorKind::NotFound => Error::NoSuchGrant { wanted: self.grant.short() },
                    _ => error.into(),
                })?
            }
            Place::Vault(vault) => vault
                .store()
                .get(&ObjectKey::Statement(self.seq), limits::STATEMENT_BYTES)
                .map_err(Error::from)?,
        };
        let offer = Offer::read(&stored)?;
        check_is(&offer, &self.grant)?;
        Ok(offer)
    }

    /// Where its objects are.
    fn store(&self, context: &Context, fetches: bool) -> Result<Arc<dyn Store>, CliError> {
        match &*self.place {
            Place::Server { joined, .. } => {
                let server = context.server(joined)?;
                if fetches {
                    server.open_grant(&self.grant).map_err(Error::from)?;
                }
                let objects = GrantedObjects { server, grant: self.grant, access: GrantAccess::Addressee };
                Ok(store_of(context, objects, self.vault))
            }
            Place::Vault(vault) => Ok(vault.shared_store()),
        }
    }
}

/// Refuses the statement of another grant.
fn check_is(offer: &Offer, grant: &GrantId) -> Result<(), Error> {
    let is_it = offer.grant().id == *grant;
    if is_it { Ok(()) } else { Err(Error::GrantForged { what: "it is the statement of another grant" }) }
}

/// The objects of a grant on a server, as fast as the user lets them come.
fn store_of(context: &Context, objects: GrantedObjects, vault_id: VaultId) -> Arc<dyn Store> {
    context.limited(OpenStore { store: Box::new(objects), vault_id }).store.into()
}

/// Opens something that was given to the user.
pub(crate) fn open(context: &Context, wanted: Wanted<'_>) -> Result<Given, CliError> {
    let offered = find(context, wanted.id)?; // [1]
    if !offered.holds {
        return Err(ShareError::Expired { grant: offered.grant.short() }.into());
    }
    let offer = offered.read()?; // [2]
    let giver = Givers::new(context).of(&offered, &offer)?; // [3]
    if giver.who == Who::Stranger && !wanted.from_stranger {
        return Err(ShareError::Stranger { user: giver.user }.into());
    }
    let unsealed = Keys::load(context)?.unseal(&offer, &giver)?; // [4]
    let contents = unsealed.contents()?;
    let local = local(context, &offered.grant)?;
    let opened = unsealed.open(offered.store(context, wanted.fetches)?, local)?; // [5]
    Ok(Given { grant: offered.grant, giver, contents, opened })
}

/// Where this machine keeps what it fetched of the index of a grant.
fn local(context: &Context, grant: &GrantId) -> Result<LocalPaths, CliError> {
    let directories = context.directories()?;
    let local = directories.of_grant(grant);
    for path in [&local.state, &local.cache] {
        identity::make_directory(path).map_err(|error| identity::own_directory(directories, path, error))?;
    }
    Ok(local)
}
