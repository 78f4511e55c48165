//! Checking the server's own state: every row of an object that is stored, or in the trash, has its file.

use vault_core::id::VaultId;
use vault_core::object::ObjectKey;

use super::Jobs;
use super::scrub::is_good;
use crate::db::{Cursor, ObjectState};
use crate::objects::{UploadError, blocking};

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has no file.
    Missing,
    /// Its file has another length.
    Length {
        /// What the file has, in bytes.
        found: u64,
    },
    /// Its file has another hash than its name says.
    Hash,
    /// It was found damaged before, and not put again since.
    Damaged,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Objects that were looked at.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those with something wrong; the first 10,000.
    pub faults: Vec<(VaultId, ObjectKey, Fault)>,
}

/// Faults that a report lists.
const MAX_FAULTS: usize = 10_000;

/// Looks at every object; with `read_data`, reads those through that are named by their hash.
pub async fn check(jobs: &Jobs, read_data: bool) -> Result<CheckReport, UploadError> {
    let (mut report, mut after) = (CheckReport::default(), None);
    loop {
        let rows = jobs.db.all_objects(after.as_ref(), 500).await?;
        let Some(last) = rows.last() else { return Ok(report) };
        after = Some(Cursor { vault: last.vault, key: last.key });
        for row in rows {
            let fault = match row.state {
                ObjectState::Reserved | ObjectState::Leaving => continue,
                ObjectState::Damaged => Some(Fault::Damaged),
                ObjectState::Stored | ObjectState::Trash => {
                    let objects = jobs.objects.clone();
                    blocking(move || {
                        Ok(match objects.size(&row.vault, &row.key)? {
                            None => Some(Fault::Missing),
                            Some(found) if found != row.size => Some(Fault::Length { found }),
                            Some(_) if !read_data => None,
                            Some(_) => {
                                (!is_good(&objects, &row.vault, &row.key, row.size)?).then_some(Fault::Hash)
                            }
                        })
                    })
                    .await?
                }
            };
            report.objects += 1;
            report.bytes = report.bytes.saturating_add(row.size);
            // It may have left since the row was read.
            if let Some(fault) = fault
                && report.faults.len() < MAX_FAULTS
                && jobs
                    .db
                    .object_record(&row.vault, &row.key)
                    .await?
                    .is_some_and(|now| now.state == row.state)
            {
                report.faults.push((row.vault, row.key, fault));
            }
        }
    }
}
