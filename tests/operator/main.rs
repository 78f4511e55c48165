//! The program `vault-server` as its operator has it: signals, certificates, and the commands beside a running server.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod certificates;
mod stopping;
mod verbs;
