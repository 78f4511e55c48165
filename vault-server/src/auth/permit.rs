//! Permits: the proof that the device that asks may do one kind of thing in one vault.
//!
//! A [`Permit`] is made only by its extractor, from the signature of the request and the newest membership of the vault. To whom
//! the membership does not name, a vault that is there looks like one that is not: the same look-up, the same answer.

use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use vault_core::id::{DeviceId, Seq, UserId, VaultId};
use vault_core::log::{DeviceKind, Role};
use vault_core::object::{ObjectKey, ObjectKind};

use super::signature::Authenticated;
use crate::db::Access;
use crate::error::ApiError;
use crate::in_path::{id_in_path, number};
use crate::state::State;

/// What the asker is in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A full device of a user with this role.
    Full(Role),
    /// An append-only device that the membership names.
    AppendOnly,
}

/// Who asks, as far as an action is concerned.
#[derive(Debug, Clone)]
pub struct Asking {
    /// What the asker is in the vault.
    pub standing: Standing,
    /// The device.
    pub device: DeviceId,
    /// Its user.
    pub user: UserId,
    /// The devices on the user's card, where the action asks for them.
    pub devices: Vec<DeviceId>,
}

/// One kind of thing that members of a vault do.
pub trait Action: 'static {
    /// What it is done to, besides the vault.
    type Subject: 'static;

    /// Whether [`Asking::devices`] decides about the subject.
    fn concerns_devices(_: &Self::Subject) -> bool {
        false
    }

    /// Reads the subject from the path.
    fn subject(request: &HttpRequest) -> Result<Self::Subject, ApiError>;

    /// Whether the member may; if not, the sentence for the answer.
    fn check(asking: &Asking, subject: &Self::Subject) -> Result<(), &'static str>;
}

/// Leave to do `A` in a vault.
#[derive(Debug)]
pub struct Permit<A: Action> {
    /// Who asks.
    pub asker: Authenticated,
    /// What the asker is in the vault.
    pub standing: Standing,
    /// The vault.
    pub vault: VaultId,
    /// What it is done to.
    pub subject: A::Subject,
    action: PhantomData<A>,
}

impl<A: Action> Permit<A> {
    /// What all handlers share.
    pub fn state(&self) -> &web::Data<State> {
        &self.asker.state
    }
}

impl<A: Action> FromRequest for Permit<A> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let authenticated = Authenticated::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move { permit(&request, authenticated.await?).await })
    }
}

async fn permit<A: Action>(request: &HttpRequest, asker: Authenticated) -> Result<Permit<A>, ApiError> {
    let vault: VaultId = id_in_path(request, "vault")?;
    let access = asker.state.db.access(&vault, &asker.user, &asker.device).await?;
    let standing = standing(access, asker.kind).ok_or_else(ApiError::not_found)?;
    let subject = A::subject(request)?;
    let mut asking = Asking { standing, device: asker.device, user: asker.user, devices: Vec::new() };
    if A::concerns_devices(&subject) {
        let devices = asker.state.db.devices_of(&asker.user).await?;
        asking.devices = devices.into_iter().map(|record| record.device).collect();
    }
    A::check(&asking, &subject).map_err(ApiError::forbidden)?;
    Ok(Permit { asker, standing, vault, subject, action: PhantomData })
}

/// The lesser of what the membership and the card say. An append-only device that the membership does not name itself is nobody,
/// even where its user is a member.
fn standing(access: Option<Access>, kind: DeviceKind) -> Option<Standing> {
    match (access?, kind) {
        (Access::AppendOnly, _) => Some(Standing::AppendOnly),
        (Access::Role(role), DeviceKind::Full) => Some(Standing::Full(role)),
        (Access::Role(_), DeviceKind::AppendOnly) => None,
    }
}

const ONLY_OWNERS: &str = "only owners may do this";
const READERS_WRITE: &str = "readers store nothing";
const APPEND_ONLY_READS: &str = "an append-only device does not read this";
const OTHERS_ENVELOPES: &str = "only owners store what is sealed to others";

/// To read the log, and which objects there are.
#[derive(Debug)]
pub struct ReadLog;

/// To read one statement.
#[derive(Debug)]
pub struct ReadStatement;

/// To append a statement: what it may say, the log itself decides.
#[derive(Debug)]
pub struct AppendStatement;

/// To read one object.
#[derive(Debug)]
pub struct ReadObject;

/// To store one object.
#[derive(Debug)]
pub struct PutObject;

/// To do what only owners do.
#[derive(Debug)]
pub struct Own;

/// To learn what became of grants: owners of all, editors of their own.
#[derive(Debug)]
pub struct ListGrants;

impl Action for ReadLog {
    type Subject = ();

    fn subject(_: &HttpRequest) -> Result<(), ApiError> {
        Ok(())
    }

    fn check(_: &Asking, (): &()) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Action for ReadStatement {
    type Subject = Seq;

    fn subject(request: &HttpRequest) -> Result<Seq, ApiError> {
        number(request.match_info().get("seq").unwrap_or("")).map(Seq)
    }

    fn check(_: &Asking, _: &Seq) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Action for AppendStatement {
    type Subject = Seq;

    fn subject(request: &HttpRequest) -> Result<Seq, ApiError> {
        number(request.match_info().get("seq").unwrap_or("")).map(Seq)
    }

    fn check(_: &Asking, _: &Seq) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Action for ReadObject {
    type Subject = ObjectKey;

    fn subject(request: &HttpRequest) -> Result<ObjectKey, ApiError> {
        object(request)
    }

    fn check(asking: &Asking, key: &ObjectKey) -> Result<(), &'static str> {
        let Standing::AppendOnly = asking.standing else { return Ok(()) };
        match key {
            ObjectKey::Index(_) => Ok(()),
            ObjectKey::Envelope { addressee, .. } if addressee == asking.device.as_bytes() => Ok(()),
            _ => Err(APPEND_ONLY_READS),
        }
    }
}

impl Action for PutObject {
    type Subject = ObjectKey;

    fn concerns_devices(key: &ObjectKey) -> bool {
        matches!(key, ObjectKey::Envelope { .. })
    }

    fn subject(request: &HttpRequest) -> Result<ObjectKey, ApiError> {
        object(request)
    }

    fn check(asking: &Asking, key: &ObjectKey) -> Result<(), &'static str> {
        let is_content = matches!(key, ObjectKey::Pack(_) | ObjectKey::Index(_));
        match asking.standing {
            Standing::Full(Role::Reader) => Err(READERS_WRITE),
            Standing::Full(Role::Owner) => Ok(()),
            Standing::AppendOnly if is_content => Ok(()),
            Standing::AppendOnly => Err("an append-only device stores packs and index objects only"),
            Standing::Full(Role::Editor) if is_content || is_own(asking, key) => Ok(()),
            Standing::Full(Role::Editor) => Err(OTHERS_ENVELOPES),
        }
    }
}

impl Action for Own {
    type Subject = ();

    fn subject(_: &HttpRequest) -> Result<(), ApiError> {
        Ok(())
    }

    fn check(asking: &Asking, (): &()) -> Result<(), &'static str> {
        match asking.standing {
            Standing::Full(Role::Owner) => Ok(()),
            _ => Err(ONLY_OWNERS),
        }
    }
}

impl Action for ListGrants {
    type Subject = ();

    fn subject(_: &HttpRequest) -> Result<(), ApiError> {
        Ok(())
    }

    fn check(asking: &Asking, (): &()) -> Result<(), &'static str> {
        match asking.standing {
            Standing::Full(Role::Owner | Role::Editor) => Ok(()),
            _ => Err("only owners and editors give anything"),
        }
    }
}

/// Whether an envelope is addressed to the asker's user or devices, or an identity is the asker's. An editor who could store another's envelope
/// first would keep the owner from ever storing the true one.
fn is_own(asking: &Asking, key: &ObjectKey) -> bool {
    match key {
        ObjectKey::Envelope { addressee, .. } => {
            addressee == asking.user.as_bytes()
                || asking.devices.iter().any(|device| device.as_bytes() == addressee)
        }
        ObjectKey::Identity(user) => *user == asking.user,
        _ => false,
    }
}

/// The object that a path names. Statements have routes of their own.
fn object(request: &HttpRequest) -> Result<ObjectKey, ApiError> {
    let key = request.match_info().get("path").and_then(ObjectKey::parse);
    key.filter(|key| key.kind() != ObjectKind::Statement).ok_or_else(ApiError::not_found)
}

#[cfg(test)]
mod tests {
    use vault_core::id::{Epoch, IndexId, PackId};

    use super::*;

    fn asking(standing: Standing) -> Asking {
        let device = DeviceId::new([1; 16]);
        Asking { standing, device, user: UserId::new([2; 16]), devices: vec![device] }
    }

    fn envelope(addressee: u8) -> ObjectKey {
        ObjectKey::envelope(Epoch(1), [addressee; 16])
    }

    #[test]
    fn an_append_only_device_is_nobody_unless_it_is_named_itself() {
        let (named, role) = (Some(Access::AppendOnly), Some(Access::Role(Role::Owner)));

        assert_eq!(standing(named, DeviceKind::AppendOnly), Some(Standing::AppendOnly));
        assert_eq!(standing(named, DeviceKind::Full), Some(Standing::AppendOnly));
        assert_eq!(standing(role, DeviceKind::AppendOnly), None);
        assert_eq!(standing(role, DeviceKind::Full), Some(Standing::Full(Role::Owner)));
        assert_eq!(standing(None, DeviceKind::Full), None);
    }

    #[test]
    fn an_append_only_device_reads_indexes_and_its_own_envelopes() {
        let may = |key| ReadObject::check(&asking(Standing::AppendOnly), &key).is_ok();

        assert!(may(ObjectKey::Index(IndexId::new([9; 32]))) && may(envelope(1)));
        assert!(!may(ObjectKey::Pack(PackId::new([9; 32]))) && !may(envelope(2)));
        assert!(!may(ObjectKey::Identity(UserId::new([2; 16]))));
    }

    #[test]
    fn who_stores_what() {
        let may = |standing, key| PutObject::check(&asking(standing), &key).is_ok();
        let (pack, full) = (ObjectKey::Pack(PackId::new([9; 32])), Standing::Full);

        assert!(
            may(full(Role::Owner), pack) && may(full(Role::Editor), pack) && may(Standing::AppendOnly, pack)
        );
        assert!(!may(full(Role::Reader), pack) && !may(full(Role::Reader), envelope(1)));
        assert!(may(full(Role::Owner), envelope(9)) && !may(full(Role::Editor), envelope(9)));
        assert!(may(full(Role::Editor), envelope(1)) && may(full(Role::Editor), envelope(2)));
        assert!(!may(Standing::AppendOnly, envelope(1)));
    }
}
