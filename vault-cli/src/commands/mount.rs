//! `vault mount`: shows a vault as a read-only file system, until it is unmounted or asked to stop.
//!
//! Whatever ends the command, a mount is not left behind: after Ctrl-C the directory is free at once, and what is still open stays
//! readable until it is closed.

mod attributes;
mod filesystem;
mod point;

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use fuser::{Config, MountOption, Session, SessionACL};
use jiff::tz::TimeZone;
use vault_core::ops::Stop;
use vault_core::ops::browse::{BrowseOptions, Browser, Selection};
use vault_core::vault::{Reader, Vault};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::spec::{self, Spec};
use crate::ui::{json, summary, time};
use crate::{config, report, signals, values};

use self::filesystem::VaultFilesystem;
use self::point::MountPoint;

pub(crate) use self::point::MountError;

/// How soon a request to stop is noticed.
const NOTICE: Duration = Duration::from_millis(100);
/// How long unmounting may take before it is said that something is still open.
const PATIENCE: Duration = Duration::from_millis(500);
/// Threads that answer the kernel at least: some of them wait for the store.
const LEAST_THREADS: usize = 4;
/// And at most: more only take memory.
const MOST_THREADS: usize = 16;

/// Show a vault as a read-only file system
///
/// DIR gets `latest`, `by-date`, `by-id` and `by-host`, with every snapshot below; new snapshots appear by themselves. The command runs until
/// Ctrl-C, or until `fusermount3 -u DIR`. Needs FUSE: /dev/fuse and, unless run as root, the program fusermount3.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault mount /mnt/backups --vault /mnt/disk/my-vault\n  \
    vault mount ./trip --snapshot latest:/Trip --vault /mnt/disk/my-vault\n  \
    vault mount ./trip --snapshot inbox:3fa94c1e")]
pub(crate) struct Mount {
    /// Directory to mount on: there, and empty
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// Show only this snapshot, or a directory in it
    #[arg(long, value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    snapshot: Option<Spec>,

    /// Let other users in, each to what the recorded owners and modes allow
    #[arg(long)]
    allow_other: bool,

    /// How much opened data to keep in memory, as in 64M
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = values::size)]
    cache: u64,
}

impl Mount {
    /// Mounts, and returns when nothing is mounted any more.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let point = MountPoint::check(&self.directory)?;
        let vault = match &self.snapshot {
            Some(spec) => context.fetch_for(spec)?,
            None => context.open(&context.location()?)?,
        };
        let reader = context.unlock(&vault)?;
        for fault in reader.faults() {
            context.ui.damage(&told(fault));
        }
        let name = format!("vault-{}", vault.id().short());
        let browser = Arc::new(self.browser(context, vault, reader)?);

        let (failures, (ended, end)) = (Arc::new(AtomicU64::new(0)), channel());
        let filesystem = VaultFilesystem::new(Arc::clone(&browser), context.ui, Arc::clone(&failures), ended)
            .enforcing_permissions(self.allow_other);
        filesystem.tell_faults();
        let stop = signals::stop_operation().map_err(CliError::Signals)?;
        let session = Session::new(filesystem, point.path(), &self.options(name))
            .map_err(|source| MountError::of_mounting(&point, source))?;
        let session = session.spawn().map_err(|source| MountError::of_mounting(&point, source))?;
        // Dropped, it would unmount whatever is mounted at the path by then.
        let _session = ManuallyDrop::new(session);
        let point = point.mounted();

        let snapshots = browser.totals().snapshots;
        let document = json::Mount::new(point.path(), snapshots);
        context.ui.result(&document, &summary::mount(point.path(), snapshots)).map_err(CliError::Output)?;
        wait(context, &point, stop, &end)?;
        let failed = failures.load(Ordering::Relaxed) > 0;
        Ok(if failed { Exit::Incomplete } else { Exit::Done })
    }

    fn browser(&self, context: &Context, vault: Vault, reader: Reader) -> Result<Browser, CliError> {
        let selection = match &self.snapshot {
            None => Selection::All,
            Some(spec) => Selection::Directory {
                snapshot: context.snapshot(&vault, &reader, spec)?,
                path: spec.path.clone(),
            },
        };
        let zone = TimeZone::system();
        let options = BrowseOptions {
            selection,
            cache_bytes: usize::try_from(self.cache).unwrap_or(usize::MAX),
            owner: config::user_and_group(),
            date_name: Box::new(move |moment| time::name(moment, &zone)),
        };
        Browser::new(vault, reader, options).map_err(|error| context.explain(error))
    }

    fn options(&self, name: String) -> Config {
        let mut options = Config::default();
        options.mount_options = vec![
            MountOption::FSName(name),
            MountOption::Subtype("vault".to_owned()),
            MountOption::RO,
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoAtime,
        ];
        if self.allow_other {
            options.mount_options.push(MountOption::DefaultPermissions);
            options.acl = SessionACL::All;
        }
        let processors = thread::available_parallelism().map_or(1, usize::from);
        options.n_threads = Some(processors.clamp(LEAST_THREADS, MOST_THREADS));
        options
    }
}

/// Waits until nothing is mounted any more; unmounts when asked to stop.
fn wait(context: &Context, point: &MountPoint, stop: &Stop, end: &Receiver<()>) -> Result<(), MountError> {
    while !stop.requested() {
        match end.recv_timeout(NOTICE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
    point.unmount()?;
    if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
        context.ui.note("unmounted, but files in it are still open: this ends when they are closed, or at once with Ctrl-C");
        // Disconnected or not: both say that the session is over.
        let _ = end.recv();
    }
    Ok(())
}

/// An error with its causes, as one message.
fn told(error: &vault_core::error::Error) -> String {
    report::causes(error).iter().fold(error.to_string(), |text, cause| text + ": " + cause)
}
