//! The process of the agent: what it keeps, for how long, and how its memory is protected.
//!
//! It ends when nothing is kept any more, and removes its socket. Time counts also while the machine sleeps.

use std::fs;
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};
use vault_core::id::UserId;
use vault_core::keys::identity_file::UserIdentity;
use zeroize::Zeroizing;

use super::{
    MAX_KEPT, PATIENCE, READY, check_directory, expect_same_user, read_line, read_number, read_secret, socket,
};

/// How long the first identity may take to come.
const FIRST: Duration = Duration::from_secs(10);
/// Room for each secret: so much that it gets pages of its own, which are locked from their first use.
const ROOM: usize = 256 << 10;
/// The longest sleep between looks at the clock: waiting does not count the machine's sleep, the clock does.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Runs the agent until nothing is kept; `ready` is told when it can be reached.
pub(crate) fn serve(directory: &Path, ready: &mut dyn io::Write) -> io::Result<()> {
    protect();
    check_directory(directory)?;
    let listener = bind(directory)?;
    // Whoever waits for it may have gone away.
    let _ = ready.write_all(READY.as_bytes()).and_then(|()| ready.flush());
    let mut kept = Kept::new(boot_time);
    let mut until = boot_time() + FIRST;
    while let Some(left) = until.checked_sub(boot_time()).filter(|left| !left.is_zero()) {
        if wait_for(&listener, left.min(LONGEST_WAIT))? {
            // A client that fails, or is somebody else, changes nothing.
            if let Ok((stream, _)) = listener.accept()
                && answer(&stream, &mut kept).unwrap_or(false)
            {
                break;
            }
        }
        kept.wipe_expired();
        until = kept.last_end().unwrap_or(if kept.used { Duration::ZERO } else { until });
    }
    // The directory may be gone, as it is where a user has logged out.
    let _ = fs::remove_file(socket(directory));
    Ok(())
}

/// Keeps others, core files and the swap out of this process's memory, as far as the system lets it.
fn protect() {
    // Fails only for the leader of a group, which this process is not when it is started by another.
    let _ = rustix::process::setsid();
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    // All of the process may be more than a user may lock; what is mapped from now on is not.
    if mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).is_err() {
        let _ = mlockall(MlockAllFlags::FUTURE);
    }
}

/// Binds the socket, in the place of one that nobody listens to any more.
fn bind(directory: &Path) -> io::Result<UnixListener> {
    let path = socket(directory);
    let bound = match UnixListener::bind(&path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(&path) {
            Ok(_) => Err(error),
            Err(_) => fs::remove_file(&path).and_then(|()| UnixListener::bind(&path)),
        },
        bound => bound,
    };
    let listener = bound?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn wait_for(listener: &UnixListener, time: Duration) -> io::Result<bool> {
    let timeout = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: i64::from(time.subsec_nanos()) };
    match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Time since the machine was started, with its sleep.
fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What is kept.
struct Kept {
    identities: Vec<One>,
    /// Whether anything was ever kept.
    used: bool,
    now: fn() -> Duration,
}

struct One {
    user: UserId,
    secret: Zeroizing<Vec<u8>>,
    end: Duration,
}

impl Kept {
    fn new(now: fn() -> Duration) -> Self {
        Self { identities: Vec::new(), used: false, now }
    }

    fn keep(&mut self, secret: &[u8], time: Duration) -> io::Result<()> {
        let user = UserIdentity::parse_secret_text(secret).map_err(|_| super::malformed())?.user_id();
        self.identities.retain(|one| one.user != user);
        if self.identities.len() >= MAX_KEPT {
            return Err(io::Error::other("too many identities are kept"));
        }
        let mut own = Zeroizing::new(Vec::with_capacity(ROOM));
        own.extend_from_slice(secret);
        self.used = true;
        self.identities.push(One { user, secret: own, end: (self.now)().saturating_add(time) });
        Ok(())
    }

    fn wipe_expired(&mut self) {
        let now = (self.now)();
        self.identities.retain(|one| one.end > now);
    }

    fn last_end(&self) -> Option<Duration> {
        self.identities.iter().map(|one| one.end).max()
    }
}

/// Answers one client; tells whether the agent is to end.
fn answer(stream: &UnixStream, kept: &mut Kept) -> io::Result<bool> {
    expect_same_user(stream, rustix::process::geteuid().as_raw())?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::with_capacity(1, stream);
    let mut writer = stream;
    let line = read_line(&mut reader)?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["KEEP", seconds, length] => {
            let time = Duration::from_secs(seconds.parse().map_err(|_| super::malformed())?);
            let secret = read_secret(&mut reader, read_number(length)?)?;
            kept.keep(&secret, time)?;
            writer.write_all(b"ok\n")?;
            Ok(false)
        }
        ["GIVE"] => {
            kept.wipe_expired();
            for one in &kept.identities {
                writer.write_all(format!("{}\n", one.secret.len()).as_bytes())?;
                writer.write_all(&one.secret)?;
            }
            writer.write_all(b"0\n")?;
            Ok(false)
        }
        ["LOCK"] => {
            kept.identities.clear();
            writer.write_all(b"ok\n")?;
            Ok(true)
        }
        _ => Err(super::malformed()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use vault_core::crypto::random::SystemRandom;

    use super::*;

    /// Seconds that a test's clock shows.
    static NOW: AtomicU64 = AtomicU64::new(100);

    fn secret() -> Zeroizing<String> {
        UserIdentity::generate(&SystemRandom::new()).unwrap().to_secret_text()
    }

    #[test]
    fn what_has_expired_is_wiped_and_the_same_identity_is_kept_once() {
        let mut kept = Kept::new(|| Duration::from_secs(NOW.load(Ordering::Relaxed)));
        let (one, other) = (secret(), secret());
        kept.keep(one.as_bytes(), Duration::from_secs(10)).unwrap();
        kept.keep(one.as_bytes(), Duration::from_secs(20)).unwrap();
        kept.keep(other.as_bytes(), Duration::from_secs(5)).unwrap();
        assert_eq!((kept.identities.len(), kept.last_end()), (2, Some(Duration::from_secs(120))));

        NOW.store(105, Ordering::Relaxed);
        kept.wipe_expired();
        assert_eq!(kept.identities.len(), 1);
        NOW.store(120, Ordering::Relaxed);
        kept.wipe_expired();
        assert!(kept.identities.is_empty() && kept.used);
        assert!(kept.keep(b"no identity", Duration::from_secs(5)).is_err());
    }

    #[test]
    fn an_agent_keeps_gives_and_locks_through_a_socket_of_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let listener = bind(directory.path()).unwrap();
        let mode = fs::metadata(socket(directory.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let server = thread::spawn(move || {
            let mut kept = Kept::new(boot_time);
            while wait_for(&listener, PATIENCE).unwrap() {
                let (stream, _) = listener.accept().unwrap();
                if answer(&stream, &mut kept).unwrap_or(false) {
                    return kept.identities.len();
                }
            }
            usize::MAX
        });
        let secret = secret();

        assert_eq!(super::super::give(directory.path()).len(), 0);
        super::super::keep(directory.path(), &secret, Duration::from_secs(60)).unwrap();
        let given = super::super::give(directory.path());
        assert_eq!((given.len(), &*given[0].to_secret_text()), (1, &*secret));
        assert!(super::super::keep(directory.path(), "nonsense", PATIENCE).is_err());
        assert!(super::super::lock(directory.path()).unwrap());
        assert_eq!(server.join().unwrap(), 0, "nothing is kept after that");
    }

    #[test]
    fn a_socket_that_nobody_listens_to_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        drop(bind(directory.path()).unwrap());

        let again = bind(directory.path()).unwrap();
        assert!(bind(directory.path()).is_err(), "an agent that listens is left alone");
        drop(again);
    }
}
