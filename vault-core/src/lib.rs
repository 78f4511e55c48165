//! The engine of Vault: chunks, compresses, seals, stores and restores directories, end-to-end encrypted.
//!
//! Layers, from the bottom; a module imports only from layers above it in this list (`docs/architecture.md` has the exact table, and
//! `tests/architecture.rs` enforces it):
//!
//! | layer | modules |
//! |---|---|
//! | values | [`id`], [`bytes`], [`cbor`], [`time`], [`object`], [`progress`] |
//! | primitives | [`crypto`] |
//! | stored forms | [`mod@format`] |
//! | history and authority | [`log`], [`card`] |
//! | what client and server say to each other | [`wire`] |
//! | who can open what | [`keys`] |
//! | file contents to chunks | [`chunk`] |
//! | what a server is asked | [`net`] |
//! | where objects lie | [`store`] |
//! | an open vault | [`vault`] |
//! | what work needs from outside | [`surroundings`] |
//! | threads and queues | [`pipeline`] |
//! | the verbs | [`ops`] |
//!
//! Rules that hold in the whole crate: nothing prints, prompts, or reads the environment or a clock; time and randomness are
//! passed in; no panic on any input; secrets are wiped and never shown.
//!
//! Without the default feature `client` only what a server needs is compiled: ids, encodings, hashes, signatures and the log.
//! Nothing that opens or seals is then in the binary.
//!
//! # A backup and a restore
//!
//! A device backs up with its own keys. Reading takes the user's identity.
//!
//! ```
//! # let directory = tempfile::tempdir()?;
//! use vault_core::chunk::{compress::Level, cut::Params};
//! use vault_core::crypto::random::SystemRandom;
//! use vault_core::keys::{SecretString, device::DeviceKeys, identity_file::UserIdentity};
//! use vault_core::log::PqPolicy;
//! use vault_core::ops::backup::{BackupOptions, backup};
//! use vault_core::ops::init::{InitOptions, init};
//! use vault_core::ops::restore::{RestoreOptions, restore};
//! use vault_core::ops::{Stop, Surroundings};
//! use vault_core::progress::Silent;
//! use vault_core::store::location::{Access, Location};
//! use vault_core::time::{FixedClock, Timestamp};
//! use vault_core::vault::{LocalPaths, Vault};
//!
//! # let here = directory.path();
//! # std::fs::create_dir(here.join("letters"))?;
//! # std::fs::write(here.join("letters/first"), "Dear friend,")?;
//! let (clock, random, stop) = (FixedClock(Timestamp::new(1_800_000_000, 0)), SystemRandom::new(), Stop::new());
//! let around = Surroundings { clock: &clock, random: &random, progress: &Silent, stop: &stop };
//!
//! // Once: an identity, a device, a vault.
//! let identity = UserIdentity::generate(&random)?;
//! let device = DeviceKeys::generate(&random)?;
//! let passphrase = SecretString::from("correct horse battery staple".to_owned());
//! // The least work: here it need not protect anything.
//! let sealed = identity.seal_with_passphrase(&passphrase, Some(4))?;
//! let location = Location::parse(here.join("my-vault"))?;
//! init(
//!     &InitOptions {
//!         location: &location,
//!         access: &Access::local(),
//!         identity: &identity,
//!         sealed_identity: Some(&sealed),
//!         device: &device,
//!         pq: PqPolicy::Required,
//!         chunker: Params::default(),
//!     },
//!     &around,
//! )?;
//!
//! // Every day: the device alone.
//! let local = LocalPaths { state: here.join("state"), cache: here.join("cache") };
//! let mut vault = Vault::open(location.open(&Access::local())?, local)?;
//! let options = BackupOptions {
//!     paths: vec![here.join("letters")],
//!     host: "laptop".to_owned(),
//!     program: "example".to_owned(),
//!     ..BackupOptions::default()
//! };
//! let saved = backup(&mut vault, &device, &options, &around)?;
//!
//! // When it matters: the user.
//! let reader = vault.unlock(&identity)?;
//! let target = here.join("restored");
//! let options = RestoreOptions::new(saved.snapshot, &target);
//! restore(&vault, &reader, &options, &around)?;
//! assert_eq!(std::fs::read_to_string(target.join("first"))?, "Dear friend,");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bytes;
pub mod card;
pub mod cbor;
pub mod crypto;
pub mod id;
pub mod log;
pub mod object;
pub mod progress;
pub mod time;
pub mod wire;

#[cfg(feature = "client")]
pub mod chunk;
#[cfg(feature = "client")]
pub mod error;
#[cfg(feature = "client")]
pub mod format;
#[cfg(feature = "client")]
pub mod keys;
#[cfg(feature = "client")]
pub mod net;
#[cfg(feature = "client")]
pub mod ops;
#[cfg(feature = "client")]
pub mod pipeline;
#[cfg(feature = "client")]
pub mod store;
#[cfg(feature = "client")]
pub mod surroundings;
#[cfg(feature = "client")]
pub mod vault;
