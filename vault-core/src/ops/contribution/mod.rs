//! A contribution: what one run adds to one vault, from the head it begins at to the snapshots that it appends.
//!
//! The order of the log decides between those who store and those who delete. A contribution relies on what the vault held at the
//! head it began with; if a statement after that condemns a pack it may rely on, it does not append, but looks again at what the vault
//! holds, and whoever makes it stores once more what is missing. So every snapshot in the log is whole, with no lock held and no time
//! agreed on (`docs/decisions/0011-order-of-the-log-instead-of-locks.md`).

mod holdings;
mod marker;
mod nowhere;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chunk::compress::Level;
use crate::error::Error;
use crate::format::commit::CommitBody;
use crate::id::{Epoch, PackId, Seq, SessionId, SnapshotId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{DomainKeys, SessionPlace};
use crate::keys::recipient::AnyRecipient;
use crate::log::{self, Body, Commit, Refusal, State};
use crate::pipeline::dedup::Known;
use crate::pipeline::sink::{Sink, SinkParts};
use crate::store::Store;
use crate::surroundings::Surroundings;
use crate::vault::session::Session;
use crate::vault::{Vault, orphans};

use holdings::{Holdings, tell_lost};
use marker::RunMarker;
use nowhere::Nowhere;

/// How often a run stores anew for a vault from which others delete what it relies on.
pub(super) const ROUNDS_MAX: usize = 20;

/// What one run adds to one vault.
pub(super) struct Contribution<'v> {
    vault: Mutex<&'v mut Vault>,
    device: &'v DeviceKeys,
    store: Arc<dyn Store>,
    session: Session,
    known: Known,
    /// `None` if nothing is stored.
    marker: Option<RunMarker>,
    whole: bool,
    /// What was condemned up to here is not relied on.
    relies_since: Seq,
    /// What is sealed in earlier epochs is not relied on: not everyone could read it.
    relies_from: Epoch,
    /// The number of the next commit: each is sealed with a key of its own.
    next_commit: Mutex<u32>,
}

/// What a commit says.
pub(super) struct Commitment {
    /// What the snapshot is of.
    pub(super) body: CommitBody,
    /// Whether it holds only a part.
    pub(super) partial: bool,
    /// The snapshots that it makes needless.
    pub(super) replaces: Vec<SnapshotId>,
}

impl<'v> Contribution<'v> {
    /// Looks at what the vault holds, begins a session, marks that a run has begun, and takes over what earlier runs left that did not
    /// end.
    pub(super) fn begin(
        vault: &'v mut Vault,
        device: &'v DeviceKeys,
        around: &Surroundings<'_>,
    ) -> Result<Self, Error> {
        let mut begun = Self::rehearse(vault, device, around)?;
        let vault = begun.vault.get_mut().unwrap_or_else(PoisonError::into_inner);
        begun.store = vault.shared_store();
        begun.marker = Some(take_over(vault, &mut begun.session, &begun.known, around)?);
        Ok(begun)
    }

    /// As [`begin`](Self::begin), for a dry run: whatever it stores goes nowhere, and nothing of it may be committed.
    pub(super) fn rehearse(
        vault: &'v mut Vault,
        device: &'v DeviceKeys,
        around: &Surroundings<'_>,
    ) -> Result<Self, Error> {
        let writer = vault.writer_keys(device)?;
        // Said before anything is read, and not when all is stored.
        if !vault.knows_device(device) {
            return Err(Error::NoRight(Refusal::ReaderCommits));
        }
        let holdings = Holdings::of(vault, &writer, around)?;
        Ok(Self {
            device,
            store: Arc::new(Nowhere),
            session: begin_session(vault, device, writer, around)?,
            known: Known::new(holdings.index),
            marker: None,
            whole: holdings.whole,
            relies_since: vault.state().head().seq,
            relies_from: vault.state().readable_from(),
            next_commit: Mutex::new(0),
            vault: Mutex::new(vault),
        })
    }

    /// Looks again at what the vault holds, after this run was overtaken; goes on in the epoch that is in force now.
    pub(super) fn renew(&mut self, around: &Surroundings<'_>) -> Result<(), Error> {
        let vault = self.vault.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.relies_from = vault.state().readable_from();
        if vault.state().epoch() != Some(self.session.epoch()) {
            let writer = vault.writer_keys(self.device)?;
            let next = begin_session(vault, self.device, writer, around)?;
            let before = std::mem::replace(&mut self.session, next);
            self.session.follow_on(before, self.relies_from);
            *self.next_commit.get_mut().unwrap_or_else(PoisonError::into_inner) = 0;
        }
        let writer = self.session.writer();
        let keys_of = |domain| (domain == writer.domain).then_some(writer);
        // What cannot be read is not relied on: its chunks are stored again.
        for fault in self.known.update(|index| vault.extend_chunk_index(index, &keys_of))? {
            tell_lost(vault, &fault, around);
        }
        self.known.hide(vault.state().condemned());
        self.known.update(|index| index.hide_before(self.relies_from));
        self.session.give_up(vault.state().condemned());
        self.relies_since = vault.state().head().seq;
        Ok(())
    }

    /// The vault, as far as its log was followed.
    pub(super) fn vault(&self) -> MutexGuard<'_, &'v mut Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of the device's domain.
    pub(super) fn writer(&self) -> &DomainKeys {
        self.session.writer()
    }

    /// Whether it goes nowhere.
    pub(super) fn is_dry(&self) -> bool {
        self.marker.is_none()
    }

    /// Whether everything was there that the log says is there.
    pub(super) fn found_all(&self) -> bool {
        self.whole
    }

    /// Where new chunks go, for that many threads.
    pub(super) fn sink<'s>(&'s self, level: Level, threads: usize, around: &Surroundings<'s>) -> Sink<'s> {
        let (session, store, known) = (&self.session, &*self.store, &self.known);
        Sink::new(SinkParts { session, store, known, level, around: *around }, threads)
    }

    /// Appends a commit of what is in the store and in index objects; `None` if something was condemned that it may rely on.
    pub(super) fn commit(
        &self,
        commitment: Commitment,
        around: &Surroundings<'_>,
    ) -> Result<Option<SnapshotId>, Error> {
        let mut next = self.next_commit.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *next;
        *next += 1;
        let indexes = self.session.indexes_to_name();
        let commit = Commit {
            epoch: self.session.epoch(),
            session: self.session.id(),
            session_envelope: self.session.envelope().to_vec(),
            number,
            body: self.session.seal_commit(&commitment.body.encode()?, number, around.random)?,
            indexes: indexes.clone(),
            partial: commitment.partial,
            replaces: commitment.replaces,
        };
        let appended = self.vault().append_unless(&|state| {
            if self.is_overtaken(state) {
                return Ok(None);
            }
            let payload =
                state.draft(self.device.device_id(), around.clock.now(), Body::Commit(commit.clone()));
            Ok(Some(log::sign(&payload, self.device.signing())?))
        })?;
        let Some(head) = appended else { return Ok(None) };
        self.session.named(&indexes);
        Ok(Some(SnapshotId::from(head.hash)))
    }

    /// Takes back the marker of the run.
    pub(super) fn end(self) -> Result<(), Error> {
        self.marker.map_or(Ok(()), RunMarker::clear)
    }

    /// Whether a statement condemned a pack that this run may rely on, or began an epoch, or brought somebody who cannot read all of it.
    fn is_overtaken(&self, state: &State) -> bool {
        if state.epoch() != Some(self.session.epoch()) || state.readable_from() > self.relies_from {
            return true;
        }
        let mut condemned = state.condemned_since(self.relies_since).peekable();
        if condemned.peek().is_none() {
            return false;
        }
        let relied_on = self.known.packs();
        condemned.any(|pack| relied_on.contains(&pack))
    }
}

/// Begins a session of this device in the epoch of these keys.
pub(super) fn begin_session(
    vault: &Vault,
    device: &DeviceKeys,
    writer: DomainKeys,
    around: &Surroundings<'_>,
) -> Result<Session, Error> {
    let unknown = Error::DeviceUnknown { vault: *vault.id() };
    let record = vault.state().epoch_record(writer.current.epoch).ok_or(unknown)?;
    let place = SessionPlace {
        vault: *vault.id(),
        epoch: record.epoch,
        session: SessionId::new(around.random.bytes()?),
    };
    let recipient = AnyRecipient::parse(&record.recipient)?;
    Session::begin(place, device.device_id(), writer, &recipient, around.random)
}

/// Marks that a run has begun, and takes over what earlier runs of this machine left that did not end.
fn take_over(
    vault: &Vault,
    session: &mut Session,
    known: &Known,
    around: &Surroundings<'_>,
) -> Result<RunMarker, Error> {
    let (marker, notes) = RunMarker::set(&vault.local().cache.join("running"), around.random)?;
    session.note_packs_in(notes);
    let left = marker.left_packs()?;
    if !left.is_empty() {
        adopt(vault, (session, known), &left)?;
    }
    Ok(marker)
}

/// Takes packs that an interrupted run left into this session, so that their chunks are not stored again.
///
/// Only those that this machine has noted: whoever else has the keys of the domain, as every member has, could have put packs there
/// that say they hold chunks and hold others.
fn adopt(vault: &Vault, (session, known): (&Session, &Known), left: &BTreeSet<PackId>) -> Result<(), Error> {
    let orphans = orphans::orphans(vault.store(), &known.packs())?;
    for (id, bytes) in orphans.into_iter().filter(|(id, _)| left.contains(id)) {
        if vault.state().condemned().contains(&id) {
            continue;
        }
        // A pack that was not stored to its end does not open.
        if let Ok(pack) = orphans::read_table(vault, session.writer(), id, bytes)
            && pack.epoch >= vault.state().readable_from()
        {
            known.claim_all(&pack);
            session.adopt(pack);
            session.note(id);
        }
    }
    Ok(())
}
