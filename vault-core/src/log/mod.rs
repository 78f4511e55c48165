//! The log: a vault's history and authority, one signed and chained statement after another.
//!
//! Statement 0, the genesis, proves the vault id, since the id is its hash. Each later one names the hash of the one before, so
//! whoever knows one head knows everything before it. The log's order decides what is true at statement n: no clock and no lock
//! does. A statement is appended by putting it under the next number if nothing stands there yet; who comes second reads what
//! came first and tries again.
//!
//! Only a [`Verified`] statement changes a [`State`], and only the function below makes one. A reader of statement n:
//!
//! ```text
//! decode the stored bytes: at most 1 MiB, deterministic, 1 to 8 signatures                              [1]
//! refuse another version of the format, and types this version does not know                            [2]
//! compare seq, vault and prev with what must come next; for a genesis, the payload's hash with the id   [3]
//! ask the membership after n-1 whether the author may say this, and whether a new membership is valid   [4]
//! verify the author's signature, every further one, and the certificates of devices that are new        [5]
//! ```
//!
//! and stops at the first step that fails; only type and version are looked at before the rest of a payload is decoded, since
//! another version may encode it otherwise. The code carries the same numbers. Up to a head that was verified before, step 5 is
//! left out: see [`follow`]. The bytes are fixed in `docs/format.md`, section 7.
//!
//! Nothing here opens or seals: a server runs the same code as a client. Recipients and envelopes are opaque.

mod annotate;
mod attest;
mod authority;
mod body;
mod certificate;
mod commit;
mod condemn;
mod error;
mod follow;
mod forget;
mod genesis;
mod grant;
mod head;
mod lists;
mod members;
mod membership;
mod payload;
mod state;
mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod verify;

pub use annotate::Annotate;
pub use attest::Attest;
pub use body::Body;
pub use certificate::{certify_device, verify_certificate};
pub use commit::Commit;
pub use condemn::Condemn;
pub use error::{LogError, MembershipFault, Refusal};
pub use follow::{FollowError, extend, follow, replay};
pub use forget::Forget;
pub use genesis::{ChunkerParams, Genesis, PqPolicy};
pub use grant::{Addressee, Grant, LinkTerms, MAX_ADDRESSEES, Revoke};
pub use head::{Head, ParseHeadError};
pub use members::{Device, DeviceKind, FinalHead, Members, Role, User, is_post_quantum};
pub use payload::{Author, Payload};
pub use state::{Annotation, Attestation, EpochRecord, Granted, Snapshot, State};
pub use statement::{Signature, Statement, sign, sign_with};
pub use verify::Verified;

/// The version of the format that this code reads and writes.
pub const FORMAT_VERSION: u64 = 1;

/// The largest statement: small enough to check before it is read, large enough for a few hundred members.
pub const MAX_STATEMENT_BYTES: usize = 1 << 20;

/// The ids that one statement should list at most: with 34 bytes each they fit [`MAX_STATEMENT_BYTES`]. Writers split longer lists.
pub const MAX_LISTED_IDS: usize = 20_000;

/// The most signatures a statement may carry: bounds the work that a forged one can cause.
pub const MAX_SIGNATURES: usize = 8;
