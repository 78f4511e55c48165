//! `/v1/directory/{name}`: who has a name.
//!
//! A name that nobody has and a text that is none are answered alike.

use actix_web::{HttpRequest, HttpResponse};
use vault_core::log::DeviceKind;
use vault_core::wire::UserName;
use vault_core::wire::v1::directory::DirectoryEntry;

use super::{json, no_query};
use crate::auth::Authenticated;
use crate::error::ApiError;

/// Answers [`DirectoryEntry`].
pub async fn get(request: HttpRequest, asker: Authenticated) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    if asker.kind != DeviceKind::Full {
        return Err(ApiError::forbidden("an append-only device looks nobody up"));
    }
    let name = request.match_info().get("name").and_then(|text| UserName::parse(text).ok());
    let name = name.ok_or_else(ApiError::not_found)?;
    let user = asker.state.db.user_named(&name).await?.ok_or_else(ApiError::not_found)?;
    json(&DirectoryEntry { user })
}
