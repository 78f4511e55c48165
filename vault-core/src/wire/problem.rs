//! Errors as a server tells them: `application/problem+json` (RFC 9457) with a code that never changes its meaning.
//!
//! The code decides the status; what a client does depends on the code alone. Detail and next step are for people.

use serde::{Deserialize, Serialize};

use super::encoding::Millis;
use super::v1::log::HeadText;

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Declares the codes with their text, status and what to try next.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $status:literal, $title:literal, $next:literal;)+) => {
        /// What is wrong, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+
            /// A code that this version does not know; a server never sends it.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Code {
            /// All codes that a server sends.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable text.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ Self::Unknown => "unknown" }
            }

            /// The status of the answer.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ Self::Unknown => 500 }
            }

            /// What is wrong, in a few words that are always the same.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ Self::Unknown => "unknown error" }
            }

            /// What to try next.
            pub const fn next(self) -> &'static str {
                match self { $(Self::$name => $next,)+ Self::Unknown => "update this program" }
            }
        }
    };
}

codes! {
    /// A path, query, header or JSON body that is malformed.
    BadRequest = "bad_request", 400, "the request is malformed", "update this program, or see docs/protocol.md";
    /// A body whose hash is not the one that was signed, or not its name.
    DigestMismatch = "digest_mismatch", 400, "the body is not the one announced", "send it again";
    /// A signature that is missing, malformed, unknown, revoked or replayed.
    Unauthorized = "unauthorized", 401, "the request is not signed by a known device", "join again, or ask whether this device was revoked";
    /// A known device's signature outside the window; with `server_time`.
    ClockSkew = "clock_skew", 401, "the clocks differ too much", "set this machine's clock";
    /// A member without the right.
    Forbidden = "forbidden", 403, "not allowed", "ask an owner of the vault";
    /// Nothing there, or not for the one who asks.
    NotFound = "not_found", 404, "not found", "compare the name with what `vault list` shows";
    /// A method that the route does not have.
    Method = "method", 405, "the route has no such method", "see docs/protocol.md";
    /// No representation that the client accepts.
    Accept = "accept", 406, "no such representation", "see docs/protocol.md";
    /// A body that stopped or came too slowly.
    TooSlow = "too_slow", 408, "the body came too slowly", "send it again";
    /// The number or name is taken; with `head` for a log.
    Taken = "taken", 409, "the number is taken", "read what came first and try again";
    /// Another user has the name.
    NameTaken = "name_taken", 409, "another user has this name", "choose another name";
    /// Another object of that name is there.
    Differs = "differs", 409, "another object of that name is there", "run `vault check`";
    /// The invite was used, or too many wrong MACs used it up.
    InviteUsed = "invite_used", 410, "the invite is used up", "ask for a new invite";
    /// The invite has expired.
    Expired = "expired", 410, "the invite has expired", "ask for a new one";
    /// A link was opened as often as it may be.
    LinkUsedUp = "link_used_up", 410, "the link is used up", "ask who sent it for another";
    /// A body without `content-length`.
    LengthRequired = "length_required", 411, "a body needs its length", "see docs/protocol.md";
    /// A body larger than the route allows.
    TooLarge = "too_large", 413, "the body is too large", "see the limits in docs/protocol.md";
    /// A media type that the route does not take.
    MediaType = "media_type", 415, "the route does not take this media type", "see docs/protocol.md";
    /// A statement that the log refuses; with `reason`.
    StatementRefused = "statement_refused", 422, "the log refuses the statement", "read the log again";
    /// A card entry that the card refuses; with `reason`.
    EntryRefused = "entry_refused", 422, "the card refuses the entry", "read the card again";
    /// Another version of the protocol; with `protocol`.
    Protocol = "protocol", 426, "another version of the protocol", "update the older of the two programs";
    /// Too many requests; with the header `retry-after`.
    RateLimited = "rate_limited", 429, "too many requests", "wait";
    /// A head of a request that is too large, or has too many headers.
    HeadersTooLarge = "headers_too_large", 431, "the head of the request is too large", "see the limits in docs/protocol.md";
    /// A fault of the server.
    Internal = "internal", 500, "the server failed", "ask its operator, with the request id";
    /// The server is busy; with the header `retry-after`.
    Busy = "busy", 503, "the server is busy", "wait";
    /// The server is shutting down; with the header `retry-after`.
    ShuttingDown = "shutting_down", 503, "the server is shutting down", "wait";
    /// The quota is exceeded; with `used` and `quota`.
    QuotaExceeded = "quota_exceeded", 507, "the quota is exceeded", "forget and prune, or ask the operator for more";
    /// The server's disk is full.
    StorageFull = "storage_full", 507, "the server's disk is full", "ask its operator";
}

impl Code {
    /// What a status alone says: of an answer without a body, of a code that this version does not know, or of something that stands
    /// before the server.
    pub const fn of_status(status: u16) -> Self {
        match status {
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            408 => Self::TooSlow,
            409 => Self::Taken,
            410 => Self::Expired,
            413 => Self::TooLarge,
            422 => Self::StatementRefused,
            426 => Self::Protocol,
            429 => Self::RateLimited,
            500 => Self::Internal,
            502..=504 => Self::Busy,
            507 => Self::StorageFull,
            _ => Self::Unknown,
        }
    }
}

/// An error as JSON. Members that a code does not have are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:vault:problem:` and the code.
    #[serde(rename = "type", default)]
    pub problem_type: String,
    /// [`Code::title`].
    #[serde(default)]
    pub title: String,
    /// The status of the answer.
    #[serde(default)]
    pub status: u16,
    /// What is wrong.
    pub code: Code,
    /// What is wrong here, for people; no internals.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// What to try next, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Under which name the server's log has this request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// With [`Code::ClockSkew`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<Millis>,
    /// With [`Code::Taken`], for a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadText>,
    /// With [`Code::StatementRefused`] and [`Code::EntryRefused`]: the log's or card's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With [`Code::QuotaExceeded`]: bytes used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// With [`Code::QuotaExceeded`]: bytes allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// With [`Code::Protocol`]: the versions that the server speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Vec<u32>>,
}

impl Problem {
    /// The problem of that code, without detail.
    pub fn new(code: Code) -> Self {
        Self {
            problem_type: format!("urn:vault:problem:{}", code.text()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: String::new(),
            next: code.next().to_owned(),
            request_id: String::new(),
            server_time: None,
            head: None,
            reason: None,
            used: None,
            quota: None,
            protocol: None,
        }
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_have_texts_of_their_own_and_statuses_of_errors() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.text()).collect();

        assert_eq!(texts.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
        for code in Code::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.text()));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
        }
    }

    #[test]
    fn every_code_is_on_the_page() {
        let page = include_str!("../../../docs/protocol.md");

        for code in Code::ALL {
            let listed = page.lines().any(|line| {
                line.starts_with(&format!("| {}", code.status() / 100))
                    && line.contains(&format!("`{}`", code.text()))
            });
            assert!(listed, "{}", code.text());
        }
    }

    #[test]
    fn a_problem_of_a_newer_server_is_understood_as_far_as_possible() {
        let problem: Problem =
            serde_json::from_str(r#"{"code":"new_thing","status":418,"more":[1]}"#).unwrap();

        assert_eq!((problem.code, problem.status), (Code::Unknown, 418));
    }

    #[test]
    fn members_of_other_codes_are_left_out() {
        let json = serde_json::to_value(Problem::new(Code::Unauthorized)).unwrap();

        let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["code", "next", "status", "title", "type"]);
    }
}
