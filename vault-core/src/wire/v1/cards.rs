//! `/v1/cards/{user}`: the query of a list of card entries. The bodies are binary: entries, and lists of them.

pub use super::log::FromQuery;
