//! Objects of a grant: the bytes that it gives, and not one more.
//!
//! What it does not give looks like what is not there.

use std::ops::Range;

use actix_web::{HttpRequest, HttpResponse};
use vault_core::object::ObjectKey;

use super::download::{self, Shown};
use super::no_query;
use crate::db::GrantRecord;
use crate::error::ApiError;
use crate::ranges::ListOf;
use crate::state::State;

/// Answers the object that the path names, if the grant gives all of it, or a range that lies wholly in what it gives.
pub(super) async fn get(
    request: &HttpRequest,
    state: &State,
    grant: &GrantRecord,
) -> Result<HttpResponse, ApiError> {
    let range = download::range_of(request)?;
    let shown = shown(request, state, grant, range.clone()).await?;
    download::get(&shown, range).await
}

/// Answers what [`get`] would without a range, but not the bytes.
pub(super) async fn head(
    request: &HttpRequest,
    state: &State,
    grant: &GrantRecord,
) -> Result<HttpResponse, ApiError> {
    download::head(&shown(request, state, grant, None).await?).await
}

/// The object that the path names, if the grant gives that range of it; without a range, if it gives all of it.
async fn shown<'s>(
    request: &HttpRequest,
    state: &'s State,
    grant: &GrantRecord,
    range: Option<Range<u64>>,
) -> Result<Shown<'s>, ApiError> {
    no_query(request)?;
    let key = request.match_info().get("path").and_then(ObjectKey::parse);
    let key = key.ok_or_else(ApiError::not_found)?;
    let vault = grant.vault;
    let (is_given, is_whole) = match &key {
        ObjectKey::Pack(pack) => {
            let list = ListOf { vault, grant: grant.grant, ranges: grant.ranges };
            let ranges = state.ranges.of(&state.db, &state.objects, &list).await?;
            let given = ranges.of(pack).ok_or_else(ApiError::not_found)?;
            (range.map_or(given.is_whole(), |range| given.allow(range)), given.is_whole())
        }
        ObjectKey::Index(index) => (state.db.is_index_of_grant(grant, index).await?, true),
        _ => (false, false),
    };
    if is_given { Ok(Shown { state, vault, key, is_whole }) } else { Err(ApiError::not_found()) }
}
