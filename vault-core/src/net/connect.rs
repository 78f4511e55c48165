//! Connections: TCP by `ureq`, TLS by our own configuration of `rustls`, which `ureq` alone does not take.
//!
//! Every wait has a deadline. A server that answers before it has read the whole body, and then closes, is heard: a failed write is
//! remembered, and counts only if no answer comes.
//!
//! `ureq::unversioned` may change in any release of `ureq`, so the workspace pins the exact version.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use ureq::config::{AutoHeaderValue, Config};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, TcpConnector, Transport,
    TransportAdapter,
};
use ureq::{Agent, Error};

/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 128 << 10;
/// The head of an answer is far smaller.
const HEAD_MAX_BYTES: usize = 32 << 10;
/// Connections that are kept for the next request: as many as threads that move objects at once.
const IDLE_CONNECTIONS: usize = 16;
/// Servers close idle connections; closing first avoids the race.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long to wait for what. Each is a bound of its own; together they bound a request by its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For the address, the connection and the handshake.
    pub connect: Duration,
    /// For any single read or write to make progress, the first byte of the answer among them.
    pub idle: Duration,
    /// For everything that does not grow with the size of the bodies.
    pub request: Duration,
    /// The least average rate at which bodies move, in bytes per second.
    pub rate: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            request: Duration::from_secs(90),
            rate: 16 << 10,
        }
    }
}

impl Deadlines {
    /// For a whole request whose bodies have so many bytes, and for which the server is asked to wait so long.
    pub(super) fn total(&self, bytes: u64, wait: Duration) -> Duration {
        let moving = Duration::from_secs(bytes / self.rate.max(1));
        self.request.saturating_add(wait).saturating_add(moving)
    }
}

/// Makes the pool of connections to servers that `tls` accepts.
pub(super) fn agent(tls: ClientConfig, deadlines: &Deadlines) -> Agent {
    let config = Config::builder()
        .https_only(true)
        .http_status_as_error(false)
        // The environment is not ours to read, and a redirection would not fit the signature.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .accept(AutoHeaderValue::None)
        .accept_encoding(AutoHeaderValue::None)
        .user_agent("vault")
        .no_delay(true)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_response_header_size(HEAD_MAX_BYTES)
        .max_idle_connections(IDLE_CONNECTIONS)
        .max_idle_connections_per_host(IDLE_CONNECTIONS)
        .max_idle_age(IDLE_TIME)
        .timeout_resolve(Some(deadlines.connect))
        .timeout_connect(Some(deadlines.connect))
        .timeout_per_read(Some(deadlines.idle))
        .timeout_per_write(Some(deadlines.idle))
        .build();
    let connector = ().chain(TcpConnector::default()).chain(TlsConnector { config: Arc::new(tls) });
    Agent::with_parts(config, connector, DefaultResolver::default())
}

/// Wraps a connection in TLS.
#[derive(Debug)]
struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = TlsTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<TlsTransport>, Error> {
        let Some(tcp) = chained else { return Ok(None) };
        let host = details.uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::BadUri("the host is not a name".to_owned()))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.config), name)?;
        let mut socket =
            TransportAdapter::new(Box::new(tcp) as Box<dyn Transport>, Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(from_io)?;
        }
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(TlsTransport { tls, socket, buffers, failed_write: None }))
    }
}

/// A connection after its handshake.
struct TlsTransport {
    tls: ClientConnection,
    socket: TransportAdapter,
    buffers: LazyBuffers,
    /// The peer takes nothing any more: it may have answered already.
    failed_write: Option<Error>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.failed_write.is_some() {
            return Ok(());
        }
        self.socket.set_timeout(timeout);
        let mut left = &self.buffers.output()[..amount];
        let mut write = || {
            while !left.is_empty() {
                let taken = self.tls.writer().write(left)?;
                left = &left[taken..];
                while self.tls.wants_write() {
                    self.tls.write_tls(&mut self.socket)?;
                }
            }
            Ok(())
        };
        match write().map_err(from_io) {
            Err(error) if is_closed(&error) => {
                self.failed_write = Some(error);
                Ok(())
            }
            other => other,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.socket.set_timeout(timeout);
        match self.read() {
            Ok(amount) => {
                self.buffers.input_appended(amount);
                match self.failed_write.take() {
                    Some(error) if amount == 0 => Err(error),
                    failed => {
                        self.failed_write = failed;
                        Ok(amount > 0)
                    }
                }
            }
            Err(error) => Err(self.failed_write.take().unwrap_or_else(|| from_io(error))),
        }
    }

    fn is_open(&mut self) -> bool {
        self.failed_write.is_none() && self.socket.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl TlsTransport {
    /// Reads what has arrived into the buffer; waits until there is something.
    fn read(&mut self) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            let ended = self.tls.read_tls(&mut self.socket)? == 0;
            let state = self
                .tls
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if ended && state.plaintext_bytes_to_read() == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Answers to what the peer asked of TLS itself; if they cannot be sent, reading tells why.
            while self.failed_write.is_none() && self.tls.wants_write() {
                self.tls.write_tls(&mut self.socket)?;
            }
        }
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").field("socket", self.socket.get_ref()).finish_non_exhaustive()
    }
}

/// What an I/O error may carry.
type Cause = dyn std::error::Error + Send + Sync;

/// Takes out of an I/O error what was put into it on the way: a deadline, or a failure of TLS.
fn from_io(error: io::Error) -> Error {
    let is_tls = error.get_ref().is_some_and(<Cause>::is::<rustls::Error>);
    if !is_tls {
        return Error::from(error);
    }
    match error.into_inner().map(<Cause>::downcast::<rustls::Error>) {
        Some(Ok(inner)) => Error::Rustls(*inner),
        _ => Error::Tls("an error without a cause"),
    }
}

/// Whether the peer has closed the connection.
fn is_closed(error: &Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error, Error::Io(error) if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset))
}
