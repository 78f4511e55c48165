//! `check`: verifies what is stored, and names everything that is damaged.
//!
//! Damage never ends a check: what is wrong with one object becomes a [`Finding`], and the check goes on with the next one.
//! The file `VAULT` and every statement of the log were verified when the vault was opened. The rest, in this order:
//!
//! ```text
//! [1] list           what is stored, so that progress has a total
//! [2] envelopes      each that the log pins is there, and has the pinned SHA-256
//! [3] identities     each is an age file, and of a user whom the log knows
//! [4] index objects  each that a commit names is there, has the hash in its name, opens and decodes
//! [5] packs          each that an index names is there, has the hash in its name, and is as the index says; on several
//!                    threads. With `read_data` each segment is opened and each chunk compared with its id. With a sample
//!                    that is done with the packs of the sample; of the others only the size is compared
//! [6] orphans        packs that no index names are counted
//! [7] trees          from each snapshot, newest first, to the last chunk: every node decodes, every chunk has a place
//! ```
//!
//! Steps 4 and 5 alternate, so that memory holds the tables of a bounded number of chunks. Step 7 reads the nodes again, but not
//! the chunks of files: it looks up where they lie, and what became of that pack in step 5 says whether the snapshot suffers.

mod grants;
mod packs;
mod sample;
#[cfg(test)]
mod tests;
mod trees;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::{Error, Fault};
use crate::id::{DomainId, Epoch, IndexId, PackId, SnapshotId, UserId};
use crate::keys::age_file;
use crate::progress::{Amount, Notice, Phase, Severity};
use crate::store::{ObjectKey, ObjectKind, StoreError};
use crate::vault::reader::is_from_before;
use crate::vault::{AGE_FILE_MAX_BYTES, Reader, Vault, envelopes, orphans};

use super::Surroundings;
use packs::NamedPack;
use sample::Chosen;
pub(super) use sample::verified_at;
pub use sample::{Budget, Sample};

/// Chunks whose tables are held at once, and those of one more index object: about 20 MB.
const BATCH_CHUNKS: usize = 500_000;

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckOptions {
    /// Whether every segment of every pack is opened and every chunk verified.
    ///
    /// All bytes of all packs are read and hashed either way; this finds in addition what was wrong already when it was written.
    pub read_data: bool,
    /// Open only a sample of packs, and read no others.
    pub sample: Option<Sample>,
}

/// What was verified, and what is wrong.
#[derive(Debug, Default)]
pub struct CheckSummary {
    /// Statements, envelopes, identities, index objects and packs that were looked at, the damaged ones included.
    pub objects: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Snapshots whose trees were followed to the last chunk, and that suffer from nothing that was found.
    pub snapshots: u64,
    /// Chunks opened and verified (with `read_data`).
    pub chunks: u64,
    /// Packs of which every chunk was opened and verified (with `read_data` or a sample).
    pub verified: Vec<PackId>,
    /// Packs that are due for verification, and beyond the budget of the sample.
    pub left: u64,
    /// Packs that no index names: left by an interrupted run, no damage. Those that a damaged index names are among them.
    pub orphans: u64,
    /// Everything that is wrong: one finding for each object.
    pub findings: Vec<Finding>,
    /// Whether it was stopped before the end.
    pub interrupted: bool,
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Finding {
    /// The object at fault, where one can be named.
    pub object: Option<ObjectKey>,
    /// The snapshots that are known to suffer from it, newest first. Empty after an interruption: they are known last.
    pub snapshots: Vec<SnapshotId>,
    /// What is wrong.
    pub error: Error,
}

/// Verifies the vault; damage is a finding, not an error.
///
/// `reader` must come from `vault` as it is now: of what was appended later it has no index.
///
/// # Errors
///
/// Only what says nothing about the vault's contents: that the store as a whole is gone, or that the local disk fails.
pub fn check(
    vault: &Vault,
    reader: &Reader,
    options: CheckOptions,
    around: &Surroundings<'_>,
) -> Result<CheckSummary, Error> {
    around.progress.phase(Phase::Check);
    let chosen = options.sample.map(|sample| {
        let condemned = vault.state().condemned();
        let in_use = reader.packs().into_iter().filter(|pack| !condemned.contains(&pack.id));
        let sizes = in_use.map(|pack| (pack.id, u64::from(pack.bytes))).collect();
        let now = around.clock.now();
        sample::choose(&sample, &sizes, |pack| verified_at(vault.state(), pack, now))
    });
    let mut check = Check { vault, reader, options, chosen, around, report: Report::default() };
    let ended = check.run()?;
    let mut summary = check.report.summary;
    excuse_the_pruned(reader, &mut summary.findings)?;
    summary.interrupted = ended.is_break();
    summary.left = check.chosen.map_or(0, |chosen| chosen.left);
    Ok(summary)
}

/// Drops findings about what others have deleted, for a good reason, while the check ran.
fn excuse_the_pruned(reader: &Reader, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let missing = |finding: &Finding| matches!(finding.error, Error::Missing { .. });
    if !findings.iter().any(missing) {
        return Ok(());
    }
    let now = reader.newest_state()?;
    findings.retain(|finding| match finding.object {
        Some(ObjectKey::Pack(id)) => !(missing(finding) && now.condemned().contains(&id)),
        Some(ObjectKey::Index(id)) => !(missing(finding) && now.was_index(&id)),
        _ => true,
    });
    Ok(())
}

struct Check<'a> {
    vault: &'a Vault,
    reader: &'a Reader,
    options: CheckOptions,
    /// The packs that are read, if not all are.
    chosen: Option<Chosen>,
    around: &'a Surroundings<'a>,
    report: Report,
}

/// Whether to go on, or that the operation was asked to stop.
type Ended = Result<ControlFlow<()>, Error>;

impl Check<'_> {
    fn run(&mut self) -> Ended {
        let mut stored = self.stored()?; // [1]
        self.around.progress.expect(stored.total);
        let steps = [Self::envelopes, Self::identities, Self::indexes_and_packs, Self::grants]; // [2] to [5]
        for step in steps {
            if step(self)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let condemned = self.vault.state().condemned();
        // To who has a part of the history only, others' packs look like these.
        let knows_all = self.reader.keyring().first_epoch() == Epoch::FIRST;
        for (id, bytes) in orphans::orphans(self.vault.store(), &self.report.named)? {
            self.report.summary.orphans += u64::from(knows_all && !condemned.contains(&id)); // [6]
            if self.chosen.is_none() && stored.packs.contains(&id) {
                stored.total.items -= 1;
                stored.total.bytes = stored.total.bytes.saturating_sub(bytes);
            }
        }
        self.around.progress.expect(stored.total);
        trees::follow(self.vault, self.reader, self.around, &mut self.report) // [7]
    }

    /// What the check will look at, as far as a list tells. The log has been looked at when this returns.
    fn stored(&mut self) -> Result<Stored, Error> {
        let (mut stored, mut log) = (Stored::default(), Amount::default());
        let head = self.vault.state().head().seq;
        for kind in ObjectKind::ALL {
            self.vault.store().list(kind, &mut |key, bytes| {
                match key {
                    ObjectKey::Statement(seq) if seq > head => return ControlFlow::Continue(()),
                    ObjectKey::Statement(_) => add(&mut log, bytes),
                    ObjectKey::Pack(id) => {
                        stored.packs.insert(id);
                        if self.chosen.as_ref().is_some_and(|chosen| !chosen.packs.contains(&id)) {
                            return ControlFlow::Continue(());
                        }
                    }
                    _ => {}
                }
                add(&mut stored.total, bytes);
                ControlFlow::Continue(())
            })?;
        }
        stored.total.items += self.vault.state().snapshots().len() as u64;
        self.looked_at(log);
        Ok(stored)
    }

    fn envelopes(&mut self) -> Ended {
        for record in self.vault.state().epochs() {
            for (addressee, pin) in &record.pins {
                if self.around.stop.requested() {
                    return Ok(ControlFlow::Break(()));
                }
                let read = envelopes::get(self.vault.store(), record.epoch, addressee.0, pin);
                self.small_object(ObjectKey::envelope(record.epoch, addressee.0), read, |_| Ok(()))?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn identities(&mut self) -> Ended {
        let mut users = Vec::new();
        self.vault.store().list(ObjectKind::Identity, &mut |key, _| {
            if let ObjectKey::Identity(user) = key {
                users.push(user);
            }
            ControlFlow::Continue(())
        })?;
        for &user in &users {
            let key = ObjectKey::Identity(user);
            let known = self.knows_user(user);
            let read = self.vault.get_named(&key, AGE_FILE_MAX_BYTES);
            self.small_object(key, read, |file| {
                let wrong = |what| Error::Damaged { object: key, fault: Fault::Malformed { what } };
                age_file::check_form(file).map_err(|_| wrong("it is not an age file"))?;
                if known {
                    Ok(())
                } else {
                    Err(wrong("it has the name of a user whom the log does not know"))
                }
            })?;
        }
        if users.is_empty() {
            self.around.progress.notice(&Notice {
                severity: Severity::Note,
                subject: Path::new(&self.vault.store().description()),
                message: "no identity is stored in the vault: only a copy kept elsewhere can open it",
            });
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether somebody was ever a member.
    fn knows_user(&self, user: UserId) -> bool {
        self.vault.state().epochs().iter().any(|record| record.pins.contains_key(&user.into()))
    }

    /// Verifies the index objects \[4\] and, whenever there are enough, the packs they name \[5\].
    fn indexes_and_packs(&mut self) -> Ended {
        let (mut batch, mut batch_chunks) = (Vec::new(), 0);
        let mut seen = HashSet::new();
        for (domain, id) in self.vault.state().all_indexes() {
            if !seen.insert(id) {
                continue;
            }
            if self.around.stop.requested() {
                return Ok(ControlFlow::Break(()));
            }
            for named in self.index(domain, id)? {
                batch_chunks += named.pack.table.chunk_rows().len();
                batch.push(named);
            }
            if batch_chunks >= BATCH_CHUNKS {
                batch_chunks = 0;
                if self.packs(std::mem::take(&mut batch))?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        self.packs(batch)
    }

    /// Verifies an index object and returns the packs that it is the first to name.
    fn index(&mut self, domain: DomainId, id: IndexId) -> Result<Vec<NamedPack>, Error> {
        let object = ObjectKey::Index(id);
        let bytes = self.vault.store().size(&object).unwrap_or(0);
        self.looked_at(Amount { items: 1, bytes });
        let keys = self.reader.keys_of(domain)?;
        let packs = match self.vault.read_index(id, keys) {
            Ok(packs) => packs,
            Err(error) if is_from_before(&error, self.reader.keyring()) => return Ok(Vec::new()),
            Err(error) => {
                let finding = self.report.found(Some(object), error)?;
                self.report.bad_indexes.entry(domain).or_default().push(finding);
                return Ok(Vec::new());
            }
        };
        let mut new = Vec::new();
        let condemned = self.vault.state().condemned();
        // A condemned pack counts as absent: that it is gone is no damage, and nothing may need it.
        for pack in packs.into_iter().filter(|pack| !condemned.contains(&pack.id)) {
            if self.report.named.insert(pack.id) {
                new.push(NamedPack { domain, pack });
            } else if !new.iter().any(|named: &NamedPack| named.pack == pack) {
                // Another index named it before: that one's table is compared with all of the pack.
                let same = orphans::read_table(self.vault, keys, pack.id, pack.bytes.into());
                if same.is_ok_and(|same| same != pack) {
                    self.report.found(Some(object), Error::index(id, Fault::TableDiffers))?;
                }
            }
        }
        Ok(new)
    }

    fn packs(&mut self, batch: Vec<NamedPack>) -> Ended {
        let (batch, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(|named| match &self.chosen {
            Some(chosen) => chosen.packs.contains(&named.pack.id),
            None => true,
        });
        for named in others {
            self.stored_size(&named)?;
        }
        let read_data = self.options.read_data || self.chosen.is_some();
        let verifier =
            packs::Verifier { vault: self.vault, reader: self.reader, read_data, around: self.around };
        let mut ended = ControlFlow::Continue(());
        for (named, result) in batch.iter().zip(verifier.verify(&batch)) {
            let Some(result) = result else {
                ended = ControlFlow::Break(());
                continue;
            };
            self.report.summary.objects += 1;
            match result {
                Ok(chunks) => {
                    self.report.summary.bytes += u64::from(named.pack.bytes);
                    self.report.summary.chunks += chunks;
                    self.report.sound.insert(named.pack.id);
                    if read_data {
                        self.report.summary.verified.push(named.pack.id);
                    }
                }
                Err(error) => drop(self.report.bad_pack(named.pack.id, error)?),
            }
        }
        Ok(ended)
    }

    /// Compares the size of a pack that is not read.
    fn stored_size(&mut self, named: &NamedPack) -> Result<(), Error> {
        let (id, expected) = (named.pack.id, u64::from(named.pack.bytes));
        let error = match packs::size(self.vault.store(), id) {
            Ok(found) if found == expected => {
                self.report.sound.insert(id);
                return Ok(());
            }
            Ok(found) => Error::pack(id, Fault::WrongSize { expected, found }),
            Err(error) => error,
        };
        self.report.bad_pack(id, error)?;
        Ok(())
    }

    /// Reads an object that fits into memory many times and lets `verify` look at it.
    fn small_object(
        &mut self,
        key: ObjectKey,
        read: Result<Vec<u8>, Error>,
        verify: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.looked_at(Amount { items: 1, bytes: read.as_ref().map_or(0, |file| file.len() as u64) });
        if let Err(error) = read.and_then(|file| verify(&file)) {
            self.report.found(Some(key), error)?;
        }
        Ok(())
    }

    fn looked_at(&mut self, amount: Amount) {
        self.report.summary.objects += amount.items;
        self.report.summary.bytes += amount.bytes;
        self.around.progress.advance(amount);
    }
}

/// What the lists of the store tell.
#[derive(Default)]
struct Stored {
    total: Amount,
    packs: HashSet<PackId>,
}

fn add(total: &mut Amount, bytes: u64) {
    total.items += 1;
    total.bytes += bytes;
}

/// The number of a finding in the summary.
type FindingNumber = usize;

/// What was found so far, and what follows for the snapshots.
#[derive(Default)]
struct Report {
    summary: CheckSummary,
    /// Packs that a sound index names.
    named: std::collections::BTreeSet<PackId>,
    /// Those of them that are as they should be.
    sound: HashSet<PackId>,
    bad_packs: HashMap<PackId, [FindingNumber; 1]>,
    /// What they name is not known.
    bad_indexes: HashMap<DomainId, Vec<FindingNumber>>,
}

impl Report {
    /// Adds a finding, unless the error says nothing about what is stored: then it ends the check.
    fn found(&mut self, object: Option<ObjectKey>, error: Error) -> Result<FindingNumber, Error> {
        if ends_the_check(&error) {
            return Err(error);
        }
        self.summary.findings.push(Finding { object, snapshots: Vec::new(), error });
        Ok(self.summary.findings.len() - 1)
    }

    /// Adds a finding about a pack, of which there is one at most.
    fn bad_pack(&mut self, id: PackId, error: Error) -> Result<FindingNumber, Error> {
        if let Some(&[known]) = self.bad_packs.get(&id) {
            return Ok(known);
        }
        let finding = self.found(Some(ObjectKey::Pack(id)), error)?;
        self.sound.remove(&id);
        self.bad_packs.insert(id, [finding]);
        Ok(finding)
    }

    /// The findings from which whatever lies in this pack suffers; none if the pack is sound.
    fn causes(&self, domain: &DomainId, pack: &PackId) -> &[FindingNumber] {
        if self.sound.contains(pack) {
            return &[];
        }
        match self.bad_packs.get(pack) {
            Some(finding) => finding,
            // It was known from an index object that is damaged now.
            None => self.causes_of_loss(domain),
        }
    }

    /// The findings that explain why a chunk is in no index.
    fn causes_of_loss(&self, domain: &DomainId) -> &[FindingNumber] {
        self.bad_indexes.get(domain).map_or(&[], Vec::as_slice)
    }
}

/// Whether an error is about this machine or the store as a whole, not about an object.
fn ends_the_check(error: &Error) -> bool {
    matches!(
        error,
        Error::Local { .. } | Error::Compress(_) | Error::Keyring(_) | Error::Store(StoreError::Gone { .. })
    )
}
