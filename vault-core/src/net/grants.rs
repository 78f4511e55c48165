//! What a server does for those who were given something: their grants, and links.
//!
//! Statements come as they are stored: whoever reads them finds out from whom they are. Of objects a server shows what is granted, and
//! whoever uses them compares their hashes.

use std::sync::Arc;

use ureq::http::Method;

use super::client::{Means, Server};
use super::error::{NetError, NetErrorKind};
use super::objects::Part;
use super::request::{Request, number};
use super::tls::Trust;
use crate::id::{GrantId, TicketId, VaultId};
use crate::object::ObjectKey;
use crate::wire::limits;
use crate::wire::link::{LinkToken, LinkUrl};
use crate::wire::v1::grants::{Given, GivenGrant, Inbox, LinkOpened, Received, TICKET_HEADER};
use crate::wire::v1::paths;

/// By what right a grant's objects are asked for.
#[derive(Debug, Clone)]
pub enum GrantAccess {
    /// As an addressee: requests are signed.
    Addressee,
    /// By a link, within one download.
    Link {
        /// Shows that one has the link.
        token: LinkToken,
        /// The download.
        ticket: TicketId,
    },
}

impl GrantAccess {
    fn request(&self, grant: &GrantId, key: &ObjectKey) -> Request<'static> {
        match self {
            Self::Addressee => Request::get(paths::grant_object(grant, key)),
            Self::Link { token, ticket } => by_link(Request::get(paths::link_object(grant, key)), token)
                .header(TICKET_HEADER, ticket.to_hex()),
        }
    }
}

/// Asks by a link, unsigned.
fn by_link<'r>(request: Request<'r>, token: &LinkToken) -> Request<'r> {
    request.open().header("authorization", format!("Bearer {}", token.text()))
}

impl Server {
    /// The server that a link leads to.
    pub fn of_link(link: &LinkUrl, means: Means) -> Result<Self, NetError> {
        let trust = link.pin.map_or(Trust::System, Trust::Pin);
        Self::new(link.authority.clone().into(), trust, means)
    }

    /// What the user who asks was given: neither expired nor taken back.
    pub fn inbox(&self) -> Result<Vec<Received>, NetError> {
        self.pages(paths::INBOX, |page: Inbox| (page.grants, page.more), |received| received.grant)
    }

    /// How often the grants of a vault were fetched.
    pub fn vault_grants(&self, vault: &VaultId) -> Result<Vec<GivenGrant>, NetError> {
        self.pages(&paths::vault_grants(vault), |page: Given| (page.grants, page.more), |given| given.grant)
    }

    /// All pages of a list of grants, which is in order of their ids.
    fn pages<P: serde::de::DeserializeOwned, T>(
        &self,
        path: &str,
        parts: impl Fn(P) -> (Vec<T>, bool),
        id: impl Fn(&T) -> GrantId,
    ) -> Result<Vec<T>, NetError> {
        let mut all: Vec<T> = Vec::new();
        loop {
            let mut request = Request::get(path.to_owned());
            if let Some(last) = all.last() {
                request = request.with("after", id(last));
            }
            let (page, more) = parts(self.json(&self.ask(&request)?)?);
            let goes_on = !page.is_empty();
            for grant in page {
                if all.last().is_some_and(|last| id(last) >= id(&grant)) {
                    return Err(self.not_the_protocol("a list of grants is not in order"));
                }
                all.push(grant);
            }
            if !more {
                return Ok(all);
            }
            if !goes_on {
                return Err(self.not_the_protocol("a list of grants goes on, but does not get further"));
            }
        }
    }

    /// The statement of a grant that the user who asks was given.
    pub fn grant(&self, grant: &GrantId) -> Result<Vec<u8>, NetError> {
        Ok(self.ask(&Request::get(paths::grant(grant)).limit(limits::STATEMENT_BYTES))?.body)
    }

    /// Says that one begins to fetch a grant: who gave it is told how often that was.
    pub fn open_grant(&self, grant: &GrantId) -> Result<(), NetError> {
        self.ask(&Request::post_nothing(paths::grant_open(grant))).map(drop)
    }

    /// The statement of the grant that a link opens.
    pub fn link(&self, grant: &GrantId, token: &LinkToken) -> Result<Vec<u8>, NetError> {
        let request = by_link(Request::get(paths::link(grant)), token);
        Ok(self.ask(&request.limit(limits::STATEMENT_BYTES))?.body)
    }

    /// Begins a download by a link. Asked once only: each time is counted.
    pub fn open_link(&self, grant: &GrantId, token: &LinkToken) -> Result<LinkOpened, NetError> {
        let answer = self.ask(&by_link(Request::post_nothing(paths::link_open(grant)), token))?;
        self.json(&answer)
    }

    /// Reads an object of a grant, of at most `limit` bytes.
    pub fn granted_object(
        &self,
        (grant, access): (&GrantId, &GrantAccess),
        key: &ObjectKey,
        limit: u64,
    ) -> Result<Vec<u8>, NetError> {
        Ok(self.ask(&access.request(grant, key).limit(limit))?.body)
    }

    /// The length in bytes of an object of a grant that is given whole.
    pub fn granted_size(
        &self,
        (grant, access): (&GrantId, &GrantAccess),
        key: &ObjectKey,
    ) -> Result<u64, NetError> {
        let answer = self.ask(&Request { method: Method::HEAD, ..access.request(grant, key) })?;
        let size = number(&answer.head, "content-length");
        size.ok_or_else(|| self.not_the_protocol("an object's head lacks its length"))
    }

    /// Reads `length` bytes of an object of a grant, at least one, from `offset`.
    pub fn granted_range(
        &self,
        (grant, access): (&GrantId, &GrantAccess),
        key: &ObjectKey,
        (offset, length): (u64, u32),
    ) -> Result<Part, NetError> {
        let wanted = u64::from(length);
        let request = access.request(grant, key).limit(wanted);
        let answer = self.ask(&Request { range: Some((offset, wanted)), ..request })?;
        self.part_of(answer, (offset, wanted))
    }
}

/// Where the objects of a grant are.
#[derive(Clone)]
pub struct GrantedObjects {
    /// The server.
    pub server: Arc<Server>,
    /// The grant.
    pub grant: GrantId,
    /// By what right they are asked for.
    pub access: GrantAccess,
}

impl GrantedObjects {
    /// Whether the grant is over, as the server says.
    pub fn has_ended(&self) -> bool {
        let statement = match &self.access {
            GrantAccess::Addressee => self.server.grant(&self.grant),
            GrantAccess::Link { token, .. } => self.server.link(&self.grant, token),
        };
        statement.is_err_and(|error| error.kind() == NetErrorKind::NotFound)
    }
}
