//! Trees: from each snapshot to the last chunk, and back to the snapshots with what was found on the way.
//!
//! A directory is followed once in each domain, however many snapshots share it; what it suffers from is remembered. Nothing recurses:
//! a hostile tree is as deep as it likes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;

use crate::error::Error;
use crate::format::tree::{Contents, EntryKind};
use crate::id::{ChunkHash, DomainId};
use crate::log::Snapshot;
use crate::ops::Surroundings;
use crate::progress::{Amount, Notice, Severity};
use crate::store::ObjectKey;
use crate::vault::reader::DomainReader;
use crate::vault::{Reader, Vault};

use super::{Ended, FindingNumber, Report};

type Causes = BTreeSet<FindingNumber>;

/// Follows the trees of all snapshots, newest first.
pub(super) fn follow(
    vault: &Vault,
    reader: &Reader,
    around: &Surroundings<'_>,
    report: &mut Report,
) -> Ended {
    let mut followed = HashMap::new();
    tell_unreadable(vault, reader, around);
    for snapshot in vault.state().snapshots().iter().rev().filter(|snapshot| reader.reads(snapshot)) {
        let mut tree = Tree {
            domain: reader.domain(snapshot)?,
            domain_id: snapshot.domain,
            around,
            followed: followed.entry(snapshot.domain).or_default(),
            report: &mut *report,
            fault: None,
        };
        let Some(causes) = tree.follow(reader, snapshot)? else { return Ok(ControlFlow::Break(())) };
        report.summary.snapshots += u64::from(causes.is_empty());
        for cause in causes {
            report.summary.findings[cause].snapshots.push(snapshot.id);
        }
        around.progress.advance(Amount { items: 1, bytes: 0 });
    }
    Ok(ControlFlow::Continue(()))
}

/// Says how many snapshots somebody else has to check.
fn tell_unreadable(vault: &Vault, reader: &Reader, around: &Surroundings<'_>) {
    let unreadable = vault.state().snapshots().iter().filter(|snapshot| !reader.reads(snapshot)).count();
    if unreadable > 0 {
        around.progress.notice(&Notice {
            severity: Severity::Note,
            subject: Path::new(&vault.store().description()),
            message: &format!(
                "{unreadable} of the snapshots are from before this identity became a member, and were not looked into"
            ),
        });
    }
}

/// What is known of the directories of one domain.
#[derive(Default)]
struct Followed {
    /// The first half of each hash: among 2^40 directories two share one with probability 2^-49.
    sound: HashSet<[u8; 16]>,
    suffering: HashMap<ChunkHash, Causes>,
}

impl Followed {
    fn add(&mut self, node: &ChunkHash, causes: &Causes) {
        if causes.is_empty() {
            self.sound.insert(first_half(node));
        } else {
            self.suffering.insert(*node, causes.clone());
        }
    }

    fn is_sound(&self, node: &ChunkHash) -> bool {
        self.sound.contains(&first_half(node))
    }
}

fn first_half(node: &ChunkHash) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&node.as_bytes()[..16]);
    half
}

/// The tree of one snapshot.
struct Tree<'a> {
    domain: DomainReader<'a>,
    domain_id: DomainId,
    around: &'a Surroundings<'a>,
    followed: &'a mut Followed,
    report: &'a mut Report,
    /// The finding about the directory at hand that no other object explains: one is enough.
    fault: Option<FindingNumber>,
}

/// A directory on the way, and what it suffers from as far as it was followed.
struct Directory {
    node: ChunkHash,
    below: Vec<ChunkHash>,
    causes: Causes,
}

impl Tree<'_> {
    /// The findings from which the snapshot suffers; `None` if the check was asked to stop before they were known.
    fn follow(&mut self, reader: &Reader, snapshot: &Snapshot) -> Result<Option<Causes>, Error> {
        let body = match reader.body(snapshot) {
            Ok(body) => body,
            Err(error) => {
                let finding = self.report.found(Some(ObjectKey::Statement(snapshot.seq)), error)?;
                return Ok(Some(Causes::from([finding])));
            }
        };
        // Without its tags a snapshot is still whole.
        if let Some(annotation) = &snapshot.annotation
            && let Err(error) = reader.tags(snapshot)
        {
            self.report.found(Some(ObjectKey::Statement(annotation.seq)), error)?;
        }
        match body.root.kind {
            EntryKind::Directory { subtree } => self.below(subtree),
            _ => self.blame(self.domain.damaged_tree("its root is not a directory")).map(Some),
        }
    }

    /// Follows all directories from `root`, each after those below it.
    fn below(&mut self, root: ChunkHash) -> Result<Option<Causes>, Error> {
        let mut all = Directory { node: root, below: vec![root], causes: Causes::new() };
        let mut open: Vec<Directory> = Vec::new();
        loop {
            let directory = open.last_mut().unwrap_or(&mut all);
            if let Some(node) = directory.below.pop() {
                if self.followed.is_sound(&node) {
                    continue;
                }
                if let Some(causes) = self.followed.suffering.get(&node) {
                    directory.causes.extend(causes);
                    continue;
                }
                if self.around.stop.requested() {
                    return Ok(None);
                }
                open.push(self.directory(node)?);
                continue;
            }
            let Some(done) = open.pop() else { return Ok(Some(all.causes)) };
            self.followed.add(&done.node, &done.causes);
            open.last_mut().unwrap_or(&mut all).causes.extend(done.causes);
        }
    }

    /// Reads a directory and looks up all chunks of its files.
    fn directory(&mut self, node: ChunkHash) -> Result<Directory, Error> {
        self.fault = None;
        let mut directory = Directory { node, below: Vec::new(), causes: Causes::new() };
        self.look_up(&node, None, &mut directory.causes)?;
        for entry in self.domain.entries(&node) {
            match entry.map(|entry| entry.kind) {
                Ok(EntryKind::Directory { subtree }) => directory.below.push(subtree),
                Ok(EntryKind::File { contents, .. }) => self.file(&contents, &mut directory.causes)?,
                Ok(_) => {}
                Err(error) => directory.causes.append(&mut self.blame(error)?),
            }
        }
        Ok(directory)
    }

    fn file(&mut self, contents: &Contents, causes: &mut Causes) -> Result<(), Error> {
        if let Contents::Lists(lists) = contents {
            lists.iter().try_for_each(|list| self.look_up(&list.h, None, causes))?;
        }
        let domain = self.domain;
        let followed =
            domain.for_each_chunk(contents, &mut |chunk| self.look_up(&chunk.h, Some(chunk.length), causes));
        if let Err(error) = followed {
            causes.append(&mut self.blame(error)?);
        }
        Ok(())
    }

    /// Looks up where a chunk lies, and adds what is wrong with that place.
    fn look_up(&mut self, h: &ChunkHash, length: Option<u32>, causes: &mut Causes) -> Result<(), Error> {
        match self.domain.place(h) {
            Ok(place) if length.is_some_and(|length| length != place.length) => {
                let error = self.domain.damaged_tree("a chunk has another length than its file says");
                causes.append(&mut self.blame(error)?);
            }
            Ok(place) => causes.extend(self.report.causes(&self.domain_id, &place.pack.id)),
            Err(error) => causes.append(&mut self.blame(error)?),
        }
        Ok(())
    }

    /// The findings that stand for an error met on the way: known ones if they explain it, or else a new one.
    fn blame(&mut self, error: Error) -> Result<Causes, Error> {
        let finding = match error {
            Error::Damaged { object: ObjectKey::Pack(id), .. }
            | Error::Missing { object: ObjectKey::Pack(id) } => self.report.bad_pack(id, error)?,
            Error::ChunkMissing { .. } if !self.report.causes_of_loss(&self.domain_id).is_empty() => {
                return Ok(self.report.causes_of_loss(&self.domain_id).iter().copied().collect());
            }
            error => match self.fault {
                Some(known) => known,
                None => *self.fault.insert(self.report.found(None, error)?),
            },
        };
        Ok(Causes::from([finding]))
    }
}
