//! What the server answers, by version of the protocol.

pub mod v1;
