//! `vault undelete`: looks into the trash of a vault on a server, and takes objects out of it.
//!
//! Objects come back; what the log has forgotten stays forgotten, but a snapshot that an attacker forgot can be read again by its id
//! from an older state of the log.

use vault_core::error::Error;
use vault_core::object::ObjectKey;
use vault_core::time::Timestamp;
use vault_core::wire::Millis;
use vault_core::wire::v1::trash::{TrashedObject, Undelete as What};

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Exit;
use crate::spec;
use crate::ui::{json, summary};

/// Take deleted objects of a vault on a server out of its trash
///
/// What prune deletes stays in the server's trash for some days. Only an owner can look into it and take something out.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  vault undelete --list --vault photos\n  vault undelete --since 2026-11-22 --vault photos"
)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Undelete {
    /// Only list what is in the trash
    #[arg(long, group = "what")]
    list: bool,

    /// Take out all that was deleted at this time or later, as in 2026-11-22T10:00
    #[arg(long, value_name = "TIME", value_parser = spec::begin_of, group = "what")]
    since: Option<Timestamp>,

    /// Take out everything
    #[arg(long, group = "what")]
    all: bool,

    /// Take out these objects, named as --list shows them
    #[arg(value_name = "OBJECT", value_parser = object, group = "what")]
    objects: Vec<ObjectKey>,
}

/// The most objects that are named in one request.
const AT_ONCE: usize = 1000;

impl Undelete {
    /// Lists the trash, or takes objects out.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let (server, vault) = context.vault_on_server()?;
        if self.list {
            let mut trash: Vec<TrashedObject> = Vec::new();
            loop {
                let after = trash.last().map(|last| last.path);
                let page = server.trash(&vault, after.as_ref()).map_err(Error::from)?;
                let is_end = !page.more || page.objects.is_empty();
                trash.extend(page.objects);
                if is_end {
                    break;
                }
            }
            let document = json::audit::Trash::new(&vault, &trash);
            context
                .ui
                .listing(&document, |out| summary::audit::trash(out, &trash))
                .map_err(CliError::Output)?;
            return Ok(Exit::Done);
        }
        let since = self.since.map(Millis::from_timestamp).or(self.all.then_some(Millis(0)));
        let mut undeleted = 0;
        match since {
            Some(since) => undeleted = server.undelete(&vault, &What::Since(since)).map_err(Error::from)?,
            None => {
                for objects in self.objects.chunks(AT_ONCE) {
                    let what = What::Paths(objects.to_vec());
                    undeleted += server.undelete(&vault, &what).map_err(Error::from)?;
                }
            }
        }
        let document = json::audit::Undeleted::new(&vault, undeleted);
        context.ui.result(&document, &summary::audit::undeleted(undeleted)).map_err(CliError::Output)?;
        Ok(Exit::Done)
    }
}

fn object(text: &str) -> Result<ObjectKey, &'static str> {
    ObjectKey::parse(text).ok_or("not the name of an object: expected one like packs/ab/abcd…")
}
