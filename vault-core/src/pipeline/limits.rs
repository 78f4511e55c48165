//! The limit of open files: wide trees keep some hundreds of directories open at a time, deep ones as many as they are deep.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open files to what the system lets this process have.
///
/// The usual soft limit of 1024 exists for programs that use `select`, which cannot watch more; this one does not.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Failing leaves the limit as it is: very deep trees may then be reported as unreadable, nothing worse.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
