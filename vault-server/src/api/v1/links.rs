//! `/v1/links` and `/s`: what whoever has a link gets, without an account.
//!
//! The token shows that somebody has the link, and opens nothing. A download is counted once, when it begins: the ticket that it gets
//! then lets it go on.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use vault_core::crypto::random::Random;
use vault_core::id::TicketId;
use vault_core::wire::v1::grants::LinkOpened;
use vault_core::wire::{Code, Millis};

use super::grants::statement;
use super::{granted, json_with, no_body, no_query};
use crate::auth::{ByToken, WithTicket};
use crate::db::{AuditRecord, NewTicket, Opened, Opening};
use crate::error::ApiError;

/// How long a ticket is good.
const TICKET_MS: u64 = 24 * 60 * 60 * 1000;

/// Answers the statement, with its receipt.
pub async fn get(request: HttpRequest, by: ByToken) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    statement(&by.state, &by.grant).await
}

/// Counts a download that begins, and answers [`LinkOpened`], unless there were as many as there may be.
pub async fn open(request: HttpRequest, by: ByToken) -> Result<HttpResponse, ApiError> {
    no_query(&request)?;
    no_body(&request)?;
    let (state, grant) = (&by.state, &by.grant);
    // It writes, and nobody signs for it.
    state.limiter.open_request_from(by.arrival.address)?;
    let random: &dyn Random = &state.random;
    let ticket = TicketId::new(random.bytes().map_err(ApiError::internal)?);
    let now_ms = state.now_ms();
    let expires_ms = now_ms.saturating_add(TICKET_MS);
    let (object, address) = (grant.grant.to_hex(), by.arrival.network.to_string());
    let opening = Opening {
        grant: grant.grant,
        vault: grant.vault,
        ticket: Some(NewTicket { ticket, expires_ms }),
        now_ms,
        audit: Some(AuditRecord { device: None, action: "fetch_link", object, address }),
    };
    match state.db.open_grant(opening).await? {
        Opened::Done { left } => {
            let left = left.map(|left| u32::try_from(left).unwrap_or(u32::MAX));
            json_with(StatusCode::CREATED, &LinkOpened { ticket, until: Millis(expires_ms), left })
        }
        Opened::UsedUp => Err(ApiError::plain(Code::LinkUsedUp, "it was fetched as often as it may be")),
        Opened::Over => Err(ApiError::not_found()),
    }
}

/// Answers bytes of an object that are given.
pub async fn get_object(request: HttpRequest, by: WithTicket) -> Result<HttpResponse, ApiError> {
    let WithTicket(by) = by;
    granted::get(&request, &by.state, &by.grant).await
}

/// Answers what [`get_object`] would, without the bytes.
pub async fn head_object(request: HttpRequest, by: WithTicket) -> Result<HttpResponse, ApiError> {
    let WithTicket(by) = by;
    granted::head(&request, &by.state, &by.grant).await
}

/// Answers a page for people who open a link in a browser: the same for every link, whether it is there or not.
pub async fn page() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8")).body(PAGE)
}

/// Neither script nor style: the content security policy allows none.
const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Encrypted files</title>
</head>
<body>
<h1>Encrypted files</h1>
<p>Somebody sent you a link to files that are encrypted. The part of its address after the <code>#</code> is the key to them. Your
browser did not send that part, so this server cannot open the files, and neither can this page.</p>
<p>To fetch them, copy the whole address and run in a terminal:</p>
<pre>vault get 'THE WHOLE ADDRESS' --target DIR</pre>
<p>Whoever has the whole address can fetch the files: keep it to yourself.</p>
</body>
</html>
"#;
