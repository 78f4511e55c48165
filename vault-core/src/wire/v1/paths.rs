//! Where the routes are: for each one its pattern, which the server registers, and a function, with which a client asks.
//!
//! What a function here writes, the pattern of the same name matches: ids, numbers and object paths need no escaping.

use crate::id::{GrantId, InviteId, RequestId, Seq, UserId, VaultId};
use crate::object::ObjectKey;
use crate::wire::name::UserName;

/// `GET`, open: 200 while the process lives.
pub const HEALTHZ: &str = "/healthz";
/// `GET`, open: 200 if writes are taken.
pub const READYZ: &str = "/readyz";
/// `GET`, open: [`ServerInfo`](super::server::ServerInfo).
pub const SERVER: &str = "/v1/server";
/// `POST`, open: [`JoinRequest`](super::join::JoinRequest) to [`JoinAnswer`](super::join::JoinAnswer).
pub const JOIN: &str = "/v1/join";
/// `GET`: [`Me`](super::me::Me).
pub const ME: &str = "/v1/me";
/// `GET`: [`DirectoryEntry`](super::directory::DirectoryEntry).
pub const DIRECTORY: &str = "/v1/directory/{name}";
/// `GET`: entries of a card.
pub const CARD: &str = "/v1/cards/{user}";
/// `PUT`: the next entry of a card.
pub const CARD_ENTRY: &str = "/v1/cards/{user}/{seq}";
/// `POST`, open: [`NewDevice`](super::devices::NewDevice) to [`RequestMade`](super::devices::RequestMade).
pub const DEVICE_REQUESTS: &str = "/v1/device-requests";
/// `GET`: [`RequestedDevice`](super::devices::RequestedDevice).
pub const DEVICE_REQUEST: &str = "/v1/device-requests/{request}";
/// `GET` and `PUT`: the sealed answer.
pub const DEVICE_ANSWER: &str = "/v1/device-requests/{request}/answer";
/// `GET` and `PUT`: the new device's [`Consent`](crate::card::Consent).
pub const DEVICE_CONSENT: &str = "/v1/device-requests/{request}/consent";
/// `PUT`: the genesis; `GET`: [`VaultInfo`](super::vaults::VaultInfo).
pub const VAULT: &str = "/v1/vaults/{vault}";
/// `GET`: statements.
pub const LOG: &str = "/v1/vaults/{vault}/log";
/// `GET` and `PUT`: one statement.
pub const STATEMENT: &str = "/v1/vaults/{vault}/log/{seq}";
/// `GET`: [`HeadText`](super::log::HeadText), perhaps after a while.
pub const HEAD: &str = "/v1/vaults/{vault}/head";
/// `GET`: [`ObjectList`](super::objects::ObjectList).
pub const OBJECTS: &str = "/v1/vaults/{vault}/objects";
/// `POST`: [`ObjectQuery`](super::objects::ObjectQuery) to [`ObjectsFound`](super::objects::ObjectsFound). **Registered before
/// [`OBJECT`], whose pattern matches it too.**
pub const OBJECT_QUERY: &str = "/v1/vaults/{vault}/objects/query";
/// `PUT`, `GET` and `HEAD`: one object.
pub const OBJECT: &str = "/v1/vaults/{vault}/objects/{path:.*}";
/// `POST`: [`Undelete`](super::trash::Undelete) to [`Undeleted`](super::trash::Undeleted).
pub const UNDELETE: &str = "/v1/vaults/{vault}/undelete";
/// `GET`: [`TrashList`](super::trash::TrashList).
pub const TRASH: &str = "/v1/vaults/{vault}/trash";
/// `GET`: [`AuditPage`](super::audit::AuditPage).
pub const AUDIT: &str = "/v1/vaults/{vault}/audit";
/// `GET`: [`Given`](super::grants::Given).
pub const VAULT_GRANTS: &str = "/v1/vaults/{vault}/grants";
/// `GET`: [`Inbox`](super::grants::Inbox).
pub const INBOX: &str = "/v1/inbox";
/// `GET`, by an addressee: the statement.
pub const GRANT: &str = "/v1/grants/{grant}";
/// `POST`, by an addressee: counts that they begin to fetch it.
pub const GRANT_OPEN: &str = "/v1/grants/{grant}/open";
/// `GET` and `HEAD`, by an addressee: bytes of an object that are granted.
pub const GRANT_OBJECT: &str = "/v1/grants/{grant}/objects/{path:.*}";
/// `GET`, with the link's token: the statement.
pub const LINK: &str = "/v1/links/{grant}";
/// `POST`, with the link's token: [`LinkOpened`](super::grants::LinkOpened).
pub const LINK_OPEN: &str = "/v1/links/{grant}/open";
/// `GET` and `HEAD`, with the link's token and a ticket: bytes of an object that are granted.
pub const LINK_OBJECT: &str = "/v1/links/{grant}/objects/{path:.*}";
/// `GET`, open: says to people what a link is for.
pub const LINK_PAGE: &str = "/s/{grant}";

/// All patterns, for a test that every one is served.
pub const ALL: &[&str] = &[
    HEALTHZ,
    READYZ,
    SERVER,
    JOIN,
    ME,
    DIRECTORY,
    CARD,
    CARD_ENTRY,
    DEVICE_REQUESTS,
    DEVICE_REQUEST,
    DEVICE_ANSWER,
    DEVICE_CONSENT,
    VAULT,
    LOG,
    STATEMENT,
    HEAD,
    OBJECTS,
    OBJECT_QUERY,
    OBJECT,
    UNDELETE,
    TRASH,
    AUDIT,
    VAULT_GRANTS,
    INBOX,
    GRANT,
    GRANT_OPEN,
    GRANT_OBJECT,
    LINK,
    LINK_OPEN,
    LINK_OBJECT,
    LINK_PAGE,
];

/// The path of [`DIRECTORY`].
pub fn directory(name: &UserName) -> String {
    format!("/v1/directory/{name}")
}

/// The path of [`CARD`].
pub fn card(user: &UserId) -> String {
    format!("/v1/cards/{user}")
}

/// The path of [`CARD_ENTRY`].
pub fn card_entry(user: &UserId, seq: u64) -> String {
    format!("/v1/cards/{user}/{seq}")
}

/// The path of [`DEVICE_REQUEST`].
pub fn device_request(request: &RequestId) -> String {
    format!("/v1/device-requests/{request}")
}

/// The path of [`DEVICE_ANSWER`].
pub fn device_answer(request: &RequestId) -> String {
    format!("/v1/device-requests/{request}/answer")
}

/// The path of [`DEVICE_CONSENT`].
pub fn device_consent(request: &RequestId) -> String {
    format!("/v1/device-requests/{request}/consent")
}

/// The path of [`VAULT`].
pub fn vault(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}")
}

/// The path of [`LOG`].
pub fn log(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/log")
}

/// The path of [`STATEMENT`].
pub fn statement(vault: &VaultId, seq: Seq) -> String {
    format!("/v1/vaults/{vault}/log/{seq}")
}

/// The path of [`HEAD`].
pub fn head(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/head")
}

/// The path of [`OBJECTS`].
pub fn objects(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/objects")
}

/// The path of [`OBJECT_QUERY`].
pub fn object_query(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/objects/query")
}

/// The path of [`OBJECT`].
pub fn object(vault: &VaultId, key: &ObjectKey) -> String {
    format!("/v1/vaults/{vault}/objects/{key}")
}

/// The path of [`UNDELETE`].
pub fn undelete(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/undelete")
}

/// The path of [`TRASH`].
pub fn trash(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/trash")
}

/// The path of [`AUDIT`].
pub fn audit(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/audit")
}

/// The path of an invite's page: for people, and for [`InviteUrl`](crate::wire::invite::InviteUrl).
pub fn invite(invite: &InviteId) -> String {
    format!("/join/{invite}")
}

/// The path of a device request's page: for people, and for [`DeviceRequestUrl`](crate::wire::fingerprint::DeviceRequestUrl).
pub fn device(request: &RequestId) -> String {
    format!("/device/{request}")
}

/// The path of [`VAULT_GRANTS`].
pub fn vault_grants(vault: &VaultId) -> String {
    format!("/v1/vaults/{vault}/grants")
}

/// The path of [`GRANT`].
pub fn grant(grant: &GrantId) -> String {
    format!("/v1/grants/{grant}")
}

/// The path of [`GRANT_OPEN`].
pub fn grant_open(grant: &GrantId) -> String {
    format!("/v1/grants/{grant}/open")
}

/// The path of [`GRANT_OBJECT`].
pub fn grant_object(grant: &GrantId, object: &ObjectKey) -> String {
    format!("/v1/grants/{grant}/objects/{object}")
}

/// The path of [`LINK`].
pub fn link(grant: &GrantId) -> String {
    format!("/v1/links/{grant}")
}

/// The path of [`LINK_OPEN`].
pub fn link_open(grant: &GrantId) -> String {
    format!("/v1/links/{grant}/open")
}

/// The path of [`LINK_OBJECT`].
pub fn link_object(grant: &GrantId, object: &ObjectKey) -> String {
    format!("/v1/links/{grant}/objects/{object}")
}

/// The path of [`LINK_PAGE`].
pub fn link_page(grant: &GrantId) -> String {
    format!("/s/{grant}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, IndexId, PackId};

    /// Whether a path has the form of a pattern, as the server's router takes it.
    fn matches(pattern: &str, path: &str) -> bool {
        match (pattern.split_once('/'), path.split_once('/')) {
            _ if pattern == "{path:.*}" => !path.is_empty(),
            (None, None) => pattern == path || pattern.starts_with('{') && !path.is_empty(),
            (Some((a, rest)), Some((b, path))) => {
                (a == b || a.starts_with('{') && !b.is_empty()) && matches(rest, path)
            }
            _ => false,
        }
    }

    #[test]
    fn what_a_function_writes_its_pattern_matches() {
        let (v, user, request) = (VaultId::new([1; 32]), UserId::new([2; 16]), RequestId::new([3; 16]));
        let g = GrantId::new([6; 16]);
        let envelope = ObjectKey::envelope(Epoch(1), [4; 16]);

        for (pattern, path) in [
            (DIRECTORY, directory(&UserName::parse("alice.b-c_d").unwrap())),
            (CARD, card(&user)),
            (CARD_ENTRY, card_entry(&user, 3)),
            (DEVICE_REQUEST, device_request(&request)),
            (DEVICE_ANSWER, device_answer(&request)),
            (DEVICE_CONSENT, device_consent(&request)),
            (VAULT, vault(&v)),
            (LOG, log(&v)),
            (STATEMENT, statement(&v, Seq(12))),
            (HEAD, head(&v)),
            (OBJECTS, objects(&v)),
            (OBJECT_QUERY, object_query(&v)),
            (OBJECT, object(&v, &ObjectKey::Pack(PackId::new([5; 32])))),
            (OBJECT, object(&v, &ObjectKey::Index(IndexId::new([5; 32])))),
            (OBJECT, object(&v, &envelope)),
            (UNDELETE, undelete(&v)),
            (TRASH, trash(&v)),
            (AUDIT, audit(&v)),
            (VAULT_GRANTS, vault_grants(&v)),
            (GRANT, grant(&g)),
            (GRANT_OPEN, grant_open(&g)),
            (GRANT_OBJECT, grant_object(&g, &ObjectKey::Pack(PackId::new([5; 32])))),
            (LINK, link(&g)),
            (LINK_OPEN, link_open(&g)),
            (LINK_OBJECT, link_object(&g, &ObjectKey::Pack(PackId::new([5; 32])))),
            (LINK_PAGE, link_page(&g)),
        ] {
            assert!(matches(pattern, &path), "{pattern} {path}");
            let others = ALL.iter().filter(|other| **other != pattern && matches(other, &path));
            assert!(others.count() <= usize::from(pattern == OBJECT_QUERY), "{path} has one route");
        }
    }

    #[test]
    fn every_route_is_on_the_page_of_the_protocol() {
        let page = include_str!("../../../../docs/protocol.md");

        for pattern in ALL {
            assert!(page.contains(&pattern.replace("{path:.*}", "{path}")), "{pattern}");
        }
    }
}
