//! The document of `lock`.

use serde::Serialize;

/// Whether there was anything to lock.
#[derive(Debug, Serialize)]
pub(crate) struct Lock {
    command: &'static str,
    locked: bool,
}

impl Lock {
    pub(crate) fn new(locked: bool) -> Self {
        Self { command: "lock", locked }
    }
}
