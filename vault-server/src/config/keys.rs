//! The table of keys: name, default and meaning of each, in the order in which people read them.
//!
//! Every key of a configuration stands here and nowhere else.

use std::fmt::Write as _;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name, with the table before a dot.
    pub name: &'static str,
    /// Its default, as TOML.
    pub default: &'static str,
    /// Whether its value is never shown.
    pub is_secret: bool,
    /// What it means.
    pub meaning: &'static str,
}

const fn key(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { name, default, is_secret: false, meaning }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key("data", "\"vault-data\"", "Where keys, objects and the SQLite database lie."),
    key("listen", "\"0.0.0.0:8443\"", "The address and port to listen on."),
    key(
        "public_url",
        "\"\"",
        "How clients reach the server, https://host[:port]; empty: the address of this machine.",
    ),
    key(
        "proxies",
        "\"\"",
        "Whose x-forwarded-for is believed, as in \"10.0.0.1, 10.1.0.0/16\"; empty: without TLS who is on this machine, else nobody.",
    ),
    key("workers", "0", "Threads that serve; 0 is one for each processor."),
    Key {
        is_secret: true,
        ..key(
            "database.url",
            "\"\"",
            "A PostgreSQL database, postgres://user:password@host/name; empty: SQLite below `data`.",
        )
    },
    key(
        "tls.mode",
        "\"self-signed\"",
        "\"self-signed\", \"files\", or \"off\" behind a proxy on this machine.",
    ),
    key(
        "tls.certificate",
        "\"\"",
        "The certificate chain, PEM, for mode \"files\"; read again when it changes.",
    ),
    key("tls.key", "\"\"", "Its private key, PEM."),
    key("keep.grace_days", "14", "Days that what clients delete stays in the trash."),
    key(
        "keep.min_age_days",
        "0",
        "Days that everything is kept from its arrival, whoever asks to delete it.",
    ),
    key(
        "keep.hold_from",
        "\"128 MiB\"",
        "Vaults of this size on are guarded: when more than half goes to the trash within a day, it stays; \"0\": all.",
    ),
    key(
        "keep.user_quota",
        "\"0\"",
        "What a new user may store, as in \"500 GiB\"; \"0\": no limit. Invites can say otherwise.",
    ),
    key("keep.vault_quota", "\"0\"", "What a new vault may hold; \"0\": no limit."),
    key(
        "keep.free",
        "\"\"",
        "What uploads leave free on the disk, as in \"10 GiB\"; empty: a fiftieth of it, or 2 GiB if that is more.",
    ),
    key("keep.scrub_percent", "3", "Part of the stored objects that is read through each day, in per cent."),
    key("limits.connections", "4096", "Connections at once."),
    key("limits.address_connections", "512", "Connections at once from one address that is no proxy."),
    key("limits.device_rate", "1000", "Requests a second of one device, on average."),
    key("limits.device_requests", "128", "Requests at once of one device."),
    key("limits.device_uploads", "32", "Uploads at once of one device."),
    key("limits.address_rate", "2000", "Signed requests a second from one address, on average."),
    key("limits.open_rate", "60", "Requests a minute from one address that have no valid signature."),
    key("limits.head_seconds", "10", "Time for the head of a request."),
    key("limits.body_pause_seconds", "30", "Longest pause in a body."),
    key("limits.body_grace_seconds", "10", "Time before the least rate of a body counts."),
    key("limits.body_rate", "\"16 KiB\"", "Least bytes a second of a body, on average."),
    key("limits.keep_alive_seconds", "75", "Time that an idle connection is kept."),
    key("limits.stop_seconds", "30", "Time that a stop leaves to running requests."),
    key("limits.log_cache", "\"64 MiB\"", "Verified logs kept in memory."),
    key("log.format", "\"text\"", "\"text\" or \"json\"."),
    key(
        "log.level",
        "\"info\"",
        "\"error\", \"warn\", \"info\", \"debug\", or a filter as in \"info,vault_server::auth=warn\".",
    ),
    key(
        "log.full_addresses",
        "false",
        "Whether addresses are logged whole; otherwise cut to their /24 or /48.",
    ),
];

/// A file of all keys with their defaults and meanings.
pub fn example() -> String {
    let mut text =
        String::from("# The configuration of vault-server. Every key has the default that stands here.\n");
    let mut table = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if of != table {
            let _ = write!(text, "\n[{of}]\n");
            table = of;
        }
        let _ = write!(text, "# {}\n{name} = {}\n", key.meaning, key.default);
    }
    text
}
