//! What every request passes, whatever its route: the bounds on its head, its id, and the form of its answer.
//!
//! An answer leaves the server only from here: with the security headers, with problem+json if it is an error, and with one line
//! in the log.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{StatusCode, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, web};
use vault_core::id::DeviceId;
use vault_core::wire::limits::{HEAD_BYTES, HEADERS};
use vault_core::wire::{Code, Number, PROTOCOL};

use crate::config::Tls;
use crate::error::ApiError;
use crate::state::State;
use crate::telemetry::{self, Causes, Finished, Network};

/// Carries the id of the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("vault-request-id");

/// What is known of a request before its route.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its id: random, sixteen hex digits.
    pub id: String,
    /// Where it comes from.
    pub address: IpAddr,
    /// What stands for the address in logs.
    pub network: Network,
    /// When it came.
    since: Instant,
}

impl Arrival {
    /// Of this request.
    pub fn of(request: &HttpRequest) -> Self {
        let known = request.extensions().get::<Self>().cloned();
        known.unwrap_or_else(|| Self::new(String::new(), Ipv4Addr::UNSPECIFIED.into(), false))
    }

    fn new(id: String, address: IpAddr, full: bool) -> Self {
        let network = if full { Network::whole(address) } else { Network::of(address) };
        Self { id, address, network, since: Instant::now() }
    }
}

/// The device that signed a request, for its line in the log.
#[derive(Debug, Clone, Copy)]
pub struct SignedBy(pub DeviceId);

/// The middleware around all routes.
pub async fn front(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<web::Data<State>>().cloned() else {
        return Err(ApiError::internal("the server has no state").into());
    };
    let arrival =
        Arrival::new(state.request_id(), client_address(&request, &state), state.config.log_full_addresses);
    let address = arrival.address;
    request.extensions_mut().insert(arrival);
    let allowed = state.limiter.request_from(address).map_err(ApiError::from);
    let response = match allowed.and_then(|()| check_head(&request)) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(error) => request.error_response(error),
    };
    Ok(finish(response, &state))
}

/// The client's address; behind proxies, what they say.
fn client_address(request: &ServiceRequest, state: &State) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let said: Vec<_> = request.headers().get_all("x-forwarded-for").collect();
    // A value that is no text says nothing, and nothing before it counts.
    state.config.proxies.client(peer, said.iter().map(|said| said.to_str().unwrap_or("")))
}

/// Refuses what no route takes, before any route is looked for.
fn check_head(request: &ServiceRequest) -> Result<(), ApiError> {
    let headers = request.headers();
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > HEADERS || bytes + target > HEAD_BYTES {
        return Err(ApiError::plain(Code::HeadersTooLarge, "the head of the request is too large"));
    }
    if request.version() != Version::HTTP_11 {
        return Err(ApiError::bad_request("only HTTP/1.1 is spoken here"));
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(ApiError::plain(Code::LengthRequired, "bodies have a content-length"));
    }
    if headers.contains_key(header::CONTENT_ENCODING) || headers.contains_key(header::UPGRADE) {
        return Err(ApiError::plain(Code::MediaType, "bodies are sent as they are"));
    }
    if headers.contains_key(header::EXPECT) {
        return Err(ApiError::bad_request("expect is not supported"));
    }
    // One form of each path: no escapes, nothing empty, no dots.
    let path = request.uri().path();
    if path.contains('%') || path.contains("//") || path.split('/').any(|part| part == "." || part == "..") {
        return Err(ApiError::not_found());
    }
    if version_of(path).is_some_and(|version| version != PROTOCOL) {
        return Err(ApiError::OtherProtocol);
    }
    Ok(())
}

/// The version of the protocol that a path is of: 2 for `/v2` and all below it.
fn version_of(path: &str) -> Option<u32> {
    let number = path.strip_prefix("/v")?.split('/').next()?;
    Number::parse(number).and_then(|Number(version)| u32::try_from(version).ok())
}

fn finish(mut response: ServiceResponse<BoxBody>, state: &State) -> ServiceResponse<BoxBody> {
    let arrival = Arrival::of(response.request());
    if response.status().is_client_error() || response.status().is_server_error() {
        response = with_problem(response, &arrival);
    }
    log(&response, &arrival);
    let with_tls = state.config.tls != Tls::Off;
    set_headers(response.headers_mut(), &arrival.id, with_tls);
    response
}

fn with_problem(response: ServiceResponse<BoxBody>, arrival: &Arrival) -> ServiceResponse<BoxBody> {
    let status = response.status();
    let error = response.response().error();
    let known = error.and_then(|error| error.as_error::<ApiError>());
    if let Some(ApiError::Internal(cause)) = known {
        tracing::error!(request = arrival.id, cause = %Causes(cause.as_ref()), "a request failed");
    }
    let answer = match known {
        Some(error) => error.answer(&arrival.id),
        None => of_actix(status).answer(&arrival.id),
    };
    // What a handler set besides, such as `allow`.
    let mut answer = answer;
    if let Some(allow) = response.headers().get(header::ALLOW) {
        answer.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response.into_response(answer)
}

/// What actix answers by itself, in our words.
fn of_actix(status: StatusCode) -> ApiError {
    match status {
        StatusCode::NOT_FOUND => ApiError::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => ApiError::plain(Code::Method, "this route has no such method"),
        StatusCode::NOT_ACCEPTABLE => ApiError::plain(Code::Accept, "there is no such form of the answer"),
        StatusCode::LENGTH_REQUIRED => ApiError::plain(Code::LengthRequired, "bodies have a content-length"),
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::plain(Code::TooLarge, "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ApiError::plain(Code::MediaType, "the body has another type"),
        StatusCode::REQUEST_TIMEOUT => ApiError::plain(Code::TooSlow, "the request came too slowly"),
        status if status.is_client_error() => ApiError::bad_request("the request is malformed"),
        status => ApiError::internal(format!("unexpected status {status}")),
    }
}

fn log(response: &ServiceResponse<BoxBody>, arrival: &Arrival) {
    let request = response.request();
    let route = request.match_pattern();
    let device = request.extensions().get::<SignedBy>().map(|SignedBy(device)| *device);
    telemetry::request_finished(&Finished {
        request: &arrival.id,
        method: request.method().as_str(),
        route: route.as_deref().unwrap_or("none"),
        status: response.status().as_u16(),
        millis: arrival.since.elapsed().as_millis(),
        device,
        network: arrival.network,
    });
}

fn set_headers(headers: &mut HeaderMap, id: &str, with_tls: bool) {
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::CACHE_CONTROL, "no-store");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(header::REFERRER_POLICY, "no-referrer");
    if with_tls {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}
