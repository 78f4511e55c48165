//! A running server: made from a listener and a configuration, ended with everything it began.
//!
//! The server has a thread of its own, so that it runs in a program and in a test alike.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use tokio::sync::watch;
use vault_core::crypto::random::SystemRandom;
use vault_core::crypto::sign::SigningKey;
use vault_core::time::Clock;

use crate::config::Config;
use crate::connections::admit;
use crate::db::{Database, DatabaseOptions, DbError};
use crate::front::front;
use crate::invites::{self, InviteError, Terms};
use crate::jobs::{JobSettings, Jobs, recover};
use crate::limits::Limiter;
use crate::logs::Logs;
use crate::objects::{DiskObjects, Floor, Objects, ObjectsError, UploadError};
use crate::ranges::{GrantRanges, RANGES_IN_MEMORY};
use crate::routes::routes;
use crate::secret_file::{self, SecretFileError};
use crate::state::{State, SystemClock, millis};
use crate::telemetry::Causes;
use crate::tls::{Certificates, TlsError};

/// The `SQLite` database, in the data directory.
const DATABASE_FILE: &str = "vault.db";

/// The key that signs receipts, in the data directory.
pub const RECEIPT_KEY_FILE: &str = "receipt.key";

/// The address by which the server was reached when it ran last, in the data directory.
const URL_FILE: &str = "url";

/// A day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Connections to a `PostgreSQL` database, and readers of a `SQLite` one.
const DATABASE_CONNECTIONS: u32 = 8;

/// How long another process may take to open the data directory.
const OPENING: Duration = Duration::from_secs(60);

/// How often certificate files are looked at, and what says nothing any more is dropped.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A directory or key cannot be used.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// Another server has the data directory.
    #[error("another server is using {}", data.display())]
    InUse {
        /// The data directory.
        data: PathBuf,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store cannot be used.
    #[error("the object store cannot be opened")]
    Objects(#[from] ObjectsError),
    /// What a crash left cannot be removed.
    #[error(transparent)]
    Recover(#[from] UploadError),
    /// There is no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The first invite cannot be made.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The listener does not work.
    #[error("cannot listen")]
    Listen(#[source] std::io::Error),
    /// The server's thread ended.
    #[error("the server ended before it began")]
    Ended,
}

/// What the operator's commands and the server both open.
pub struct Parts {
    /// What is remembered.
    pub db: Database,
    /// The bytes of objects.
    pub objects: Arc<dyn Objects>,
    /// Signs receipts.
    pub receipt_key: SigningKey,
    /// The certificate; `None` without TLS.
    pub certificates: Option<Arc<Certificates>>,
}

/// Opens what the configuration names; makes it on the first start. Of several processes, one after the other: a command that is run
/// while the server starts for the first time finds its keys and tables, and makes no others.
pub async fn open(config: &Config) -> Result<Parts, StartError> {
    let _turn = turn(config).await?;
    let random = Arc::new(SystemRandom::new());
    let options = match &config.database_url {
        Some(url) => DatabaseOptions::Postgres { url: url.clone(), connections: DATABASE_CONNECTIONS },
        None => {
            DatabaseOptions::Sqlite { path: config.data.join(DATABASE_FILE), readers: DATABASE_CONNECTIONS }
        }
    };
    let db = Database::open(&options, Arc::<SystemRandom>::clone(&random)).await?;
    Ok(Parts {
        db,
        objects: Arc::new(DiskObjects::open(&config.data.join("objects"), floor(config))?),
        receipt_key: secret_file::signing_key(&config.data.join(RECEIPT_KEY_FILE), &*random)?,
        certificates: Certificates::load(&config.tls, &config.data)?,
    })
}

/// Keeps a second server off the data directory while the file is open.
fn lock(config: &Config) -> Result<File, StartError> {
    try_lock(config, "lock")?.ok_or_else(|| StartError::InUse { data: config.data.clone() })
}

/// Waits until nobody else opens the data directory, and keeps others waiting while the file is open.
async fn turn(config: &Config) -> Result<File, StartError> {
    let begun = Instant::now();
    loop {
        if let Some(file) = try_lock(config, "opening")? {
            return Ok(file);
        }
        if begun.elapsed() > OPENING {
            return Err(StartError::InUse { data: config.data.clone() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A lock in the data directory; `None` if another process has it.
fn try_lock(config: &Config, name: &str) -> Result<Option<File>, StartError> {
    secret_file::private_directory(&config.data)?;
    let path = config.data.join(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(SecretFileError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(SecretFileError::io(&path)(source).into()),
    }
}

fn floor(config: &Config) -> Floor {
    config.keeping.keep_free.map_or(Floor::Usual, Floor::Bytes)
}

/// What the jobs beside the server work on.
pub fn jobs_of(config: &Config, parts: &Parts, clock: Arc<dyn Clock>) -> Jobs {
    let settings = JobSettings {
        grace: DAY.saturating_mul(config.keeping.grace_days),
        min_age: DAY.saturating_mul(config.keeping.min_age_days),
        scrub_percent: config.keeping.scrub_percent,
        ..JobSettings::default()
    };
    Jobs { db: parts.db.clone(), objects: Arc::clone(&parts.objects), clock, settings }
}

/// The server.
#[derive(Debug)]
pub struct Server;

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// How clients reach it.
    pub public_url: String,
    /// An invite for the first user, if there was none.
    pub invite: Option<String>,
    /// What clients pin; `None` without TLS.
    pub pin: Option<[u8; 32]>,
    handle: ServerHandle,
    stopping: watch::Sender<bool>,
    certificates: Option<Arc<Certificates>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a listener until the server is stopped.
    pub fn start(listener: TcpListener, config: Config) -> Result<Running, StartError> {
        Self::start_at(listener, config, Arc::new(SystemClock))
    }

    /// The same with another clock.
    pub fn start_at(
        listener: TcpListener,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Running, StartError> {
        let (ready, started) = mpsc::channel();
        let body = move || {
            actix_web::rt::System::new().block_on(async move {
                match prepare(listener, config, clock).await {
                    Err(error) => drop(ready.send(Err(error))),
                    Ok((running, server, state, jobs)) => {
                        let _ = ready.send(Ok(running));
                        serve(server, state, jobs).await;
                    }
                }
            });
        };
        let thread =
            thread::Builder::new().name("server".to_owned()).spawn(body).map_err(StartError::Listen)?;
        let mut running = started.recv().map_err(|_| StartError::Ended)??;
        running.thread = Some(thread);
        Ok(running)
    }
}

impl Running {
    /// Ends the server: running requests are given the configured time.
    pub fn stop(mut self) {
        self.end();
    }

    /// Waits until the server ends by itself.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Reads the certificate files again, whether they changed or not.
    pub fn reload(&self) {
        if let Some(certificates) = &self.certificates {
            tell_of(certificates.reload().map(|()| true));
        }
    }

    fn end(&mut self) {
        self.stopping.send_replace(true);
        // The future only says when it is done; the message is sent at once.
        drop(self.handle.stop(true));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

type Prepared = (Running, actix_web::dev::Server, web::Data<State>, Jobs);

async fn prepare(
    listener: TcpListener,
    config: Config,
    clock: Arc<dyn Clock>,
) -> Result<Prepared, StartError> {
    let addr = listener.local_addr().map_err(StartError::Listen)?;
    let lock = lock(&config)?;
    let public_url = public_url(&config, addr);
    remember_url(&config, &public_url)?;
    let parts = open(&config).await?;
    let jobs = jobs_of(&config, &parts, Arc::clone(&clock));
    if config.database_url.is_none() {
        // Nobody else has this database: what is under way in it was cut off by a crash.
        recover(&jobs, millis(clock.now())).await?;
    }
    let (stopping, stopped) = watch::channel(false);
    let state = web::Data::new(State {
        logs: Logs::new(config.limits.log_cache, parts.receipt_key.verifying_key()),
        ranges: GrantRanges::new(RANGES_IN_MEMORY),
        limiter: Limiter::new(&config.limits),
        config,
        db: parts.db,
        objects: parts.objects,
        receipt_key: parts.receipt_key,
        certificates: parts.certificates,
        clock,
        random: SystemRandom::new(),
        stopping: stopped,
        _lock: lock,
    });
    let pin = state.certificates.as_ref().and_then(|certificates| certificates.pin());
    let invite = first_invite(&state, &public_url, pin).await?;
    let server = http(listener, state.clone())?;
    let running = Running {
        addr,
        public_url,
        invite,
        pin,
        handle: server.handle(),
        stopping,
        certificates: state.certificates.clone(),
        thread: None,
    };
    Ok((running, server, state, jobs))
}

fn http(listener: TcpListener, state: web::Data<State>) -> Result<actix_web::dev::Server, StartError> {
    let limits = state.config.limits;
    let tls = state.certificates.clone();
    let workers = match state.config.workers {
        0 => thread::available_parallelism().map_or(2, std::num::NonZero::get),
        workers => workers,
    };
    let admitting = state.clone();
    let app = move || App::new().app_data(state.clone()).wrap(from_fn(front)).configure(routes);
    let server = HttpServer::new(app)
        .on_connect(move |connection, data| admit(connection, data, &admitting))
        .workers(workers)
        .max_connections((limits.connections as usize).div_ceil(workers))
        .backlog(1024)
        .keep_alive(limits.keep_alive)
        .client_request_timeout(limits.head)
        .client_disconnect_timeout(Duration::from_secs(5))
        .tls_handshake_timeout(limits.head)
        .shutdown_timeout(limits.stop.as_secs())
        .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls.server_config()?),
        None => server.listen(listener),
    };
    Ok(server.map_err(StartError::Listen)?.run())
}

/// Runs the server and what is done beside it, to the end of both.
async fn serve(server: actix_web::dev::Server, state: web::Data<State>, jobs: Jobs) {
    let jobs = actix_web::rt::spawn(jobs.run(state.stopping.clone()));
    let tidying = actix_web::rt::spawn(tidy(state.clone()));
    if let Err(error) = server.await {
        tracing::error!(cause = %Causes(&error), "the server failed");
    }
    tidying.abort();
    let _ = jobs.await;
    state.db.close().await;
}

async fn tidy(state: web::Data<State>) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        state.limiter.tidy();
        let certificates = state.certificates.clone();
        if let Some(certificates) = certificates {
            let _ = web::block(move || tell_of(certificates.reload_if_changed())).await;
        }
    }
}

/// Tells the operator what became of another look at the certificate files.
fn tell_of(reloaded: Result<bool, TlsError>) {
    match reloaded {
        Ok(true) => tracing::info!("the certificate was read again"),
        Err(error) => {
            tracing::error!(cause = %Causes(&error), "the certificate cannot be used, the one before stays");
        }
        Ok(false) => {}
    }
}

async fn first_invite(
    state: &State,
    public_url: &str,
    pin: Option<[u8; 32]>,
) -> Result<Option<String>, StartError> {
    if !state.db.users(None, 1).await?.is_empty() {
        return Ok(None);
    }
    let terms = Terms::of_first_user(&state.config.keeping);
    let url = invites::make(&state.db, (public_url, pin), &terms, state.now_ms(), &state.random).await?;
    Ok(Some(url))
}

/// The configured address, or the one by which this machine reaches others.
fn public_url(config: &Config, addr: SocketAddr) -> String {
    if let Some(url) = &config.public_url {
        return url.clone();
    }
    let ip = if addr.ip().is_unspecified() { outward_address() } else { addr.ip() };
    format!("https://{}", SocketAddr::new(ip, addr.port()))
}

/// How clients reach the server: as configured, or as it was when it ran last.
pub fn known_url(config: &Config) -> String {
    let remembered = || std::fs::read_to_string(config.data.join(URL_FILE)).ok();
    let known = config.public_url.clone().or_else(remembered).map(|url| url.trim_end().to_owned());
    known.unwrap_or_else(|| public_url(config, config.listen))
}

/// Lets the operator's commands name the server as it names itself.
fn remember_url(config: &Config, url: &str) -> Result<(), SecretFileError> {
    secret_file::write(&config.data.join(URL_FILE), format!("{url}\n").as_bytes())
}

/// The address of the interface that leads to others. Nothing is sent: a connected UDP socket only has a route.
fn outward_address() -> IpAddr {
    let found = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    found.map_or(IpAddr::from([127, 0, 0, 1]), |addr| addr.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_opens_for_the_first_time_at_once_finds_the_same_keys() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::defaults_in(directory.path()).unwrap();
        let open_here = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let parts = open(&config).await.unwrap();
                let pin = parts.certificates.as_ref().and_then(|certificates| certificates.pin());
                parts.db.close().await;
                (parts.receipt_key.verifying_key(), pin)
            })
        };

        let keys: Vec<_> = thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(open_here)).collect();
            opening.into_iter().map(|opening| opening.join().unwrap()).collect()
        });

        assert!(keys.iter().all(|other| *other == keys[0]), "{keys:?}");
    }
}
