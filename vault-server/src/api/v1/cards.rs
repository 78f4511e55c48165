//! `/v1/cards/{user}`: which devices are a user's, by the chain that the user signs.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use vault_core::card::{Card, CardError, Chain};
use vault_core::id::UserId;
use vault_core::log::DeviceKind;
use vault_core::wire::entries::EntriesWriter;
use vault_core::wire::limits::{CARD_BYTES, ENTRIES_BYTES};
use vault_core::wire::v1::cards::FromQuery;
use vault_core::wire::{Millis, OCTETS, Receipt};

use super::{empty, expect_type, no_query, octets, query, signed_body};
use crate::auth::Authenticated;
use crate::db::{CardDevice, EntryPut, NewCardEntry};
use crate::error::ApiError;
use crate::in_path::{id_in_path, number};
use crate::telemetry::Causes;

/// Answers the entries of a card. Every device may read every card whose user it knows: who shares needs them.
pub async fn list(request: HttpRequest, asker: Authenticated) -> Result<HttpResponse, ApiError> {
    let user: UserId = id_in_path(&request, "user")?;
    let FromQuery { from, limit } = query(&request)?;
    let db = &asker.state.db;
    let entries = db.card(&user, from.min(i64::MAX as u64), ENTRIES_BYTES).await?;
    if entries.is_empty() && db.user(&user).await?.is_none() {
        return Err(ApiError::not_found());
    }
    let mut writer = EntriesWriter::new();
    for entry in entries.iter().take(limit.map_or(usize::MAX, |limit| limit as usize)) {
        if !writer.push(&Receipt::unsigned(Millis(entry.time_ms)), &entry.entry) {
            break;
        }
    }
    Ok(octets(writer.finish()))
}

/// Appends the next entry to the asker's own card.
pub async fn put(
    request: HttpRequest,
    asker: Authenticated,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    expect_type(&request, OCTETS)?;
    let user: UserId = id_in_path(&request, "user")?;
    let seq = number(request.match_info().get("seq").unwrap_or(""))?;
    // Another's card looks like one that is not there.
    if user != asker.user {
        return Err(ApiError::not_found());
    }
    if asker.kind != DeviceKind::Full {
        return Err(ApiError::forbidden("an append-only device changes no card"));
    }
    let entry = signed_body(&asker, payload, CARD_BYTES).await?;
    let state = &asker.state;
    let newest = state.db.newest_card_entry(&user).await?.ok_or_else(ApiError::not_found)?;
    if seq > newest.seq.saturating_add(1) {
        return Err(ApiError::Taken { head: None });
    }
    if seq <= newest.seq {
        let stands = state.db.card(&user, seq, 1).await?;
        let is_same = stands.first().is_some_and(|stands| stands.seq == seq && stands.entry == entry);
        return if is_same { Ok(empty(StatusCode::OK)) } else { Err(ApiError::Taken { head: None }) };
    }
    let chain = Chain::resume(&user, &newest.entry).map_err(ApiError::internal)?;
    let verified = chain.verify(&entry).map_err(|error| refused(&error))?;
    let new =
        NewCardEntry { user, seq, devices: devices(verified.get().card()), entry, now_ms: state.now_ms() };
    answer(state.db.append_card_entry(new).await?)
}

fn answer(put: EntryPut) -> Result<HttpResponse, ApiError> {
    match put {
        EntryPut::Done => Ok(empty(StatusCode::CREATED)),
        EntryPut::Same => Ok(empty(StatusCode::OK)),
        put => Err(not_put(&put)),
    }
}

/// Why an entry was not put, for a card and for a join.
pub(super) fn not_put(put: &EntryPut) -> ApiError {
    match put {
        EntryPut::DeviceOfAnother(_) => {
            ApiError::EntryRefused { reason: "a device of the card is on another user's card".to_owned() }
        }
        _ => ApiError::Taken { head: None },
    }
}

/// Says why a card refuses an entry, in its own words.
pub(super) fn refused(error: &CardError) -> ApiError {
    ApiError::EntryRefused { reason: Causes(error).to_string() }
}

/// The devices of a card, as the database keeps them.
pub(super) fn devices(card: &Card) -> Vec<CardDevice> {
    let of = |device: &vault_core::card::ListedDevice| CardDevice {
        device: device.id(),
        signing_key: device.signing_key.0,
        kind: device.kind,
    };
    card.devices.iter().map(of).collect()
}
