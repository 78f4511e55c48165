//! What a server does for one vault: its log, and what it says about the vault.
//!
//! Statements come as they are stored: whoever reads them verifies them. Receipts are verified here.

use std::time::Duration;

use super::client::Server;
use super::error::{NetError, NetErrorKind};
use super::request::{Answer, Request};
use crate::crypto::hash::statement_hash;
use crate::id::{Seq, VaultId};
use crate::log::Head;
use crate::wire::entries::Entries;
use crate::wire::v1::log::HeadText;
use crate::wire::v1::paths;
use crate::wire::v1::vaults::VaultInfo;
use crate::wire::{RECEIPT_HEADER, Receipt, limits};

/// How long a server waits at most before it says that there is nothing new.
pub const HEAD_WAIT_MAX: Duration = Duration::from_secs(limits::HEAD_WAIT_SECONDS);

/// A statement as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// When the server took it, and its signature of that.
    pub receipt: Receipt,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The statement has the number.
    New(Receipt),
    /// It had it already.
    Same(Receipt),
    /// Another one has it.
    Taken,
}

impl Server {
    /// Makes a vault that begins with this statement; false if it was there already, beginning with the same. The receipt is verified.
    pub fn create_vault(&self, vault: &VaultId, genesis: &[u8]) -> Result<bool, NetError> {
        let answer = self.ask(&Request::put(paths::vault(vault), genesis))?;
        self.receipt_of(&answer, vault, (Seq::GENESIS, genesis))?;
        Ok(answer.status == 201)
    }

    /// What the server says about a vault.
    pub fn vault_info(&self, vault: &VaultId) -> Result<VaultInfo, NetError> {
        let answer = self.ask(&Request::get(paths::vault(vault)))?;
        self.json(&answer)
    }

    /// The last statement's number and hash, as soon as it is beyond `after` or the time is over.
    pub fn wait_for_head(&self, vault: &VaultId, after: Seq, wait: Duration) -> Result<Head, NetError> {
        let wait = wait.min(HEAD_WAIT_MAX);
        let request = Request::get(paths::head(vault)).with("after", after.0).with("wait", wait.as_secs());
        let answer = self.ask(&Request { wait, ..request })?;
        let head: HeadText = self.json(&answer)?;
        Ok(head.into())
    }

    /// Statements from `from` on: as many as fit one answer, at most `limit`; none if the log ends before.
    pub fn statements(&self, vault: &VaultId, from: Seq, limit: u32) -> Result<Vec<Stated>, NetError> {
        let request = Request::get(paths::log(vault)).with("from", from.0).with("limit", limit);
        let answer = self.ask(&request.limit(limits::ENTRIES_BYTES as u64))?;
        let mut list = Vec::new();
        for entry in Entries::new(&answer.body, limits::STATEMENT_BYTES) {
            let entry =
                entry.map_err(|_| self.not_the_protocol("a list of statements is not well-formed"))?;
            if list.len() == limit as usize {
                return Err(self.not_the_protocol("a list has more statements than were asked for"));
            }
            list.push(Stated { bytes: entry.bytes.to_vec(), receipt: entry.receipt });
        }
        Ok(list)
    }

    /// Appends a statement, if its number is still free. The receipt is verified.
    pub fn append(&self, vault: &VaultId, seq: Seq, statement: &[u8]) -> Result<Appended, NetError> {
        let answer = match self.ask(&Request::put(paths::statement(vault, seq), statement)) {
            Ok(answer) => answer,
            Err(error) if error.kind() == NetErrorKind::Taken => return Ok(Appended::Taken),
            Err(error) => return Err(error),
        };
        let receipt = self.receipt_of(&answer, vault, (seq, statement))?;
        Ok(if answer.status == 201 { Appended::New(receipt) } else { Appended::Same(receipt) })
    }

    /// Whether the server signed that it took this statement under this number at this time.
    pub fn verify_receipt(
        &self,
        vault: &VaultId,
        seq: Seq,
        statement: &[u8],
        receipt: &Receipt,
    ) -> Result<(), NetError> {
        let Some(key) = self.receipt_key() else { return Ok(()) };
        let head = Head { seq, hash: statement_hash(statement) };
        receipt.verify(key, vault, &head).map_err(|_| self.forged("a receipt does not verify"))
    }

    /// The receipt of a statement that the server says it has.
    fn receipt_of(
        &self,
        answer: &Answer,
        vault: &VaultId,
        (seq, statement): (Seq, &[u8]),
    ) -> Result<Receipt, NetError> {
        let receipt = answer.header(RECEIPT_HEADER).and_then(Receipt::parse_header);
        let receipt =
            receipt.ok_or_else(|| self.forged("a statement that it says it has comes without a receipt"))?;
        self.verify_receipt(vault, seq, statement, &receipt)?;
        Ok(receipt)
    }
}
