//! `vault recovery`: a kit from which a vault can be read when every machine is lost; tried, and put to use.
//!
//! A kit holds the identity as it is sealed, unless the user asks for it unsealed and opens it first.

mod contacts;
mod place;

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::tz::TimeZone;
use vault_core::error::Error;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::keys::key_file::{KeyFileError, write_private};
use vault_core::keys::kit::{Kit, KitIdentity};
use vault_core::ops::list::{ListOptions, list};
use vault_core::ops::snapshots::snapshots;
use vault_core::vault::{LocalPaths, Vault};
use zeroize::Zeroizing;

use self::place::Place;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::recovery::{self as sheets, OpensWith, Sheet};
use crate::ui::{human, json, stdout, summary, time};
use crate::unlock::read_file;
use crate::{config, identity, spec};

/// Make, try and use a recovery kit
///
/// A kit is a sheet of paper or a file with your sealed identity, where the vault is, its newest statement, and what to do. With
/// it and your passphrase a bare machine can restore everything. Make one, try it, and keep it in another place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault recovery kit --html kit.html --vault /mnt/disk/my-vault\n  \
    vault recovery test --kit kit.txt\n  \
    vault recovery restore --kit kit.txt")]
pub(crate) struct Recovery {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a kit: as text with QR codes, or as a page to print
    Kit(KitArgs),
    /// Prove that a kit opens its vault; changes nothing
    Test(UseArgs),
    /// Put the identity of a kit into place on this machine
    Restore(UseArgs),
}

#[derive(Debug, clap::Args)]
struct KitArgs {
    /// Write the kit as text into FILE
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Write the kit as a page to print into FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Put the identity in unsealed: the kit alone then opens everything
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, clap::Args)]
struct UseArgs {
    /// The kit, or the texts of its QR codes; `-` or nothing: typed or pasted
    #[arg(long, value_name = "FILE")]
    kit: Option<PathBuf>,

    /// Work that a passphrase costs, as power of two, for tests
    #[arg(long, hide = true, value_name = "N")]
    work_factor: Option<u8>,
}

impl Recovery {
    /// Does one of them.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        match self.command {
            Command::Kit(args) => make(&args, context),
            Command::Test(args) => test(&args, context),
            Command::Restore(args) => restore(&args, context),
        }
    }
}

fn make(args: &KitArgs, context: &Context) -> Result<Exit, CliError> {
    let location = context.location()?;
    let vault = context.open(&location)?;
    let (identity, opens_with) = if args.plain {
        let secret = context.with_opened_identity(&vault, &mut |identity| {
            vault.unlock(&identity)?;
            Ok(Zeroizing::new(identity.to_secret_text().as_bytes().to_vec()))
        })?;
        (KitIdentity::Plain(secret), OpensWith::Nothing)
    } else {
        let sealed = sealed_identity(context, &vault)?;
        let opens_with =
            if identity::opens_by_passphrase(&sealed) { OpensWith::Passphrase } else { OpensWith::Key };
        (KitIdentity::Sealed(sealed), opens_with)
    };
    let place = Place::for_kit(&location, context)?.as_bytes().to_vec();
    let kit = Kit {
        vault: *vault.id(),
        head: vault.state().head(),
        location: place,
        identity,
        contacts: contacts::of_kit(context)?,
    };
    let (text, codes) = (kit.to_text(), kit.to_codes());
    let date = time::human(context.now(), &TimeZone::system());
    let shown = place::in_full(&location);
    let sheet = Sheet {
        date: date.get(..10).unwrap_or(&date),
        host: &config::host(),
        location: &shown.to_string_lossy(),
        opens_with,
        kit: &text,
        codes: &codes,
    };
    let drawn = |result: Result<_, _>| result.map_err(|_| CliError::KitTooLong);
    if let Some(path) = &args.output {
        write_sheet(path, &drawn(sheets::text(&sheet, false))?)?;
    }
    if let Some(path) = &args.html {
        write_sheet(path, &drawn(sheets::html(&sheet))?)?;
    }
    let printed = args.output.is_none() && args.html.is_none();
    let document =
        json::RecoveryKit::new(&kit, &codes, printed.then_some(&*text), [&args.output, &args.html]);
    if printed && !context.ui.json {
        let text = drawn(sheets::text(&sheet, io::stdout().is_terminal()))?;
        let mut out = stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)?;
    } else {
        let text =
            summary::recovery_kit(args.output.as_deref(), args.html.as_deref(), opens_with, codes.len());
        context.ui.result(&document, &text).map_err(CliError::Output)?;
    }
    if opens_with == OpensWith::Key {
        context.ui.warn("the kit is of use only with the key that your identity is sealed to: keep a copy of that, or use --plain");
    }
    Ok(Exit::Done)
}

/// Writes a kit where the user wants it: what is wrong with that place is no fault of a key.
fn write_sheet(path: &Path, text: &str) -> Result<(), CliError> {
    write_private(path, text.as_bytes()).map_err(|error| match error {
        KeyFileError::Write { path, source } => CliError::WriteFile { path, source },
        KeyFileError::Exists { path } => CliError::FileExists { path },
        error => error.into(),
    })
}

/// The identity of this machine, or else the only one in the vault.
fn sealed_identity(context: &Context, vault: &Vault) -> Result<Vec<u8>, CliError> {
    if let Some(sealed) = identity::local(context.directories()?)? {
        return Ok(sealed);
    }
    match vault.sealed_identities()?.as_mut_slice() {
        [only] => Ok(std::mem::take(only)),
        _ => Err(CliError::NoIdentity),
    }
}

fn test(args: &UseArgs, context: &Context) -> Result<Exit, CliError> {
    let kit = read_kit(args, context)?;
    let place = Place::of_kit(&kit, context)?;
    let location = &place.location;
    let identity = place.needs_identity().then(|| open_identity(&kit, context)).transpose()?;
    // Nothing that this machine remembers helps or hinders: a bare machine would see the same.
    let scratch = tempfile::tempdir().map_err(|source| CliError::Scratch { source })?;
    let local = LocalPaths { state: scratch.path().join("state"), cache: scratch.path().join("cache") };
    let store = location.open(&place.access(identity.as_ref(), context)?).map_err(Error::from)?;
    expect_vault(&kit, store.vault_id)?;
    let vault = Vault::open_knowing(store, local, Some(kit.head))?;
    let identity = identity.map_or_else(|| open_identity(&kit, context), Ok)?;
    let reader = vault.unlock(&identity)?;

    let snapshots = snapshots(&vault, &reader)?;
    let (mut newest, mut entries) = (None, 0_u64);
    if !snapshots.is_empty() {
        let id = spec::resolve(&snapshots, "latest", &TimeZone::system())?;
        let options = ListOptions { snapshot: id, path: PathBuf::new(), recursive: false };
        list(&vault, &reader, &options, &mut |_, _| {
            entries += 1;
            Ok(())
        })?;
        newest = snapshots.iter().find(|snapshot| snapshot.id == id);
    }
    let head = vault.state().head();
    let document = json::RecoveryTest::new(&kit, &location.to_string(), snapshots.len(), newest, entries);
    let text = summary::recovery_test(
        &location.to_string(),
        snapshots.len(),
        newest,
        entries,
        head.seq.0 - kit.head.seq.0,
    );
    context.ui.result(&document, &text).map_err(CliError::Output)?;
    Ok(Exit::Done)
}

/// Opens the identity of the kit, with nothing that this machine knows.
fn open_identity(kit: &Kit, context: &Context) -> Result<UserIdentity, CliError> {
    match &kit.identity {
        KitIdentity::Sealed(sealed) => {
            identity::open(std::slice::from_ref(sealed), &context.keys_alone(), &mut Ok)
        }
        KitIdentity::Plain(text) => plain(text),
    }
}

fn plain(text: &[u8]) -> Result<UserIdentity, CliError> {
    UserIdentity::parse_secret_text(text).map_err(|error| CliError::IdentityContents(error.into()))
}

fn restore(args: &UseArgs, context: &Context) -> Result<Exit, CliError> {
    let directories = context.directories()?;
    if identity::local(directories)?.is_some() {
        return Err(CliError::IdentityExists { path: directories.identity() });
    }
    let kit = read_kit(args, context)?;
    let sealed = match &kit.identity {
        KitIdentity::Sealed(sealed) => Zeroizing::new(sealed.clone()),
        KitIdentity::Plain(text) => {
            let passphrase = context.keys_alone().new_passphrase()?;
            Zeroizing::new(plain(text)?.seal_with_passphrase(&passphrase, args.work_factor)?)
        }
    };
    let place = Place::of_kit(&kit, context)?;
    if place.needs_identity() {
        // A server that is out of reach is no reason to leave half of the work: nothing is in place yet.
        place.join(&open_identity(&kit, context)?, context)?;
    }
    let path = identity::keep(directories, &sealed)?;
    let contacts = contacts::restore(&kit, &place, context)?;
    let location = place.location;
    let reached = match location.open(&context.access(&location)?) {
        Err(error) => {
            context.ui.note(&format!("the vault is not there now: {error}"));
            false
        }
        Ok(store) => {
            expect_vault(&kit, store.vault_id)?;
            context.open_knowing(&location, Some(kit.head))?;
            true
        }
    };
    let document = json::RecoveryRestore::new(&kit, &location.to_string(), &path, (reached, contacts));
    let text = summary::recovery_restore(&path, &location.to_string(), (reached, contacts));
    context.ui.result(&document, &text).map_err(CliError::Output)?;
    Ok(Exit::Done)
}

fn expect_vault(kit: &Kit, found: vault_core::id::VaultId) -> Result<(), CliError> {
    if found == kit.vault {
        return Ok(());
    }
    Err(CliError::KitOfOtherVault { expected: kit.vault.short(), found: found.short() })
}

fn read_kit(args: &UseArgs, context: &Context) -> Result<Kit, CliError> {
    let path = args.kit.as_deref().filter(|path| *path != Path::new("-"));
    let bytes = if let Some(path) = path {
        read_file(path)?
    } else {
        if io::stdin().is_terminal() {
            context.ui.note("paste the kit, or the texts of its codes; end with Ctrl-D on a line of its own");
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 << 16));
        let read = io::stdin().take(1 << 20).read_to_end(&mut bytes);
        read.map_err(|source| CliError::ReadFile { path: PathBuf::from("-"), source })?;
        bytes
    };
    let name = || human::path(path.unwrap_or(Path::new("standard input")));
    let text = str::from_utf8(&bytes).map_err(|_| CliError::NotText { path: PathBuf::from(name()) })?;
    Kit::parse(text).map_err(|source| CliError::Kit { name: name(), source })
}
