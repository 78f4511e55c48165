//! What the user has set beside the command line: the environment, and the configuration file.
//!
//! Beside `paths` this module alone reads the environment. An option comes before a variable, a variable before the file,
//! and in the file a profile before its vault.

pub(crate) mod check;
mod env;
pub(crate) mod example;
pub(crate) mod file;
pub(crate) mod profile;
mod section;
pub(crate) mod show;

pub(crate) use self::env::*;
pub(crate) use self::file::Configuration;
pub(crate) use self::section::{Problem, Severity, alike};
