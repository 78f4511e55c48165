//! What `share`, `link`, `grants`, `revoke`, `inbox` and `get` say to people.
//!
//! Whose keys were never compared is said each time: a name is only what this machine calls somebody.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use vault_core::bytes::ByteSize;
use vault_core::id::GrantId;
use vault_core::ops::grants::{GivenContents, Shared};
use vault_core::ops::restore::RestoreSummary;
use vault_core::time::Timestamp;
use vault_core::wire::fingerprint::user_words;

use super::super::human::{self, count, counted};
use super::super::table::{Align, Table};
use super::super::time;
use super::Lines;
use crate::commands::get::Fetched;
use crate::commands::grants::Listed;
use crate::commands::inbox::Listed as Received;
use crate::commands::link::Made;
use crate::commands::share::Given;
use crate::contacts::Addressee;
use crate::granted::{Giver, Who};

/// Says of whom among these nobody has compared words.
pub(super) fn unverified<'n>(lines: &mut Lines, names: impl Iterator<Item = &'n str>) {
    for name in names {
        lines.row(
            "note",
            &format!("{name} is unverified: compare words with them: `vault contact verify {name}`"),
        );
    }
}

/// Something was given to contacts.
pub(crate) fn shared(given: &Given) -> String {
    let names: Vec<&str> = given.to.iter().map(Addressee::name).collect();
    let grant = given.shared.grant.short();
    let mut lines = Lines::new(&format!("given to {} as {grant}", names.join(", ")));
    amounts(&mut lines, &given.shared, given.expires);
    let unverified_names = given.to.iter().filter(|to| !to.is_verified()).map(Addressee::name);
    unverified(&mut lines, unverified_names);
    let open = match &given.directory {
        Some(place) => {
            let place = human::shell_word(&human::message(place));
            format!("they open it with `vault get {grant} --vault {place} --target DIR`")
        }
        None => {
            format!("they find it with `vault inbox`, and fetch it with `vault get {grant} --target DIR`")
        }
    };
    lines.row("next", &open);
    lines.0
}

/// A link was made: what stands beside the URL.
pub(crate) fn linked(made: &Made) -> String {
    let grant = made.shared.grant.short();
    let mut lines = Lines::new(&format!("link made, as {grant}; whoever has it has what it opens"));
    amounts(&mut lines, &made.shared, made.expires);
    if let Some(downloads) = made.downloads {
        lines.row("downloads", &format!("{} at most", count(downloads.into())));
    }
    if made.passphrase {
        lines.row("note", "it needs the passphrase, which is best told by another way than the URL");
    }
    lines.0
}

fn amounts(lines: &mut Lines, shared: &Shared, expires: Option<u64>) {
    lines.row("files", &format!("{}, {}", count(shared.files), ByteSize(shared.bytes)));
    lines.row("stored", &ByteSize(shared.stored_bytes).to_string());
    lines.row("until", &until(expires.map(moment)));
}

fn moment(seconds: u64) -> Timestamp {
    Timestamp::new(i64::try_from(seconds).unwrap_or(i64::MAX), 0)
}

fn until(expires: Option<Timestamp>) -> String {
    let taken_back = || "it is taken back".to_owned();
    expires.map_or_else(taken_back, |expires| time::human(expires, &TimeZone::system()))
}

/// What is in a grant.
fn name(contents: Option<&GivenContents>) -> String {
    match contents {
        None => "-".to_owned(),
        Some(contents) if contents.name.is_empty() => "(a whole snapshot)".to_owned(),
        Some(contents) => human::name(&contents.name),
    }
}

fn files(contents: Option<&GivenContents>) -> [String; 2] {
    contents.map_or_else(
        || ["-".to_owned(), "-".to_owned()],
        |contents| [count(contents.files), ByteSize(contents.bytes).to_string()],
    )
}

/// What was given away.
pub(crate) fn list(out: &mut dyn Write, listed: &[Listed]) -> io::Result<()> {
    if listed.is_empty() {
        return writeln!(out, "nothing was given away");
    }
    let zone = TimeZone::system();
    let mut table = Table::new([
        ("Id", Align::Left),
        ("What", Align::Path),
        ("To", Align::Elastic),
        ("Until", Align::Left),
        ("Fetched", Align::Right),
        ("Given", Align::Left),
    ]);
    for one in listed {
        let info = &one.info;
        let mut to = one.to.clone();
        to.extend(info.link.map(|_| "link".to_owned()));
        let expires = info.expires.map_or_else(|| "-".to_owned(), |end| time::human(moment(end), &zone));
        let by = one.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
        table.push([
            info.grant.short(),
            name(info.what.as_ref()),
            to.join(", "),
            if info.holds { expires } else { format!("{expires} (expired)") },
            fetched_times(one),
            time::human(info.time, &zone) + &by,
        ]);
    }
    table.write(out)
}

/// How often a grant was fetched, of how often it may be.
fn fetched_times(listed: &Listed) -> String {
    let most =
        listed.info.link.flatten().map_or_else(String::new, |most| format!(" of {}", count(most.into())));
    listed.fetched.map_or_else(|| "-".to_owned(), |(times, _)| count(times) + &most)
}

/// What was taken back.
pub(crate) fn revoked(revoked: &[GrantId]) -> String {
    let ids: Vec<String> = revoked.iter().map(GrantId::short).collect();
    if ids.is_empty() {
        return Lines::new("somebody else has taken it back already").0;
    }
    let mut lines = Lines::new(&format!("taken back: {}", ids.join(", ")));
    lines.row("note", "what was fetched before stays with those who have it");
    lines.0
}

/// Who gave something; `!` behind a name says that words were never compared.
fn from(giver: &Giver) -> String {
    match &giver.who {
        Who::Me => "you".to_owned(),
        Who::Contact { name, verified: true } => name.clone(),
        Who::Contact { name, verified: false } => format!("{name} !"),
        Who::Stranger => format!("stranger: {}", user_words(&giver.user).join(" ")),
    }
}

/// What the user was given.
pub(crate) fn inbox(out: &mut dyn Write, listed: &[Received]) -> io::Result<()> {
    if listed.is_empty() {
        return writeln!(out, "nothing was given to you");
    }
    let zone = TimeZone::system();
    let mut table = Table::new([
        ("Id", Align::Left),
        ("From", Align::Left),
        ("What", Align::Path),
        ("Files", Align::Right),
        ("Size", Align::Right),
        ("Until", Align::Left),
    ]);
    for one in listed {
        let [files, size] = files(one.contents.as_ref());
        let expires = one.offered.expires.map_or_else(|| "-".to_owned(), |end| time::human(end, &zone));
        let name = name(one.contents.as_ref());
        table.push([one.offered.grant.short(), from(&one.giver), name, files, size, expires]);
    }
    table.write(out)?;
    let is_unverified = |one: &Received| matches!(one.giver.who, Who::Contact { verified: false, .. });
    if listed.iter().any(is_unverified) {
        writeln!(out, "! unverified: compare words with them: `vault contact verify NAME`")?;
    }
    Ok(())
}

/// Something was fetched.
pub(crate) fn fetched(
    fetched: &Fetched,
    target: &Path,
    (summary, elapsed): (&RestoreSummary, Duration),
) -> String {
    let mut lines = Lines(super::restore(target, summary, elapsed));
    lines.row("what", &name(Some(&fetched.contents)));
    if let Some(giver) = &fetched.giver {
        lines.row("from", &from(giver));
        if let Who::Contact { name, verified: false } = &giver.who {
            unverified(&mut lines, std::iter::once(name.as_str()));
        }
    }
    if let Some(left) = fetched.left {
        lines.row("link", &format!("{} left", counted(left.into(), "download")));
    }
    lines.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: Shared = Shared {
        grant: GrantId::new([0xab; 16]),
        files: 2,
        bytes: 2048,
        in_place_bytes: 0,
        stored_bytes: 100,
    };

    #[test]
    fn a_share_says_where_it_is_opened() {
        let given = |directory: Option<&str>| {
            let directory = directory.map(str::to_owned);
            shared(&Given { shared: SHARED, to: Vec::new(), expires: None, directory })
        };

        assert!(given(None).contains("until      it is taken back\n"));
        assert!(given(None).contains("`vault get abababab --target DIR`"));
        assert!(given(Some("/mnt/my vault")).contains("--vault '/mnt/my vault' --target DIR`"));
    }

    #[test]
    fn what_was_taken_back_may_have_been_fetched() {
        let text = revoked(&[GrantId::new([0xab; 16])]);

        assert!(text.starts_with("taken back: abababab\n") && text.contains("stays with those"), "{text}");
    }

    #[test]
    fn a_whole_snapshot_has_no_name() {
        let contents = |name: &[u8]| GivenContents { name: name.to_vec(), files: 0, bytes: 0 };

        assert_eq!(name(Some(&contents(b""))), "(a whole snapshot)");
        assert_eq!(name(Some(&contents(b"\x1b[2J"))), "\\u{1b}[2J");
        assert_eq!(name(None), "-");
    }
}
