//! `/healthz` and `/readyz`: whether the process lives, and whether it can do its work.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::timeout;
use vault_core::wire::Code;

use crate::error::ApiError;
use crate::front::Arrival;
use crate::state::State;
use crate::telemetry::Causes;

/// The longest that a probe may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers as long as the process does.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Writes to the database and to the object store, and says whether that went well.
pub async fn ready(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    // A probe writes: who asks for many is slowed down.
    state.limiter.open_request_from(Arrival::of(&request).address)?;
    if *state.stopping.borrow() {
        return Err(ApiError::plain(Code::ShuttingDown, "the server is stopping"));
    }
    let probes = async {
        state.db.probe(state.now_ms()).await.map_err(|error| Causes(&error).to_string())?;
        let objects = state.objects.clone();
        let probed = web::block(move || objects.probe()).await.map_err(|error| error.to_string())?;
        probed.map_err(|error| Causes(&error).to_string())
    };
    match timeout(PATIENCE, probes).await {
        Ok(Ok(())) => Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ready\n")),
        Ok(Err(cause)) => {
            tracing::error!(cause, "not ready");
            Err(ApiError::plain(Code::Busy, "the server does not take writes"))
        }
        Err(_) => {
            tracing::error!("not ready: the probe takes too long");
            Err(ApiError::plain(Code::Busy, "the server does not answer in time"))
        }
    }
}
