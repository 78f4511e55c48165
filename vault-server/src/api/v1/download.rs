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
use vault_core::wire::{Number, OCTETS};

use super::upload::set_stored_at;
use crate::auth::{Permit, ReadObject};
use crate::db::StoredObject;
use crate::error::ApiError;

/// How many bytes are read at once.
const PART_BYTES: u64 = 512 << 10;

type Reader = Box<dyn Read + Send>;

/// Answers the object that the permit is for, or the range that the request asks for.
pub(super) async fn get(
    request: &HttpRequest,
    permit: &Permit<ReadObject>,
) -> Result<HttpResponse, ApiError> {
    let object = find(permit).await?;
    let range = match request.headers().get(header::RANGE) {
        None => None,
        Some(range) => Some(parse_range(range.to_str().unwrap_or(""), object.size)?),
    };
    let whole = 0..object.size;
    let part = range.clone().unwrap_or(whole);
    let content = open(permit, part.clone()).await?;
    let mut answer = HttpResponse::Ok();
    answer.content_type(OCTETS).insert_header((header::ACCEPT_RANGES, "bytes"));
    if range.is_some() {
        let last = part.end.saturating_sub(1);
        let shown = format!("bytes {}-{last}/{}", part.start, object.size);
        answer.status(StatusCode::PARTIAL_CONTENT).insert_header((header::CONTENT_RANGE, shown));
    }
    let mut answer = match content {
        Content::Small(bytes) => answer.body(bytes),
        Content::Large(reader, length) => answer.body(SizedStream::new(length, parts(reader, length))),
    };
    set_stored_at(&mut answer, object.stored_ms);
    Ok(answer)
}

/// What is answered: all of it, or what reads it.
enum Content {
    Small(Bytes),
    Large(Reader, u64),
}

/// Opens an object, and reads it at once if it is small: one turn on another thread, not two.
async fn open(permit: &Permit<ReadObject>, part: Range<u64>) -> Result<Content, ApiError> {
    let (objects, vault, key) = (permit.state().objects.clone(), permit.vault, permit.subject);
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
pub(super) async fn head(permit: &Permit<ReadObject>) -> Result<HttpResponse, ApiError> {
    let object = find(permit).await?;
    let nothing = stream::empty::<Result<Bytes, std::io::Error>>();
    let mut answer = HttpResponse::Ok();
    answer.content_type(OCTETS).insert_header((header::ACCEPT_RANGES, "bytes"));
    let mut answer = answer.body(SizedStream::new(object.size, nothing));
    set_stored_at(&mut answer, object.stored_ms);
    Ok(answer)
}

async fn find(permit: &Permit<ReadObject>) -> Result<StoredObject, ApiError> {
    let found = permit.state().db.object(&permit.vault, &permit.subject).await?;
    found.ok_or_else(ApiError::not_found)
}

/// `bytes=a-b` with both ends, within the object: the only form.
fn parse_range(text: &str, size: u64) -> Result<Range<u64>, ApiError> {
    let ends = text.strip_prefix("bytes=").and_then(|ends| ends.split_once('-'));
    let parsed = ends.and_then(|(first, last)| Some((Number::parse(first)?.0, Number::parse(last)?.0)));
    match parsed {
        Some((first, last)) if first <= last && last < size => Ok(first..last + 1),
        _ => Err(ApiError::bad_request("expected one range, bytes=a-b, within the object")),
    }
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
    fn a_range_has_two_ends_within_the_object() {
        assert_eq!(parse_range("bytes=0-0", 10).unwrap(), 0..1);
        assert_eq!(parse_range("bytes=3-9", 10).unwrap(), 3..10);
        for text in [
            "",
            "bytes=",
            "bytes=-5",
            "bytes=5-",
            "bytes=5-4",
            "bytes=0-10",
            "bytes=0-1,3-4",
            "bytes= 0-1",
            "Bytes=0-1",
            "bytes=00-1",
            "bytes=+0-1",
            "bytes=0-18446744073709551615",
            "items=0-1",
        ] {
            assert!(parse_range(text, 10).is_err(), "{text}");
        }
        assert!(parse_range("bytes=0-0", 0).is_err());
    }
}
