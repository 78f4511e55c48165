//! What a server does for a user: joining, cards, new devices, what is theirs, and what was done in their vaults.
//!
//! A card comes as it is stored: whoever reads it verifies the chain.

use super::client::{Means, Server};
use super::error::{NetError, NetErrorKind};
use super::request::Request;
use super::tls::Trust;
use crate::card::Consent;
use crate::crypto::sign::VerifyingKey;
use crate::id::{RequestId, UserId, VaultId};
use crate::wire::encoding::{Binary, ByteText};
use crate::wire::entries::Entries;
use crate::wire::invite::InviteUrl;
use crate::wire::name::UserName;
use crate::wire::problem::Problem;
use crate::wire::v1::audit::{AuditEntry, AuditHead, AuditPage};
use crate::wire::v1::devices::{NewDevice, RequestMade, RequestedDevice};
use crate::wire::v1::directory::DirectoryEntry;
use crate::wire::v1::join::{JoinAnswer, JoinRequest};
use crate::wire::v1::me::Me;
use crate::wire::v1::paths;
use crate::wire::v1::server::ServerInfo;
use crate::wire::{PROTOCOL, limits};

/// What joining brings, both proven by the invite's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Who one is there.
    pub user: UserId,
    /// By what the server's receipts verify.
    pub receipt_key: VerifyingKey,
}

/// What became of an entry of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardAppended {
    /// It has the number.
    New,
    /// It had it already.
    Same,
    /// Another entry has it.
    Taken,
}

impl Server {
    /// The server that an invite leads to.
    pub fn of_invite(invite: &InviteUrl, means: Means) -> Result<Self, NetError> {
        let trust = invite.pin.map_or(Trust::System, Trust::Pin);
        Self::new(invite.authority.clone().into(), trust, means)
    }

    /// Uses an invite up: brings a card entry, and gets the receipt key. Asked once only; if the answer is lost, the card tells whether it
    /// arrived.
    pub fn join(&self, invite: &InviteUrl, entry: &[u8]) -> Result<Joined, NetError> {
        self.join_as(invite, entry, None)
    }

    /// As [`Self::join`], by a user who wants to be called so there.
    pub fn join_as(
        &self,
        invite: &InviteUrl,
        entry: &[u8],
        name: Option<&UserName>,
    ) -> Result<Joined, NetError> {
        let auth = invite.auth();
        let mac = Binary(auth.join_mac(entry));
        let (entry_text, name) = (ByteText(entry.to_vec()), name.cloned());
        let json = self.to_json(&JoinRequest { invite: invite.invite, entry: entry_text, mac, name })?;
        let answer = self.ask(&Request::post(paths::JOIN.to_owned(), &json).open())?;
        let answer: JoinAnswer = self.json(&answer)?;
        auth.verify_joined(&answer.receipt_key, entry, &answer.mac.0)
            .map_err(|_| self.forged("it does not know the secret of the invite"))?;
        Ok(Joined { user: answer.user, receipt_key: answer.receipt_key })
    }

    /// What the server says about itself. Not signed: good for its time and limits, never for its keys.
    ///
    /// # Errors
    ///
    /// [`NetError::Version`] if it does not speak this program's version of the protocol.
    pub fn info(&self) -> Result<ServerInfo, NetError> {
        let answer = match self.ask(&Request::get(paths::SERVER.to_owned()).open()) {
            Err(NetError::Refused { problem, .. }) if is_no_server(&problem) => {
                return Err(self.not_the_protocol("it is no vault-server"));
            }
            answer => answer?,
        };
        // A newer server may have other members, but this one: it says which.
        let Speaks { protocol: theirs } = self.json(&answer)?;
        if !theirs.contains(&PROTOCOL) {
            return Err(NetError::Version { server: self.url().clone(), theirs });
        }
        self.json(&answer)
    }

    /// Who asks, and what they have.
    pub fn me(&self) -> Result<Me, NetError> {
        let answer = self.ask(&Request::get(paths::ME.to_owned()))?;
        self.json(&answer)
    }

    /// Who has a name, if anybody has: the server's word, and no more.
    pub fn user_named(&self, name: &UserName) -> Result<Option<UserId>, NetError> {
        match self.ask(&Request::get(paths::directory(name))) {
            Ok(answer) => self.json(&answer).map(|DirectoryEntry { user }| Some(user)),
            Err(error) if error.kind() == NetErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A user's card from entry `from` on, to its end.
    pub fn card(&self, user: &UserId, from: u64) -> Result<Vec<Vec<u8>>, NetError> {
        let mut entries = Vec::new();
        loop {
            let next = from.saturating_add(entries.len() as u64);
            let request = Request::get(paths::card(user)).with("from", next);
            let answer = self.ask(&request.limit(limits::ENTRIES_BYTES as u64))?;
            if answer.body.is_empty() {
                return Ok(entries);
            }
            for entry in Entries::new(&answer.body, limits::CARD_BYTES) {
                let entry = entry.map_err(|_| self.not_the_protocol("a card is not well-formed"))?;
                entries.push(entry.bytes.to_vec());
            }
            if entries.len() > CARD_ENTRIES_MAX {
                return Err(self.not_the_protocol("a card has no end"));
            }
        }
    }

    /// Appends an entry to a card, if its number is still free.
    pub fn append_card(&self, user: &UserId, seq: u64, entry: &[u8]) -> Result<CardAppended, NetError> {
        match self.ask(&Request::put(paths::card_entry(user, seq), entry)) {
            Ok(answer) if answer.status == 201 => Ok(CardAppended::New),
            Ok(_) => Ok(CardAppended::Same),
            Err(error) if error.kind() == NetErrorKind::Taken => Ok(CardAppended::Taken),
            Err(error) => Err(error),
        }
    }

    /// Asks that a new device be taken onto a card. Not signed: nobody knows the device yet.
    pub fn request_device(&self, device: &NewDevice) -> Result<RequestMade, NetError> {
        let json = self.to_json(device)?;
        let answer = self.ask(&Request::post(paths::DEVICE_REQUESTS.to_owned(), &json).open())?;
        self.json(&answer)
    }

    /// The keys of a device that asks. To be believed only after their fingerprint has been compared.
    pub fn requested_device(&self, request: &RequestId) -> Result<RequestedDevice, NetError> {
        let answer = self.ask(&Request::get(paths::device_request(request)))?;
        self.json(&answer)
    }

    /// Leaves the sealed answer for a new device; false if it has one already.
    pub fn answer_device(&self, request: &RequestId, sealed: &[u8]) -> Result<bool, NetError> {
        match self.ask(&Request::put(paths::device_answer(request), sealed)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == NetErrorKind::Taken => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The sealed answer to this new device; `None` until there is one.
    pub fn device_answer(&self, request: &RequestId) -> Result<Option<Vec<u8>>, NetError> {
        let request = Request::get(paths::device_answer(request)).limit(limits::DEVICE_ANSWER_BYTES);
        match self.ask(&request) {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.kind() == NetErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Agrees, as this new device, to be listed on a card.
    pub fn consent(&self, request: &RequestId, consent: &Consent) -> Result<(), NetError> {
        self.ask(&Request::put(paths::device_consent(request), &consent.0)).map(drop)
    }

    /// What a new device has agreed to; `None` until it has. To be verified before it is put on a card.
    pub fn device_consent(&self, request: &RequestId) -> Result<Option<Consent>, NetError> {
        let request = Request::get(paths::device_consent(request)).limit(limits::DEVICE_CONSENT_BYTES);
        match self.ask(&request) {
            Ok(answer) => match answer.body.try_into() {
                Ok(signature) => Ok(Some(Consent(signature))),
                Err(_) => Err(self.not_the_protocol("a consent is not a signature")),
            },
            Err(error) if error.kind() == NetErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One page of what was done in a vault since `head`, verified to continue the chain; where the chain is then, and whether there is
    /// more.
    ///
    /// # Errors
    ///
    /// [`NetError::Forged`] if the chain does not go on from there: an entry was changed, left out or put in.
    pub fn audit(
        &self,
        vault: &VaultId,
        head: AuditHead,
    ) -> Result<(Vec<AuditEntry>, AuditHead, bool), NetError> {
        let request = Request::get(paths::audit(vault)).with("after", head.seq);
        let answer = self.ask(&request.with("limit", limits::LISTED_AUDIT))?;
        let page: AuditPage = self.json(&answer)?;
        let reached = head.follow(&page.entries).map_err(|_| self.forged("the chain of what was done"))?;
        if page.more && page.entries.is_empty() {
            return Err(self.not_the_protocol("an audit goes on, but does not get further"));
        }
        Ok((page.entries, reached, page.more))
    }
}

/// What every version of a server says of itself.
#[derive(serde::Deserialize)]
struct Speaks {
    protocol: Vec<u32>,
}

/// Whether whoever answers so is none: each `vault-server` knows this question, and names its problems.
fn is_no_server(problem: &Problem) -> bool {
    problem.problem_type.is_empty() && problem.status < 500
}

/// Entries that a card has at most in practice: one for each change of somebody's devices.
const CARD_ENTRIES_MAX: usize = 100_000;
