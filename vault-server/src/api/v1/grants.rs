//! `/v1/inbox`, `/v1/grants` and `/v1/vaults/{vault}/grants`: what users were given, and what became of what was given.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use vault_core::log::{DeviceKind, Role};
use vault_core::wire::v1::grants::{Given, GivenGrant, GrantsQuery, Inbox, LISTED_GRANTS, Received};
use vault_core::wire::{Millis, OCTETS, RECEIPT_HEADER};

use super::log::wire_receipt;
use super::{audit_record, empty, granted, json, no_body, no_query, query};
use crate::auth::{Authenticated, ByAddressee, ListGrants, Permit, Standing};
use crate::db::{GivenRecord, GrantRecord, NEVER, Opened, Opening};
use crate::error::ApiError;
use crate::state::State;

/// Answers [`Inbox`]: what the asker's user was given.
pub async fn inbox(request: HttpRequest, asker: Authenticated) -> Result<HttpResponse, ApiError> {
    let GrantsQuery { after } = query(&request)?;
    if asker.kind != DeviceKind::Full {
        return Err(ApiError::forbidden("an append-only device is given nothing"));
    }
    let (db, limit) = (&asker.state.db, LISTED_GRANTS as u32 + 1);
    let mut found = db.grants_to(&asker.user, after.as_ref(), asker.state.now_ms(), limit).await?;
    let more = found.len() > LISTED_GRANTS;
    found.truncate(LISTED_GRANTS);
    json(&Inbox { grants: found.iter().map(received).collect(), more })
}

fn received(grant: &GrantRecord) -> Received {
    Received {
        grant: grant.grant,
        vault: grant.vault,
        from: grant.sender,
        given_at: Millis(grant.time_ms),
        expires_at: Some(grant.expires_ms).filter(|expires| *expires < NEVER).map(Millis),
    }
}

/// Answers [`Given`]: how often what was given was fetched. An editor learns it of what they gave.
pub async fn given(request: HttpRequest, permit: Permit<ListGrants>) -> Result<HttpResponse, ApiError> {
    let GrantsQuery { after } = query(&request)?;
    let is_owner = matches!(permit.standing, Standing::Full(Role::Owner));
    let by = (!is_owner).then_some(&permit.asker.user);
    let (db, limit) = (&permit.state().db, LISTED_GRANTS as u32 + 1);
    let mut found = db.grants_of(&permit.vault, by, after.as_ref(), limit).await?;
    let more = found.len() > LISTED_GRANTS;
    found.truncate(LISTED_GRANTS);
    json(&Given { grants: found.iter().map(of).collect(), more })
}

fn of(given: &GivenRecord) -> GivenGrant {
    let GivenRecord { grant, seq, fetched, last_ms } = *given;
    GivenGrant { grant, seq, fetched, last_at: last_ms.map(Millis) }
}

/// Answers the statement, with its receipt.
pub async fn get(request: HttpRequest, by: ByAddressee) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    statement(&by.asker.state, &by.grant).await
}

/// The statement of a grant, with its receipt.
pub(super) async fn statement(state: &State, grant: &GrantRecord) -> Result<HttpResponse, ApiError> {
    let entry = state.db.statement(&grant.vault, grant.seq).await?;
    let entry = entry.ok_or_else(ApiError::not_found)?;
    let mut answer = HttpResponse::Ok();
    answer.content_type(OCTETS).insert_header((RECEIPT_HEADER, wire_receipt(&entry.receipt).to_header()));
    Ok(answer.body(entry.statement))
}

/// Counts that an addressee begins to fetch it.
pub async fn open(request: HttpRequest, by: ByAddressee) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    no_body(&request)?;
    let (state, grant) = (&by.asker.state, &by.grant);
    let audit = Some(audit_record(by.asker.asker(), "fetch", grant.grant.to_hex()));
    let opening =
        Opening { grant: grant.grant, vault: grant.vault, ticket: None, now_ms: state.now_ms(), audit };
    match state.db.open_grant(opening).await? {
        Opened::Done { .. } => Ok(empty(StatusCode::NO_CONTENT)),
        Opened::UsedUp | Opened::Over => Err(ApiError::not_found()),
    }
}

/// Answers bytes of an object that are given.
pub async fn get_object(request: HttpRequest, by: ByAddressee) -> Result<HttpResponse, ApiError> {
    granted::get(&request, &by.asker.state, &by.grant).await
}

/// Answers what [`get_object`] would, without the bytes.
pub async fn head_object(request: HttpRequest, by: ByAddressee) -> Result<HttpResponse, ApiError> {
    granted::head(&request, &by.asker.state, &by.grant).await
}
