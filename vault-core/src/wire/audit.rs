//! Audit: what was done to a vault, as a chain of hashes that its server keeps.
//!
//! Whoever remembers the hash of one entry sees when anything before it was changed or left out. A chain begins with the vault's
//! id in the place of a hash, so entries of one vault stand in no other's.

use serde::{Deserialize, Serialize};

use super::encoding::{Binary, Millis, at_most};
use super::limits::LISTED_AUDIT;
use crate::bytes::Writer;
use crate::crypto::hash::object_hash;
use crate::id::{DeviceId, VaultId};

/// The query of a page of an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only entries after this number; 0 for all.
    #[serde(default)]
    pub after: u64,
    /// The most entries to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A page of an audit, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// At most 1000.
    #[serde(deserialize_with = "at_most::<LISTED_AUDIT, _, _>")]
    pub entries: Vec<AuditEntry>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Numbers the entries of the vault, from 1.
    pub seq: u64,
    /// When, by the server's clock.
    pub time: Millis,
    /// Which device asked; `null` if the server did it by itself.
    pub device: Option<DeviceId>,
    /// What was done.
    pub action: String,
    /// To what: a path, a number, or nothing.
    pub object: String,
    /// From where, truncated; empty if the server did it by itself.
    pub address: String,
    /// The hash of the entry before; the vault's id in the first.
    pub prev: Binary<32>,
    /// [`Self::hash`] of all before.
    pub hash: Binary<32>,
}

/// The newest entry that a reader has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// An audit that is not one chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// An entry is missing, repeated or out of order.
    #[error("audit entry {found} stands where entry {expected} must stand")]
    WrongSeq {
        /// Where it stands.
        expected: u64,
        /// Where it says it stands.
        found: u64,
    },
    /// An entry follows another one than the one before it.
    #[error("audit entry {seq} does not follow the entry before it")]
    BrokenChain {
        /// The entry.
        seq: u64,
    },
    /// An entry was changed.
    #[error("audit entry {seq} has another hash")]
    WrongHash {
        /// The entry.
        seq: u64,
    },
}

impl AuditEntry {
    /// `SHA-256` over `seq (u64 LE), time (u64 LE), device (16 bytes, or none), action, object, address, prev (32)`, each after
    /// its length (u32 LE).
    pub fn hash(&self) -> [u8; 32] {
        let (seq, time) = (self.seq.to_le_bytes(), self.time.0.to_le_bytes());
        let device = self.device.as_ref().map_or(&[][..], |device| device.as_bytes());
        let texts = [self.action.as_bytes(), self.object.as_bytes(), self.address.as_bytes()];
        let mut message = Vec::with_capacity(256);
        for field in [&seq[..], &time, device].into_iter().chain(texts).chain([&self.prev.0[..]]) {
            // A field of 4 GiB is none that was ever hashed: the length saturates, and the hash differs.
            message.put_u32(u32::try_from(field.len()).unwrap_or(u32::MAX));
            message.extend_from_slice(field);
        }
        object_hash(&message)
    }

    /// Puts the entry after `head`: fills in number, `prev` and hash, and tells the new head.
    pub fn chain(&mut self, head: &AuditHead) -> AuditHead {
        (self.seq, self.prev) = (head.seq.saturating_add(1), Binary(head.hash));
        self.hash = Binary(self.hash());
        AuditHead { seq: self.seq, hash: self.hash.0 }
    }
}

impl AuditHead {
    /// The head of a vault's audit before anything was done.
    pub fn start(vault: &VaultId) -> Self {
        Self { seq: 0, hash: *vault.as_bytes() }
    }

    /// Verifies the entries that follow, and tells the new head.
    pub fn follow<'a>(self, entries: impl IntoIterator<Item = &'a AuditEntry>) -> Result<Self, AuditError> {
        entries.into_iter().try_fold(self, |head, entry| {
            let seq = head.seq.saturating_add(1);
            if entry.seq != seq {
                return Err(AuditError::WrongSeq { expected: seq, found: entry.seq });
            }
            if entry.prev.0 != head.hash {
                return Err(AuditError::BrokenChain { seq });
            }
            if entry.hash.0 != entry.hash() {
                return Err(AuditError::WrongHash { seq });
            }
            Ok(Self { seq, hash: entry.hash.0 })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> VaultId {
        VaultId::new([1; 32])
    }

    fn entries(count: u64) -> Vec<AuditEntry> {
        let mut head = AuditHead::start(&vault());
        (0..count)
            .map(|number| {
                let mut entry = AuditEntry {
                    seq: 0,
                    time: Millis(1_790_000_000_000 + number),
                    device: (number % 2 == 0).then(|| DeviceId::new([2; 16])),
                    action: "append".into(),
                    object: format!("log/{number:010}"),
                    address: "192.0.2.0/24".into(),
                    prev: Binary([0; 32]),
                    hash: Binary([0; 32]),
                };
                head = entry.chain(&head);
                entry
            })
            .collect()
    }

    #[test]
    fn a_chain_is_followed_whole_and_in_pages() {
        let entries = entries(5);
        let start = AuditHead::start(&vault());

        let whole = start.follow(&entries).unwrap();

        assert_eq!(start.follow(&entries[..2]).unwrap().follow(&entries[2..]), Ok(whole));
        assert_eq!(whole.seq, 5);
    }

    #[test]
    fn what_was_changed_left_out_or_of_another_vault_is_seen() {
        let good = entries(3);
        let start = AuditHead::start(&vault());
        let changes: [fn(&mut AuditEntry); 6] = [
            |e| e.time.0 += 1,
            |e| e.device = None,
            |e| e.action.push('x'),
            |e| e.object.push('x'),
            |e| e.address.push('x'),
            // The border between two fields moves.
            |e| (e.action, e.object) = ("appendl".into(), e.object[1..].into()),
        ];
        for change in changes {
            let mut entries = good.clone();
            change(&mut entries[0]);
            assert_eq!(start.follow(&entries), Err(AuditError::WrongHash { seq: 1 }));
            entries[0].hash = Binary(entries[0].hash());
            assert_eq!(start.follow(&entries), Err(AuditError::BrokenChain { seq: 2 }));
        }
        let left_out = start.follow([&good[0], &good[2]]);
        assert_eq!(left_out, Err(AuditError::WrongSeq { expected: 2, found: 3 }));
        let other = AuditHead::start(&VaultId::new([9; 32])).follow(&good);
        assert_eq!(other, Err(AuditError::BrokenChain { seq: 1 }));
    }
}
