//! `vault-server serve`: serves until a signal says to stop.

use std::io::IsTerminal as _;
use std::net::TcpListener;
use std::process::ExitCode;

use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vault_server::config::Config;
use vault_server::{Running, Server, telemetry};

use super::{CommandError, print, say};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The address and port to listen on; stands above the configuration
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<std::net::SocketAddr>,
}

pub(crate) fn run(arguments: &Arguments, mut config: Config) -> Result<ExitCode, CommandError> {
    if let Some(listen) = arguments.listen {
        config.listen_on(listen)?;
    }
    telemetry::init(config.log_format, &config.log_level)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(io("cannot start a thread"))?;
    let ended = runtime.block_on(async {
        // Signals first: one that comes while the server starts must not be lost.
        let mut signals = Signals::new()?;
        let listener =
            TcpListener::bind(config.listen).map_err(io(&format!("cannot listen on {}", config.listen)))?;
        let data = config.data.display().to_string();
        let started = tokio::task::spawn_blocking(move || Server::start(listener, config)).await;
        let running = started.map_err(|error| io("cannot start a thread")(error.into()))??;
        greet(&running, &data)?;
        serve(running, &mut signals).await
    });
    // Not waiting for the thread that may still be stopping the server.
    runtime.shutdown_background();
    ended
}

/// Serves until a signal, and then as long as running requests need and may take, or until a second one.
async fn serve(running: Running, signals: &mut Signals) -> Result<ExitCode, CommandError> {
    if !signals.wait_for_stop(&running).await {
        return Err(CommandError::NotInOrder("the server ended by itself".to_owned()));
    }
    say("stopping: running requests are finished; a second signal ends at once");
    let stopping = tokio::task::spawn_blocking(move || running.stop());
    tokio::select! {
        _ = stopping => Ok(ExitCode::SUCCESS),
        // What was acknowledged is on the disk, and of the rest nothing is seen at the next start: as after a power cut.
        () = signals.stop() => Err(CommandError::NotInOrder("ended before running requests were".to_owned())),
    }
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> CommandError {
    let what = what.to_owned();
    move |source| CommandError::Io { what, source }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, CommandError> {
        let of = |kind| signal(kind).map_err(io("cannot wait for signals"));
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop. `false` if the server ended by itself.
    async fn wait_for_stop(&mut self, running: &Running) -> bool {
        let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return true,
                _ = self.interrupt.recv() => return true,
                _ = self.hangup.recv() => running.reload(),
                _ = look.tick() => if !running.is_running() { return false },
            }
        }
    }

    /// Waits for the next signal to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What the operator sees at the start: where the server is, and what to type next.
fn greet(running: &Running, data: &str) -> Result<(), CommandError> {
    say(&format!("serving {} (listening on {}, data in {data})", running.public_url, running.addr));
    let Some(invite) = &running.invite else { return Ok(()) };
    say("\nThis server has no users yet. On the first user's machine:\n");
    print(&format!("    vault join '{invite}'"))?;
    if let Some(code) = qr(invite) {
        say(&format!("\n{code}"));
    }
    say("and then, for example:\n\n    vault backup --init --vault photos ~/Pictures\n");
    say("The invite is for one user, once. For others: vault-server invite");
    Ok(())
}

/// The text as a QR code, if there is a terminal to show it on.
pub(crate) fn qr(text: &str) -> Option<String> {
    if !std::io::stderr().is_terminal() {
        return None;
    }
    let code = QrCode::new(text).ok()?;
    // Light on dark: terminals are dark more often, and scanners take both.
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
