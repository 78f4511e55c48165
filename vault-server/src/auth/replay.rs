//! Replays: the nonce of a request that changes something is accepted once.
//!
//! A nonce is remembered for as long as its signature could be inside the window, and a little longer.

use actix_web::http::Method;
use vault_core::wire::limits::CLOCK_WINDOW_SECONDS;
use vault_core::wire::signing::Signed;

use crate::db::DbError;
use crate::state::State;

/// Seconds beyond the window, for what stands between two looks at the clock.
const MARGIN_SECONDS: u64 = 60;

/// Whether a request of that method is new. Those that change nothing always are.
pub(super) async fn is_new(state: &State, method: &Method, signed: &Signed) -> Result<bool, DbError> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(true);
    }
    let expires = signed.created().saturating_add(CLOCK_WINDOW_SECONDS + MARGIN_SECONDS);
    state.db.use_nonce(signed.device(), *signed.nonce(), expires.saturating_mul(1000)).await
}
