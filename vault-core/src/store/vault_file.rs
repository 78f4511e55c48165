//! The file `VAULT`: tells people what the directory is, and programs which format and which vault.
//!
//! It is written last when a vault is made, and never changed: a directory without it is no vault. The text above the two
//! lines is for people and may differ; the lines themselves stand exactly once each.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::StoreError;
use crate::id::VaultId;

/// The file's name.
pub(super) const NAME: &str = "VAULT";

/// The format of vaults that this version makes, and the latest that it reads.
pub const FORMAT: u32 = 1;

/// More than any such file has; keeps a strange file of that name from being read into memory.
const MAX_BYTES: u64 = 64 * 1024;

const FORMAT_LINE: &str = "format: ";
const ID_LINE: &str = "id: ";

/// The file's text.
pub(super) fn text(vault_id: &VaultId) -> String {
    format!(
        "This directory is a vault: an encrypted, deduplicated store of backups.\n\
         Do not edit, rename or delete anything in it by hand; use the command `vault`.\n\
         \n\
         {FORMAT_LINE}{FORMAT}\n\
         {ID_LINE}{vault_id}\n"
    )
}

/// Reads the id of the vault in a directory.
pub(super) fn read(directory: &Path) -> Result<VaultId, StoreError> {
    let path = directory.join(NAME);
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            StoreError::NotAVault { path: directory.to_path_buf() }
        }
        _ => StoreError::from_io("read", &path, source),
    };
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    parse(&bytes).map_err(|fault| match fault {
        Fault::Malformed(line) => StoreError::MalformedVaultFile { path, line },
        Fault::Newer(found) => {
            StoreError::NewerFormat { path: directory.to_path_buf(), found, supported: FORMAT }
        }
    })
}

/// What is wrong with the text.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The line that starts so is not there once, or says nothing that can be read.
    Malformed(&'static str),
    /// It tells of a later format.
    Newer(u32),
}

fn parse(bytes: &[u8]) -> Result<VaultId, Fault> {
    let text = (bytes.len() as u64 <= MAX_BYTES).then_some(bytes);
    let text = text.and_then(|bytes| str::from_utf8(bytes).ok()).ok_or(Fault::Malformed(FORMAT_LINE))?;

    let format = the_line(text, FORMAT_LINE)?;
    match format.parse() {
        Ok(FORMAT) if format == FORMAT.to_string() => {}
        // A later format may have another id line, or none: ask nothing more of it.
        Ok(found) if found > FORMAT => return Err(Fault::Newer(found)),
        _ => return Err(Fault::Malformed(FORMAT_LINE)),
    }
    VaultId::parse(the_line(text, ID_LINE)?).map_err(|_| Fault::Malformed(ID_LINE))
}

/// Decodes bytes as the file, for fuzzing.
#[cfg(feature = "testing")]
pub fn decode_any(bytes: &[u8]) -> Option<VaultId> {
    parse(bytes).ok()
}

/// The rest of the one line that starts with `start`.
fn the_line<'a>(text: &'a str, start: &'static str) -> Result<&'a str, Fault> {
    let mut lines = text.split('\n').filter_map(|line| line.strip_prefix(start));
    match (lines.next(), lines.next()) {
        (Some(rest), None) => Ok(rest),
        _ => Err(Fault::Malformed(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_back() {
        let id = VaultId::new([0xc4; 32]);

        assert_eq!(parse(text(&id).as_bytes()), Ok(id));
    }

    #[test]
    fn the_text_is_as_documented() {
        let expected = format!(
            "This directory is a vault: an encrypted, deduplicated store of backups.\n\
             Do not edit, rename or delete anything in it by hand; use the command `vault`.\n\n\
             format: 1\nid: {}\n",
            "c4".repeat(32)
        );

        assert_eq!(text(&VaultId::new([0xc4; 32])), expected);
    }

    #[test]
    fn a_later_format_is_told_from_a_malformed_one() {
        assert_eq!(parse(b"format: 2\nmode: new\n"), Err(Fault::Newer(2)));
        for bad in ["0", "-1", "+1", "01", "1 ", "1\r", "one", "", "4294967296"] {
            let text = format!("format: {bad}\nid: {}\n", "00".repeat(32));
            assert_eq!(parse(text.as_bytes()), Err(Fault::Malformed(FORMAT_LINE)), "{bad:?}");
        }
    }

    #[test]
    fn each_line_stands_exactly_once() {
        let id = format!("id: {}\n", "00".repeat(32));

        assert_eq!(parse(id.as_bytes()), Err(Fault::Malformed(FORMAT_LINE)));
        assert_eq!(
            parse(format!("format: 1\nformat: 1\n{id}").as_bytes()),
            Err(Fault::Malformed(FORMAT_LINE))
        );
        assert_eq!(parse(b"format: 1\n"), Err(Fault::Malformed(ID_LINE)));
        assert_eq!(parse(format!("format: 1\n{id}{id}").as_bytes()), Err(Fault::Malformed(ID_LINE)));
        assert_eq!(parse(b"format: 1\nid: 00\n"), Err(Fault::Malformed(ID_LINE)));
    }

    #[test]
    fn binary_and_oversized_files_are_malformed() {
        let mut long = text(&VaultId::new([0; 32])).into_bytes();
        long.resize(MAX_BYTES as usize + 1, b'\n');

        assert_eq!(parse(&long), Err(Fault::Malformed(FORMAT_LINE)));
        assert_eq!(parse(&[0xff; 40]), Err(Fault::Malformed(FORMAT_LINE)));
    }
}
