//! Devices that ask to be put on a card, and the answers that they wait for.
//!
//! Anyone may ask, so a request lives for minutes and their number is bounded.

use super::session::args;
use super::{Database, DbError, RequestId};

/// A device that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// Its id: random.
    pub request: RequestId,
    /// What its signatures are verified with.
    pub signing_key: [u8; 32],
    /// What is sealed to it: the text of an age recipient.
    pub recipient: String,
    /// When it ends, in ms.
    pub expires_ms: u64,
    /// The sealed answer, once there is one.
    pub answer: Option<Vec<u8>>,
    /// The signature by which the device agrees to be put on a card, once there is one.
    pub consent: Option<Vec<u8>>,
}

/// What a request waits for.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    Answer,
    Consent,
}

/// What became of an answer, or of a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestAnswered {
    /// It is the answer now.
    Done,
    /// It was the answer already, byte for byte.
    Same,
    /// There is another answer.
    Taken,
    /// There is no such request, or it has ended.
    NotThere,
}

impl Database {
    /// Keeps a request without an answer. `false` if `max_waiting` others wait already.
    pub async fn add_device_request(
        &self,
        new: DeviceRequest,
        now_ms: u64,
        max_waiting: u64,
    ) -> Result<bool, DbError> {
        self.write((new, now_ms, max_waiting), |session, (new, now_ms, max_waiting)| {
            Box::pin(async move {
                session.execute("DELETE FROM device_requests WHERE expires_ms <= $1", args![*now_ms]).await?;
                // Side by side, a few more than the limit may pass; it is there to bound the table.
                let sql = "INSERT INTO device_requests (request, signing_key, recipient, expires_ms, answer, consent)
                           SELECT $1, $2, $3, $4, $5, $5 WHERE (SELECT COUNT(*) FROM device_requests) < $6";
                let none: &[u8] = &[];
                let values =
                    args![new.request, new.signing_key, new.recipient, new.expires_ms, none, *max_waiting];
                Ok(session.execute(sql, values).await? == 1)
            })
        })
        .await
    }

    /// A request that has not ended.
    pub async fn device_request(
        &self,
        request: &RequestId,
        now_ms: u64,
    ) -> Result<Option<DeviceRequest>, DbError> {
        let sql = "SELECT signing_key, recipient, expires_ms, answer, consent FROM device_requests
                   WHERE request = $1 AND expires_ms > $2";
        let Some(row) = self.reader().await?.row(sql, args![request, now_ms]).await? else { return Ok(None) };
        let given = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
        Ok(Some(DeviceRequest {
            request: *request,
            signing_key: row.array(0)?,
            recipient: row.text(1)?,
            expires_ms: row.uint(2)?,
            answer: given(row.bytes(3)?),
            consent: given(row.bytes(4)?),
        }))
    }

    /// Gives a request its answer, unless it has one. An empty answer is none.
    pub async fn answer_device_request(
        &self,
        request: RequestId,
        answer: Vec<u8>,
        now_ms: u64,
    ) -> Result<RequestAnswered, DbError> {
        self.give(Awaited::Answer, request, answer, now_ms).await
    }

    /// Gives a request its device's consent, unless it has one.
    pub async fn consent_to_device_request(
        &self,
        request: RequestId,
        consent: Vec<u8>,
        now_ms: u64,
    ) -> Result<RequestAnswered, DbError> {
        self.give(Awaited::Consent, request, consent, now_ms).await
    }

    async fn give(
        &self,
        awaited: Awaited,
        request: RequestId,
        given: Vec<u8>,
        now_ms: u64,
    ) -> Result<RequestAnswered, DbError> {
        self.write((awaited, request, given, now_ms), |session, (awaited, request, given, now_ms)| {
            Box::pin(async move {
                let (put, read) = awaited.statements();
                if session.execute(put, args![request, given, *now_ms]).await? == 1 {
                    return Ok(RequestAnswered::Done);
                }
                let Some(row) = session.row(read, args![request, *now_ms]).await? else {
                    return Ok(RequestAnswered::NotThere);
                };
                let is_same = row.bytes(0)? == *given;
                Ok(if is_same { RequestAnswered::Same } else { RequestAnswered::Taken })
            })
        })
        .await
    }

    /// Removes requests that have ended; how many.
    pub async fn remove_ended_device_requests(&self, now_ms: u64) -> Result<u64, DbError> {
        self.write(now_ms, |session, now_ms| {
            Box::pin(async move {
                session.execute("DELETE FROM device_requests WHERE expires_ms <= $1", args![*now_ms]).await
            })
        })
        .await
    }
}

impl Awaited {
    /// What gives it to a request that has none, and what reads it.
    fn statements(self) -> (&'static str, &'static str) {
        match self {
            Self::Answer => (
                "UPDATE device_requests SET answer = $2
                 WHERE request = $1 AND expires_ms > $3 AND octet_length(answer) = 0",
                "SELECT answer FROM device_requests WHERE request = $1 AND expires_ms > $2",
            ),
            Self::Consent => (
                "UPDATE device_requests SET consent = $2
                 WHERE request = $1 AND expires_ms > $3 AND octet_length(consent) = 0",
                "SELECT consent FROM device_requests WHERE request = $1 AND expires_ms > $2",
            ),
        }
    }
}
