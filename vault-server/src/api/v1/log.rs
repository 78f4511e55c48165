//! `/v1/vaults/{vault}/log` and `/head`: reading a log, waiting for it, and appending to it.
//!
//! A statement enters the database only after it was verified against the log before it, while nobody else appends to the same
//! log. What it says is done in the transaction that appends it.

use std::collections::BTreeSet;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::{Instant, sleep_until};
use vault_core::id::{IndexId, Seq, UserId, VaultId};
use vault_core::log::{
    Body, Condemn, DeviceKind, Grant, Head, LogError, Members, Payload as Said, State as LogState,
};
use vault_core::object::ObjectKey;
use vault_core::wire::entries::EntriesWriter;
use vault_core::wire::limits::{ENTRIES_BYTES, HEAD_WAIT_SECONDS, STATEMENT_BYTES};
use vault_core::wire::v1::log::{FromQuery, HeadQuery, HeadText};
use vault_core::wire::{Millis, OCTETS, RECEIPT_HEADER, Receipt};

use super::{audit_record, expect_type, json, no_query, octets, query, signed_body};
use crate::auth::{AppendStatement, Asker, Permit, ReadLog, ReadStatement};
use crate::db::{self, Appended, Effects, Member, NEVER, NewGrant, NewStatement};
use crate::error::ApiError;
use crate::logs::Appending;
use crate::ranges::{ListOf, RangesUnread};
use crate::state::State;
use crate::telemetry::Causes;

/// The most statements in one list.
const LISTED_STATEMENTS: u32 = 10_000;

/// Another server on the same database wakes nobody here: how often who waits looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Answers statements as a list of entries.
pub async fn list(request: HttpRequest, permit: Permit<ReadLog>) -> Result<HttpResponse, ApiError> {
    let FromQuery { from, limit } = query(&request)?;
    let limit = limit.unwrap_or(LISTED_STATEMENTS).clamp(1, LISTED_STATEMENTS);
    let from = Seq(from.min(i64::MAX as u64));
    let entries = permit.state().db.statements(&permit.vault, from, limit, ENTRIES_BYTES).await?;
    let mut writer = EntriesWriter::new();
    for entry in &entries {
        if !writer.push(&wire_receipt(&entry.receipt), &entry.statement) {
            break;
        }
    }
    Ok(octets(writer.finish()))
}

/// Answers one statement, with its receipt.
pub async fn get(request: HttpRequest, permit: Permit<ReadStatement>) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    let entry = permit.state().db.statement(&permit.vault, permit.subject).await?;
    let entry = entry.ok_or_else(ApiError::not_found)?;
    let mut answer = HttpResponse::Ok();
    answer.content_type(OCTETS).insert_header((RECEIPT_HEADER, wire_receipt(&entry.receipt).to_header()));
    Ok(answer.body(entry.statement))
}

/// Answers the head, once it is beyond a number or the time is over.
pub async fn head(request: HttpRequest, permit: Permit<ReadLog>) -> Result<HttpResponse, ApiError> {
    let HeadQuery { after, wait } = query(&request)?;
    let state = permit.state();
    // Kept and subscribed before the first look, so that nothing that comes in between is missed.
    let log = state.logs.of(permit.vault);
    let mut heads = log.watch();
    let mut stopping = state.stopping.clone();
    let deadline = Instant::now() + Duration::from_secs(wait.min(HEAD_WAIT_SECONDS));
    loop {
        heads.mark_unchanged();
        let vault = state.db.vault(&permit.vault).await?.ok_or_else(ApiError::not_found)?;
        let is_beyond = after.is_none_or(|after| vault.head.seq.0 > after);
        if is_beyond || *stopping.borrow() || Instant::now() >= deadline {
            return json(&HeadText::from(vault.head));
        }
        tokio::select! {
            _ = heads.changed() => {}
            _ = stopping.changed() => {}
            () = sleep_until(deadline.min(Instant::now() + LOOK_EVERY)) => {}
        }
    }
}

/// Appends the body as the next statement.
pub async fn put(
    request: HttpRequest,
    permit: Permit<AppendStatement>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    expect_type(&request, OCTETS)?;
    let statement = signed_body(&permit.asker, payload, STATEMENT_BYTES).await?;
    let (state, asker) = (permit.state().clone(), permit.asker.asker());
    let at = (permit.vault, permit.subject);
    // To the end even if the client goes away: the log in memory must follow the database.
    let done = actix_web::rt::spawn(async move { append(&state, asker, at, statement).await }).await;
    done.map_err(ApiError::internal)?
}

async fn append(
    state: &web::Data<State>,
    asker: Asker,
    at: (VaultId, Seq),
    statement: Vec<u8>,
) -> Result<HttpResponse, ApiError> {
    let log = state.logs.of(at.0);
    let appending = log.append(&state.db).await?;
    if let Some(answer) = try_append(state, &appending, asker, at, &statement).await? {
        return Ok(answer);
    }
    // Another server appended: once more, with what it said.
    appending.catch_up(&state.db).await?;
    let again = try_append(state, &appending, asker, at, &statement).await?;
    again.ok_or_else(|| ApiError::Taken { head: appending.head() })
}

/// `None` if the log in memory was behind the database.
async fn try_append(
    state: &State,
    appending: &Appending<'_>,
    asker: Asker,
    (vault, seq): (VaultId, Seq),
    statement: &[u8],
) -> Result<Option<HttpResponse>, ApiError> {
    let head = appending.look(LogState::head)?;
    if seq <= head.seq {
        return what_stands(state, &vault, seq, (head, statement)).await.map(Some);
    }
    if seq != head.seq.next() {
        return Err(ApiError::Taken { head: Some(head) });
    }
    let verified = appending.verify(statement.to_vec()).await?.map_err(|error| refused(&error))?;
    let said = verified.get().payload();
    check_author(said, asker)?;
    let mut effects = appending.look(|log| effects(log, &said.body))?;
    if let Body::Grant(grant) = &said.body {
        let user = |log: &LogState| log.device(&said.author.as_device()).map(|(user, _)| user.id);
        let sender = appending.look(user)?.unwrap_or(asker.user);
        effects.grant = Some(given(state, &vault, sender, grant).await?);
    }
    let revoked = effects.revoke;
    let new_head = Head { seq, hash: verified.get().hash() };
    let receipt = Receipt::sign(&state.receipt_key, &vault, &new_head, Millis(state.now_ms()));
    let new = NewStatement {
        vault,
        seq,
        statement: statement.to_vec(),
        hash: new_head.hash,
        receipt: stored_receipt(&receipt),
        effects,
        hold_from: state.config.keeping.hold_from,
        audit: Some(audit_record(asker, action(&said.body), seq.to_string())),
    };
    match state.db.append(new).await? {
        Appended::Done { held } => {
            if held {
                tracing::warn!(vault = vault.short(), "much was condemned at once: the trash is on hold");
            }
            if let Some(grant) = &revoked {
                state.ranges.forget(grant);
            }
            appending.add(verified, statement.len())?;
            Ok(Some(receipt_answer(StatusCode::CREATED, &receipt)))
        }
        Appended::Same(_) | Appended::Taken(_) => Ok(None),
        Appended::Missing(key) => Err(ApiError::StatementRefused { reason: format!("{key} is not there") }),
        Appended::GrantExists(grant) => {
            Err(ApiError::StatementRefused { reason: format!("there is a grant {grant} already") })
        }
        Appended::NoVault => Err(ApiError::not_found()),
    }
}

/// The answer to who brings a statement whose number is taken.
async fn what_stands(
    state: &State,
    vault: &VaultId,
    seq: Seq,
    (head, statement): (Head, &[u8]),
) -> Result<HttpResponse, ApiError> {
    match state.db.statement(vault, seq).await? {
        Some(entry) if entry.statement == statement => {
            Ok(receipt_answer(StatusCode::OK, &wire_receipt(&entry.receipt)))
        }
        _ => Err(ApiError::Taken { head: Some(head) }),
    }
}

/// A statement is brought by who says it: nobody puts another's word into a log for them.
fn check_author(said: &Said, asker: Asker) -> Result<(), ApiError> {
    if said.author.as_device() == asker.device || said.author.as_user() == asker.user {
        return Ok(());
    }
    Err(ApiError::forbidden("a statement is brought by a device of its author"))
}

/// What a statement changes besides the log.
fn effects(log: &LogState, body: &Body) -> Effects {
    match body {
        Body::Commit(commit) => Effects { needs: indexes(&commit.indexes), ..Effects::default() },
        Body::Condemn(condemn) => condemned(log, condemn),
        Body::Members(members) => Effects { members: Some(named(members)), ..Effects::default() },
        Body::Revoke(revoke) => Effects { revoke: Some(revoke.grant), ..Effects::default() },
        _ => Effects::default(),
    }
}

fn indexes(ids: &[IndexId]) -> Vec<ObjectKey> {
    ids.iter().map(|id| ObjectKey::Index(*id)).collect()
}

/// An index object goes once no domain has it in force.
fn condemned(log: &LogState, condemn: &Condemn) -> Effects {
    let others = log.all_indexes().filter(|(domain, _)| *domain != condemn.domain);
    let stays: BTreeSet<IndexId> =
        others.map(|(_, index)| index).chain(condemn.replacements.clone()).collect();
    let goes = |index: &&IndexId| !stays.contains(index);
    Effects {
        needs: indexes(&condemn.replacements),
        packs_to_trash: condemn.packs.clone(),
        indexes_to_trash: condemn.replaced.iter().filter(goes).copied().collect(),
        ..Effects::default()
    }
}

/// What a grant gives, by the list that it names.
async fn given(state: &State, vault: &VaultId, sender: UserId, grant: &Grant) -> Result<NewGrant, ApiError> {
    let list = ListOf { vault: *vault, grant: grant.id, ranges: grant.ranges };
    let ranges = state.ranges.read(&state.db, &state.objects, &list).await.map_err(unread)?;
    let link = grant.link.as_ref();
    Ok(NewGrant {
        grant: grant.id,
        sender,
        expires_ms: grant.expires.map_or(NEVER, |expires| expires.saturating_mul(1000).min(NEVER)),
        ranges: grant.ranges,
        indexes: grant.indexes.clone(),
        packs: ranges.packs.into_iter().map(|ranges| ranges.pack).collect(),
        addressees: grant.to.iter().map(|to| to.id).collect(),
        token_hash: link.map(|link| link.token_hash),
        downloads: link.and_then(|link| link.downloads).map_or(0, u64::from),
    })
}

/// A grant whose list is not there, or none, or another's, is refused.
fn unread(error: RangesUnread) -> ApiError {
    match error {
        RangesUnread::NotThere { .. }
        | RangesUnread::TooLarge { .. }
        | RangesUnread::Invalid(_)
        | RangesUnread::OfAnother => ApiError::StatementRefused { reason: Causes(&error).to_string() },
        error => error.into(),
    }
}

fn named(members: &Members) -> Vec<Member> {
    let users = members.users.iter().map(|user| Member::User(user.id, user.role));
    // A reader's append-only device could do nothing, and so is nobody.
    let is_named = |kind, role: vault_core::log::Role| kind == DeviceKind::AppendOnly && role.may_commit();
    let devices = members.devices().filter(|(user, device)| is_named(device.kind, user.role));
    users.chain(devices.map(|(_, device)| Member::AppendOnly(device.id))).collect()
}

/// The word for the audit.
fn action(body: &Body) -> &'static str {
    match body {
        Body::Genesis(_) => "genesis",
        Body::Members(_) => "members",
        Body::Commit(_) => "commit",
        Body::Forget(_) => "forget",
        Body::Condemn(_) => "condemn",
        Body::Grant(_) => "grant",
        Body::Revoke(_) => "revoke",
        Body::Attest(_) => "attest",
        Body::Annotate(_) => "annotate",
        _ => "statement",
    }
}

/// Says why the log refuses a statement, in its own words.
pub(super) fn refused(error: &LogError) -> ApiError {
    ApiError::StatementRefused { reason: Causes(error).to_string() }
}

/// An answer with a receipt and without a body.
pub(super) fn receipt_answer(status: StatusCode, receipt: &Receipt) -> HttpResponse {
    HttpResponse::build(status).insert_header((RECEIPT_HEADER, receipt.to_header())).finish()
}

pub(super) fn wire_receipt(stored: &db::Receipt) -> Receipt {
    Receipt { time: Millis(stored.time_ms), signature: stored.signature }
}

pub(super) fn stored_receipt(receipt: &Receipt) -> db::Receipt {
    db::Receipt { time_ms: receipt.time.0, signature: receipt.signature }
}
