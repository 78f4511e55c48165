//! The table of exit codes: what the command `vault` says to scripts.
//!
//! Codes are a promise: one is never given another meaning. [`Exit::TABLE`] is the only place where they stand.

use std::process::ExitCode;

use vault_core::error::ErrorKind;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All that was asked for is done.
    Done,
    /// It failed, for a reason that has no code of its own.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Done, except for items that were named.
    Incomplete,
    /// Keys, a passphrase or a permission are missing or wrong.
    Keys,
    /// Something is in the way.
    Conflict,
    /// The disk or quota is full.
    Full,
    /// The network failed.
    Network,
    /// Something was tampered with, is damaged, or was rolled back.
    Integrity,
    /// There is no such vault, snapshot or path.
    NotFound,
    /// Stopped by Ctrl-C or a request to terminate.
    Interrupted,
}

impl Exit {
    /// Every way to end, its code, and the words that the help has for it.
    pub(crate) const TABLE: [(Self, u8, &'static str); 11] = [
        (Self::Done, 0, "done"),
        (Self::Failed, 1, "failed"),
        (Self::Usage, 2, "wrong command line"),
        (Self::Incomplete, 3, "done, except for items that were named"),
        (Self::Keys, 4, "keys, passphrase or permission"),
        (Self::Conflict, 5, "something is in the way"),
        (Self::Full, 6, "disk or quota full"),
        (Self::Network, 7, "network"),
        (Self::Integrity, 8, "damage, tampering or rollback"),
        (Self::NotFound, 10, "no such vault, snapshot or path"),
        (Self::Interrupted, 130, "interrupted"),
    ];

    /// The code that the process ends with.
    pub(crate) fn code(self) -> u8 {
        // A way to end that is missing from the table would be a failure; a test shows that none is.
        Self::TABLE.iter().find(|(exit, ..)| *exit == self).map_or(1, |(_, code, _)| *code)
    }

    /// The table as the help shows it.
    pub(crate) fn help() -> String {
        let rows = Self::TABLE.iter().map(|(_, code, meaning)| format!("  {code:>3}  {meaning}"));
        rows.fold(String::from("Exit codes:"), |text, row| text + "\n" + &row)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Permission => Self::Keys,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Full => Self::Full,
            ErrorKind::Network => Self::Network,
            ErrorKind::Integrity => Self::Integrity,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Interrupted => Self::Interrupted,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_end_has_the_code_that_scripts_rely_on() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, ..)| exit.code()).collect();

        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 130]);
        assert_eq!(Exit::NotFound.code(), 10);
        assert_eq!(Exit::Interrupted.code(), 130);
    }

    #[test]
    fn kinds_of_error_go_to_their_codes() {
        assert_eq!(Exit::from(ErrorKind::Permission), Exit::Keys);
        assert_eq!(Exit::from(ErrorKind::Failed), Exit::Failed);
        assert_eq!(Exit::from(ErrorKind::NotFound), Exit::NotFound);
    }
}
