//! Keys: who can open what.
//!
//! ```text
//! passphrase, ssh key or age identity
//!   opens the user's identity ......... UK (signs memberships), UA           identity_file
//!     UA opens the member envelope .... E_n, I_n, D (and earlier epochs)     envelope
//!       E_n opens session envelopes ... S: segments and commit bodies        keyring
//!       D and I_n derive, per domain .. K_id, K_cut, K_index                 keyring
//! device key file (mode 0600) ......... DK (signs commits), DA               device, key_file
//!     DA opens the writer envelope .... K_id, K_cut, K_index of one domain   envelope
//! UA or a link ........................ S of one grant, and by it single segments   grant
//! ```
//!
//! So a device backs up alone: it finds known chunks with its domain's keys, makes a fresh `S` for each session and seals it to
//! the epoch's recipient. It reads nothing, not even its own earlier sessions: there is no way from the right-hand keys of a
//! writer to an `S`.
//!
//! Nothing here prompts, and only `key_file` touches files. Secrets are wiped when dropped and never shown; text that holds them
//! stands in buffers of known size, so that growing leaves no copies.

pub mod age_file;
pub mod device;
pub mod envelope;
pub mod grant;
pub mod identity;
pub mod identity_file;
pub mod key_file;
mod key_text;
pub mod keyring;
pub mod kit;
mod packet;
mod plugin;
pub mod recipient;

pub use age::secrecy::{ExposeSecret, SecretString};
pub use age::{Callbacks, NoCallbacks};
pub use key_text::KeyTextError;
#[cfg(feature = "testing")]
pub use packet::decode_any as decode_any_packet;
