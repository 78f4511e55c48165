//! What stands between this machine and the servers that it has joined: reach, key, clock, device, room.

use std::time::Duration;

use vault_core::error::Error;

use super::Findings;
use super::machine::SKEW;
use crate::context::Context;
use crate::servers::Joined;
use crate::ui::{human, summary};

pub(super) fn examine(context: &Context, findings: &mut Findings) {
    match context.servers().and_then(|servers| servers.all()) {
        Ok(all) => all.iter().for_each(|joined| server(context, joined, findings)),
        Err(error) => findings.fail_with("server", &error, None),
    }
}

fn server(context: &Context, joined: &Joined, findings: &mut Findings) {
    let url = &joined.url;
    // The key of the server is verified by asking it anything.
    let asked = context
        .briefly(joined)
        .and_then(|server| Ok((server.info().map_err(Error::from)?, server.me().map_err(Error::from)?)));
    let (info, me) = match asked {
        Ok(answers) => answers,
        Err(error) => return findings.fail_with("server", &error, None),
    };
    let key = if joined.pin.is_some() {
        "the key that was joined"
    } else {
        "a certificate of this machine's roots"
    };
    findings.ok("server", format!("{url}: vault-server {}, {key}", human::message(&info.version)));
    let there = info.time.to_timestamp().seconds;
    let apart = Duration::from_secs(there.abs_diff(context.now().seconds));
    if apart > SKEW / 2 {
        findings.warn(
            "server",
            format!("{url}: its clock and this machine's are {} apart", human::duration(apart)),
            "set the clock that is wrong: `timedatectl set-ntp true`",
        );
    }
    let room = summary::servers::room(me.used, me.quota);
    let text = format!("{url}: {}, {room}", human::counted(me.vaults.len() as u64, "vault"));
    match me.quota {
        Some(quota) if me.used >= quota => {
            findings.fail(
                "quota",
                text,
                "delete with `vault forget` and `vault prune`, or ask the operator for more",
            );
        }
        Some(quota) if me.used >= quota / 10 * 9 => {
            findings.warn("quota", text, "make room before it is full: `vault forget` and `vault prune`");
        }
        _ => findings.ok("quota", text),
    }
}
