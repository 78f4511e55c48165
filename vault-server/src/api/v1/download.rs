//! Downloads: an object or one range of it, read on threads that may block, a part at a time.
//!
//! Memory holds what the connection has not taken yet: at most two parts for each download.

use std::io::Read;
use std::ops::Range;

use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, Stream};
use vault_core::id::VaultId;
use vault_core::object::ObjectKey;
use vault_core::wire::{Number, OCTETS};

use super::upload::set_stored_at;
use crate::db::StoredObject;
use crate::error::ApiError;
use crate::state::State;

/// How many bytes are read at once.
const PART_BYTES: u64 = 512 << 10;

type Reader = Box<dyn Read + Send>;

/// An object that may be shown to the one who asks: that was decided before.
pub(super) struct Shown<'s> {
    pub(super) state: &'s State,
    pub(super) vault: VaultId,
    pub(super) key: ObjectKey,
    /// Whether all of it may be shown; else not even its size and age are.
    pub(super) is_whole: bool,
}

/// Answers the object, or a range of it.
pub(super) async fn get(shown: &Shown<'_>, range: Option<Range<u64>>) -> Result<HttpResponse, ApiError> {
    let object = find(shown).await?;
    if range.as_ref().is_some_and(|range| range.end > object.size) {
        return Err(not_within());
    }
    let whole = 0..object.size;
    let part = range.clone().unwrap_or(whole);
    let content = open(shown, part.clone()).await?;
    let mut answer = HttpResponse::Ok();
    answer.content_type(OCTETS).insert_header((header::ACCEPT_RANGES, "bytes"));
    if range.is_some() {
        let last = part.end.saturating_sub(1);
        let size = if shown.is_whole { object.size.to_string() } else { "*".to_owned() };
        let said = format!("bytes {}-{last}/{size}", part.start);
        answer.status(StatusCode::PARTIAL_CONTENT).insert_header((header::CONTENT_RANGE, said));
    }
    let mut answer = match content {
        Content::Small(bytes) => answer.body(bytes),
        Content::Large(reader, length) => answer.body(SizedStream::new(length, parts(reader, length))),
    };
    if shown.is_whole {
        set_stored_at(&mut answer, object.stored_ms);
    }
    Ok(answer)
}

/// What is answered: all of it, or what reads it.
enum Content {
    Small(Bytes),
    Large(Reader, u64),
}

/// Opens an object, and reads it at once if it is small: one turn on another thread, not two.
async fn open(shown: &Shown<'_>, part: Range<u64>) -> Result<Content, ApiError> {
    let (objects, vault, key) = (shown.state.objects.clone(), shown.vault, shown.key);
    let length = part.end - part.start;
    let opened = actix_web::web::block(move || -> Result<Content, ApiError> {
        let reader = objects.open(&vault, &key, part)?;
        if length > PART_BYTES {
            return Ok(Content::Large(reader, length));
        }
        let (_, bytes) = read_part(reader, length).map_err(ApiError::internal)?;
        Ok(Content::Small(bytes))
    });
    opened.await.map_err(ApiError::internal)?
}

/// Answers length and time of the object.
pub(super) async fn head(shown: &Shown<'_>) -> Result<HttpResponse, ApiError> {
    let object = find(shown).await?;
    let nothing = stream::empty::<Result<Bytes, std::io::Error>>();
    let mut answer = HttpResponse::Ok();
    answer.content_type(OCTETS).insert_header((header::ACCEPT_RANGES, "bytes"));
    let mut answer = answer.body(SizedStream::new(object.size, nothing));
    set_stored_at(&mut answer, object.stored_ms);
    Ok(answer)
}

async fn find(shown: &Shown<'_>) -> Result<StoredObject, ApiError> {
    let found = shown.state.db.object(&shown.vault, &shown.key).await?;
    found.ok_or_else(ApiError::not_found)
}

/// The range that a request asks for; it need not lie within the object.
pub(super) fn range_of(request: &HttpRequest) -> Result<Option<Range<u64>>, ApiError> {
    let range = request.headers().get(header::RANGE);
    range.map(|range| parse_range(range.to_str().unwrap_or("")).ok_or_else(not_within)).transpose()
}

/// `bytes=a-b` with both ends: the only form.
fn parse_range(text: &str) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (Number(first), Number(last)) = (Number::parse(first)?, Number::parse(last)?);
    let end = last.checked_add(1)?;
    (first < end).then_some(first..end)
}

fn not_within() -> ApiError {
    ApiError::bad_request("expected one range, bytes=a-b, within the object")
}

/// The bytes of a reader, a part at a time.
fn parts(reader: Reader, length: u64) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::try_unfold((reader, length), |(reader, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || read_part(reader, left.min(PART_BYTES))).await;
        let (reader, bytes) = read.map_err(std::io::Error::other)??;
        let left = left - bytes.len() as u64;
        Ok(Some((bytes, (reader, left))))
    })
}

fn read_part(mut reader: Reader, length: u64) -> Result<(Reader, Bytes), std::io::Error> {
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes)?;
    Ok((reader, Bytes::from(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends() {
        assert_eq!(parse_range("bytes=0-0"), Some(0..1));
        assert_eq!(parse_range("bytes=3-9"), Some(3..10));
        for text in [
            "",
            "bytes=",
            "bytes=-5",
            "bytes=5-",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "bytes= 0-1",
            "Bytes=0-1",
            "bytes=00-1",
            "bytes=+0-1",
            "bytes=0-18446744073709551615",
            "items=0-1",
        ] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }
}
