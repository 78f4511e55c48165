//! The directory to mount on: whether it can be used, and how it is freed again.
//!
//! Everything that can be known beforehand is checked before a passphrase is asked for.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::mount::UnmountFlags;

use crate::config;
use crate::exit::Exit;
use crate::ui::human::shell_word;

/// The device through which the kernel asks.
const DEVICE: &str = "/dev/fuse";
/// The program that mounts and unmounts for those who are not root.
const HELPER: &str = "fusermount3";
/// The file that says whether users may let others in.
const FUSE_CONFIGURATION: &str = "/etc/fuse.conf";

/// Why there is no mount.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// The directory is not there.
    #[error("there is no directory {path:?} to mount on")]
    NoDirectory {
        /// Where.
        path: PathBuf,
    },
    /// Something else is there.
    #[error("{path:?} is not a directory")]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// A mount would hide what is in the directory.
    #[error("{path:?} is not empty")]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// The process that answered for what is mounted there is gone.
    #[error("{path:?} is still mounted, by a process that is gone")]
    LeftBehind {
        /// Where.
        path: PathBuf,
    },
    /// The directory cannot be looked at.
    #[error("cannot look at {path:?}")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is no FUSE in this system.
    #[error("this system has no {DEVICE}")]
    NoDevice,
    /// The device may not be used.
    #[error("cannot open {DEVICE}")]
    Device(#[source] io::Error),
    /// The program that mounts for users is not installed.
    #[error("the program {HELPER} is not installed")]
    NoHelper,
    /// Users may not let others in here.
    #[error("users of this system may not let others into what they mount")]
    OthersNotAllowed,
    /// The system refused.
    #[error("cannot mount on {path:?}")]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot unmount {path:?}")]
    Unmount {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl MountError {
    /// An error of the call that mounts.
    pub(super) fn of_mounting(point: &MountPoint, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::PermissionDenied && source.to_string().contains("user_allow_other")
        {
            return Self::OthersNotAllowed;
        }
        Self::Mount { path: point.path.clone(), source }
    }

    /// How a command that fails so ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoDirectory { .. } => Exit::NotFound,
            Self::NotADirectory { .. } => Exit::Usage,
            Self::NotEmpty { .. } | Self::LeftBehind { .. } => Exit::Conflict,
            Self::OthersNotAllowed | Self::Device(_) => Exit::Keys,
            Self::Directory { source, .. } | Self::Mount { source, .. } | Self::Unmount { source, .. } => {
                if source.kind() == io::ErrorKind::PermissionDenied {
                    Exit::Keys
                } else {
                    Exit::Failed
                }
            }
            Self::NoDevice | Self::NoHelper => Exit::Failed,
        }
    }

    /// What to try next.
    pub(crate) fn next_step(&self) -> String {
        let word = |path: &Path| shell_word(&path.to_string_lossy());
        match self {
            Self::NoDirectory { path } => format!("make it: `mkdir {}`", word(path)),
            Self::NotADirectory { .. } => "name an empty directory".to_owned(),
            Self::NotEmpty { path } => {
                format!(
                    "name an empty directory; if something is mounted there: `{HELPER} -u {}`",
                    word(path)
                )
            }
            Self::LeftBehind { path } => format!("unmount it: `{HELPER} -u {}`", word(path)),
            Self::Directory { path, .. } => format!("look at it: `ls -ld {}`", word(path)),
            Self::NoDevice => {
                "load it: `modprobe fuse`; a container needs it from its host: `--device /dev/fuse`"
                    .to_owned()
            }
            Self::Device(_) => format!("look at it: `ls -l {DEVICE}`; or run the command as root"),
            Self::NoHelper => "install the package fuse3".to_owned(),
            Self::OthersNotAllowed => {
                format!(
                    "leave --allow-other out, or have root put `user_allow_other` into {FUSE_CONFIGURATION}"
                )
            }
            Self::Mount { .. } => "look at what the system says: `dmesg | tail`".to_owned(),
            Self::Unmount { path, .. } => format!("unmount it by hand: `{HELPER} -u -z {}`", word(path)),
        }
    }
}

/// A directory that can be mounted on.
pub(super) struct MountPoint {
    path: PathBuf,
    /// The device number of what we mounted there.
    device: Option<u64>,
}

impl MountPoint {
    /// Checks the directory, and that the system has what it takes.
    pub(super) fn check(path: &Path) -> Result<Self, MountError> {
        let (known, owned) = (|source: io::Error| of_directory(path, source), || path.to_owned());
        if !fs::metadata(path).map_err(known)?.is_dir() {
            return Err(MountError::NotADirectory { path: owned() });
        }
        if fs::read_dir(path).map_err(known)?.next().is_some() {
            return Err(MountError::NotEmpty { path: owned() });
        }
        check_device()?;
        if !config::is_superuser() && config::find_program(HELPER).is_none() {
            return Err(MountError::NoHelper);
        }
        // As the mount table has it; so it can be unmounted wherever this process then is.
        Ok(Self { path: fs::canonicalize(path).map_err(known)?, device: None })
    }

    /// The directory, without links in its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes what is mounted there now.
    pub(super) fn mounted(self) -> Self {
        let device = fs::metadata(&self.path).ok().map(|metadata| metadata.dev());
        Self { device, ..self }
    }

    /// Frees the directory, even if files are open; does nothing if something else is mounted there by now.
    pub(super) fn unmount(&self) -> Result<(), MountError> {
        let device = fs::metadata(&self.path).ok().map(|metadata| metadata.dev());
        if device != self.device {
            return Ok(());
        }
        let failed = |source| MountError::Unmount { path: self.path.clone(), source };
        match rustix::mount::unmount(&self.path, UnmountFlags::DETACH) {
            Err(error) if error == rustix::io::Errno::PERM => self.unmount_by_helper().map_err(failed),
            result => result.map_err(|error| failed(error.into())),
        }
    }

    fn unmount_by_helper(&self) -> io::Result<()> {
        let mut helper = Command::new(HELPER);
        helper.args(["-u", "-z", "--"]).arg(&self.path).stdin(Stdio::null());
        let output = helper.output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

fn of_directory(path: &Path, source: io::Error) -> MountError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => MountError::NoDirectory { path },
        io::ErrorKind::NotConnected => MountError::LeftBehind { path },
        _ => MountError::Directory { path, source },
    }
}

fn check_device() -> Result<(), MountError> {
    match fs::OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MountError::NoDevice),
        // What the kernel says of a device node without a driver.
        Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::NODEV) => {
            Err(MountError::NoDevice)
        }
        Err(error) => Err(MountError::Device(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> Option<MountError> {
        MountPoint::check(path).err()
    }

    #[test]
    fn only_an_empty_directory_is_mounted_on() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();

        assert!(matches!(refused(&directory.path().join("absent")), Some(MountError::NoDirectory { .. })));
        assert!(matches!(refused(&file), Some(MountError::NotADirectory { .. })));
        assert!(matches!(refused(directory.path()), Some(MountError::NotEmpty { .. })));
    }

    #[test]
    fn a_mount_without_its_process_is_recognised() {
        let error = of_directory(Path::new("/mnt"), io::Error::from(io::ErrorKind::NotConnected));

        assert!(matches!(error, MountError::LeftBehind { .. }));
        assert_eq!(error.next_step(), "unmount it: `fusermount3 -u /mnt`");
        assert_eq!(error.exit(), Exit::Conflict);
    }
}
