//! `/v1/server`: what a server says of itself to everyone.

use actix_web::{HttpResponse, web};
use vault_core::wire::v1::server::{Limits, ServerInfo};
use vault_core::wire::{Millis, PROTOCOL};

use super::json;
use crate::error::ApiError;
use crate::state::State;

/// Answers [`ServerInfo`].
pub async fn get(state: web::Data<State>) -> Result<HttpResponse, ApiError> {
    json(&ServerInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: vec![PROTOCOL],
        time: Millis(state.now_ms()),
        receipt_key: state.receipt_key.verifying_key(),
        limits: Limits::default(),
    })
}
