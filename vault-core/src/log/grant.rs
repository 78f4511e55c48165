//! Grant and revoke: a device gives some paths of one snapshot to people or to whoever has a link, and takes that back.
//!
//! What is granted stands in sealed bodies, and its keys in one envelope for each addressee. The log shows who gave what to whom in
//! number and size only, and which bytes of which packs a store may show them for it.

use super::lists::{ascending, encode_ids, id_list, list};
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::id::{Epoch, GrantId, IndexId, SessionId};

/// The most addressees of one grant: with an envelope of two kilobytes each they fit a statement.
pub const MAX_ADDRESSEES: usize = 256;

/// The longest envelope of an addressee or a link.
const MAX_ENVELOPE_BYTES: usize = 16_384;

/// Gives some paths of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The epoch to whose recipient the session is sealed: the one in force.
    pub epoch: Epoch,
    /// The session that wrote what is the grant's own.
    pub session: SessionId,
    /// The session's envelope for the members: an age file, opaque here.
    pub session_envelope: Vec<u8>,
    /// What is granted, as the sealed body of a commit.
    pub body: Vec<u8>,
    /// Where the keys of segments of other sessions stand, sealed.
    pub keys: Vec<u8>,
    /// The index objects that name what is granted, ascending; sealed for the grant, and in force in no domain.
    pub indexes: Vec<IndexId>,
    /// The object, named as index objects are, that lists which bytes of which packs are granted.
    pub ranges: IndexId,
    /// To whom.
    pub to: Vec<Addressee>,
    /// Or to whoever has this link.
    pub link: Option<LinkTerms>,
    /// Until when, in seconds since 1970 UTC; for ever without.
    pub expires: Option<u64>,
}

/// Somebody who is given a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// The id of the user; of a bare recipient, the first half of its fingerprint.
    pub id: [u8; 16],
    /// The keys, sealed to them: an age file, opaque here.
    pub envelope: Vec<u8>,
}

/// Under which terms a link opens a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTerms {
    /// SHA-256 of the token that shows that somebody has the link.
    pub token_hash: [u8; 32],
    /// How often it may be fetched.
    pub downloads: Option<u32>,
    /// The keys, sealed under the link's secret, opaque here.
    pub envelope: Vec<u8>,
}

impl Grant {
    /// Drops envelopes, body and keys; how many bytes.
    pub(super) fn drop_sealed(&mut self) -> u64 {
        let own = [&mut self.session_envelope, &mut self.body, &mut self.keys];
        let to = self.to.iter_mut().map(|to| &mut to.envelope);
        let link = self.link.as_mut().map(|link| &mut link.envelope);
        own.into_iter().chain(to).chain(link).map(|sealed| std::mem::take(sealed).len() as u64).sum()
    }

    pub(super) fn pairs(&self) -> usize {
        9 + usize::from(self.link.is_some()) + usize::from(self.expires.is_some())
    }

    /// The envelope of a user or bare recipient.
    pub fn envelope_for(&self, id: &[u8; 16]) -> Option<&[u8]> {
        self.to.iter().find(|to| to.id == *id).map(|to| &to.envelope[..])
    }

    pub(super) fn encode(&self, out: &mut Encoder) {
        out.uint(10).bytes(self.id.as_bytes());
        out.uint(11).uint(self.epoch.0.into());
        out.uint(12).bytes(self.session.as_bytes());
        out.uint(13).bytes(&self.session_envelope);
        out.uint(14).bytes(&self.body);
        out.uint(15).bytes(&self.keys);
        encode_ids(out.uint(16), &self.indexes);
        out.uint(17).bytes(self.ranges.as_bytes());
        out.uint(18).array(self.to.len());
        for Addressee { id, envelope } in &self.to {
            out.array(2).bytes(id).bytes(envelope);
        }
        if let Some(LinkTerms { token_hash, downloads, envelope }) = &self.link {
            out.uint(19).array(3).bytes(token_hash).uint(downloads.unwrap_or(0).into()).bytes(envelope);
        }
        if let Some(expires) = self.expires {
            out.uint(20).uint(expires);
        }
    }
}

/// The fields of a grant, as far as they have been read.
#[derive(Default)]
pub(super) struct GrantFields {
    id: Option<GrantId>,
    epoch: Option<Epoch>,
    session: Option<SessionId>,
    session_envelope: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
    keys: Option<Vec<u8>>,
    indexes: Option<Vec<IndexId>>,
    ranges: Option<IndexId>,
    to: Option<Vec<Addressee>>,
    link: Option<LinkTerms>,
    expires: Option<u64>,
}

impl GrantFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.id = Some(GrantId::new(input.bytes_array("grant id")?)),
            11 => self.epoch = Some(Epoch(input.uint_as("epoch")?)),
            12 => self.session = Some(SessionId::new(input.bytes_array("session id")?)),
            13 => self.session_envelope = Some(input.bytes()?.to_vec()),
            14 => self.body = Some(input.bytes()?.to_vec()),
            15 => self.keys = Some(input.bytes()?.to_vec()),
            16 => self.indexes = Some(ascending(id_list(input)?, "index objects of a grant")?),
            17 => self.ranges = Some(IndexId::new(input.bytes_array("index id")?)),
            18 => self.to = Some(addressees(input)?),
            19 => self.link = Some(link_terms(input)?),
            20 => self.expires = Some(input.uint()?),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Grant, CborError> {
        let grant = Grant {
            id: required(self.id, 10)?,
            epoch: required(self.epoch, 11)?,
            session: required(self.session, 12)?,
            session_envelope: required(self.session_envelope, 13)?,
            body: required(self.body, 14)?,
            keys: required(self.keys, 15)?,
            indexes: required(self.indexes, 16)?,
            ranges: required(self.ranges, 17)?,
            to: required(self.to, 18)?,
            link: self.link,
            expires: self.expires,
        };
        if grant.to.is_empty() && grant.link.is_none() {
            return Err(CborError::Range { field: "addressees of a grant" });
        }
        Ok(grant)
    }
}

fn addressees(input: &mut Decoder<'_>) -> Result<Vec<Addressee>, CborError> {
    let to = list(input, |input| {
        input.array_of(2, "addressee")?;
        Ok(Addressee { id: input.bytes_array("addressee")?, envelope: envelope(input)? })
    })?;
    let is_set = to.len() <= MAX_ADDRESSEES && to.is_sorted_by(|one, next| one.id < next.id);
    if is_set { Ok(to) } else { Err(CborError::Range { field: "addressees of a grant" }) }
}

fn link_terms(input: &mut Decoder<'_>) -> Result<LinkTerms, CborError> {
    input.array_of(3, "link")?;
    let token_hash = input.bytes_array("hash of a token")?;
    let downloads: u32 = input.uint_as("downloads")?;
    Ok(LinkTerms { token_hash, downloads: (downloads > 0).then_some(downloads), envelope: envelope(input)? })
}

fn envelope(input: &mut Decoder<'_>) -> Result<Vec<u8>, CborError> {
    let envelope = input.bytes()?;
    let fits = envelope.len() <= MAX_ENVELOPE_BYTES;
    if fits { Ok(envelope.to_vec()) } else { Err(CborError::Range { field: "envelope of a grant" }) }
}

/// Takes a grant back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoke {
    /// The grant.
    pub grant: GrantId,
}

impl Revoke {
    pub(super) const PAIRS: usize = 1;

    pub(super) fn encode(self, out: &mut Encoder) {
        out.uint(10).bytes(self.grant.as_bytes());
    }
}

/// The fields of a revoke, as far as they have been read.
#[derive(Default)]
pub(super) struct RevokeFields {
    grant: Option<GrantId>,
}

impl RevokeFields {
    pub(super) fn read(&mut self, key: u64, input: &mut Decoder<'_>) -> Result<(), CborError> {
        match key {
            10 => self.grant = Some(GrantId::new(input.bytes_array("grant id")?)),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Revoke, CborError> {
        Ok(Revoke { grant: required(self.grant, 10)? })
    }
}
