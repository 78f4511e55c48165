//! The commands, one file each: its help, its arguments, and the wiring to the operation of the same name.
//!
//! A command decides nothing that the library could decide, and shows nothing that `ui` could show.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod contact;
pub(crate) mod copy;
pub(crate) mod device;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod forget;
pub(crate) mod get;
mod giving;
pub(crate) mod grants;
pub(crate) mod inbox;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod link;
pub(crate) mod ls;
pub(crate) mod member;
pub(crate) mod mount;
pub(crate) mod prune;
pub(crate) mod recovery;
pub(crate) mod rekey;
pub(crate) mod restore;
pub(crate) mod revoke;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod share;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod tag;
pub(crate) mod undelete;
pub(crate) mod vaults;
pub(crate) mod whoami;
