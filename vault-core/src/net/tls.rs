//! Which server is the right one: TLS 1.3 to a pinned key, or to a certificate that the roots of the system vouch for.
//!
//! With a pin nothing but the key counts: neither names nor dates nor issuers, so that a self-signed certificate will do, and an expired
//! one locks nobody out. The proof that the server has the key, its signature of the handshake, is verified in both cases.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, PeerIncompatible, RootCertStore,
    SignatureScheme,
};
use subtle::ConstantTimeEq as _;

use crate::crypto::tls::provider;
use crate::time::Clock;
use crate::wire::authority::Pin;

/// By what a server is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// By its public key alone.
    Pin(Pin),
    /// By its name, and a certificate that chains to the roots of the system.
    System,
}

/// The server showed another key than the pinned one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the key {expected}, found {found}")]
pub(super) struct WrongKey {
    pub(super) expected: Pin,
    pub(super) found: Pin,
}

/// The side of TLS that a client needs: version 1.3 only, HTTP/1.1 only.
pub(super) fn client_config(trust: Trust, clock: Arc<dyn Clock>) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Pin(pin) => Arc::new(PinnedKey { pin, provider: Arc::clone(&provider) }),
        Trust::System => WebPkiServerVerifier::builder_with_provider(system_roots(), Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?,
    };
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(PassedIn(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The roots that this machine trusts. One that cannot be read is passed over: then a chain that needs it does not verify.
fn system_roots() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

/// Accepts exactly the servers that have one key.
#[derive(Debug)]
struct PinnedKey {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let found = Pin::of(key.as_ref());
        if bool::from(found.0.ct_eq(&self.pin.0)) {
            return Ok(ServerCertVerified::assertion());
        }
        let wrong = WrongKey { expected: self.pin, found };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // The configuration has no such version.
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The clock that was passed in, for the dates of certificates and the age of session tickets.
struct PassedIn(Arc<dyn Clock>);

impl TimeProvider for PassedIn {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

impl fmt::Debug for PassedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PassedIn")
    }
}
