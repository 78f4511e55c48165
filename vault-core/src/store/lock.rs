//! A lock on a file or directory, for as long as a value lives.
//!
//! It is given back when the value is dropped, or when the process ends in whatever way. Closing the descriptor alone would not
//! do: a child that another thread is just starting has a copy of it until it runs its program, and a lock lives as long as
//! any copy.

use std::fs::{File, TryLockError};
use std::ops::Deref;

/// A file that nobody else holds.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// Takes the lock on an open file; `None` if somebody else has it. Where nothing can be locked, as on some network file
    /// systems, nobody is kept out.
    pub(crate) fn take(file: File) -> Option<Self> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Ok(()) | Err(TryLockError::Error(_)) => Some(Self(file)),
        }
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // What could not be locked cannot be unlocked either.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_although_a_copy_of_the_descriptor_stays_open() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let held = Locked::take(open()).unwrap();
        let copy = held.try_clone().unwrap();

        assert!(Locked::take(open()).is_none());
        drop(held);

        assert!(Locked::take(open()).is_some());
        drop(copy);
    }
}
