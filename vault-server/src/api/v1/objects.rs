//! `/v1/vaults/{vault}/objects`: which objects there are, storing them and reading them.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use vault_core::wire::Millis;
use vault_core::wire::limits::LISTED_OBJECTS;
use vault_core::wire::v1::objects::{ListQuery, ObjectInfo, ObjectList, ObjectQuery, ObjectsFound};

use super::download::Shown;
use super::{download, json, no_query, query, signed_json, upload};
use crate::auth::{Permit, PutObject, ReadLog, ReadObject};
use crate::db::StoredObject;
use crate::error::ApiError;

/// Answers [`ObjectList`].
pub async fn list(request: HttpRequest, permit: Permit<ReadLog>) -> Result<HttpResponse, ApiError> {
    let ListQuery { kind, after, limit } = query(&request)?;
    let limit = limit.map_or(LISTED_OBJECTS, |limit| limit as usize).clamp(1, LISTED_OBJECTS);
    let db = &permit.state().db;
    let mut found = db.list_objects(&permit.vault, kind.kind(), after.as_ref(), limit as u32 + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    json(&ObjectList { objects: found.iter().map(of).collect(), more })
}

/// Answers which of some objects are there.
pub async fn query_some(
    request: HttpRequest,
    permit: Permit<ReadLog>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let ObjectQuery { paths } = signed_json(&request, &permit.asker, payload).await?;
    let mut found = permit.state().db.query_objects(&permit.vault, &paths).await?;
    found.sort_by_cached_key(|object| object.key.path());
    json(&ObjectsFound { objects: found.iter().map(of).collect() })
}

fn of(object: &StoredObject) -> ObjectInfo {
    ObjectInfo { path: object.key, size: object.size, stored_at: Millis(object.stored_ms) }
}

/// Stores an object while it arrives.
pub async fn put(
    request: HttpRequest,
    permit: Permit<PutObject>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    upload::put(&request, permit, payload).await
}

/// Answers an object, or a range of it.
pub async fn get(request: HttpRequest, permit: Permit<ReadObject>) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let range = download::range_of(&request)?;
    download::get(&shown(&permit), range).await
}

/// Answers what [`get`] would, without the bytes.
pub async fn head(request: HttpRequest, permit: Permit<ReadObject>) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    download::head(&shown(&permit)).await
}

/// A member who may read an object may read all of it.
fn shown(permit: &Permit<ReadObject>) -> Shown<'_> {
    Shown { state: permit.state(), vault: permit.vault, key: permit.subject, is_whole: true }
}
