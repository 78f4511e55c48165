//! TLS 1.3, and nothing older: the server's own key pair, or certificate files that may change while it runs.
//!
//! There is always a valid pair: one that cannot be read, or whose halves do not belong together, never replaces it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use vault_core::crypto::hash;

use crate::config::Tls;
use crate::secret_file::{self, SecretFileError};

/// The server's own certificate, in its data directory.
pub const CERTIFICATE_FILE: &str = "tls.certificate.pem";
/// Its key.
pub const KEY_FILE: &str = "tls.key.pem";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's own key cannot be kept.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// A file is not readable or not PEM.
    #[error("cannot read a certificate or key from {path}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A key that cannot be used, or that is not the certificate's.
    #[error("the certificate and the key do not fit together")]
    Pair(#[source] rustls::Error),
    /// The self-signed certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
}

/// The certificate that is presented now.
#[derive(Debug)]
pub struct Certificates {
    files: (PathBuf, PathBuf),
    current: RwLock<Arc<CertifiedKey>>,
    /// How the files were when they were last read, whatever came of it.
    read: Mutex<[Stamp; 2]>,
}

/// Another one after every change of a file: its number and the time of its last change, which nobody can set back. `None` without the
/// file.
type Stamp = Option<(u64, i64, i64)>;

impl Certificates {
    /// Loads, or on the first start makes, what the configuration asks for; `None` without TLS.
    pub fn load(tls: &Tls, data: &Path) -> Result<Option<Arc<Self>>, TlsError> {
        let files = match tls {
            Tls::Off => return Ok(None),
            Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
            Tls::SelfSigned => {
                let (certificate, key) = (data.join(CERTIFICATE_FILE), data.join(KEY_FILE));
                make_unless_there(&certificate, &key)?;
                (certificate, key)
            }
        };
        let read = stamps(&files);
        let pair = read_pair(&files)?;
        Ok(Some(Arc::new(Self { files, current: RwLock::new(pair), read: Mutex::new(read) })))
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`: what clients pin.
    pub fn pin(&self) -> Option<[u8; 32]> {
        self.pair().key.public_key().map(|key| hash::object_hash(&key))
    }

    /// Reads the files again if they changed. Says whether there is a new pair; on an error, which comes once for each change, the one
    /// before stays.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        if *self.read.lock().unwrap_or_else(PoisonError::into_inner) == stamps(&self.files) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Reads the files again. On an error the pair before stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the files: what changes while they are read is seen the next time.
        *read = stamps(&self.files);
        let pair = read_pair(&self.files)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    /// What the listener needs.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .map_err(TlsError::Pair)?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        Ok(builder.with_no_client_auth().with_cert_resolver(resolver))
    }

    fn pair(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair())
    }
}

/// The primitives of TLS.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn stamps((certificate, key): &(PathBuf, PathBuf)) -> [Stamp; 2] {
    let of = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    };
    [of(certificate), of(key)]
}

fn read_pair(files: &(PathBuf, PathBuf)) -> Result<Arc<CertifiedKey>, TlsError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, source }
    };
    let (certificate, key) = files;
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(at(certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(at(key))?;
    // Fails, too, if the key is not the certificate's.
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(TlsError::Pair)
}

/// The key first: without a certificate it is made anew, since nobody can have pinned it yet.
fn make_unless_there(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    if secret_file::read(key)?.is_some() && certificate.exists() {
        return Ok(());
    }
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
    let mut params = CertificateParams::new(vec!["vault-server".to_owned()]).map_err(TlsError::Make)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "vault-server");
    let made = params.self_signed(&pair).map_err(TlsError::Make)?;
    let text = zeroize::Zeroizing::new(pair.serialize_pem());
    secret_file::write(key, text.as_bytes())?;
    secret_file::write(certificate, made.pem().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_servers_own_pair_is_made_once_and_its_pin_stays() {
        let directory = tempfile::tempdir().unwrap();

        let first = Certificates::load(&Tls::SelfSigned, directory.path()).unwrap().unwrap();
        let second = Certificates::load(&Tls::SelfSigned, directory.path()).unwrap().unwrap();

        assert!(first.pin().is_some());
        assert_eq!(first.pin(), second.pin());
        assert!(first.server_config().is_ok());
    }

    #[test]
    fn a_changed_pair_is_taken_and_half_a_pair_is_not() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let other = Certificates::load(&Tls::SelfSigned, two.path()).unwrap().unwrap();
        Certificates::load(&Tls::SelfSigned, one.path()).unwrap();
        let file = |name: &str| one.path().join(name);
        let from_two = |name: &str| fs::read(two.path().join(name)).unwrap();
        let (certificate, key) = (file("tls.certificate.pem"), file("tls.key.pem"));
        let tls = Tls::Files { certificate: certificate.clone(), key: key.clone() };
        let served = Certificates::load(&tls, one.path()).unwrap().unwrap();
        let before = served.pin();

        fs::write(&key, from_two("tls.key.pem")).unwrap();
        assert!(matches!(served.reload_if_changed(), Err(TlsError::Pair(_))));
        assert!(!served.reload_if_changed().unwrap(), "said once");
        assert!(matches!(served.reload(), Err(TlsError::Pair(_))), "and whenever it is asked for");
        assert_eq!(served.pin(), before);

        fs::write(&certificate, from_two("tls.certificate.pem")).unwrap();
        assert!(served.reload_if_changed().unwrap());
        assert_eq!(served.pin(), other.pin());
        assert!(!served.reload_if_changed().unwrap());
    }

    #[test]
    fn an_older_file_in_the_place_of_another_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        Certificates::load(&Tls::SelfSigned, directory.path()).unwrap();
        let file = |name: &str| directory.path().join(name);
        let tls = Tls::Files { certificate: file(CERTIFICATE_FILE), key: file(KEY_FILE) };
        fs::copy(file(CERTIFICATE_FILE), file("older")).unwrap();
        let time = fs::metadata(file(CERTIFICATE_FILE)).unwrap().modified().unwrap();
        fs::File::options().write(true).open(file("older")).unwrap().set_modified(time).unwrap();
        let served = Certificates::load(&tls, directory.path()).unwrap().unwrap();

        fs::rename(file("older"), file(CERTIFICATE_FILE)).unwrap();

        assert!(served.reload_if_changed().unwrap());
    }
}
