//! What `join`, `vaults`, `whoami`, `device`, `audit` and `undelete` say to people.

use std::io::{self, Write};

use jiff::tz::TimeZone;
use vault_core::bytes::ByteSize;
use vault_core::id::DeviceId;
use vault_core::time::Timestamp;
use vault_core::wire::fingerprint::user_words;
use vault_core::wire::v1::me::{Me, Standing};

use super::super::human::{counted, message};
use super::super::table::{Align, Table};
use super::super::time;
use super::Lines;
use crate::commands::vaults::Listed;
use crate::commands::whoami::Who;
use crate::servers::Joined;

/// A server was joined.
pub(crate) fn join(joined: &Joined, device: &DeviceId, me: &Me) -> String {
    let mut lines = Lines::new(&format!("joined {}", joined.url));
    lines.row("you", &format!("{} ({})", joined.user.short(), user_words(&joined.user).join(" ")));
    if let Some(name) = &me.name {
        lines.row("name", name.as_str());
    }
    lines.row("device", &device.short());
    lines.row("storage", &room(me.used, me.quota));
    lines.row("next", "make a vault and back up: `vault backup --init --vault photos ~/Pictures`");
    lines.0
}

/// How much is used of what there is.
pub(crate) fn room(used: u64, quota: Option<u64>) -> String {
    match quota {
        Some(quota) => format!("{} of {} used", ByteSize(used), ByteSize(quota)),
        None => format!("{} used", ByteSize(used)),
    }
}

/// What a device may do, in a word.
pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Owner => "owner",
        Standing::Editor => "editor",
        Standing::Reader => "reader",
        Standing::AppendOnly => "append-only",
    }
}

/// The vaults there are.
pub(crate) fn vaults(out: &mut dyn Write, listed: &[Listed]) -> io::Result<()> {
    if listed.is_empty() {
        return writeln!(out, "no vaults");
    }
    let mut table = Table::new([
        ("Name", Align::Elastic),
        ("Vault", Align::Left),
        ("Role", Align::Left),
        ("Used", Align::Right),
        ("Location", Align::Path),
    ]);
    for vault in listed {
        table.push([
            vault.name.clone().unwrap_or_else(|| "-".to_owned()),
            vault.vault.map_or_else(String::new, |vault| vault.short()),
            vault.role.map_or("", standing).to_owned(),
            match (vault.used, vault.quota) {
                (Some(used), Some(quota)) => format!("{} of {}", ByteSize(used), ByteSize(quota)),
                (Some(used), None) => ByteSize(used).to_string(),
                (None, _) => String::new(),
            },
            message(&vault.location),
        ]);
    }
    table.write(out)
}

/// Who one is.
pub(crate) fn whoami(who: &Who) -> String {
    let mut lines = Lines::new(&format!("user {}", who.user.short()));
    lines.row("words", &user_words(&who.user).join(" "));
    lines.row("id", &who.user.to_hex());
    lines.row(
        "device",
        &who.device.map_or_else(|| "none on this machine yet".to_owned(), |device| device.to_hex()),
    );
    for account in &who.accounts {
        let since = time::human(Timestamp::new(account.joined.since, 0), &TimeZone::system());
        let says = match &account.me {
            Ok(me) => {
                let name = me.name.as_ref().map_or_else(String::new, |name| format!("you are {name}, "));
                format!("{name}{}, {}", counted(me.vaults.len() as u64, "vault"), room(me.used, me.quota))
            }
            Err(error) => message(error),
        };
        lines.row(
            "server",
            &format!("{}, joined {}: {says}", account.joined.url, since.get(..10).unwrap_or(&since)),
        );
    }
    lines.0
}
