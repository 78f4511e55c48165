//! `grants` and `revoke`: what was given from a vault, and taking it back.
//!
//! What somebody has fetched they keep: taking back ends what is still to be fetched.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::chunk::compress::Decompressor;
use crate::crypto::aead::SealedKind;
use crate::error::{Error, Fault};
use crate::format::commit::CommitBody;
use crate::format::raw_limit;
use crate::format::seal::Origin;
use crate::id::{DeviceId, GrantId, Seq, UserId};
use crate::keys::device::DeviceKeys;
use crate::keys::envelope::{SessionKey, SessionPlace};
use crate::log::{self, Body, Grant, Granted, Revoke};
use crate::store::ObjectKey;
use crate::surroundings::Surroundings;
use crate::time::Timestamp;
use crate::vault::{Reader, Vault};

/// One grant, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenInfo {
    /// Its id.
    pub grant: GrantId,
    /// Its statement.
    pub seq: Seq,
    /// Who gave it.
    pub user: UserId,
    /// With which device.
    pub device: DeviceId,
    /// When, by that device's clock.
    pub time: Timestamp,
    /// Until when, in seconds since 1970 UTC.
    pub expires: Option<u64>,
    /// Whether it holds now.
    pub holds: bool,
    /// To whom: users, or first halves of fingerprints of bare recipients.
    pub to: Vec<[u8; 16]>,
    /// Whether there is a link, and how often it may be fetched.
    pub link: Option<Option<u32>>,
    /// What was given; `None` if the reader has not the keys of its epoch.
    pub what: Option<GivenContents>,
}

/// What was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenContents {
    /// The name of the folder or file; empty for a whole snapshot.
    pub name: Vec<u8>,
    /// Files in it.
    pub files: u64,
    /// Bytes in those files.
    pub bytes: u64,
}

/// The grants of a vault that were not taken back, oldest first.
pub fn given(vault: &Vault, reader: &Reader, around: &Surroundings<'_>) -> Result<Vec<GivenInfo>, Error> {
    let now = around.clock.now().seconds;
    vault.state().grants().iter().map(|granted| info(vault, reader, granted, now)).collect()
}

fn info(vault: &Vault, reader: &Reader, granted: &Granted, now: i64) -> Result<GivenInfo, Error> {
    let grant = &granted.grant;
    let reads = grant.epoch >= reader.keyring().first_epoch();
    let what = if reads { Some(contents(&body(vault, reader, granted)?)) } else { None };
    Ok(GivenInfo {
        grant: grant.id,
        seq: granted.seq,
        user: granted.user,
        device: granted.device,
        time: granted.time,
        expires: grant.expires,
        holds: granted.holds_at(now),
        to: grant.to.iter().map(|to| to.id).collect(),
        link: grant.link.as_ref().map(|link| link.downloads),
        what,
    })
}

/// What a list shows of a body.
pub(super) fn contents(body: &CommitBody) -> GivenContents {
    let path = body.paths.first().map_or(&[][..], Vec::as_slice);
    let name = std::path::Path::new(OsStr::from_bytes(path)).file_name();
    let name = name.map_or_else(Vec::new, |name| name.as_bytes().to_vec());
    GivenContents { name, files: body.counts.files, bytes: body.counts.bytes }
}

/// Opens the body of a grant as a member.
fn body(vault: &Vault, reader: &Reader, granted: &Granted) -> Result<CommitBody, Error> {
    let grant = &granted.grant;
    let place = SessionPlace { vault: *vault.id(), epoch: grant.epoch, session: grant.session };
    let key = reader.keyring().open_session(&grant.session_envelope, &place);
    let object = ObjectKey::Statement(granted.seq);
    let key = key.map_err(|error| Error::Damaged { object, fault: error.into() })?;
    open_body(grant, granted.seq, &key)
}

/// Opens the body of a grant, whose statement stands at `seq`, with the key of its session.
pub(super) fn open_body(grant: &Grant, seq: Seq, key: &SessionKey) -> Result<CommitBody, Error> {
    let damaged = |fault| Error::Damaged { object: ObjectKey::Statement(seq), fault };
    let mut unit = grant.body.clone();
    let seal = Origin { vault: key.place.vault, session: key.place.session }.commit(&key.key, 0);
    let opened = seal.open_in_place(&mut unit);
    let body = opened.map_err(|source| damaged(Fault::Sealed { part: "its body", source }))?;
    let raw = Decompressor::new()?
        .unpack(body, raw_limit(SealedKind::Commit) as usize)
        .map_err(|error| damaged(error.into()))?;
    CommitBody::decode(&raw).map_err(|error| damaged(error.into()))
}

/// Takes a grant back; false if there is none of that id any more.
pub fn revoke(
    vault: &mut Vault,
    device: &DeviceKeys,
    grant: &GrantId,
    around: &Surroundings<'_>,
) -> Result<bool, Error> {
    vault.follow()?;
    let appended = vault.append_unless(&|state| {
        let Some(granted) = state.grant(grant) else { return Ok(None) };
        state.right_to_change(&device.device_id(), &granted.user.into()).map_err(Error::NoRight)?;
        let body = Body::Revoke(Revoke { grant: *grant });
        Ok(Some(log::sign(&state.draft(device.device_id(), around.clock.now(), body), device.signing())?))
    })?;
    Ok(appended.is_some())
}
