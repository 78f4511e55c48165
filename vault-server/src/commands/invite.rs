//! `vault-server invite`: an invite for one new user, or for a known one who comes with a new card entry.

use std::process::ExitCode;

use clap::Args;
use vault_core::crypto::random::SystemRandom;
use vault_server::config::{Config, parse_size};
use vault_server::invites::{self, Terms};
use vault_server::known_url;

use super::{CommandError, moment, now_ms, print, say, serve, with_parts};

/// Arguments of `invite`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What the user may store, as in "500 GiB"; "0": no limit
    #[arg(long, value_name = "SIZE", value_parser = size)]
    quota: Option<u64>,
    /// How long the invite can be used: days, or with h, hours
    #[arg(long, value_name = "7d", default_value = "7d", value_parser = milliseconds)]
    expires: u64,
    /// Leave out the pin of the server's key: clients then trust the roots of their system
    #[arg(long)]
    no_pin: bool,
    /// Whom it is for: shown in `user list`, and if it can be one, the user's name
    #[arg(long, value_name = "NAME", default_value = "")]
    label: String,
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "expected a size, as in \"500 GiB\"".to_owned())
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let (number, hours) = match text.strip_suffix('h') {
        Some(number) => (number, 1),
        None => (text.strip_suffix('d').unwrap_or(text), 24),
    };
    let count = number.parse::<u64>().ok().filter(|count| (1..=10_000).contains(count));
    count
        .map(|count| count * hours * 3_600_000)
        .ok_or_else(|| "expected days, as in 7d, or hours, as in 12h".to_owned())
}

pub(crate) fn run(arguments: &Arguments, config: &Config, json: bool) -> Result<ExitCode, CommandError> {
    let quota = invites::quota_of(arguments.quota.unwrap_or(config.keeping.user_quota));
    let terms = Terms { label: arguments.label.clone(), quota, valid_ms: arguments.expires };
    let now_ms = now_ms();
    let url = with_parts(config, async |parts| {
        let pin = parts.certificates.as_ref().and_then(|certificates| certificates.pin());
        let pin = pin.filter(|_| !arguments.no_pin);
        let url = known_url(config);
        Ok(invites::make(&parts.db, (&url, pin), &terms, now_ms, &SystemRandom::new()).await?)
    })?;
    let expires_ms = now_ms + terms.valid_ms;
    if json {
        print(&serde_json::json!({ "invite": url, "expires": expires_ms }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&url)?;
    if let Some(code) = serve::qr(&url) {
        say(&format!("\n{code}"));
    }
    say(&format!("for one user, once, until {} UTC", moment(expires_ms)));
    Ok(ExitCode::SUCCESS)
}
