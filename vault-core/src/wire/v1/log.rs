//! `/v1/vaults/{vault}/log` and `/head`: the queries and heads. Statements themselves are binary.

use serde::{Deserialize, Serialize};

use crate::id::{Seq, StatementHash};
use crate::log::Head;

/// A head as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadText {
    /// Where the statement stands.
    pub seq: Seq,
    /// The hash of its stored bytes.
    pub hash: StatementHash,
}

/// The query of a list of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromQuery {
    /// The first entry to send.
    #[serde(default)]
    pub from: u64,
    /// The most entries to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// The query that waits for a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadQuery {
    /// Answer as soon as the head is beyond this number; at once if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Answer after so many seconds in any case; at most [`HEAD_WAIT_SECONDS`](crate::wire::limits::HEAD_WAIT_SECONDS).
    #[serde(default)]
    pub wait: u64,
}

impl From<Head> for HeadText {
    fn from(Head { seq, hash }: Head) -> Self {
        Self { seq, hash }
    }
}

impl From<HeadText> for Head {
    fn from(HeadText { seq, hash }: HeadText) -> Self {
        Self { seq, hash }
    }
}
