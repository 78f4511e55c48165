//! What a backup reads: paths, also from a list, or what a program writes.
//!
//! A program that is started here never outlives the command, and if it fails there is no snapshot.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vault_core::ops::backup::Stream;

use crate::error::CliError;

/// Where the contents of one file come from, instead of paths.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Instead of paths")]
pub(crate) struct Streams {
    /// Back up what comes from standard input, as one file
    #[arg(long, conflicts_with_all = ["paths", "profile", "files_from", "files_from0", "from_command"])]
    stdin: bool,

    /// Name of that file in the snapshot
    #[arg(long, value_name = "NAME", default_value = "stdin", value_parser = file_name)]
    stdin_name: String,

    /// Back up what a command prints, as one file; if it fails, nothing. It stands after `--`
    #[arg(long, conflicts_with_all = ["profile", "files_from", "files_from0"], requires = "paths")]
    from_command: bool,
}

impl Streams {
    /// Whether standard input is read.
    pub(super) fn is_stdin(&self) -> bool {
        self.stdin
    }

    /// Whether the arguments are a command, not paths.
    pub(super) fn takes_command(&self) -> bool {
        self.from_command
    }

    /// The stream to be read, if it is one; `arguments` are the command.
    pub(super) fn open(&self, arguments: &[PathBuf]) -> Result<Option<Stream>, CliError> {
        let name = self.stdin_name.clone();
        if self.stdin {
            return Ok(Some(Stream { name, contents: Box::new(io::stdin()), end: Box::new(|| Ok(())) }));
        }
        if !self.from_command {
            return Ok(None);
        }
        let [program, arguments @ ..] = arguments else { return Ok(None) };
        let spawned =
            Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child =
            spawned.map_err(|source| CliError::StartCommand { program: program.clone(), source })?;
        let contents: Box<dyn Read + Send> = match child.stdout.take() {
            Some(output) => Box::new(output),
            None => Box::new(io::empty()),
        };
        let child = Started(child);
        Ok(Some(Stream { name, contents, end: Box::new(move || child.end()) }))
    }
}

/// A program that was started.
struct Started(Child);

impl Started {
    fn end(mut self) -> io::Result<()> {
        let status = self.0.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("the command ended with {status}")))
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has ended, or nobody reads what it writes any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A name that one file can have.
fn file_name(text: &str) -> Result<String, &'static str> {
    match text {
        "" | "." | ".." => Err("not a name for a file"),
        _ if text.contains(['/', '\0']) => Err("a name has no slash"),
        _ => Ok(text.to_owned()),
    }
}

/// Lists of paths.
#[derive(Debug, clap::Args)]
pub(crate) struct Lists {
    /// Back up the paths in FILE too, one on a line; - is standard input
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,

    /// As --files-from, with a zero byte after each path, as `find -print0` writes it
    #[arg(long, value_name = "FILE")]
    files_from0: Vec<PathBuf>,
}

impl Lists {
    /// Whether there is one.
    pub(super) fn is_empty(&self) -> bool {
        self.files_from.is_empty() && self.files_from0.is_empty()
    }

    /// The paths in all of them.
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, CliError> {
        let mut paths = Vec::new();
        for (files, end) in [(&self.files_from, b'\n'), (&self.files_from0, 0)] {
            for file in files {
                let list = read_list(file)?;
                paths.extend(list.split(|byte| *byte == end).filter(|path| !path.is_empty()).map(to_path));
            }
        }
        Ok(paths)
    }
}

fn read_list(file: &Path) -> Result<Vec<u8>, CliError> {
    if file.as_os_str() != OsStr::new("-") {
        return std::fs::read(file).map_err(|source| CliError::ReadFile { path: file.to_owned(), source });
    }
    let mut list = Vec::new();
    io::stdin()
        .read_to_end(&mut list)
        .map_err(|source| CliError::ReadFile { path: PathBuf::from("-"), source })?;
    Ok(list)
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(command: bool) -> Streams {
        Streams { stdin: false, stdin_name: "dump".to_owned(), from_command: command }
    }

    #[test]
    fn names_are_those_of_one_file() {
        for bad in ["", ".", "..", "a/b", "a\0"] {
            assert!(file_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(file_name("dump.sql").as_deref(), Ok("dump.sql"));
    }

    #[test]
    fn what_a_command_prints_is_the_stream_and_its_status_the_end() {
        let shell = |script: &str| ["sh", "-c", script].map(PathBuf::from);
        let Some(mut good) = streams(true).open(&shell("printf abc")).unwrap() else { panic!() };
        let Some(bad) = streams(true).open(&shell("exit 3")).unwrap() else { panic!() };

        let mut printed = String::new();
        good.contents.read_to_string(&mut printed).unwrap();

        assert_eq!(printed, "abc");
        assert!((good.end)().is_ok());
        assert!((bad.end)().unwrap_err().to_string().contains('3'));
        assert!(streams(false).open(&[]).unwrap().is_none());
        assert!(streams(true).open(&["/no/such/program".into()]).is_err());
    }

    #[test]
    fn lists_of_paths_are_taken_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let (lines, zeros) = (directory.path().join("lines"), directory.path().join("zeros"));
        std::fs::write(&lines, "a b\n\n# c\n").unwrap();
        std::fs::write(&zeros, b"d\ne\0\xff\0").unwrap();

        let paths = Lists { files_from: vec![lines], files_from0: vec![zeros] }.paths().unwrap();

        assert_eq!(
            paths,
            ["a b", "# c", "d\ne"]
                .map(PathBuf::from)
                .into_iter()
                .chain([to_path(b"\xff")])
                .collect::<Vec<_>>()
        );
    }
}
