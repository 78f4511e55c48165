//! What stands in the path of a request: numbers and ids.
//!
//! Each has one form: an id in another is one that nobody has, a number in another is malformed.

use actix_web::HttpRequest;
use vault_core::id::{Id, Kind};
use vault_core::wire::Number;

use crate::error::ApiError;

/// The number that a text is.
pub(crate) fn number(text: &str) -> Result<u64, ApiError> {
    // The databases count in signed numbers.
    let number = Number::parse(text).filter(|Number(number)| i64::try_from(*number).is_ok());
    number.map(|Number(number)| number).ok_or_else(|| ApiError::bad_request("expected a number"))
}

/// The id of that name; whatever is no id, nobody has.
pub(crate) fn id_in_path<K: Kind, const N: usize>(
    request: &HttpRequest,
    name: &str,
) -> Result<Id<K, N>, ApiError> {
    let id = request.match_info().get(name).and_then(|text| Id::parse(text).ok());
    id.ok_or_else(ApiError::not_found)
}
