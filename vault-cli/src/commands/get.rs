//! `vault get`: fetches what one was given, or what a link opens, into a directory.
//!
//! A link is all that is needed: no account, no identity, no configuration, and none is made.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use vault_core::id::GrantId;
use vault_core::ops::grants::{GivenContents, Opened};
use vault_core::ops::restore::{Delete, Destination, RestoreOptions, restore};
use vault_core::wire::link::LinkUrl;
use zeroize::Zeroizing;

use super::restore::{Choice, When, exit, overwrite};
use crate::context::Context;
use crate::error::{CliError, ShareError};
use crate::exit::Exit;
use crate::granted::{self, Giver, Wanted};
use crate::ui::progress::Display;
use crate::ui::{json, summary};

/// Fetch what you were given, or what a link opens
///
/// GRANT is the id that `vault inbox` shows, or its first digits. A link needs nothing else on this machine; if it has a passphrase,
/// that is asked for before the download is counted.
///
/// A download that was interrupted is continued by the same command, which for a link counts as another one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    vault get 3fa94c1e --target ./trip\n  \
    vault get 'https://vault.example.org/s/3fa9…#Zm9v…' --target ./trip")]
pub(crate) struct Get {
    /// A grant, or a link in quotes, or `-` to read the link from standard input
    #[arg(value_name = "GRANT|URL")]
    what: String,

    /// Directory to fetch it into: empty, or not there yet
    #[arg(long, value_name = "DIR", required = true)]
    target: PathBuf,

    /// Fetch into a directory that is not empty
    #[arg(long, value_name = "WHEN", value_enum, help_heading = "What is there already")]
    overwrite: Option<When>,

    /// Go on with a download; the same as --overwrite if-changed
    #[arg(long, conflicts_with = "overwrite", help_heading = "What is there already")]
    resume: bool,

    /// Take it even if it is from somebody who is no contact of yours
    #[arg(long)]
    from_stranger: bool,

    /// Read the passphrase of the link from the first line of FILE
    #[arg(long, value_name = "FILE")]
    link_passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    choice: Choice,
}

/// What is fetched, and from whom it is.
pub(crate) struct Fetched {
    pub(crate) grant: GrantId,
    /// Who gave it; nobody knows of a link.
    pub(crate) giver: Option<Giver>,
    pub(crate) contents: GivenContents,
    /// How often the link may still be used, if that is counted.
    pub(crate) left: Option<u32>,
}

impl Get {
    /// Fetches it, and says what it was.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let text = self.text()?;
        if self.what == "-" || LinkUrl::looks_like(&text) {
            let link = LinkUrl::parse(&text).map_err(ShareError::from)?;
            let download = granted::by_link(context, &link, self.link_passphrase_file.as_deref())?;
            let fetched = Fetched {
                grant: link.grant,
                giver: None,
                contents: download.contents.clone(),
                left: download.left,
            };
            return self.fetch(context, &download.opened, &fetched);
        }
        let wanted = Wanted { id: &text, from_stranger: self.from_stranger, fetches: true };
        let given = granted::open(context, wanted)?;
        let fetched =
            Fetched { grant: given.grant, giver: Some(given.giver), contents: given.contents, left: None };
        self.fetch(context, &given.opened, &fetched)
    }

    fn text(&self) -> Result<Zeroizing<String>, CliError> {
        if self.what != "-" {
            return Ok(Zeroizing::new(self.what.clone()));
        }
        let mut text = Zeroizing::new(String::with_capacity(4096));
        let read = std::io::stdin().take(4096).read_to_string(&mut text);
        read.map_err(|source| CliError::ReadFile { path: "-".into(), source })?;
        Ok(text)
    }

    fn fetch(&self, context: &Context, opened: &Opened, fetched: &Fetched) -> Result<Exit, CliError> {
        let options = RestoreOptions {
            snapshot: opened.snapshot,
            path: PathBuf::new(),
            destination: Destination::Directory(self.target.clone()),
            overwrite: overwrite(self.overwrite, self.resume),
            // No owners are given away.
            owners: false,
            include: self.choice.included()?,
            exclude: self.choice.excluded()?,
            delete: Delete::Nothing,
            protect: Vec::new(),
            verify: false,
            sparse: false,
            dry_run: false,
        };
        let begun = Instant::now();
        let display = Display::new(context.ui);
        let summary = restore(&opened.vault, &opened.reader, &options, &context.around(&display)?)
            .map_err(|error| context.explain(error))?;
        let problems = display.finish();

        let run = json::Run { created_vault: false, elapsed: begun.elapsed(), problems: &problems };
        let restored = json::Restore::new(&opened.snapshot, &self.target, &summary, run);
        let document = json::grants::Get::new(fetched, restored);
        let text = summary::grants::fetched(fetched, &self.target, (&summary, run.elapsed));
        context.ui.result(&document, &text).map_err(CliError::Output)?;
        Ok(exit(&summary))
    }
}
