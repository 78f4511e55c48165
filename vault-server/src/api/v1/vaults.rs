//! `/v1/vaults/{vault}`: making a vault by its genesis, and what the server knows of one.

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use vault_core::id::{Seq, StatementHash, VaultId};
use vault_core::log::{DeviceKind, Head, Role, State as LogState};
use vault_core::wire::limits::STATEMENT_BYTES;
use vault_core::wire::v1::vaults::VaultInfo;
use vault_core::wire::{Millis, OCTETS, Receipt};

use super::log::{receipt_answer, refused, stored_receipt, wire_receipt};
use super::{audit_record, expect_type, json, limit_of, no_query, signed_body};
use crate::auth::{Authenticated, Permit, ReadLog};
use crate::db::{Created, Member, NewVault};
use crate::error::ApiError;
use crate::in_path::id_in_path;
use crate::invites::quota_of;

/// Vaults that one user may found.
const MAX_VAULTS: u64 = 1000;

/// Makes a vault: the body is its genesis, said and signed by the user who asks.
pub async fn put(
    request: HttpRequest,
    asker: Authenticated,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    expect_type(&request, OCTETS)?;
    let vault: VaultId = id_in_path(&request, "vault")?;
    if asker.kind != DeviceKind::Full {
        return Err(ApiError::forbidden("an append-only device makes no vaults"));
    }
    let genesis = signed_body(&asker, payload, STATEMENT_BYTES).await?;
    let hash = verify(&asker, &vault, &genesis)?;
    let state = &asker.state;
    let time = Millis(state.now_ms());
    let receipt = Receipt::sign(&state.receipt_key, &vault, &Head { seq: Seq::GENESIS, hash }, time);
    let new = NewVault {
        vault,
        founder: asker.user,
        genesis,
        hash,
        receipt: stored_receipt(&receipt),
        members: vec![Member::User(asker.user, Role::Owner)],
        quota: quota_of(state.config.keeping.vault_quota),
        max_vaults: MAX_VAULTS,
        audit: Some(audit_record(asker.asker(), "create_vault", "")),
    };
    match state.db.create_vault(new).await? {
        Created::Done => Ok(receipt_answer(StatusCode::CREATED, &receipt)),
        Created::Same(before) => Ok(receipt_answer(StatusCode::OK, &wire_receipt(&before))),
        Created::Taken => Err(ApiError::Taken { head: None }),
        Created::TooMany => Err(ApiError::forbidden("the user has founded as many vaults as one may")),
    }
}

/// Whether the bytes are the genesis of that vault, by the user who asks; its hash.
fn verify(asker: &Authenticated, vault: &VaultId, genesis: &[u8]) -> Result<StatementHash, ApiError> {
    let log = LogState::begin(vault, genesis).map_err(|error| refused(&error))?;
    if log.founder() != asker.user {
        return Err(ApiError::forbidden("a vault is founded by the user who asks"));
    }
    Ok(log.head().hash)
}

/// Answers [`VaultInfo`].
pub async fn get(request: HttpRequest, permit: Permit<ReadLog>) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let state = permit.state();
    let vault = state.db.vault(&permit.vault).await?.ok_or_else(ApiError::not_found)?;
    json(&VaultInfo {
        head: vault.head.into(),
        used: vault.used,
        quota: limit_of(vault.quota),
        min_age_days: state.config.keeping.min_age_days,
        grace_days: state.config.keeping.grace_days,
        held: vault.held,
    })
}
