//! Version 1 of the protocol: one file for each noun of its routes, and how all of them read and write.
//!
//! A handler reads its arguments, holds the permit that its route asks for, calls the database, and answers. A body is read only
//! after the permit is there.

pub mod audit;
pub mod cards;
pub mod device_requests;
pub mod directory;
mod download;
mod granted;
pub mod grants;
pub mod health;
pub mod join;
pub mod links;
pub mod log;
pub mod me;
pub mod objects;
pub mod server;
pub mod trash;
mod upload;
pub mod vaults;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq as _;
use vault_core::crypto::hash;
use vault_core::wire::limits::JSON_BYTES;
use vault_core::wire::{Code, JSON, OCTETS, signing};

use crate::auth::{Asker, Authenticated};
use crate::body::{Body, Pace};
use crate::db::AuditRecord;
use crate::error::ApiError;
use crate::in_path::number;
use crate::invites::NO_LIMIT;
use crate::state::State;

/// The query, of which every member is known.
fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    let query = Query::<T>::from_query(request.query_string());
    query.map(Query::into_inner).map_err(|error| ApiError::bad_request(format!("the query: {error}")))
}

/// Refuses a query where a route has none.
fn no_query(request: &HttpRequest) -> Result<(), ApiError> {
    if request.query_string().is_empty() {
        return Ok(());
    }
    Err(ApiError::bad_request("this route has no query"))
}

/// Refuses a body where a route takes none.
fn no_body(request: &HttpRequest) -> Result<(), ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH);
    if length.is_none_or(|length| length.as_bytes() == b"0") {
        return Ok(());
    }
    Err(ApiError::bad_request("this route takes no body"))
}

/// The whole body of a signed request, if it is the one that was signed.
async fn signed_body(asker: &Authenticated, payload: Payload, limit: u64) -> Result<Vec<u8>, ApiError> {
    body_as_signed(&asker.state, asker.body, payload, limit).await
}

/// The whole body, if it is the one of which the signature gives hash and length.
async fn body_as_signed(
    state: &State,
    signed: Option<signing::Body>,
    payload: Payload,
    limit: u64,
) -> Result<Vec<u8>, ApiError> {
    let signed = signed.ok_or_else(|| ApiError::plain(Code::LengthRequired, "a body is needed"))?;
    let body = Body::new(payload, signed.length, limit, Pace::from(&state.config.limits))?;
    let bytes = body.all().await?;
    check_digest(&hash::object_hash(&bytes), &signed.sha256)?;
    Ok(bytes)
}

/// The whole body of a request without a signature.
async fn open_body(
    request: &HttpRequest,
    state: &State,
    payload: Payload,
    limit: u64,
) -> Result<Vec<u8>, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.ok_or_else(|| ApiError::plain(Code::LengthRequired, "a body is needed"))?;
    Ok(Body::new(payload, number(length)?, limit, Pace::from(&state.config.limits))?.all().await?)
}

fn check_digest(found: &[u8; 32], announced: &[u8; 32]) -> Result<(), ApiError> {
    if found.ct_eq(announced).into() {
        return Ok(());
    }
    Err(ApiError::plain(Code::DigestMismatch, "the body is not the one that was announced"))
}

/// Reads JSON, of which every member is known.
fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(format!("the body: {error}")))
}

/// The JSON body of a signed request.
async fn signed_json<T: DeserializeOwned>(
    request: &HttpRequest,
    asker: &Authenticated,
    payload: Payload,
) -> Result<T, ApiError> {
    expect_type(request, JSON)?;
    parse_json(&signed_body(asker, payload, JSON_BYTES).await?)
}

/// Refuses a body that says it is something else; one that says nothing is taken for what the route takes.
fn expect_type(request: &HttpRequest, expected: &str) -> Result<(), ApiError> {
    let said = request.headers().get(header::CONTENT_TYPE);
    if said.is_none_or(|said| said.as_bytes().eq_ignore_ascii_case(expected.as_bytes())) {
        return Ok(());
    }
    Err(ApiError::plain(Code::MediaType, "the body has another type than this route takes"))
}

fn json(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    json_with(StatusCode::OK, value)
}

fn json_with(status: StatusCode, value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    let text = serde_json::to_string(value).map_err(ApiError::internal)?;
    Ok(HttpResponse::build(status).content_type(JSON).body(text))
}

fn octets(bytes: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().content_type(OCTETS).body(bytes)
}

fn empty(status: StatusCode) -> HttpResponse {
    HttpResponse::build(status).finish()
}

/// A quota as the wire has it: nothing where there is no limit.
fn limit_of(quota: u64) -> Option<u64> {
    (quota != NO_LIMIT).then_some(quota)
}

/// What the audit says of a thing that was done.
fn audit_record(asker: Asker, action: &'static str, object: impl Into<String>) -> AuditRecord {
    let (device, address) = (Some(asker.device), asker.network.to_string());
    AuditRecord { device, action, object: object.into(), address }
}
