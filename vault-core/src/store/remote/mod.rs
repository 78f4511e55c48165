//! A store on a server.
//!
//! Objects are put and read one by one, each by its name; statements come in batches. The server deletes by itself what the log
//! condemns, so there is nothing to remove. What the server says is believed only where a lie does no harm: lengths, order and
//! receipts are verified here, bytes by whoever reads them.

mod create;
mod granted;
mod statements;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

pub use self::create::UnpublishedRemote;

use self::statements::Statements;
use super::{ObjectKey, ObjectKind, Put, Removal, Store, StoreError};
use crate::id::{Seq, VaultId};
use crate::net::{Appended, NetError, NetErrorKind, Part, Server, Stored};
use crate::time::Timestamp;

/// Requests at once that keep a line busy whose ends are far apart.
const PARALLEL: usize = 8;

/// Keeps the objects of one vault on a server.
#[derive(Debug)]
pub struct RemoteStore {
    server: Arc<Server>,
    vault: VaultId,
    statements: Statements,
}

impl RemoteStore {
    /// Opens a vault on a server.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSuchVault`] if there is none, or none for whoever asks: the server does not tell which.
    pub fn open(server: Arc<Server>, vault: VaultId) -> Result<Self, StoreError> {
        let info = server.vault_info(&vault).map_err(|source| match source.kind() {
            NetErrorKind::NotFound => StoreError::NoSuchVault { location: place(&server, &vault) },
            _ => StoreError::Server { location: place(&server, &vault), op: "open", source: source.into() },
        })?;
        let store = Self::new(server, vault);
        store.statements.ends_after(info.head.seq);
        Ok(store)
    }

    fn new(server: Arc<Server>, vault: VaultId) -> Self {
        Self { server, vault, statements: Statements::default() }
    }

    /// The vault's id, as the location has it.
    pub fn vault_id(&self) -> VaultId {
        self.vault
    }

    /// The server that keeps it.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    fn failed(&self, op: &'static str, source: NetError) -> StoreError {
        StoreError::Server { location: self.description(), op, source: source.into() }
    }

    /// As [`Self::failed`], for a request that names an object which must be there.
    fn failed_at(&self, op: &'static str, key: &ObjectKey, source: NetError) -> StoreError {
        match source {
            NetError::TooLong { length: size, limit, .. } => {
                StoreError::TooLarge { location: self.description(), key: *key, size, limit }
            }
            source if source.kind() == NetErrorKind::NotFound => self.not_found(key),
            source => self.failed(op, source),
        }
    }

    fn not_found(&self, key: &ObjectKey) -> StoreError {
        StoreError::NotFound { location: self.description(), key: *key }
    }

    fn statement(&self, seq: Seq) -> Result<statements::Kept, StoreError> {
        let read = self.statements.get(&self.server, &self.vault, seq);
        read.map_err(|source| self.failed("read the log of", source))?
            .ok_or_else(|| self.not_found(&ObjectKey::Statement(seq)))
    }

    fn append(&self, seq: Seq, bytes: &[u8]) -> Result<Put, StoreError> {
        self.statements.may_have_grown();
        match self.server.append(&self.vault, seq, bytes) {
            Ok(Appended::New(_)) => Ok(Put::Created),
            Ok(Appended::Same(_) | Appended::Taken) => Ok(Put::AlreadyThere),
            Err(source) => Err(self.failed("append to the log of", source)),
        }
    }

    fn range_of_statement(&self, seq: Seq, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        let key = ObjectKey::Statement(seq);
        let bytes = self.statement(seq)?.bytes;
        let wanted_end = offset.saturating_add(length.into());
        let range = usize::try_from(offset).ok().zip(usize::try_from(wanted_end).ok());
        range.and_then(|(start, end)| bytes.get(start..end)).map(<[u8]>::to_vec).ok_or_else(|| {
            let size = bytes.len() as u64;
            StoreError::Truncated { location: self.description(), key, wanted_end, size }
        })
    }

    /// Statements have no list of their own: they are read.
    fn list_statements(
        &self,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut seq = Seq::GENESIS;
        loop {
            let size = match self.statement(seq) {
                Ok(kept) => kept.bytes.len() as u64,
                Err(StoreError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            if each(ObjectKey::Statement(seq), size).is_break() {
                return Ok(());
            }
            seq = seq.next();
        }
    }
}

impl Store for RemoteStore {
    fn put_new(&self, key: &ObjectKey, bytes: &[u8]) -> Result<Put, StoreError> {
        if let ObjectKey::Statement(seq) = key {
            return self.append(*seq, bytes);
        }
        match self.server.put_object(&self.vault, key, bytes) {
            Ok(Stored::New) => Ok(Put::Created),
            Ok(Stored::Differs) if key.kind().is_content_addressed() => {
                let size = self.size(key)?;
                let expected = bytes.len() as u64;
                Err(StoreError::Damaged { location: self.description(), key: *key, expected, size })
            }
            Ok(Stored::Same | Stored::Differs) => Ok(Put::AlreadyThere),
            Err(source) => Err(self.failed("put an object into", source)),
        }
    }

    fn get(&self, key: &ObjectKey, limit: u64) -> Result<Vec<u8>, StoreError> {
        if let ObjectKey::Statement(seq) = key {
            let bytes = self.statement(*seq)?.bytes;
            let size = bytes.len() as u64;
            let too_large = || StoreError::TooLarge { location: self.description(), key: *key, size, limit };
            return if size > limit { Err(too_large()) } else { Ok(bytes) };
        }
        self.server
            .object(&self.vault, key, limit)
            .map_err(|source| self.failed_at("read an object of", key, source))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length: u32) -> Result<Vec<u8>, StoreError> {
        if let ObjectKey::Statement(seq) = key {
            return self.range_of_statement(*seq, offset, length);
        }
        let wanted_end = offset.checked_add(length.into());
        let size = match wanted_end {
            // HTTP has no empty ranges, and no range that ends beyond all numbers.
            Some(end) if length > 0 && i64::try_from(end).is_ok() => {
                let part = self.server.object_range(&self.vault, key, (offset, length));
                match part.map_err(|source| self.failed_at("read an object of", key, source))? {
                    Part::Bytes(bytes) => return Ok(bytes),
                    Part::EndsAt(size) => size,
                }
            }
            _ => self.size(key)?,
        };
        if length == 0 && offset <= size {
            return Ok(Vec::new());
        }
        let wanted_end = wanted_end.unwrap_or(u64::MAX);
        Err(StoreError::Truncated { location: self.description(), key: *key, wanted_end, size })
    }

    fn size(&self, key: &ObjectKey) -> Result<u64, StoreError> {
        if let ObjectKey::Statement(seq) = key {
            return Ok(self.statement(*seq)?.bytes.len() as u64);
        }
        let head = self.server.object_head(&self.vault, key);
        Ok(head.map_err(|source| self.failed_at("look at an object of", key, source))?.size)
    }

    fn stored_at(&self, key: &ObjectKey) -> Result<Timestamp, StoreError> {
        if let ObjectKey::Statement(seq) = key {
            let kept = self.statement(*seq)?;
            let verified = self.server.verify_receipt(&self.vault, *seq, &kept.bytes, &kept.receipt);
            verified.map_err(|source| self.failed("read the log of", source))?;
            return Ok(kept.receipt.time.to_timestamp());
        }
        let head = self.server.object_head(&self.vault, key);
        Ok(head.map_err(|source| self.failed_at("look at an object of", key, source))?.stored_at)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(ObjectKey, u64) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if kind == ObjectKind::Statement {
            return self.list_statements(each);
        }
        let mut after = None;
        loop {
            let page = self.server.objects(&self.vault, kind, after.as_ref());
            let (objects, more) = page.map_err(|source| self.failed("list the objects of", source))?;
            for (key, head) in &objects {
                if each(*key, head.size).is_break() {
                    return Ok(());
                }
            }
            match objects.last() {
                Some((last, _)) if more => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    fn remove(&self, _: &ObjectKey) -> Result<Removal, StoreError> {
        Ok(Removal::ByTheLog)
    }

    fn last_statement(&self) -> Result<Option<Seq>, StoreError> {
        let info = self.server.vault_info(&self.vault);
        Ok(Some(info.map_err(|source| self.failed("read the log of", source))?.head.seq))
    }

    fn parallel(&self) -> usize {
        PARALLEL
    }

    fn description(&self) -> String {
        place(&self.server, &self.vault)
    }
}

/// The location of a vault on a server, as a user writes it.
fn place(server: &Server, vault: &VaultId) -> String {
    format!("{}/v/{vault}", server.url())
}
