//! What `audit` and `undelete` say to people.

use std::io::{self, Write};

use jiff::tz::TimeZone;
use vault_core::bytes::ByteSize;
use vault_core::wire::audit::{AuditEntry, AuditHead};
use vault_core::wire::v1::trash::TrashedObject;

use super::super::human::{counted, message};
use super::super::table::{Align, Table};
use super::super::time;

/// What was done in a vault. The texts are the server's.
pub(crate) fn entries(out: &mut dyn Write, head: AuditHead, entries: &[AuditEntry]) -> io::Result<()> {
    let mut table = Table::new([
        ("No.", Align::Right),
        ("Time", Align::Left),
        ("Device", Align::Left),
        ("From", Align::Left),
        ("What", Align::Left),
        ("Object", Align::Elastic),
    ]);
    for entry in entries {
        table.push([
            entry.seq.to_string(),
            time::human(entry.time.to_timestamp(), &TimeZone::system()),
            entry.device.map_or_else(|| "server".to_owned(), |device| device.short()),
            message(&entry.address),
            message(&entry.action),
            message(&entry.object),
        ]);
    }
    table.write(out)?;
    writeln!(out, "{} verified", counted(head.seq, "entry"))
}

/// What is in the trash.
pub(crate) fn trash(out: &mut dyn Write, trash: &[TrashedObject]) -> io::Result<()> {
    if trash.is_empty() {
        return writeln!(out, "the trash is empty");
    }
    let zone = TimeZone::system();
    let mut table = Table::new([
        ("Size", Align::Right),
        ("Deleted", Align::Left),
        ("Leaves", Align::Left),
        ("Object", Align::Left),
    ]);
    for object in trash {
        table.push([
            ByteSize(object.size).to_string(),
            time::human(object.condemned_at.to_timestamp(), &zone),
            time::human(object.leaves_at.to_timestamp(), &zone),
            object.path.to_string(),
        ]);
    }
    table.write(out)
}

/// How much was taken out of the trash.
pub(crate) fn undeleted(objects: u64) -> String {
    format!("{} taken out of the trash\n", counted(objects, "object"))
}
