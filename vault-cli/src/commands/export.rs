//! `vault export`: a folder or file of a snapshot as one age file around a tar archive, for people who have no vault.
//!
//! The file has its name only when it is whole. What is in it opens with any `age` and `tar`.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use vault_core::error::Error;
use vault_core::keys::age_file::{SealError, seal_stream};
use vault_core::keys::recipient::AnyRecipient;
use vault_core::log::PqPolicy;
use vault_core::ops::cat::{Cat as Source, CatOptions, CatSummary};
use vault_core::wire::UserName;

use crate::contacts::Addressee;
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::filter::FilterOptions;
use crate::spec::{self, Spec};
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Seal a folder or file of a snapshot into one file for others
///
/// The file is an age file around a tar archive: `age -d -i KEY FILE | tar xf -` opens it, without a vault. It is sealed to age or ssh
/// recipients and to contacts, and to nobody else: not to you, unless you name yourself.
///
/// Recipients that start with age1pq1 and others cannot share one file: what the weaker key opens, the stronger does not protect.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault export photos:latest:/Trip --to anna -o trip.tar.age\n  \
    vault export latest:/letter.odt --to age1… -o letter.tar.age --vault ./my-vault")]
pub(crate) struct Export {
    /// Snapshot (latest, an id, a date), and a path in it
    #[arg(value_name = "SNAP[:PATH]", value_parser = spec::parser())]
    what: Spec,

    /// A contact, or an age1… or ssh-ed25519 recipient (may be repeated)
    #[arg(long, value_name = "NAME|KEY", required = true)]
    to: Vec<String>,

    /// Write into FILE, which must not exist; `-` is standard output
    #[arg(short, long, value_name = "FILE", required = true)]
    output: PathBuf,

    #[command(flatten)]
    filter: FilterOptions,
}

/// A file that was made.
pub(crate) struct Exported {
    pub(crate) options: CatOptions,
    pub(crate) output: PathBuf,
    pub(crate) to: Vec<To>,
    pub(crate) summary: CatSummary,
    /// Its length in bytes.
    pub(crate) bytes: u64,
}

/// Somebody it is sealed to.
pub(crate) struct To {
    /// The contact, if it is one.
    pub(crate) name: Option<String>,
    /// Whether words were ever compared with them; nobody knows of a bare recipient.
    pub(crate) verified: bool,
    pub(crate) recipient: AnyRecipient,
}

impl Export {
    /// Seals it, and says to whom.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let to_stdout = self.output == Path::new("-");
        if to_stdout && context.ui.json {
            return Err(CliError::JsonNeedsOutput);
        }
        if to_stdout && io::stdout().is_terminal() {
            return Err(CliError::ArchiveToTerminal);
        }
        let to: Vec<To> = self.to.iter().map(|text| To::parse(context, text)).collect::<Result<_, _>>()?;
        let vault = context.fetch_for(&self.what)?;
        let asks_for_pq = self.what.grant().is_none() && vault.state().pq() == PqPolicy::Required;
        if asks_for_pq && !to.iter().all(|to| to.recipient.is_post_quantum()) {
            context.ui.warn("not every recipient is post-quantum, as the vault asks of its members");
        }
        let reader = context.unlock(&vault)?;
        let snapshot = context.snapshot_among(&vault, &reader, &self.what, &self.filter)?;
        let options = CatOptions { snapshot, path: self.what.path };
        let source = Source::find(&vault, &reader, &options).map_err(|error| context.explain(error))?;
        let recipients: Vec<_> = to.iter().map(|to| to.recipient.clone()).collect();
        if to_stdout {
            return write_stdout(context, source, &recipients);
        }
        let begun = Instant::now();
        let ((summary, bytes), problems) = write_file(context, source, (&recipients, &self.output))?;
        let exported = Exported { options, output: self.output, to, summary, bytes };
        let run = json::Run { created_vault: false, elapsed: begun.elapsed(), problems: &problems };
        let document = json::Export::new(&exported, run);
        context.ui.result(&document, &summary::export(&exported, run.elapsed)).map_err(CliError::Output)?;
        Ok(exit(&summary))
    }
}

impl To {
    fn parse(context: &Context, text: &str) -> Result<Self, CliError> {
        let text = text.trim();
        let is_contact = match UserName::parse(text) {
            Ok(name) => context.contacts()?.get(&name)?.is_some(),
            Err(_) => false,
        };
        if !is_contact && (text.starts_with("age1") || text.starts_with("ssh-")) {
            let recipient = AnyRecipient::parse_own(text)
                .map_err(|source| CliError::Recipient { text: text.to_owned(), source })?;
            return Ok(Self { name: None, verified: false, recipient });
        }
        let addressee = Addressee::named(context, text)?;
        let name = Some(addressee.name().to_owned());
        Ok(Self { name, verified: addressee.is_verified(), recipient: addressee.recipient })
    }
}

fn exit(summary: &CatSummary) -> Exit {
    if summary.failed_entries == 0 { Exit::Done } else { Exit::Incomplete }
}

fn write_stdout(context: &Context, source: Source<'_>, to: &[AnyRecipient]) -> Result<Exit, CliError> {
    let mut out = io::stdout().lock();
    let display = Display::new(context.ui);
    let (summary, _) = seal(context, source, (to, &display), &mut out)
        .map_err(|error| error.or(Path::new("-"), CliError::Output))?;
    out.flush().map_err(CliError::Output)?;
    display.finish();
    Ok(exit(&summary))
}

/// Writes a file beside the one that is wanted, and gives it the name when it is whole.
fn write_file(
    context: &Context,
    source: Source<'_>,
    (to, path): (&[AnyRecipient], &Path),
) -> Result<((CatSummary, u64), Vec<json::Problem>), CliError> {
    let failed = |source| CliError::WriteFile { path: path.to_owned(), source };
    let mut file = super::cat::file_beside(path)?;
    let display = Display::new(context.ui);
    let sealed =
        seal(context, source, (to, &display), file.as_file_mut()).map_err(|error| error.or(path, failed))?;
    let problems = display.finish();
    super::cat::give_name(file, path)?;
    Ok((sealed, problems))
}

/// Why sealing ended early.
enum ExportError {
    Source(CliError),
    Seal(SealError),
    Target(io::Error),
}

impl ExportError {
    fn or(self, path: &Path, target: impl FnOnce(io::Error) -> CliError) -> CliError {
        match self {
            Self::Source(error) => error,
            Self::Seal(source) => {
                ShareError::Export { path: path.to_owned(), source: Box::new(source) }.into()
            }
            Self::Target(error) => target(error),
        }
    }
}

/// Counts what goes through it.
struct Counted<'w, W>(&'w mut W, u64);

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1 += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Streams the archive through age; also returns the length of the sealed file.
fn seal(
    context: &Context,
    source: Source<'_>,
    (to, display): (&[AnyRecipient], &Display),
    out: &mut impl Write,
) -> Result<(CatSummary, u64), ExportError> {
    let around = context.around(display).map_err(ExportError::Source)?;
    let mut sealed = seal_stream(to, Counted(out, 0)).map_err(ExportError::Seal)?;
    let mut failure = None;
    let written = source.write_archive(&around, &mut |bytes| {
        sealed.write_all(bytes).map_err(|error| {
            failure = Some(error);
            // Only stops the archive: the failure is told instead.
            Error::Interrupted
        })
    });
    if let Some(error) = failure {
        return Err(ExportError::Target(error));
    }
    let summary = written.map_err(|error| ExportError::Source(context.explain(error)))?;
    let counted = sealed.finish().map_err(ExportError::Target)?;
    Ok((summary, counted.1))
}
