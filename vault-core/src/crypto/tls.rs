//! The primitives of TLS: those of ring, the same library as everything else here uses.
//!
//! What is negotiated with them, and with whom, stands in `net/tls.rs`.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// Key exchange, ciphers and signatures for `rustls`.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
