//! Grants, shown to those they were given to: to the devices of addressees, and to whoever has a link.
//!
//! A grant that is there and not for the one who asks, that was taken back or has expired, looks like one that never was: the same
//! look-up, the same answer.

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use vault_core::id::{GrantId, TicketId};
use vault_core::log::DeviceKind;
use vault_core::wire::link::LinkToken;
use vault_core::wire::v1::grants::TICKET_HEADER;

use super::signature::{Authenticated, state_of};
use crate::db::{ByLink, GrantRecord};
use crate::error::ApiError;
use crate::front::Arrival;
use crate::in_path::id_in_path;
use crate::state::State;
use crate::telemetry::{self, AuthFailure};

/// A grant that holds, asked for by a full device of one of its addressees.
#[derive(Debug)]
pub struct ByAddressee {
    /// Who asks.
    pub asker: Authenticated,
    /// The grant.
    pub grant: GrantRecord,
}

/// A grant that holds, asked for by somebody who has the token of its link.
#[derive(Debug)]
pub struct ByToken {
    /// The grant.
    pub grant: GrantRecord,
    /// When and whence the request came.
    pub arrival: Arrival,
    /// What all handlers share.
    pub state: web::Data<State>,
}

/// The same, by somebody who has a ticket too.
#[derive(Debug)]
pub struct WithTicket(pub ByToken);

impl FromRequest for ByAddressee {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let authenticated = Authenticated::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move { by_addressee(&request, authenticated.await?).await })
    }
}

impl FromRequest for ByToken {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { by_token(&request).await })
    }
}

impl FromRequest for WithTicket {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { with_ticket(&request).await })
    }
}

async fn by_addressee(request: &HttpRequest, asker: Authenticated) -> Result<ByAddressee, ApiError> {
    let grant: GrantId = id_in_path(request, "grant")?;
    let state = &asker.state;
    let found = state.db.grant_to(&grant, &asker.user, state.now_ms()).await?;
    let grant = found.filter(|_| asker.kind == DeviceKind::Full).ok_or_else(ApiError::not_found)?;
    Ok(ByAddressee { asker, grant })
}

async fn by_token(request: &HttpRequest) -> Result<ByToken, ApiError> {
    let state = state_of(request)?;
    let arrival = Arrival::of(request);
    let grant: GrantId = id_in_path(request, "grant")?;
    let token = token(request);
    // Without a token as with a wrong one.
    let hash = token.as_ref().map_or([0; 32], LinkToken::hash);
    let found = state.db.grant_by_link(&grant, &hash, state.now_ms()).await?;
    match found {
        ByLink::Shown(grant) if token.is_some() => Ok(ByToken { grant, arrival, state }),
        ByLink::Over if token.is_some() => Err(ApiError::not_found()),
        _ => Err(refuse(&state, &arrival)),
    }
}

async fn with_ticket(request: &HttpRequest) -> Result<WithTicket, ApiError> {
    let by_token = by_token(request).await?;
    let (state, grant) = (&by_token.state, &by_token.grant.grant);
    let text = request.headers().get(TICKET_HEADER).and_then(|text| text.to_str().ok());
    let ticket = text.and_then(|text| TicketId::parse(text).ok()).unwrap_or(TicketId::new([0; 16]));
    let is_good = state.db.has_ticket(grant, &ticket, state.now_ms()).await?;
    if is_good { Ok(WithTicket(by_token)) } else { Err(ApiError::not_found()) }
}

/// The token behind `Bearer`.
fn token(request: &HttpRequest) -> Option<LinkToken> {
    let said = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    LinkToken::parse(said.strip_prefix("Bearer ")?)
}

/// Counts and logs that the token was wrong; the answer tells nothing of it.
fn refuse(state: &State, arrival: &Arrival) -> ApiError {
    telemetry::authentication_failed(arrival.network, AuthFailure::BadLink);
    match state.limiter.open_request_from(arrival.address) {
        Ok(()) => ApiError::not_found(),
        Err(limited) => limited.into(),
    }
}
