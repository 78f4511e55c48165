//! `/v1/device-requests`: how a new machine asks to be put on a card, and gets what it needs.
//!
//! Nobody is believed here: who answers compares the fingerprint of the keys, and the answer is sealed to them.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use vault_core::crypto::random::Random;
use vault_core::id::RequestId;
use vault_core::log::DeviceKind;
use vault_core::wire::limits::{
    DEVICE_ANSWER_BYTES, DEVICE_CONSENT_BYTES, DEVICE_REQUEST_SECONDS, JSON_BYTES, RECIPIENT_BYTES,
};
use vault_core::wire::v1::devices::{NewDevice, RequestMade, RequestedDevice};
use vault_core::wire::{JSON, Millis, OCTETS, signing};

use super::{
    body_as_signed, empty, expect_type, json, json_with, no_query, octets, open_body, parse_json, signed_body,
};
use crate::auth::{Authenticated, verify_by};
use crate::db::{DeviceRequest, RequestAnswered};
use crate::error::ApiError;
use crate::front::Arrival;
use crate::in_path::id_in_path;
use crate::state::State;

/// How many devices of all users may wait at once.
const MAX_WAITING: u64 = 1000;

/// Keeps the keys of a new device, and answers under which id.
pub async fn post(
    request: HttpRequest,
    state: web::Data<State>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    state.limiter.open_request_from(Arrival::of(&request).address)?;
    expect_type(&request, JSON)?;
    let new: NewDevice = parse_json(&open_body(&request, &state, payload, JSON_BYTES).await?)?;
    if new.recipient.len() > RECIPIENT_BYTES || !new.recipient.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ApiError::bad_request("the recipient is not one of age"));
    }
    let random: &dyn Random = &state.random;
    let id = RequestId::new(random.bytes().map_err(ApiError::internal)?);
    let now_ms = state.now_ms();
    let expires_ms = now_ms.saturating_add(DEVICE_REQUEST_SECONDS * 1000);
    let kept = DeviceRequest {
        request: *id.as_bytes(),
        signing_key: new.signing_key.0,
        recipient: new.recipient,
        expires_ms,
        answer: None,
        consent: None,
    };
    if !state.db.add_device_request(kept, now_ms, MAX_WAITING).await? {
        return Err(ApiError::plain(vault_core::wire::Code::Busy, "too many devices are waiting"));
    }
    json_with(StatusCode::CREATED, &RequestMade { request: id, expires: Millis(expires_ms) })
}

/// Answers the keys of a device that waits.
pub async fn get(request: HttpRequest, asker: Authenticated) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let waiting = waiting(&request, &asker.state).await?;
    let signing_key = vault_core::crypto::sign::VerifyingKey(waiting.signing_key);
    json(&RequestedDevice { signing_key, recipient: waiting.recipient })
}

/// Gives a device that waits its answer.
pub async fn put_answer(
    request: HttpRequest,
    asker: Authenticated,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    expect_type(&request, OCTETS)?;
    if asker.kind != DeviceKind::Full {
        return Err(ApiError::forbidden("an append-only device answers no other"));
    }
    let id: RequestId = id_in_path(&request, "request")?;
    let answer = signed_body(&asker, payload, DEVICE_ANSWER_BYTES).await?;
    let now_ms = asker.state.now_ms();
    put(asker.state.db.answer_device_request(*id.as_bytes(), answer, now_ms).await?)
}

fn put(answered: RequestAnswered) -> Result<HttpResponse, ApiError> {
    match answered {
        RequestAnswered::Done => Ok(empty(StatusCode::CREATED)),
        RequestAnswered::Same => Ok(empty(StatusCode::OK)),
        RequestAnswered::Taken => Err(ApiError::Taken { head: None }),
        RequestAnswered::NotThere => Err(ApiError::not_found()),
    }
}

/// Answers the answer, to the device that waits for it.
pub async fn get_answer(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let (waiting, _) = by_who_waits(&request, &state).await?;
    waiting.answer.map(octets).ok_or_else(ApiError::not_found)
}

/// Takes the word of the device that waits, that it agrees to be put on a card. To whose, only who reads it can tell.
pub async fn put_consent(
    request: HttpRequest,
    state: web::Data<State>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    expect_type(&request, OCTETS)?;
    let (waiting, signed) = by_who_waits(&request, &state).await?;
    let consent = body_as_signed(&state, signed, payload, DEVICE_CONSENT_BYTES).await?;
    if consent.len() as u64 != DEVICE_CONSENT_BYTES {
        return Err(ApiError::bad_request("a consent is a signature"));
    }
    put(state.db.consent_to_device_request(waiting.request, consent, state.now_ms()).await?)
}

/// Answers what the device has agreed to.
pub async fn get_consent(request: HttpRequest, asker: Authenticated) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let waiting = waiting(&request, &asker.state).await?;
    waiting.consent.map(octets).ok_or_else(ApiError::not_found)
}

/// The device that waits, if it is the one that asks; and what the body must be.
async fn by_who_waits(
    request: &HttpRequest,
    state: &State,
) -> Result<(DeviceRequest, Option<signing::Body>), ApiError> {
    let waiting = match waiting(request, state).await {
        // Who is not the device that waits must not learn whether one waits.
        Err(ApiError::Plain { .. }) => None,
        waiting => Some(waiting?),
    };
    let key = waiting.as_ref().map_or([0; 32], |waiting| waiting.signing_key);
    let signed = verify_by(request, state, &key)?;
    Ok((waiting.ok_or_else(ApiError::not_found)?, signed))
}

async fn waiting(request: &HttpRequest, state: &State) -> Result<DeviceRequest, ApiError> {
    let id: RequestId = id_in_path(request, "request")?;
    let waiting = state.db.device_request(id.as_bytes(), state.now_ms()).await?;
    waiting.ok_or_else(ApiError::not_found)
}
