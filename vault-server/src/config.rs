//! The configuration: one TOML file, every key with a default, each of which the environment can replace.
//!
//! What a key is called, means and defaults to stands once, in [`KEYS`]; the file, the environment, `config show` and
//! `config example` all read it there. A key that is not in the table is an error, never ignored.

mod keys;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use keys::{KEYS, Key, example};
pub use values::parse_size;
use values::{Values, bad};

use crate::proxies::Proxies;

/// What can be wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// A key that does not exist.
    #[error("there is no key {key}{}", suggestion(.nearest.as_deref()))]
    Unknown {
        /// The key, with its table.
        key: String,
        /// The key that it may be meant to be.
        nearest: Option<String>,
    },
    /// A value that does not fit its key.
    #[error("{key}: {reason}")]
    Value {
        /// The key, with its table.
        key: String,
        /// What is expected.
        reason: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}

/// How connections are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// A key pair of the server's own, made on the first start; clients pin it.
    SelfSigned,
    /// A certificate and its key from files that may change while the server runs.
    Files {
        /// The chain, PEM.
        certificate: PathBuf,
        /// The private key, PEM.
        key: PathBuf,
    },
    /// None: a proxy on the same machine has it.
    Off,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What a vault's statements cannot shorten, and how much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Days that trash is kept.
    pub grace_days: u32,
    /// Days that an object is kept from its arrival, whatever anyone signs.
    pub min_age_days: u32,
    /// Bytes from which on a vault's trash is held when much is condemned at once.
    pub hold_from: u64,
    /// Bytes that a new user may store, unless their invite says otherwise; 0 is no limit.
    pub user_quota: u64,
    /// Bytes that a new vault may hold; 0 is no limit.
    pub vault_quota: u64,
    /// Bytes that uploads leave free on the disk; `None` for a fiftieth of it, or 2 GiB if that is more.
    pub keep_free: Option<u64>,
    /// Part of the stored objects that is read through each day, in per cent.
    pub scrub_percent: u8,
}

/// Bounds on what clients may ask of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, over all clients.
    pub connections: u32,
    /// Connections at once of one address.
    pub address_connections: u32,
    /// Requests a second of one device, on average.
    pub device_rate: u32,
    /// Requests at once of one device.
    pub device_requests: u32,
    /// Uploads at once of one device.
    pub device_uploads: u32,
    /// Signed requests a second from one address, on average.
    pub address_rate: u32,
    /// Requests a minute from one address that need no signature, or whose signature fails.
    pub open_rate: u32,
    /// Time for the head of a request.
    pub head: Duration,
    /// Longest pause in a body.
    pub body_pause: Duration,
    /// Time before [`Self::body_rate`] counts.
    pub body_grace: Duration,
    /// Least bytes a second of a body, on average.
    pub body_rate: u64,
    /// Time that an idle connection is kept.
    pub keep_alive: Duration,
    /// Time that a stop leaves to running requests.
    pub stop: Duration,
    /// Bytes of verified logs kept in memory.
    pub log_cache: u64,
}

/// How the server runs: every value valid.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where keys, objects and, unless configured otherwise, the database lie.
    pub data: PathBuf,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// How clients reach it: `https://host[:port]`; `None` for the address of this machine.
    pub public_url: Option<String>,
    /// Whose word on a client's address is taken.
    pub proxies: Proxies,
    /// Threads that serve; 0 is one for each processor.
    pub workers: usize,
    /// The `PostgreSQL` database; `None` for `SQLite` in [`Self::data`].
    pub database_url: Option<String>,
    /// How connections are protected.
    pub tls: Tls,
    /// What is kept.
    pub keeping: Keeping,
    /// What clients may ask.
    pub limits: Limits,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which lines: a level, or a filter as `tracing` has it.
    pub log_level: String,
    /// Whether addresses are logged whole, and not cut to their network.
    pub log_full_addresses: bool,
    values: Values,
}

impl Config {
    /// The configuration of a file, if there is one, and the environment.
    pub fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut values = Values::defaults();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            values.read_file(path, &text)?;
        }
        values.read_environment(environment)?;
        Self::from_values(values)
    }

    /// The defaults, with data kept in `directory`.
    pub fn defaults_in(directory: &Path) -> Result<Self, ConfigError> {
        let mut values = Values::defaults();
        values.set("data", directory.display().to_string());
        Self::from_values(values)
    }

    fn from_values(values: Values) -> Result<Self, ConfigError> {
        let public_url = values.optional("public_url").map(check_url).transpose()?;
        let database_url = values.optional("database.url").map(str::to_owned);
        if database_url.as_deref().is_some_and(|url| !is_postgres(url)) {
            return Err(bad("database.url", "expected postgres://… or nothing"));
        }
        let tls = tls(&values)?;
        let config = Self {
            data: PathBuf::from(values.text("data")),
            listen: values.parse("listen", "an address and port, as in 0.0.0.0:8443")?,
            public_url,
            workers: values.number("workers", 0, 1024)? as usize,
            database_url,
            proxies: proxies(&values, &tls)?,
            tls,
            keeping: keeping(&values)?,
            limits: limits(&values)?,
            log_format: match values.text("log.format") {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err(bad("log.format", "expected \"text\" or \"json\"")),
            },
            log_level: values.text("log.level").to_owned(),
            log_full_addresses: values.flag("log.full_addresses")?,
            values,
        };
        config.check_exposure()?;
        Ok(config)
    }

    /// Listens on another address than configured.
    pub fn listen_on(&mut self, listen: SocketAddr) -> Result<(), ConfigError> {
        self.listen = listen;
        self.values.set("listen", listen.to_string());
        self.check_exposure()
    }

    /// Without TLS, only the same machine may reach the server.
    fn check_exposure(&self) -> Result<(), ConfigError> {
        if self.tls == Tls::Off && !self.listen.ip().is_loopback() {
            let reason = "without TLS, listen must be a loopback address, behind a proxy that has TLS";
            return Err(bad("tls.mode", reason));
        }
        Ok(())
    }

    /// All keys with their values, as TOML; secrets are left out.
    pub fn redacted(&self) -> String {
        self.values.redacted()
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn check_url(url: &str) -> Result<String, ConfigError> {
    let host = url.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => {
            Ok(format!("https://{host}"))
        }
        _ => Err(ConfigError::Value {
            key: "public_url".to_owned(),
            reason: "expected https://host or https://host:port".to_owned(),
        }),
    }
}

fn tls(values: &Values) -> Result<Tls, ConfigError> {
    match values.text("tls.mode") {
        "self-signed" => Ok(Tls::SelfSigned),
        "off" => Ok(Tls::Off),
        "files" => {
            let file = |key: &str| {
                let path = values.optional(key).map(PathBuf::from);
                path.ok_or_else(|| bad(key, "is needed for tls.mode = \"files\""))
            };
            Ok(Tls::Files { certificate: file("tls.certificate")?, key: file("tls.key")? })
        }
        _ => Err(bad("tls.mode", "expected \"self-signed\", \"files\" or \"off\"")),
    }
}

fn proxies(values: &Values, tls: &Tls) -> Result<Proxies, ConfigError> {
    match values.optional("proxies") {
        Some(text) => {
            let expected = "expected addresses or networks, as in \"10.0.0.1, 10.1.0.0/16\"";
            Proxies::parse(text).ok_or_else(|| bad("proxies", expected))
        }
        None if *tls == Tls::Off => Ok(Proxies::on_this_machine()),
        None => Ok(Proxies::default()),
    }
}

fn keeping(values: &Values) -> Result<Keeping, ConfigError> {
    Ok(Keeping {
        grace_days: values.number("keep.grace_days", 0, 3650)? as u32,
        min_age_days: values.number("keep.min_age_days", 0, 36_500)? as u32,
        hold_from: values.size("keep.hold_from")?,
        user_quota: values.size("keep.user_quota")?,
        vault_quota: values.size("keep.vault_quota")?,
        keep_free: values.optional("keep.free").map(|_| values.size("keep.free")).transpose()?,
        scrub_percent: values.number("keep.scrub_percent", 0, 100)? as u8,
    })
}

fn limits(values: &Values) -> Result<Limits, ConfigError> {
    let count = |key: &str| values.number(key, 1, 1 << 30).map(|number| number as u32);
    let seconds = |key: &str| values.number(key, 1, 86_400).map(Duration::from_secs);
    Ok(Limits {
        connections: count("limits.connections")?,
        address_connections: count("limits.address_connections")?,
        device_rate: count("limits.device_rate")?,
        device_requests: count("limits.device_requests")?,
        device_uploads: count("limits.device_uploads")?,
        address_rate: count("limits.address_rate")?,
        open_rate: count("limits.open_rate")?,
        head: seconds("limits.head_seconds")?,
        body_pause: seconds("limits.body_pause_seconds")?,
        body_grace: seconds("limits.body_grace_seconds")?,
        body_rate: values.size("limits.body_rate")?.max(1),
        keep_alive: seconds("limits.keep_alive_seconds")?,
        stop: seconds("limits.stop_seconds")?,
        log_cache: values.size("limits.log_cache")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("server.toml");
        std::fs::write(&path, text).unwrap();
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(Some(&path), &environment)
    }

    #[test]
    fn an_empty_file_and_the_example_are_both_the_defaults() {
        let empty = load("", &[]).unwrap();
        let example = load(&example(), &[]).unwrap();

        assert_eq!(empty.redacted(), example.redacted());
        assert_eq!(empty.listen, "0.0.0.0:8443".parse().unwrap());
    }

    #[test]
    fn the_environment_stands_above_the_file_and_a_file_of_it_above_both() {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("url");
        std::fs::write(&secret, "postgres://user:hush@db/vault\n").unwrap();

        let config = load(
            "listen = \"127.0.0.1:1\"\n[keep]\ngrace_days = 3\n",
            &[
                ("VAULT_SERVER_LISTEN", "127.0.0.1:2"),
                ("VAULT_SERVER_DATABASE_URL_FILE", secret.to_str().unwrap()),
            ],
        )
        .unwrap();

        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.keeping.grace_days, 3);
        assert_eq!(config.database_url.as_deref(), Some("postgres://user:hush@db/vault"));
        assert!(!config.redacted().contains("hush"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        for (text, environment, nearest) in [
            ("listn = \"127.0.0.1:1\"", None, "listen"),
            ("[keep]\ngrase_days = 3", None, "keep.grace_days"),
            ("", Some(("VAULT_SERVER_LISTN", "x")), "VAULT_SERVER_LISTEN"),
        ] {
            let error = load(text, environment.as_slice()).unwrap_err();
            assert!(error.to_string().ends_with(&format!("did you mean {nearest}?")), "{error}");
        }
    }

    #[test]
    fn values_that_do_not_fit_name_their_key() {
        for (text, key) in [
            ("listen = 5", "listen"),
            ("listen = \"localhost\"", "listen"),
            ("public_url = \"http://x\"", "public_url"),
            ("public_url = \"https://x/y\"", "public_url"),
            ("proxies = \"proxy.example.org\"", "proxies"),
            ("[keep]\ngrace_days = -1", "keep.grace_days"),
            ("[keep]\nuser_quota = \"many\"", "keep.user_quota"),
            ("[tls]\nmode = \"files\"", "tls.certificate"),
            ("[tls]\nmode = \"off\"", "tls.mode"),
            ("[database]\nurl = \"mysql://x\"", "database.url"),
            ("[log]\nformat = \"xml\"", "log.format"),
        ] {
            let error = load(text, &[]).unwrap_err().to_string();
            assert!(error.starts_with(key), "{text}: {error}");
        }
    }
}
