//! The primitives: one suite, numbered 1.
//!
//! HKDF-SHA256 derives keys, AES-256-GCM with a random nonce and a 16-byte key commitment seals, Ed25519 signs (all from ring);
//! BLAKE3 hashes contents and chains, SHA-256 names objects; age files carry keys to people and devices, by default with
//! ML-KEM-768 and X25519 together. A stored suite number other than 1 is refused, never negotiated.
//!
//! Pure functions: no I/O, no clock; randomness is passed in, except inside the age crate, which takes its own from the
//! operating system. This is the only module that names ring.

pub mod hash;
pub mod labels;
pub mod mac;
pub mod random;
pub mod secret;
pub mod sign;

#[cfg(feature = "client")]
pub mod aead;
#[cfg(feature = "client")]
pub mod age_pq;
#[cfg(feature = "client")]
pub mod bech32_text;
#[cfg(feature = "client")]
mod hpke;
#[cfg(feature = "client")]
pub mod kdf;
#[cfg(feature = "client")]
pub mod tls;
#[cfg(feature = "client")]
mod xwing;

/// The suite described above; part of the authenticated data of everything sealed.
pub const SUITE: u8 = 1;
