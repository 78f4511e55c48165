//! The operator's commands, one file each, and what they share.
//!
//! A command opens the same database as a running server, and may run beside it.

pub(crate) mod config;
pub(crate) mod health;
pub(crate) mod invite;
pub(crate) mod keep;
pub(crate) mod serve;
pub(crate) mod user;
pub(crate) mod vault;

use std::io::{self, Write as _};

use vault_core::time::Clock as _;
use vault_server::config::{Config, ConfigError};
use vault_server::db::DbError;
use vault_server::invites::InviteError;
use vault_server::state::{SystemClock, millis};
use vault_server::telemetry::TelemetryError;
use vault_server::{Parts, StartError};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that the server needs cannot be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// No invite can be made.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// Nothing can be logged.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Something of the operating system failed.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Something that the arguments name is not there, or not of their form.
    #[error("{0}")]
    Usage(String),
    /// What was looked at is not in order; said already.
    #[error("{0}")]
    NotInOrder(String),
    /// A backup or a check failed.
    #[error("{what}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CommandError {
    /// 2 for what the caller can mend in the command or configuration, 1 for the rest.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => 2,
            _ => 1,
        }
    }

    /// What to do next, where that is known.
    pub(crate) fn next_step(&self) -> Option<String> {
        match self {
            Self::Config(_) => Some("all keys, with their meanings: vault-server config example".to_owned()),
            Self::Io { what, source } if source.kind() == io::ErrorKind::AddrInUse => {
                Some(format!("{what}: another program has this port; set `listen`"))
            }
            _ => None,
        }
    }
}

/// Writes a line to standard error; a closed one is no failure.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a result to standard output.
pub(crate) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    let written =
        out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    match written {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Io { what: "cannot write the result".to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Runs a command that needs what the server has, and closes the database after it.
pub(crate) fn with_parts<T>(
    config: &Config,
    run: impl AsyncFnOnce(&Parts) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| CommandError::Io { what: "cannot start a thread".to_owned(), source })?;
    runtime.block_on(async {
        let parts = vault_server::open(config).await?;
        let done = run(&parts).await;
        parts.db.close().await;
        done
    })
}

/// The time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    millis(SystemClock.now())
}

/// A time for people: UTC, to the minute.
pub(crate) fn moment(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}
