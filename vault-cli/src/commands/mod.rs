//! The commands, one file each: its help, its arguments, and the wiring to the operation of the same name.
//!
//! A command decides nothing that the library could decide, and shows nothing that `ui` could show.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod ls;
pub(crate) mod restore;
pub(crate) mod snapshots;
