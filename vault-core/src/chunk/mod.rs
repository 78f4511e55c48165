//! From the contents of files to chunks, and from the bytes of a unit to its compressed body.
//!
//! Everything here is a pure function of its arguments: no I/O, no clock, no randomness. Where a file is cut depends only on
//! its contents, the domain's key and the vault's parameters, so the same contents always give the same chunks.

pub mod compress;
pub mod cut;
