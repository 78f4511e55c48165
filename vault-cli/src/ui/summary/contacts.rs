//! What `contact` says to people.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use jiff::tz::TimeZone;
use vault_core::card::WholeCard;
use vault_core::time::Timestamp;
use vault_core::wire::fingerprint::user_words;

use super::super::human::{counted, path};
use super::super::table::{Align, Table};
use super::super::time;
use super::Lines;
use crate::commands::contact::{Added, Shown, Verified};
use crate::contacts::Contact;

/// Words in rows of six, which people read to each other.
pub(crate) fn in_rows(words: &[&str]) -> String {
    words.chunks(6).fold(String::new(), |mut text, row| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {}", row.join(" "));
        text
    })
}

/// A contact was added, or is known.
pub(crate) fn added(added: &Added) -> String {
    let Added { contact, known, devices } = added;
    let mut lines = Lines::new(&if *known {
        format!("{} is a contact already, with the same keys", contact.name)
    } else {
        format!("{} is a contact now, unverified", contact.name)
    });
    rows(&mut lines, contact);
    if *devices > 0 {
        lines.row("devices", &devices.to_string());
    }
    next(&mut lines, contact);
    lines.0
}

/// Words were compared.
pub(crate) fn verified(verified: &Verified) -> String {
    let mut lines = Lines::new(&format!("{} is verified", verified.name));
    compared(&mut lines, &verified.words);
    lines.0
}

/// All contacts.
pub(crate) fn list(out: &mut dyn Write, contacts: &[Contact]) -> io::Result<()> {
    if contacts.is_empty() {
        return writeln!(out, "no contacts");
    }
    let columns = [("Name", Align::Left), ("Verified", Align::Left), ("Words", Align::Left)];
    let mut table = Table::new(columns);
    for contact in contacts {
        let verified = contact.verified.map_or_else(|| "no".to_owned(), day);
        table.push([contact.name.to_string(), verified, contact.words().join(" ")]);
    }
    table.write(out)
}

/// One contact.
pub(crate) fn shown(shown: &Shown) -> String {
    let contact = &shown.contact;
    let mut lines = Lines::new(contact.name.as_str());
    rows(&mut lines, contact);
    lines.row("verified", &contact.verified.map_or_else(|| "no".to_owned(), day));
    lines.row("added", &day(contact.added));
    for (device, kind) in &shown.devices {
        lines.row("device", &format!("{}, {}", device.short(), super::devices::kind(*kind)));
    }
    if contact.user().is_some() {
        compared(&mut lines, &shown.words);
    }
    next(&mut lines, contact);
    if let Some(code) = &shown.code {
        lines.0 += code;
    }
    lines.0
}

/// A contact was forgotten.
pub(crate) fn removed(contact: &Contact) -> String {
    let mut lines = Lines::new(&format!("{} is no contact any more", contact.in_words()));
    lines.row("note", "what was shared with them stays shared");
    lines.0
}

/// One's own card was written to a file.
pub(crate) fn own_card(card: &WholeCard, to: &Path) -> String {
    let mut lines = Lines::new(&format!("your contact card is in {}", path(to)));
    lines.row("words", &user_words(&card.user()).join(" "));
    lines.row("card", &counted(card.entries().len() as u64, "entry"));
    lines.row("next", "give it to somebody, who runs `vault contact add NAME --card FILE`");
    lines.0
}

fn rows(lines: &mut Lines, contact: &Contact) {
    match contact.user() {
        Some(user) => lines.row("user", &user.short()),
        None => lines.row("key", &brief(contact.recipient())),
    }
    lines.row("words", &contact.words().join(" "));
    if let Some(listed) = contact.listed() {
        lines.row("found as", &format!("{} on {}", listed.name, listed.server));
    }
}

/// The words that both sides see, in two rows.
fn compared(lines: &mut Lines, words: &[&str]) {
    for (number, row) in words.chunks(6).enumerate() {
        lines.row(if number == 0 { "compare" } else { "" }, &row.join(" "));
    }
}

fn next(lines: &mut Lines, contact: &Contact) {
    if contact.verified.is_none() {
        lines.row("next", &format!("compare words with them: `vault contact verify {}`", contact.name));
    }
}

/// The beginning of a recipient, which may have 2000 characters.
fn brief(recipient: &str) -> String {
    if recipient.len() <= 62 { recipient.to_owned() } else { format!("{}…", &recipient[..56]) }
}

fn day(seconds: i64) -> String {
    let time = time::human(Timestamp::new(seconds, 0), &TimeZone::system());
    time.get(..10).unwrap_or(&time).to_owned()
}
