//! `GET /v1/directory/{name}`: who has a name.
//!
//! The answer is the server's word only: who asks compares it with what was pinned before, or lets two people compare words.

use serde::{Deserialize, Serialize};

use crate::id::UserId;

/// Who has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// The user.
    pub user: UserId,
}
