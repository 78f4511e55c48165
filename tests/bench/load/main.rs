//! Asks a running server for much at once, as its clients do, and prints how much it did: one JSON object a line.
//!
//! The one rule: an answer counts only if it is the right one: its status, its length, and its bytes where it has some. The tool
//! shares its machine with the server, so it is one thread, and makes what it sends before the clock runs, but for signatures.
//!
//! ```text
//! load join INVITE STATE vaults=64                            a user with vaults; all other jobs take STATE
//! load gets STATE what=head|object connections=64 seconds=5   small signed GETs
//! load appends STATE vaults=64 seconds=5                      commits, one connection for each vault
//! load packs STATE mib=32 count=5 connections=1               packs are put, and got again
//! load uploads STATE mib=16 connections=64 pid=PID            puts at once; the server's peak memory
//! load peer-packs dav|rest ADDRESS mib=32 count=5 …           the same as `packs` against another server, unsigned
//! ```

#![allow(clippy::unwrap_used, reason = "a measurement ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "what was measured")]

mod account;
mod connection;
mod drive;
mod jobs;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use account::Account;
use jobs::{Packs, Place};

/// The arguments of the form `name=value`.
struct Options(BTreeMap<String, String>);

impl Options {
    fn of(words: &[String]) -> Self {
        let pair = |word: &String| {
            let (name, value) = word.split_once('=').expect("an option is name=value");
            (name.to_owned(), value.to_owned())
        };
        Self(words.iter().map(pair).collect())
    }

    fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.0.get(name).map_or(default, |value| value.parse().expect("a number"))
    }

    fn packs(&self) -> Packs {
        Packs {
            bytes: self.number("mib", 32) << 20,
            count: self.number("count", 5),
            connections: self.number("connections", 1),
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [job, first, rest @ ..] = words.as_slice() else { panic!("load JOB STATE [name=value]…") };
    match (job.as_str(), rest) {
        ("join", [state, rest @ ..]) => {
            Account::join(first, Options::of(rest).number("vaults", 64)).save(state.as_ref());
        }
        ("peer-packs", [address, rest @ ..]) => {
            let address: SocketAddr = address.parse().expect("ADDRESS:PORT");
            jobs::packs(&Place::peer(first, address), &Options::of(rest).packs());
        }
        (job, rest) => {
            let (account, options) = (Account::load(first.as_ref()), Options::of(rest));
            let (connections, seconds) = (options.number("connections", 64), options.number("seconds", 5));
            match job {
                "gets" => jobs::gets(&account, options.text("what", "head"), connections, seconds),
                "appends" => jobs::appends(&account, options.number("vaults", 64), seconds),
                "packs" => jobs::packs(&Place::Vault(Box::new(account)), &options.packs()),
                "uploads" => jobs::uploads(account, &options.packs(), options.number("pid", 0)),
                other => panic!("there is no job {other}"),
            }
        }
    }
}
