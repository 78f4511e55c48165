//! Every answer that is not what was asked for, as one type, and its form on the wire: problem+json with a stable code.
//!
//! What went wrong inside is for the log only; a client learns its request id. The body is made in one place, `front`, for
//! errors of this type and for those of actix alike.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use vault_core::log::Head;
use vault_core::wire::problem::PROBLEM_JSON;
use vault_core::wire::{Code, Millis, PROTOCOL, Problem};

use crate::body::BodyError;
use crate::db::DbError;
use crate::limits::Limited;
use crate::logs::LogsError;
use crate::objects::{ObjectsError, UploadError};
use crate::ranges::RangesUnread;

/// What a handler answers when it does not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// One of the plain codes, with what is wrong in a sentence.
    #[error("{detail}")]
    Plain {
        /// The code.
        code: Code,
        /// A sentence for people.
        detail: Cow<'static, str>,
    },
    /// No valid signature; nothing more is said.
    #[error("the request is not signed by a device that this server knows")]
    Unauthorized,
    /// A valid signature, made at another time than the server's.
    #[error("the clocks of client and server differ")]
    ClockSkew {
        /// The server's time in milliseconds.
        server_time: u64,
    },
    /// The path is of a version of the protocol that is not spoken here.
    #[error("this server speaks another version of the protocol")]
    OtherProtocol,
    /// The number is taken.
    #[error("another statement or entry has this number already")]
    Taken {
        /// The head of the log; `None` for cards.
        head: Option<Head>,
    },
    /// The log does not allow the statement.
    #[error("the log refuses the statement")]
    StatementRefused {
        /// The log's words.
        reason: String,
    },
    /// The card does not allow the entry.
    #[error("the card refuses the entry")]
    EntryRefused {
        /// The card's words.
        reason: String,
    },
    /// Too many requests.
    #[error("too many requests")]
    RateLimited(#[from] Limited),
    /// No room for the user or the vault.
    #[error("the quota is used up")]
    QuotaExceeded {
        /// Bytes used.
        used: u64,
        /// Bytes allowed.
        quota: u64,
    },
    /// Something failed that is not the client's doing.
    #[error("the server failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ApiError {
    /// A plain code with a sentence.
    pub fn plain(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Plain { code, detail: detail.into() }
    }

    /// A malformed path, query, header or body.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::plain(Code::BadRequest, detail)
    }

    /// Nothing there, or not for the asker: the same in either case.
    pub fn not_found() -> Self {
        Self::plain(Code::NotFound, "there is nothing here for you")
    }

    /// A member without the right.
    pub fn forbidden(detail: &'static str) -> Self {
        Self::plain(Code::Forbidden, detail)
    }

    /// A failure inside.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// The code on the wire.
    pub fn code(&self) -> Code {
        match self {
            Self::Plain { code, .. } => *code,
            Self::Unauthorized => Code::Unauthorized,
            Self::ClockSkew { .. } => Code::ClockSkew,
            Self::OtherProtocol => Code::Protocol,
            Self::Taken { .. } => Code::Taken,
            Self::StatementRefused { .. } => Code::StatementRefused,
            Self::EntryRefused { .. } => Code::EntryRefused,
            Self::RateLimited(_) => Code::RateLimited,
            Self::QuotaExceeded { .. } => Code::QuotaExceeded,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// Seconds after which to ask again, where that helps.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(Limited { after }) => {
                Some(after.saturating_add(Duration::from_millis(999)).as_secs().max(1))
            }
            Self::Plain { code: Code::Busy | Code::ShuttingDown, .. } => Some(2),
            _ => None,
        }
    }
}

impl ApiError {
    /// The answer, with the id of the request.
    pub fn answer(&self, request_id: &str) -> HttpResponse {
        let problem = Problem { request_id: request_id.to_owned(), ..self.problem() };
        let mut answer = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after() {
            answer.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        // A problem has no member that JSON could not hold.
        let text = serde_json::to_string(&problem).unwrap_or_default();
        answer.content_type(PROBLEM_JSON).body(text)
    }

    fn problem(&self) -> Problem {
        let problem = Problem::new(self.code());
        match self {
            Self::Plain { detail, .. } => problem.with_detail(detail.clone()),
            Self::ClockSkew { server_time } => Problem { server_time: Some(Millis(*server_time)), ..problem },
            Self::OtherProtocol => Problem { protocol: Some(vec![PROTOCOL]), ..problem },
            Self::Taken { head } => Problem { head: head.map(Into::into), ..problem },
            Self::StatementRefused { reason } | Self::EntryRefused { reason } => {
                Problem { reason: Some(reason.clone()), ..problem }
            }
            Self::QuotaExceeded { used, quota } => {
                Problem { used: Some(*used), quota: Some(*quota), ..problem }
            }
            Self::Unauthorized | Self::RateLimited(_) | Self::Internal(_) => problem,
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Without a body: that is made in `front`, where the request's id is known.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooSlow => Self::plain(Code::TooSlow, "the body stopped, or came too slowly"),
            BodyError::Incomplete => Self::bad_request("the body ended early"),
            BodyError::TooLarge { limit } => {
                Self::plain(Code::TooLarge, format!("this route takes at most {limit} bytes"))
            }
        }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy => Self::plain(Code::Busy, "the database has more to do than it can"),
            DbError::Closed => Self::plain(Code::ShuttingDown, "the server is stopping"),
            DbError::StorageFull => Self::plain(Code::StorageFull, "the disk of the database is full"),
            error => Self::internal(error),
        }
    }
}

impl From<ObjectsError> for ApiError {
    fn from(error: ObjectsError) -> Self {
        match error {
            ObjectsError::StorageFull => Self::plain(Code::StorageFull, "the server's disk is full"),
            ObjectsError::Degraded => Self::plain(Code::Busy, "the server takes no writes"),
            error => Self::internal(error),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Db(error) => error.into(),
            UploadError::Objects(error) => error.into(),
            error => Self::internal(error),
        }
    }
}

impl From<LogsError> for ApiError {
    fn from(error: LogsError) -> Self {
        match error {
            LogsError::Db(error) => error.into(),
            LogsError::NoLog { .. } => Self::not_found(),
            error => Self::internal(error),
        }
    }
}

impl From<RangesUnread> for ApiError {
    fn from(error: RangesUnread) -> Self {
        match error {
            RangesUnread::Db(error) => error.into(),
            RangesUnread::Objects(error) => error.into(),
            RangesUnread::NotThere { .. } => Self::not_found(),
            error => Self::internal(error),
        }
    }
}
