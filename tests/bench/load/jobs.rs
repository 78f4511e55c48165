//! What is measured. Everything that is sent is there before the clock runs, but for signatures.
//!
//! Each job prints one line for each thing it measured.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_core::id::PackId;
use vault_core::object::ObjectKey;
use vault_core::wire::signing::Body;
use vault_core::wire::v1::paths;

use crate::account::{Account, ask, body_of, open_head, small_object};
use crate::connection::Ask;
use crate::drive::{Done, drive};

/// Commits of one vault that are made beforehand, for each second.
const COMMITS_PER_SECOND: usize = 120;

/// Packs to put and get.
pub(crate) struct Packs {
    pub(crate) bytes: usize,
    pub(crate) count: usize,
    pub(crate) connections: usize,
}

/// Where packs are put.
pub(crate) enum Place {
    /// Our server.
    Vault(Box<Account>),
    /// A `WebDAV` server, below `/dav/`.
    Dav(SocketAddr),
    /// restic's rest-server, in a repository `load`.
    Rest(SocketAddr),
}

/// Small signed GETs: `head` asks the database, `object` reads a file besides.
pub(crate) fn gets(account: &Account, what: &str, connections: usize, seconds: usize) {
    let vaults = &account.vaults;
    let target = |number: usize| match what {
        "head" => (paths::head(&vaults[number % vaults.len()]), None),
        "object" => {
            let (path, bytes) = small_object(&vaults[number % vaults.len()]);
            (path, Some(bytes))
        }
        other => panic!("{other} is neither head nor object"),
    };
    let targets: Vec<_> = (0..connections).map(target).collect();
    let run = |seconds: f64| {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        drive(account.address(), connections, |number| {
            let (path, answer) = &targets[number];
            let ask = || Ask {
                head: account.signed_head("GET", path, None),
                body: &[],
                status: 200,
                answer: *answer,
            };
            (Instant::now() < end).then(ask)
        })
    };
    run(0.5);
    say(&json!({ "job": "gets", "what": what, "connections": connections }), run(seconds as f64).rates());
}

/// Commits to many vaults at once, each vault's one after the other.
pub(crate) fn appends(account: &Account, vaults: usize, seconds: usize) {
    let vaults = &account.vaults[..vaults];
    let commits: Vec<Vec<_>> =
        vaults.iter().map(|vault| account.commits(*vault, seconds * COMMITS_PER_SECOND)).collect();
    let end = Instant::now() + Duration::from_secs(seconds as u64);
    let mut next = vec![0; vaults.len()];
    let done = drive(account.address(), vaults.len(), |number| {
        let (path, statement) = commits[number].get(next[number]).filter(|_| Instant::now() < end)?;
        next[number] += 1;
        let head = account.signed_head("PUT", path, Some(&body_of(statement)));
        Some(Ask { head, body: statement, status: 201, answer: None })
    });
    say(&json!({ "job": "appends", "vaults": vaults.len() }), done.rates());
}

/// Packs are put, and got again.
pub(crate) fn packs(place: &Place, packs: &Packs) {
    place.prepare();
    let bytes = make(packs);
    let bodies: Vec<Body> = bytes.iter().map(|pack| body_of(pack)).collect();
    let put = run(place, packs, |number| Ask {
        head: place.put_head(&bodies[number]),
        body: &bytes[number],
        status: place.created(),
        answer: None,
    });
    say_packs(place, packs, ("put", &put));
    let got = run(place, packs, |number| Ask {
        head: place.head("GET", &bodies[number], None),
        body: &[],
        status: 200,
        answer: Some(&bytes[number]),
    });
    say_packs(place, packs, ("get", &got));
}

/// Puts at once, and what memory the server came to.
pub(crate) fn uploads(account: Account, packs: &Packs, pid: usize) {
    let place = Place::Vault(Box::new(account));
    let packs = Packs { count: packs.connections, ..*packs };
    let bytes = make(&packs);
    let bodies: Vec<Body> = bytes.iter().map(|pack| body_of(pack)).collect();
    let before = peak_memory(pid);
    let put = run(&place, &packs, |number| Ask {
        head: place.put_head(&bodies[number]),
        body: &bytes[number],
        status: 201,
        answer: None,
    });
    let mib = (packs.count * packs.bytes) as f64 / f64::from(1 << 20);
    let what = json!({ "job": "uploads", "connections": packs.connections, "mib": packs.bytes >> 20 });
    let found = json!({
        "mib_per_second": mib / put.all.as_secs_f64(),
        "peak_mib_before": before,
        "peak_mib": peak_memory(pid),
    });
    say(&what, found);
}

/// Asks `count` times over all connections.
fn run<'a>(place: &Place, packs: &Packs, ask: impl Fn(usize) -> Ask<'a>) -> Done {
    let next = RefCell::new(0..packs.count);
    drive(place.address(), packs.connections, |_| next.borrow_mut().next().map(&ask))
}

/// Packs that nobody has stored yet.
fn make(packs: &Packs) -> Vec<Vec<u8>> {
    let noise = vault_tests::noise(u64::from(std::process::id()), packs.bytes);
    let pack = |number: usize| {
        let mut bytes = noise.clone();
        let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..24].copy_from_slice(&start.as_nanos().to_le_bytes());
        bytes
    };
    (0..packs.count).map(pack).collect()
}

impl Place {
    pub(crate) fn peer(kind: &str, address: SocketAddr) -> Self {
        match kind {
            "dav" => Self::Dav(address),
            "rest" => Self::Rest(address),
            other => panic!("{other} is neither dav nor rest"),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Vault(_) => "vault-server",
            Self::Dav(_) => "nginx",
            Self::Rest(_) => "rest-server",
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Vault(account) => account.address(),
            Self::Dav(address) | Self::Rest(address) => *address,
        }
    }

    /// Makes the repository, where there is such a thing.
    fn prepare(&self) {
        if let Self::Rest(address) = self {
            let create = open_head("POST", "/load/?create=true", &address.to_string(), Some(0));
            // It may be there already.
            ask(*address, &create);
        }
    }

    fn created(&self) -> u16 {
        if let Self::Rest(_) = self { 200 } else { 201 }
    }

    fn put_head(&self, body: &Body) -> Vec<u8> {
        self.head(if let Self::Rest(_) = self { "POST" } else { "PUT" }, body, Some(body))
    }

    /// The head of a request about the pack with that hash.
    fn head(&self, method: &str, pack: &Body, body: Option<&Body>) -> Vec<u8> {
        let name = PackId::new(pack.sha256).to_hex();
        let length = body.map(|body| body.length as usize);
        let peer =
            |path: String, address: &SocketAddr| open_head(method, &path, &address.to_string(), length);
        match self {
            Self::Vault(account) => {
                let path = paths::object(&account.vaults[0], &ObjectKey::Pack(PackId::new(pack.sha256)));
                account.signed_head(method, &path, body)
            }
            Self::Dav(address) => peer(format!("/dav/{name}"), address),
            Self::Rest(address) => peer(format!("/load/data/{name}"), address),
        }
    }
}

fn say_packs(place: &Place, packs: &Packs, (way, done): (&str, &Done)) {
    let mib = (packs.count * packs.bytes) as f64 / f64::from(1 << 20);
    let seconds: Vec<f64> = done.took.iter().map(Duration::as_secs_f64).collect();
    let what = json!({
        "job": "packs",
        "way": way,
        "server": place.name(),
        "mib": packs.bytes >> 20,
        "connections": packs.connections,
    });
    say(&what, json!({ "mib_per_second": mib / done.all.as_secs_f64(), "seconds": seconds }));
}

/// One line: what was measured, and what was found.
fn say(what: &Value, found: Value) {
    let (Value::Object(mut line), Value::Object(found)) = (what.clone(), found) else { return };
    line.extend(found);
    println!("{}", Value::Object(line));
}

/// The most memory that a process has had, in MiB.
fn peak_memory(pid: usize) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("pid=PID of the server");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
