//! A server in a few lines: it keeps one vault in memory, and takes whatever it is given.
//!
//! It verifies no statement and no signature; it follows the protocol in what can be seen from outside, and loses answers on demand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{NOW, Reply, Scripted, Seen, World};
use crate::crypto::hash::{object_hash, statement_hash};
use crate::crypto::random::FixedRandom;
use crate::crypto::sign::SigningKey;
use crate::id::{Seq, VaultId};
use crate::log::Head;
use crate::net::Server;
use crate::object::{ObjectKey, ObjectKind};
use crate::wire::entries::EntriesWriter;
use crate::wire::v1::objects::{ObjectInfo, ObjectList};
use crate::wire::v1::paths;
use crate::wire::v1::vaults::VaultInfo;
use crate::wire::{Millis, RECEIPT_HEADER, Receipt, STORED_AT_HEADER};

/// The vault on the server.
pub(crate) struct Fake {
    vault: OnceLock<VaultId>,
    key: SigningKey,
    kept: Mutex<Kept>,
    /// Every so manieth request is carried out, and its answer lost; 0 for none.
    pub(crate) loses: AtomicUsize,
}

#[derive(Default)]
struct Kept {
    log: Vec<Vec<u8>>,
    objects: BTreeMap<ObjectKey, Vec<u8>>,
}

impl Fake {
    /// Starts a server for one vault, the first one that is made.
    pub(crate) fn start() -> (Arc<Self>, Scripted) {
        let fake = Arc::new(Self {
            vault: OnceLock::new(),
            key: SigningKey::generate(&FixedRandom::new(3)).unwrap(),
            kept: Mutex::default(),
            loses: AtomicUsize::new(0),
        });
        let script = Arc::clone(&fake);
        let server = Scripted::start(move |number, seen| {
            let reply = script.reply(seen);
            let loses = script.loses.load(Ordering::Relaxed);
            if loses > 0 && number % loses == loses - 1 { Reply::Close } else { reply }
        });
        (fake, server)
    }

    /// A device's view of the server.
    pub(crate) fn client(&self, server: &Scripted, world: &World) -> Arc<Server> {
        let device = SigningKey::generate(&FixedRandom::new(1)).unwrap();
        Arc::new(server.client(world).asked_by(device).with_receipt_key(self.key.verifying_key()))
    }

    /// Lets the vault begin with some bytes, as if its genesis had been put.
    pub(crate) fn begin(&self, vault: VaultId) {
        self.vault.set(vault).unwrap();
        self.kept().log.push(b"genesis".to_vec());
    }

    /// Changes what is kept behind everybody's back.
    pub(crate) fn objects(&self, change: impl FnOnce(&mut BTreeMap<ObjectKey, Vec<u8>>)) {
        change(&mut self.kept().objects);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, seen: &Seen) -> Reply {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let mut parts = path.strip_prefix("/v1/vaults/").unwrap().splitn(2, '/');
        let named = VaultId::parse(parts.next().unwrap()).unwrap();
        if seen.method == "PUT" && parts.next().is_none() {
            let _ = self.vault.set(named);
        }
        if self.vault.get() != Some(&named) {
            return not_found();
        }
        let rest = path.strip_prefix(&paths::vault(&named)).unwrap();
        let mut kept = self.kept();
        if kept.log.is_empty() && (&*seen.method, rest) != ("PUT", "") {
            return not_found();
        }
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        match (&*seen.method, rest) {
            ("PUT", "") => self.append(&mut kept.log, 0, &seen.body),
            ("GET", "") => json(&VaultInfo {
                head: head(&kept.log, kept.log.len() - 1).into(),
                used: 0,
                quota: None,
                min_age_days: 0,
                grace_days: 14,
                held: false,
            }),
            ("GET", "/log") => {
                let number = |name| parameter(name).unwrap().parse().unwrap();
                self.statements(&kept.log, number("from"), number("limit"))
            }
            ("GET", "/objects") => {
                list(&kept.objects, &parameter("kind").unwrap(), parameter("after").as_deref())
            }
            ("PUT", rest) if rest.starts_with("/log/") => {
                self.append(&mut kept.log, rest["/log/".len()..].parse().unwrap(), &seen.body)
            }
            (method, rest) => match rest.strip_prefix("/objects/").and_then(ObjectKey::parse) {
                Some(key) if method == "PUT" => put(&mut kept.objects, &key, &seen.body),
                Some(key) => kept.objects.get(&key).map_or_else(not_found, |bytes| read(bytes, seen)),
                None => not_found(),
            },
        }
    }

    fn receipt(&self, log: &[Vec<u8>], seq: usize) -> Receipt {
        Receipt::sign(&self.key, self.vault.get().unwrap(), &head(log, seq), now())
    }

    fn append(&self, log: &mut Vec<Vec<u8>>, seq: usize, bytes: &[u8]) -> Reply {
        let status = match log.get(seq) {
            Some(there) if there == bytes => 200,
            None if seq == log.len() => 201,
            _ => return Reply::problem(409, r#"{"code":"taken","status":409}"#),
        };
        if status == 201 {
            log.push(bytes.to_vec());
        }
        Reply::status(status).with(RECEIPT_HEADER, self.receipt(log, seq).to_header())
    }

    fn statements(&self, log: &[Vec<u8>], from: usize, limit: usize) -> Reply {
        let mut list = EntriesWriter::new();
        for seq in (from..log.len()).take(limit) {
            if !list.push(&self.receipt(log, seq), &log[seq]) {
                break;
            }
        }
        Reply::ok(list.finish())
    }
}

fn head(log: &[Vec<u8>], seq: usize) -> Head {
    Head { seq: Seq(seq as u64), hash: statement_hash(&log[seq]) }
}

fn now() -> Millis {
    Millis::from_timestamp(NOW)
}

fn not_found() -> Reply {
    Reply::problem(404, r#"{"code":"not_found","status":404}"#)
}

fn json<T: serde::Serialize>(value: &T) -> Reply {
    Reply::ok(serde_json::to_vec(value).unwrap())
}

fn put(objects: &mut BTreeMap<ObjectKey, Vec<u8>>, key: &ObjectKey, bytes: &[u8]) -> Reply {
    let is_named = match key {
        ObjectKey::Pack(id) => *id.as_bytes() == object_hash(bytes),
        ObjectKey::Index(id) => *id.as_bytes() == object_hash(bytes),
        _ => true,
    };
    match objects.get(key) {
        _ if !is_named => Reply::problem(400, r#"{"code":"digest_mismatch","status":400}"#),
        Some(there) if there == bytes => Reply::status(200),
        Some(_) => Reply::problem(409, r#"{"code":"differs","status":409}"#),
        None => {
            objects.insert(*key, bytes.to_vec());
            Reply::status(201)
        }
    }
}

fn read(bytes: &[u8], seen: &Seen) -> Reply {
    let stored_at = now();
    let Some(range) = seen.header("range") else {
        let whole = Reply::ok(bytes).with(STORED_AT_HEADER, stored_at);
        return if seen.method == "HEAD" { whole.with("content-length", bytes.len()) } else { whole };
    };
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    if first >= bytes.len() {
        return Reply::status(416);
    }
    let last = last.min(bytes.len() - 1);
    let range = format!("bytes {first}-{last}/{}", bytes.len());
    Reply::Answer(206, vec![("content-range", range)], bytes[first..=last].to_vec())
}

fn list(objects: &BTreeMap<ObjectKey, Vec<u8>>, kind: &str, after: Option<&str>) -> Reply {
    let kind = ObjectKind::ALL.into_iter().find(|known| known.directory() == kind).unwrap();
    let after = after.map(|path| ObjectKey::parse(path).unwrap());
    let mut found = objects.iter().filter_map(|(key, bytes)| {
        let wanted = key.kind() == kind && after.is_none_or(|after| after < *key);
        wanted.then(|| ObjectInfo { path: *key, size: bytes.len() as u64, stored_at: now() })
    });
    let objects: Vec<_> = found.by_ref().take(1000).collect();
    json(&ObjectList { objects, more: found.next().is_some() })
}
