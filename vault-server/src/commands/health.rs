//! `vault-server health` and `doctor`: whether the server serves, and what would keep it from serving well.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned, version};
use vault_core::crypto::hash;
use vault_server::RECEIPT_KEY_FILE;
use vault_server::config::{Config, Tls};
use vault_server::telemetry::Causes;
use vault_server::tls::{self, Certificates, KEY_FILE};

use super::{CommandError, print, with_parts};

/// The longest that the server may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the running server's `/readyz`.
pub(crate) fn health(config: &Config) -> Result<ExitCode, CommandError> {
    let asked = ask(config);
    let answer =
        asked.map_err(|source| CommandError::Io { what: "the server does not answer".to_owned(), source })?;
    let status = answer.split_ascii_whitespace().nth(1).unwrap_or("no status").to_owned();
    if status == "200" {
        print("the server is ready")?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(CommandError::NotInOrder(format!("the server is not ready: {status}")))
}

fn ask(config: &Config) -> io::Result<String> {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    if config.tls == Tls::Off {
        return exchange(socket, address);
    }
    let certificates = Certificates::load(&config.tls, &config.data).map_err(io::Error::other)?;
    let pin = certificates.and_then(|certificates| certificates.pin()).unwrap_or_default();
    let client = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(pin, tls::provider())))
        .with_no_client_auth();
    let name = ServerName::from(address.ip());
    let connection = ClientConnection::new(Arc::new(client), name).map_err(io::Error::other)?;
    exchange(StreamOwned::new(connection, socket), address)
}

fn exchange(mut stream: impl io::Read + io::Write, address: SocketAddr) -> io::Result<String> {
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut answer = Vec::new();
    // A server may close without TLS's goodbye: what has come is enough.
    let read = io::Read::take(&mut stream, 16 << 10).read_to_end(&mut answer);
    if answer.is_empty() {
        read?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Accepts one public key, whatever else the certificate says.
#[derive(Debug)]
struct Pinned([u8; 32], Arc<CryptoProvider>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _stapled: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        if hash::object_hash(&key) == self.0 {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("the server has another key".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.1.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    is_good: bool,
    detail: String,
}

/// Looks at configuration, keys, database, object store and listener.
pub(crate) fn doctor(config: &Config, json: bool) -> Result<ExitCode, CommandError> {
    let mut findings = vec![keys_are_private(config), has_public_url(config)];
    let opened = with_parts(config, async |parts| {
        let database = parts.db.probe(super::now_ms()).await;
        let objects = parts.objects.probe();
        Ok([
            finding("the database takes writes", database.map(|()| parts.db.engine_name().to_owned())),
            finding("the object store takes writes", objects.map(|()| String::new())),
        ])
    });
    match opened {
        Ok(parts) => findings.extend(parts),
        Err(error) => findings.push(finding("data can be opened", Err::<String, _>(error))),
    }
    findings.push(finding("the server answers", ask(config).map(|_| config.listen.to_string())));
    report(&findings, json)
}

fn report(findings: &[Finding], json: bool) -> Result<ExitCode, CommandError> {
    let is_good = findings.iter().all(|finding| finding.is_good);
    if json {
        let list: Vec<_> = findings
            .iter()
            .map(|finding| {
                serde_json::json!({ "what": finding.what, "good": finding.is_good, "detail": finding.detail })
            })
            .collect();
        print(&serde_json::json!({ "good": is_good, "findings": list }).to_string())?;
    } else {
        let lines = findings.iter().map(|finding| {
            let mark = if finding.is_good { "ok  " } else { "FAIL" };
            format!(
                "{mark}  {}{}{}",
                finding.what,
                if finding.detail.is_empty() { "" } else { ": " },
                finding.detail
            )
        });
        print(&lines.collect::<Vec<_>>().join("\n"))?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn finding<E: std::error::Error + 'static>(what: &'static str, result: Result<String, E>) -> Finding {
    match result {
        Ok(detail) => Finding { what, is_good: true, detail },
        Err(error) => Finding { what, is_good: false, detail: Causes(&error).to_string() },
    }
}

fn keys_are_private(config: &Config) -> Finding {
    let what = "keys are readable for their owner only";
    let files = [RECEIPT_KEY_FILE, KEY_FILE].map(|name| config.data.join(name));
    let is_exposed =
        |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    match files.into_iter().find(is_exposed) {
        None => Finding { what, is_good: true, detail: String::new() },
        Some(path) => Finding { what, is_good: false, detail: format!("chmod 600 {}", path.display()) },
    }
}

fn has_public_url(config: &Config) -> Finding {
    let detail = match &config.public_url {
        Some(url) => url.clone(),
        None => "public_url is not set: invites name the address of this machine".to_owned(),
    };
    Finding { what: "clients know where the server is", is_good: true, detail }
}
