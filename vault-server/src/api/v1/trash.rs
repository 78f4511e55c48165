//! `/v1/vaults/{vault}/trash` and `/undelete`: what was condemned, and taking it back.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use vault_core::wire::Millis;
use vault_core::wire::limits::LISTED_OBJECTS;
use vault_core::wire::v1::trash::{TrashList, TrashQuery, TrashedObject, Undelete, Undeleted};

use super::{audit_record, json, no_query, query, signed_json};
use crate::auth::{Own, Permit};
use crate::config::Keeping;
use crate::db::{self, ObjectRecord};
use crate::error::ApiError;

/// A day in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Answers [`TrashList`].
pub async fn list(request: HttpRequest, permit: Permit<Own>) -> Result<HttpResponse, ApiError> {
    let TrashQuery { after } = query(&request)?;
    let state = permit.state();
    let limit = LISTED_OBJECTS as u32;
    let mut found = state.db.trash(&permit.vault, after.as_ref(), limit + 1).await?;
    let more = found.len() > LISTED_OBJECTS;
    found.truncate(LISTED_OBJECTS);
    let objects = found.iter().map(|object| of(object, &state.config.keeping)).collect();
    json(&TrashList { objects, more })
}

fn of(object: &ObjectRecord, keeping: &Keeping) -> TrashedObject {
    let days = |days: u32| u64::from(days) * DAY_MS;
    let after_grace = object.condemned_ms.saturating_add(days(keeping.grace_days));
    let after_age = object.stored_ms.saturating_add(days(keeping.min_age_days));
    TrashedObject {
        path: object.key,
        size: object.size,
        condemned_at: Millis(object.condemned_ms),
        leaves_at: Millis(after_grace.max(after_age)),
    }
}

/// Takes objects out of the trash.
pub async fn undelete(
    request: HttpRequest,
    permit: Permit<Own>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let (what, object) = match signed_json(&request, &permit.asker, payload).await? {
        Undelete::Paths(keys) => {
            let object = format!("{} objects", keys.len());
            (db::Undelete::Keys(keys), object)
        }
        Undelete::Since(Millis(since)) => {
            (db::Undelete::Since(since.min(i64::MAX as u64)), format!("since {since}"))
        }
    };
    let state = permit.state();
    let audit = audit_record(permit.asker.asker(), "undelete", object);
    let objects = state.db.undelete(permit.vault, what, state.now_ms(), Some(audit)).await?;
    json(&Undeleted { objects })
}
