//! The body of a payload: what is said, by type.
//!
//! Each type has a number and a file of its own; this one only tells them apart. Its keys begin at 10.

use super::annotate::{Annotate, AnnotateFields};
use super::attest::{Attest, AttestFields};
use super::commit::{Commit, CommitFields};
use super::condemn::{Condemn, CondemnFields};
use super::forget::{Forget, ForgetFields};
use super::genesis::{Genesis, GenesisFields};
use super::grant::{Grant, GrantFields, Revoke, RevokeFields};
use super::members::{Members, MembersFields};
use crate::cbor::{CborError, Decoder, Encoder};

/// What is said, by type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// Founds the vault.
    Genesis(Genesis),
    /// Sets the membership.
    Members(Members),
    /// Adds a snapshot.
    Commit(Commit),
    /// Takes snapshots away.
    Forget(Forget),
    /// Takes packs away, and replaces index objects.
    Condemn(Condemn),
    /// Gives others a part of a snapshot.
    Grant(Grant),
    /// Takes a grant back.
    Revoke(Revoke),
    /// Says that packs were verified.
    Attest(Attest),
    /// Gives a snapshot other tags.
    Annotate(Annotate),
}

impl Body {
    /// The number of its type, and how many pairs it adds to the payload's map.
    pub(super) fn type_and_pairs(&self) -> (u64, usize) {
        match self {
            Self::Genesis(_) => (1, Genesis::PAIRS),
            Self::Members(members) => (2, members.pairs()),
            Self::Commit(commit) => (3, commit.pairs()),
            Self::Forget(_) => (4, Forget::PAIRS),
            Self::Condemn(_) => (5, Condemn::PAIRS),
            Self::Grant(grant) => (6, grant.pairs()),
            Self::Revoke(_) => (7, Revoke::PAIRS),
            Self::Attest(_) => (8, Attest::PAIRS),
            Self::Annotate(_) => (11, Annotate::PAIRS),
        }
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Genesis(genesis) => genesis.encode(out),
            Self::Members(members) => members.encode(out),
            Self::Commit(commit) => commit.encode(out),
            Self::Forget(forget) => forget.encode(out),
            Self::Condemn(condemn) => condemn.encode(out),
            Self::Grant(grant) => grant.encode(out),
            Self::Revoke(revoke) => revoke.encode(out),
            Self::Attest(attest) => attest.encode(out),
            Self::Annotate(annotate) => annotate.encode(out),
        }
    }
}

impl Body {
    /// Drops what is sealed, which the log itself never reads; how many bytes that were.
    pub(super) fn drop_sealed(&mut self) -> u64 {
        match self {
            Self::Commit(commit) => commit.drop_sealed(),
            Self::Grant(grant) => grant.drop_sealed(),
            Self::Annotate(annotate) => std::mem::take(&mut annotate.body).len() as u64,
            _ => 0,
        }
    }
}

/// The fields of a body, as far as they have been read.
pub(super) enum BodyFields {
    Genesis(GenesisFields),
    Members(MembersFields),
    Commit(CommitFields),
    Forget(ForgetFields),
    Condemn(CondemnFields),
    Grant(GrantFields),
    Revoke(RevokeFields),
    Attest(AttestFields),
    Annotate(AnnotateFields),
}

impl BodyFields {
    /// No fields yet of a statement of that type; `None` if there is no such type.
    pub(super) fn of_type(statement_type: u64) -> Option<Self> {
        Some(match statement_type {
            1 => Self::Genesis(GenesisFields::default()),
            2 => Self::Members(MembersFields::default()),
            3 => Self::Commit(CommitFields::default()),
            4 => Self::Forget(ForgetFields::default()),
            5 => Self::Condemn(CondemnFields::default()),
            6 => Self::Grant(GrantFields::default()),
            7 => Self::Revoke(RevokeFields::default()),
            8 => Self::Attest(AttestFields::default()),
            11 => Self::Annotate(AnnotateFields::default()),
            _ => return None,
        })
    }

    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match self {
            Self::Genesis(fields) => fields.read(key, input),
            Self::Members(fields) => fields.read(key, input),
            Self::Commit(fields) => fields.read(key, input),
            Self::Forget(fields) => fields.read(key, input),
            Self::Condemn(fields) => fields.read(key, input),
            Self::Grant(fields) => fields.read(key, input),
            Self::Revoke(fields) => fields.read(key, input),
            Self::Attest(fields) => fields.read(key, input),
            Self::Annotate(fields) => fields.read(key, input),
        }
    }

    pub(super) fn finish(self) -> Result<Body, CborError> {
        Ok(match self {
            Self::Genesis(fields) => Body::Genesis(fields.finish()?),
            Self::Members(fields) => Body::Members(fields.finish()?),
            Self::Commit(fields) => Body::Commit(fields.finish()?),
            Self::Forget(fields) => Body::Forget(fields.finish()?),
            Self::Condemn(fields) => Body::Condemn(fields.finish()?),
            Self::Grant(fields) => Body::Grant(fields.finish()?),
            Self::Revoke(fields) => Body::Revoke(fields.finish()?),
            Self::Attest(fields) => Body::Attest(fields.finish()?),
            Self::Annotate(fields) => Body::Annotate(fields.finish()?),
        })
    }
}
