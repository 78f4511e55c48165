//! The signature of a request: verified before its body is read, and before anything else of it is believed.
//!
//! Whatever is wrong, the answer and the work are the same: one look-up of a device in the database, one verification, with a key
//! that nobody has where there is no other. What was wrong is in the log only.

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use vault_core::crypto::hash;
use vault_core::crypto::sign::VerifyingKey;
use vault_core::id::{DeviceId, UserId};
use vault_core::log::DeviceKind;
use vault_core::wire::Authority;
use vault_core::wire::signing::{Body, Claimed, Parts, Signed, Unauthorized};

use super::replay;
use crate::db::DeviceRecord;
use crate::error::ApiError;
use crate::front::{Arrival, SignedBy};
use crate::limits::SlotGuard;
use crate::state::State;
use crate::telemetry::{self, AuthFailure, Network};

/// A request that was signed by a device on the newest entry of a card.
#[derive(Debug)]
pub struct Authenticated {
    /// The device.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// Its kind, as the card has it.
    pub kind: DeviceKind,
    /// The hash and length that the body must have; `None` if there is no body.
    pub body: Option<Body>,
    /// When and whence it came.
    pub arrival: Arrival,
    /// What all handlers share.
    pub state: web::Data<State>,
    _slot: SlotGuard<DeviceId>,
}

/// Who asks, without the request.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The device.
    pub device: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// Whence the request came.
    pub network: Network,
}

impl Authenticated {
    /// Who asks, without the request.
    pub fn asker(&self) -> Asker {
        Asker { device: self.device, user: self.user, network: self.arrival.network }
    }
}

impl FromRequest for Authenticated {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticate(&request).await })
    }
}

async fn authenticate(request: &HttpRequest) -> Result<Authenticated, ApiError> {
    let state = state_of(request)?;
    let arrival = Arrival::of(request);
    let (record, signed) = match verify(request, &state).await? {
        Ok(verified) => verified,
        Err(failure) => return Err(refuse(&state, &arrival, failure)),
    };
    check_clock(&state, &arrival, &signed)?;
    let slot = state.limiter.request_of(record.device)?;
    if !replay::is_new(&state, request.method(), &signed).await? {
        return Err(refuse(&state, &arrival, AuthFailure::Replayed));
    }
    request.extensions_mut().insert(SignedBy(record.device));
    Ok(Authenticated {
        device: record.device,
        user: record.user,
        kind: record.kind,
        body: signed.body().copied(),
        arrival,
        state,
        _slot: slot,
    })
}

type Verified = Result<(DeviceRecord, Signed), AuthFailure>;

/// One look-up and one verification, whatever the request holds.
async fn verify(request: &HttpRequest, state: &State) -> Result<Verified, ApiError> {
    let claimed = claim(request);
    let device = claimed.as_ref().map_or(DeviceId::new([0; 16]), Claimed::device);
    let is_in_memory = state.db.has_in_memory(&device);
    let record = state.db.device(&device).await?.filter(|record| !record.suspended);
    let verified = verify_as(request, state, claimed, record);
    if is_in_memory && verified.is_err() {
        // Who forges shall not learn by the time that the device was here a moment ago.
        state.db.stored_device(&device).await?;
    }
    Ok(verified)
}

fn verify_as(
    request: &HttpRequest,
    state: &State,
    claimed: Result<Claimed, Unauthorized>,
    record: Option<DeviceRecord>,
) -> Verified {
    let key = VerifyingKey(record.as_ref().map_or(NOBODYS_KEY, |record| record.signing_key));
    let Ok(claimed) = claimed else {
        // As much work as with a signature.
        let _ = key.verify("", &[0; 256], &[0; 64]);
        return Err(AuthFailure::Malformed);
    };
    let signed = verify_with(request, &claimed, &key);
    match (record, signed) {
        (None, _) => Err(AuthFailure::UnknownDevice),
        (Some(_), Err(Unauthorized)) => Err(AuthFailure::BadSignature),
        (Some(_), Ok(_)) if !is_for_us(request, state) => Err(AuthFailure::OtherAuthority),
        (Some(record), Ok(signed)) => Ok((record, signed)),
    }
}

/// Verifies a request by a key that no card vouches for, of a new device that waits to be put on one; returns what its body must be.
pub(crate) fn verify_by(
    request: &HttpRequest,
    state: &State,
    key: &[u8; 32],
) -> Result<Option<Body>, ApiError> {
    let arrival = Arrival::of(request);
    let Ok(claimed) = claim(request) else {
        return Err(refuse(state, &arrival, AuthFailure::Malformed));
    };
    match verify_with(request, &claimed, &VerifyingKey(*key)) {
        Ok(signed) if signed.device() == hash::device_id(key) && is_for_us(request, state) => {
            check_clock(state, &arrival, &signed)?;
            Ok(signed.body().copied())
        }
        _ => Err(refuse(state, &arrival, AuthFailure::BadSignature)),
    }
}

/// What the headers claim, if they have the one form.
fn claim(request: &HttpRequest) -> Result<Claimed, Unauthorized> {
    Claimed::parse(request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

fn verify_with(request: &HttpRequest, claimed: &Claimed, key: &VerifyingKey) -> Result<Signed, Unauthorized> {
    let authority = authority(request).ok_or(Unauthorized)?;
    let (method, uri) = (request.method().as_str(), request.uri());
    claimed.verify(key, &Parts { method, authority: &authority, path: uri.path(), query: uri.query() })
}

fn authority(request: &HttpRequest) -> Option<Authority> {
    request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).and_then(Authority::parse)
}

/// Whether a request was meant for this server, if the operator has said under which name it is reached: one signed for another
/// server that the device also uses cannot be passed on here.
fn is_for_us(request: &HttpRequest, state: &State) -> bool {
    let Some(url) = &state.config.public_url else { return true };
    let ours = url.strip_prefix("https://").and_then(Authority::parse);
    ours.is_some() && ours == authority(request)
}

/// Only who has shown a valid signature learns the server's time.
fn check_clock(state: &State, arrival: &Arrival, signed: &Signed) -> Result<(), ApiError> {
    if signed.is_fresh(state.clock.now()) {
        return Ok(());
    }
    telemetry::authentication_failed(arrival.network, AuthFailure::Clock);
    Err(ApiError::ClockSkew { server_time: state.now_ms() })
}

/// Counts and logs the failure; the answer tells nothing of it.
fn refuse(state: &State, arrival: &Arrival, failure: AuthFailure) -> ApiError {
    telemetry::authentication_failed(arrival.network, failure);
    match state.limiter.open_request_from(arrival.address) {
        Ok(()) => ApiError::Unauthorized,
        Err(limited) => limited.into(),
    }
}

pub(super) fn state_of(request: &HttpRequest) -> Result<web::Data<State>, ApiError> {
    let state = request.app_data::<web::Data<State>>().cloned();
    state.ok_or_else(|| ApiError::internal("the server has no state"))
}

/// The base point of the curve, so that a verification goes its whole way. What verifies with it is refused all the same.
const NOBODYS_KEY: [u8; 32] = [
    0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
    0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
];
