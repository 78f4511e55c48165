//! Which vault stands at which place: remembered at first sight, so that nobody can put another in its stead.
//!
//! A vault proves its own id, but not that it is the one that stood there yesterday. Whoever controls the storage could found a vault with
//! the user as a member and wait for the next unattended backup. The file has a line for each place: the vault's id, a space,
//! and the place with what is not printable escaped.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use vault_core::id::VaultId;
use vault_core::store::location::Location;

/// What is remembered about a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    Unseen,
    /// This vault stood there.
    Vault(VaultId),
}

/// Looks up a place.
pub(crate) fn look_up(file: &Path, location: &Location) -> io::Result<Known> {
    let place = name(location);
    let lines = read(file)?;
    let line = lines.iter().find(|(_, known)| *known == place);
    Ok(line.map_or(Known::Unseen, |(vault, _)| Known::Vault(*vault)))
}

/// Remembers that a vault stands at a place, instead of whatever stood there.
pub(crate) fn remember(file: &Path, location: &Location, vault: VaultId) -> io::Result<()> {
    let place = name(location);
    let mut lines = read(file)?;
    lines.retain(|(_, known)| *known != place);
    lines.push((vault, place));
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
    for (vault, place) in &lines {
        writeln!(temporary, "{vault} {place}")?;
    }
    temporary.as_file().sync_data()?;
    temporary.persist(file)?;
    Ok(())
}

/// The lines of the file; one that is not understood is as good as none.
fn read(file: &Path) -> io::Result<Vec<(VaultId, String)>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text?,
    };
    let line = |line: &str| {
        let (vault, place) = line.split_once(' ')?;
        Some((VaultId::parse(vault).ok()?, place.to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// The place by its full path, however it was given.
fn name(location: &Location) -> String {
    let Some(directory) = location.directory() else { return location.to_string() };
    let path = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    path.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_remembered_until_another_vault_is_made_there() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("places");
        let [one, other] = [1, 2].map(|n| VaultId::new([n; 32]));
        let [here, there] = ["a b", "c"].map(|name| Location::parse(directory.path().join(name)).unwrap());
        assert_eq!(look_up(&file, &here).unwrap(), Known::Unseen);

        remember(&file, &here, one).unwrap();
        remember(&file, &there, other).unwrap();
        assert_eq!(look_up(&file, &here).unwrap(), Known::Vault(one));

        remember(&file, &here, other).unwrap();
        assert_eq!(look_up(&file, &here).unwrap(), Known::Vault(other));
        assert_eq!(look_up(&file, &there).unwrap(), Known::Vault(other));
    }
}
