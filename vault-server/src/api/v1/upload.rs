//! Uploads: an object is hashed and written while it arrives, and is there only if it is what was announced.
//!
//! Memory holds one part that is being written and one that is arriving, whatever the size of the object. Nothing remains of an
//! upload that ends early or brings other bytes.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tokio::task::JoinHandle;
use vault_core::crypto::hash::ObjectHasher;
use vault_core::id::VaultId;
use vault_core::object::ObjectKey;
use vault_core::wire::limits::object_bytes;
use vault_core::wire::signing;
use vault_core::wire::{Code, OCTETS, STORED_AT_HEADER};

use super::{audit_record, check_digest, empty, expect_type};
use crate::auth::{Permit, PutObject};
use crate::body::{Body, Pace};
use crate::db::Reserved;
use crate::error::ApiError;
use crate::objects::{Begun, Finished, Incoming, Objects, ObjectsError, Upload};
use crate::state::State;

/// How many bytes are written at once.
const PART_BYTES: usize = 512 << 10;

/// Stores the object that the permit is for.
pub(super) async fn put(
    request: &HttpRequest,
    permit: Permit<PutObject>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    expect_type(request, OCTETS)?;
    let key = permit.subject;
    let needed = || ApiError::plain(Code::LengthRequired, "a body is needed");
    let signed = permit.asker.body.ok_or_else(needed)?;
    check_name(&key, &signed)?;
    let state = permit.state().clone();
    let _slot = state.limiter.upload_of(permit.asker.device)?;
    // Before anything is reserved: a body that is too large is refused by its length.
    let body = Body::new(payload, signed.length, object_bytes(key.kind()), Pace::from(&state.config.limits))?;
    let place = (permit.vault, key, signed.length);
    let (upload, incoming) = match begin(&state, place).await? {
        Begun::New(upload, incoming) => (upload, incoming),
        Begun::Not(Reserved::There { size, stored_ms }) => {
            return there(&permit, body, size, stored_ms).await;
        }
        Begun::Not(reserved) => return Err(not_reserved(&reserved)),
    };
    let received = receive(body, incoming).await;
    let (incoming, found) = match received {
        Ok(received) => received,
        Err(error) => {
            upload.abandon().await?;
            return Err(error);
        }
    };
    if let Err(error) = check_digest(&found, &signed.sha256) {
        drop(incoming);
        upload.abandon().await?;
        return Err(error);
    }
    finish(&state, &permit, (upload, incoming)).await
}

/// Reserves place. To the end even if the client goes away meanwhile: only an upload that there is gives its reservation back.
async fn begin(
    state: &actix_web::web::Data<State>,
    place: (VaultId, ObjectKey, u64),
) -> Result<Begun, ApiError> {
    let state = state.clone();
    let begun =
        tokio::spawn(async move { Upload::begin(&state.db, &state.objects, place, state.now_ms()).await });
    Ok(begun.await.map_err(ApiError::internal)??)
}

/// Packs and index objects are named by what is in them.
fn check_name(key: &ObjectKey, signed: &signing::Body) -> Result<(), ApiError> {
    let name = match key {
        ObjectKey::Pack(id) => id.as_bytes(),
        ObjectKey::Index(id) => id.as_bytes(),
        _ => return Ok(()),
    };
    if *name == signed.sha256 {
        return Ok(());
    }
    Err(ApiError::plain(Code::DigestMismatch, "the object has another name than its hash"))
}

/// The answer where the object is already: compares what is not named by its hash.
async fn there(
    permit: &Permit<PutObject>,
    body: Body,
    size: u64,
    stored_ms: u64,
) -> Result<HttpResponse, ApiError> {
    let is_same = if permit.subject.kind().is_content_addressed() {
        true
    } else {
        let bytes = body.all().await?;
        let state = permit.state();
        let (objects, vault, key) = (state.objects.clone(), permit.vault, permit.subject);
        let stored = actix_web::web::block(move || read_small(&*objects, &vault, &key, size)).await;
        stored.map_err(ApiError::internal)?? == bytes
    };
    if !is_same {
        return Err(ApiError::plain(Code::Differs, "another object has this name"));
    }
    let mut answer = empty(StatusCode::OK);
    set_stored_at(&mut answer, stored_ms);
    Ok(answer)
}

fn read_small(
    objects: &dyn Objects,
    vault: &VaultId,
    key: &ObjectKey,
    size: u64,
) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut reader = objects.open(vault, key, 0..size)?;
    std::io::Read::read_to_end(&mut reader, &mut bytes).map_err(ApiError::internal)?;
    Ok(bytes)
}

fn not_reserved(reserved: &Reserved) -> ApiError {
    match *reserved {
        Reserved::QuotaExceeded { used, quota } => ApiError::QuotaExceeded { used, quota },
        Reserved::NoVault => ApiError::not_found(),
        _ => ApiError::plain(Code::Busy, "the object is just being removed"),
    }
}

/// What is being written: the file, and the hash of what it has.
struct Part {
    incoming: Incoming,
    hasher: ObjectHasher,
}

/// Writes a body while it arrives; the file and the hash of what is in it.
async fn receive(mut body: Body, incoming: Incoming) -> Result<(Incoming, [u8; 32]), ApiError> {
    let mut writing = spawn(Part { incoming, hasher: ObjectHasher::new() }, Vec::new());
    let (mut parts, mut bytes) = (Vec::new(), 0);
    while let Some(part) = body.next().await? {
        bytes += part.len();
        parts.push(part);
        if bytes >= PART_BYTES {
            let written = join(writing).await?;
            writing = spawn(written, std::mem::take(&mut parts));
            bytes = 0;
        }
    }
    let written = join(writing).await?;
    let Part { incoming, hasher } = join(spawn(written, parts)).await?;
    Ok((incoming, hasher.finish()))
}

fn spawn(mut part: Part, parts: Vec<Bytes>) -> JoinHandle<Result<Part, ObjectsError>> {
    tokio::task::spawn_blocking(move || {
        for bytes in parts {
            part.hasher.update(&bytes);
            part.incoming.write(&bytes)?;
        }
        Ok(part)
    })
}

async fn join(writing: JoinHandle<Result<Part, ObjectsError>>) -> Result<Part, ApiError> {
    Ok(writing.await.map_err(ApiError::internal)??)
}

/// Makes the object durable. To the end even if the client goes away: it may ask again, and then finds it there.
async fn finish(
    state: &actix_web::web::Data<State>,
    permit: &Permit<PutObject>,
    (upload, incoming): (Upload, Incoming),
) -> Result<HttpResponse, ApiError> {
    let now_ms = state.now_ms();
    let audit = audit_record(permit.asker.asker(), "put", permit.subject.path());
    let finished = tokio::spawn(async move { upload.finish(incoming, now_ms, Some(audit)).await }).await;
    match finished.map_err(ApiError::internal)?? {
        Finished::Done => {
            let mut answer = empty(StatusCode::CREATED);
            set_stored_at(&mut answer, now_ms);
            Ok(answer)
        }
        Finished::Lost | Finished::InTheWay => {
            Err(ApiError::plain(Code::Busy, "the same object is being stored by another request"))
        }
    }
}

pub(super) fn set_stored_at(answer: &mut HttpResponse, stored_ms: u64) {
    let name = actix_web::http::header::HeaderName::from_static(STORED_AT_HEADER);
    answer.headers_mut().insert(name, actix_web::http::header::HeaderValue::from(stored_ms));
}
