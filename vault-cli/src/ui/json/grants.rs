//! The documents of `share`, `link`, `grants`, `revoke`, `inbox` and `get`.

use serde::Serialize;
use vault_core::id::GrantId;
use vault_core::ops::grants::{GivenContents, Shared};
use vault_core::time::Timestamp;

use super::{PathText, Restore, hex};
use crate::commands::get::Fetched;
use crate::commands::{grants, inbox, link, share};
use crate::contacts::Addressee;
use crate::granted::{Giver, Who};
use crate::ui::time;

/// A moment in seconds since 1970.
fn moment(seconds: u64) -> String {
    time::iso(Timestamp::new(i64::try_from(seconds).unwrap_or(i64::MAX), 0))
}

/// How much was given.
#[derive(Debug, Serialize)]
struct Amounts {
    files: u64,
    bytes: u64,
    in_place_bytes: u64,
    stored_bytes: u64,
}

impl From<&Shared> for Amounts {
    fn from(shared: &Shared) -> Self {
        Self {
            files: shared.files,
            bytes: shared.bytes,
            in_place_bytes: shared.in_place_bytes,
            stored_bytes: shared.stored_bytes,
        }
    }
}

/// What was given to contacts.
#[derive(Debug, Serialize)]
pub(crate) struct Share {
    command: &'static str,
    vault: String,
    grant: String,
    to: Vec<OneAddressee>,
    expires: Option<String>,
    #[serde(flatten)]
    amounts: Amounts,
}

#[derive(Debug, Serialize)]
struct OneAddressee {
    name: String,
    user: Option<String>,
    verified: bool,
}

impl Share {
    pub(crate) fn new(vault: &str, given: &share::Given) -> Self {
        let of = |to: &Addressee| OneAddressee {
            name: to.name().to_owned(),
            user: to.user().map(|user| user.to_hex()),
            verified: to.is_verified(),
        };
        Self {
            command: "share",
            vault: vault.to_owned(),
            grant: given.shared.grant.to_hex(),
            to: given.to.iter().map(of).collect(),
            expires: given.expires.map(moment),
            amounts: (&given.shared).into(),
        }
    }
}

/// A link that was made. **The URL is the secret.**
#[derive(Serialize)]
pub(crate) struct Link<'a> {
    command: &'static str,
    vault: String,
    grant: String,
    url: &'a str,
    expires: Option<String>,
    max_downloads: Option<u32>,
    passphrase: bool,
    #[serde(flatten)]
    amounts: Amounts,
}

impl<'a> Link<'a> {
    pub(crate) fn new(vault: &str, made: &'a link::Made) -> Self {
        Self {
            command: "link",
            vault: vault.to_owned(),
            grant: made.shared.grant.to_hex(),
            url: &made.url,
            expires: made.expires.map(moment),
            max_downloads: made.downloads,
            passphrase: made.passphrase,
            amounts: (&made.shared).into(),
        }
    }
}

/// What a grant holds.
#[derive(Debug, Serialize)]
struct Contents {
    /// Empty for a whole snapshot.
    name: PathText,
    files: u64,
    bytes: u64,
}

impl From<&GivenContents> for Contents {
    fn from(contents: &GivenContents) -> Self {
        let name = std::os::unix::ffi::OsStrExt::from_bytes(&contents.name);
        let name = PathText::new(std::path::Path::new::<std::ffi::OsStr>(name));
        Self { name, files: contents.files, bytes: contents.bytes }
    }
}

/// What was given away from a vault.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the fields are those of the document")]
pub(crate) struct Grants {
    command: &'static str,
    vault: String,
    grants: Vec<OneGrant>,
}

#[derive(Debug, Serialize)]
struct OneGrant {
    grant: String,
    given: String,
    by: String,
    by_me: bool,
    to: Vec<OneReceiver>,
    link: bool,
    max_downloads: Option<u32>,
    expires: Option<String>,
    expired: bool,
    fetched: Option<u64>,
    last_fetched: Option<String>,
    what: Option<Contents>,
}

#[derive(Debug, Serialize)]
struct OneReceiver {
    id: String,
    name: String,
}

impl Grants {
    pub(crate) fn new(vault: &str, listed: &[grants::Listed]) -> Self {
        let grants = listed.iter().map(OneGrant::of).collect();
        Self { command: "grants", vault: vault.to_owned(), grants }
    }
}

impl OneGrant {
    fn of(listed: &grants::Listed) -> Self {
        let info = &listed.info;
        let to = info.to.iter().zip(&listed.to);
        Self {
            grant: info.grant.to_hex(),
            given: time::iso(info.time),
            by: info.user.to_hex(),
            by_me: listed.by.is_none(),
            to: to.map(|(id, name)| OneReceiver { id: hex(id), name: name.clone() }).collect(),
            link: info.link.is_some(),
            max_downloads: info.link.flatten(),
            expires: info.expires.map(moment),
            expired: !info.holds,
            fetched: listed.fetched.map(|(times, _)| times),
            last_fetched: listed.fetched.and_then(|(_, last)| last).map(time::iso),
            what: info.what.as_ref().map(Contents::from),
        }
    }
}

/// What was taken back.
#[derive(Debug, Serialize)]
pub(crate) struct Revoke {
    command: &'static str,
    vault: String,
    revoked: Vec<String>,
}

impl Revoke {
    pub(crate) fn new(vault: &str, revoked: &[GrantId]) -> Self {
        let revoked = revoked.iter().map(GrantId::to_hex).collect();
        Self { command: "revoke", vault: vault.to_owned(), revoked }
    }
}

/// What the user was given.
#[derive(Debug, Serialize)]
pub(crate) struct Inbox {
    command: &'static str,
    grants: Vec<OneReceived>,
}

#[derive(Debug, Serialize)]
struct OneReceived {
    grant: String,
    vault: String,
    given: String,
    expires: Option<String>,
    from: OneGiver,
    what: Option<Contents>,
}

#[derive(Debug, Serialize)]
struct OneGiver {
    user: String,
    name: Option<String>,
    me: bool,
    known: bool,
    verified: bool,
}

impl From<&Giver> for OneGiver {
    fn from(giver: &Giver) -> Self {
        Self {
            user: giver.user.to_hex(),
            name: giver.who.name().map(str::to_owned),
            me: giver.who == Who::Me,
            known: giver.who != Who::Stranger,
            verified: matches!(giver.who, Who::Me | Who::Contact { verified: true, .. }),
        }
    }
}

impl Inbox {
    pub(crate) fn new(listed: &[inbox::Listed]) -> Self {
        let of = |one: &inbox::Listed| OneReceived {
            grant: one.offered.grant.to_hex(),
            vault: one.offered.vault.to_hex(),
            given: time::iso(one.offered.given),
            expires: one.offered.expires.map(time::iso),
            from: (&one.giver).into(),
            what: one.contents.as_ref().map(Contents::from),
        };
        Self { command: "inbox", grants: listed.iter().map(of).collect() }
    }
}

/// What was fetched.
#[derive(Debug, Serialize)]
pub(crate) struct Get<'a> {
    #[serde(flatten)]
    restored: Restore<'a>,
    grant: String,
    /// `null` for a link.
    from: Option<OneGiver>,
    what: Contents,
    downloads_left: Option<u32>,
}

impl<'a> Get<'a> {
    pub(crate) fn new(fetched: &Fetched, restored: Restore<'a>) -> Self {
        Self {
            restored: restored.of_command("get"),
            grant: fetched.grant.to_hex(),
            from: fetched.giver.as_ref().map(OneGiver::from),
            what: (&fetched.contents).into(),
            downloads_left: fetched.left,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use serde_json::{Value, json};
    use vault_core::id::{DeviceId, Seq, SnapshotId, UserId};
    use vault_core::ops::grants::GivenInfo;
    use vault_core::ops::restore::RestoreSummary;
    use zeroize::Zeroizing;

    use super::super::Run;
    use super::*;

    const GRANT: GrantId = GrantId::new([0xab; 16]);
    const SHARED: Shared = Shared { grant: GRANT, files: 1, bytes: 2, in_place_bytes: 3, stored_bytes: 4 };

    fn value(document: &impl Serialize) -> Value {
        serde_json::to_value(document).unwrap()
    }

    fn contents() -> GivenContents {
        GivenContents { name: b"Trip".to_vec(), files: 1, bytes: 2 }
    }

    #[test]
    fn share_and_link_have_these_fields() {
        let given = share::Given { shared: SHARED, to: Vec::new(), expires: Some(1_000), directory: None };
        assert_eq!(
            value(&Share::new("ef", &given)),
            json!({
                "command": "share", "vault": "ef", "grant": "ab".repeat(16), "to": [],
                "expires": "1970-01-01T00:16:40Z", "files": 1, "bytes": 2, "in_place_bytes": 3, "stored_bytes": 4,
            })
        );
        let url = Zeroizing::new("https://…".to_owned());
        let made = link::Made { shared: SHARED, url, expires: None, downloads: Some(5), passphrase: true };
        assert_eq!(
            value(&Link::new("ef", &made)),
            json!({
                "command": "link", "vault": "ef", "grant": "ab".repeat(16), "url": "https://…", "expires": null,
                "max_downloads": 5, "passphrase": true,
                "files": 1, "bytes": 2, "in_place_bytes": 3, "stored_bytes": 4,
            })
        );
    }

    #[test]
    fn grants_and_revoke_have_these_fields() {
        let info = GivenInfo {
            grant: GRANT,
            seq: Seq(3),
            user: UserId::new([1; 16]),
            device: DeviceId::new([2; 16]),
            time: Timestamp::new(0, 0),
            expires: Some(1_000),
            holds: false,
            to: vec![[3; 16]],
            link: Some(Some(5)),
            what: Some(contents()),
        };
        let fetched = Some((7, Some(Timestamp::new(1_000, 0))));
        let listed = [grants::Listed { info, to: vec!["anna".to_owned()], by: None, fetched }];

        assert_eq!(
            value(&Grants::new("ef", &listed)),
            json!({
                "command": "grants", "vault": "ef",
                "grants": [{
                    "grant": "ab".repeat(16), "given": "1970-01-01T00:00:00Z", "by": "01".repeat(16),
                    "by_me": true, "to": [{"id": "03".repeat(16), "name": "anna"}], "link": true,
                    "max_downloads": 5, "expires": "1970-01-01T00:16:40Z", "expired": true, "fetched": 7,
                    "last_fetched": "1970-01-01T00:16:40Z",
                    "what": {"name": {"path": "Trip"}, "files": 1, "bytes": 2},
                }],
            })
        );
        assert_eq!(
            value(&Revoke::new("ef", &[GRANT])),
            json!({ "command": "revoke", "vault": "ef", "revoked": ["ab".repeat(16)] })
        );
    }

    #[test]
    fn get_has_the_fields_of_restore_and_these() {
        let summary = RestoreSummary::default();
        let run = Run { created_vault: false, elapsed: Duration::ZERO, problems: &[] };
        let restored = Restore::new(&SnapshotId::new([1; 32]), Path::new("out"), &summary, run);
        let fetched = Fetched { grant: GRANT, giver: None, contents: contents(), left: Some(4) };

        let document = value(&Get::new(&fetched, restored));

        assert_eq!((&document["command"], &document["files"]), (&json!("get"), &json!(0)));
        assert_eq!(document["grant"], "ab".repeat(16));
        assert_eq!((&document["from"], &document["downloads_left"]), (&Value::Null, &json!(4)));
        assert_eq!(document["what"]["name"]["path"], "Trip");
    }
}
