//! The agent: a process that keeps an opened identity for a while, so that one passphrase serves several commands.
//!
//! A secret goes over the socket only: never through an argument, the environment or a file. The socket lies in a directory that
//! only its owner may enter, and each side makes sure that the other one is the same user.
//!
//! ```text
//! KEEP <seconds> <bytes>\n…     keeps an identity, in place of the same one kept before     answer: ok\n
//! GIVE\n                        gives all that are kept     answer: for each <bytes>\n…, then 0\n
//! LOCK\n                        wipes everything and ends   answer: ok\n
//! ```

pub(crate) mod server;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use vault_core::keys::identity_file::UserIdentity;
use zeroize::Zeroizing;

use crate::config;

/// The longest identity text; a real one has about 300 bytes.
const MAX_BYTES: usize = 1 << 16;
/// The most identities that are kept.
const MAX_KEPT: usize = 16;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);
/// Any access for group or others.
const OTHERS: u32 = 0o077;
/// What the agent says when it can be reached.
const READY: &str = "ready\n";

/// The socket in the agent's directory.
fn socket(directory: &Path) -> PathBuf {
    directory.join("agent.sock")
}

/// Keeps an identity for some time; starts an agent if there is none.
pub(crate) fn keep(directory: &Path, secret: &str, time: Duration) -> io::Result<()> {
    let stream = if let Ok(stream) = connect(directory) {
        stream
    } else {
        start(directory)?;
        connect(directory)?
    };
    (&stream).write_all(format!("KEEP {} {}\n", time.as_secs(), secret.len()).as_bytes())?;
    (&stream).write_all(secret.as_bytes())?;
    expect_ok(&stream)
}

/// The identities that are kept; none if there is no agent.
pub(crate) fn give(directory: &Path) -> Vec<UserIdentity> {
    let ask = || -> io::Result<Vec<UserIdentity>> {
        let stream = connect(directory)?;
        (&stream).write_all(b"GIVE\n")?;
        let mut reader = BufReader::with_capacity(1, &stream);
        let mut found = Vec::new();
        while found.len() < MAX_KEPT {
            let length = read_number(&read_line(&mut reader)?)?;
            if length == 0 {
                break;
            }
            let secret = read_secret(&mut reader, length)?;
            found.extend(UserIdentity::parse_secret_text(&secret).ok());
        }
        Ok(found)
    };
    // Without an answer the passphrase is asked for, as without an agent.
    ask().unwrap_or_default()
}

/// Wipes what is kept; tells whether there was an agent.
pub(crate) fn lock(directory: &Path) -> io::Result<bool> {
    let stream = match connect(directory) {
        Ok(stream) => stream,
        Err(error) if is_absent(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    (&stream).write_all(b"LOCK\n")?;
    expect_ok(&stream)?;
    Ok(true)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Connects to the agent, if it and the directory are this user's.
fn connect(directory: &Path) -> io::Result<UnixStream> {
    check_directory(directory)?;
    let stream = UnixStream::connect(socket(directory))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    expect_same_user(&stream, rustix::process::geteuid().as_raw())?;
    Ok(stream)
}

/// Refuses a directory that others may enter, or that is theirs.
fn check_directory(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    let own = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if own && metadata.mode() & OTHERS == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("others may enter {}", directory.display())))
}

/// Refuses a peer that is somebody else, even root.
fn expect_same_user(stream: &UnixStream, user: u32) -> io::Result<()> {
    if socket_peercred(stream)?.uid.as_raw() == user {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, "the other side is another user"))
}

/// Starts an agent and waits until it can be reached.
fn start(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    check_directory(directory)?;
    let mut child = Command::new(config::program()?)
        .arg("agent")
        .arg(directory)
        .env_remove(config::PASSPHRASE)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).take(1_000).read_line(&mut said)?;
    }
    if said == READY {
        return Ok(());
    }
    Err(io::Error::other(format!("the agent does not start: {}", said.trim())))
}

fn expect_ok(stream: &UnixStream) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    match read_line(&mut reader)?.as_str() {
        "ok" => Ok(()),
        _ => Err(io::Error::other("the agent refuses")),
    }
}

/// A short line without its end. The reader's buffer holds one byte, so that no secret is left in it.
fn read_line(reader: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::with_capacity(64);
    let mut byte = [0];
    while line.len() < 64 {
        reader.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            return String::from_utf8(line).map_err(|_| malformed());
        }
        line.push(byte[0]);
    }
    Err(malformed())
}

fn read_number(text: &str) -> io::Result<usize> {
    text.parse().ok().filter(|number| *number <= MAX_BYTES).ok_or_else(malformed)
}

fn read_secret(reader: &mut impl Read, length: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut secret = Zeroizing::new(vec![0; length]);
    reader.read_exact(&mut secret)?;
    Ok(secret)
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not what an agent and its client say to each other")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_peer_that_is_somebody_else_is_refused() {
        let (one, _other) = UnixStream::pair().unwrap();
        let user = rustix::process::geteuid().as_raw();

        assert!(expect_same_user(&one, user).is_ok());
        let refused = expect_same_user(&one, user + 1).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let with_mode = |mode| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            check_directory(directory.path())
        };

        assert!(with_mode(0o700).is_ok());
        assert!(with_mode(0o710).is_err() && with_mode(0o701).is_err());
        assert!(check_directory(&directory.path().join("none")).is_err());
    }

    #[test]
    fn lines_are_short_and_numbers_bounded() {
        assert_eq!(read_line(&mut &b"GIVE\nrest"[..]).unwrap(), "GIVE");
        assert!(read_line(&mut &[b'x'; 100][..]).is_err());
        assert!(read_line(&mut &b"cut"[..]).is_err());
        assert!(read_number("65537").is_err() && read_number("-1").is_err());
    }
}
