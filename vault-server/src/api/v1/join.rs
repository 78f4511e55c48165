//! `/v1/join`: how a stranger becomes a user, once for each invite.
//!
//! Who does not know the secret of an invite learns nothing of it: an invite that is not there and one whose MAC is wrong are
//! answered alike, and few wrong ones use it up.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use vault_core::card::{Chain, Entry};
use vault_core::id::UserId;
use vault_core::wire::invite::InviteAuth;
use vault_core::wire::limits::{INVITE_ATTEMPTS, JSON_BYTES};
use vault_core::wire::v1::join::{JoinAnswer, JoinRequest};
use vault_core::wire::{Binary, Code, JSON};

use super::cards::{devices, not_put, refused};
use super::{expect_type, json, no_query, open_body, parse_json};
use crate::db::{Invite, Join, Joined, NewCardEntry};
use crate::error::ApiError;
use crate::front::Arrival;
use crate::state::State;
use crate::telemetry::{self, AuthFailure};

/// Takes a card, or its next entry, for an invite.
pub async fn post(
    request: HttpRequest,
    state: web::Data<State>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let arrival = Arrival::of(&request);
    state.limiter.open_request_from(arrival.address)?;
    expect_type(&request, JSON)?;
    let asked: JoinRequest = parse_json(&open_body(&request, &state, payload, JSON_BYTES).await?)?;
    let auth = check_mac(&state, &arrival, &asked).await?;
    let entry = verify(&state, &asked.entry.0).await?;
    let user = entry.user;
    let (invite, max_wrong_macs) = (*asked.invite.as_bytes(), u64::from(INVITE_ATTEMPTS));
    let join = Join { invite, entry, name: asked.name.clone(), max_wrong_macs };
    match state.db.join(join).await? {
        Joined::Done | Joined::Same => {}
        Joined::Used => return Err(used()),
        Joined::Expired => return Err(ApiError::plain(Code::Expired, "the invite has expired")),
        Joined::NameTaken => return Err(ApiError::plain(Code::NameTaken, "another user has this name")),
        Joined::Refused(put) => return Err(not_put(&put)),
    }
    let receipt_key = state.receipt_key.verifying_key();
    let mac = Binary(auth.joined_mac(&receipt_key, &asked.entry.0));
    json(&JoinAnswer { user, receipt_key, mac })
}

fn used() -> ApiError {
    ApiError::plain(Code::InviteUsed, "there is no such invite, or it was used")
}

/// The key of the invite, if who joins knows its secret. As much work without an invite as with one.
async fn check_mac(state: &State, arrival: &Arrival, asked: &JoinRequest) -> Result<InviteAuth, ApiError> {
    let invite = state.db.invite(asked.invite.as_bytes()).await?;
    let is_open = |invite: &Invite| invite.wrong_macs < u64::from(INVITE_ATTEMPTS);
    let auth = InviteAuth::from_bytes(invite.as_ref().map_or([0; 32], |invite| invite.auth));
    let fits = auth.verify_join(&asked.entry.0, &asked.mac.0).is_ok();
    if fits && invite.as_ref().is_some_and(is_open) {
        return Ok(auth);
    }
    if !fits {
        state.db.count_wrong_mac(*asked.invite.as_bytes()).await?;
    }
    telemetry::authentication_failed(arrival.network, AuthFailure::BadInvite);
    Err(used())
}

/// Verifies the entry: the first of a new card, or the next of a known one.
async fn verify(state: &State, bytes: &[u8]) -> Result<NewCardEntry, ApiError> {
    let user = Entry::decode(bytes).map_err(|error| refused(&error))?.card().user();
    let card = match newest(state, &user, bytes).await? {
        Some(newest) => {
            let chain = Chain::resume(&user, &newest).map_err(ApiError::internal)?;
            chain.verify(bytes).map_err(|error| refused(&error))?.get().card().clone()
        }
        None => Chain::begin(&user, bytes).map_err(|error| refused(&error))?.card().clone(),
    };
    let (seq, devices) = (card.seq, devices(&card));
    Ok(NewCardEntry { user, seq, entry: bytes.to_vec(), devices, now_ms: state.now_ms() })
}

/// The entry that the one brought must follow; `None` if it is to be the first.
///
/// Who asks again, since the answer was lost, brings what is the newest entry by now: it is judged by the one before it.
async fn newest(state: &State, user: &UserId, bytes: &[u8]) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(newest) = state.db.newest_card_entry(user).await? else { return Ok(None) };
    if newest.entry != bytes {
        return Ok(Some(newest.entry));
    }
    let Some(before) = newest.seq.checked_sub(1) else { return Ok(None) };
    Ok(state.db.card(user, before, 1).await?.into_iter().next().map(|entry| entry.entry))
}
