//! How the work of a backup, a copy and a restore is spread over threads.
//!
//! # Backup
//!
//! ```text
//!  walkers (2)          directories, depth first, sorted            [1] list, stat, compare with the stat cache
//!     │ batches of changed files, at most 16 wait
//!  readers (cores)      small file: read, cut, hash, look up        [2]
//!     │                 large file: read, cut ─► groups of chunks, at most 4 wait, taken by any reader
//!     │ new chunks      gatherers, one pair a thread: a segment     [3] compress
//!  packer (a lock)      seal into the open pack                     [4]
//!     │ full packs, none waits
//!  uploaders (2-4)      hash, store durably                         [5]
//! ```
//!
//! Whoever finishes the last entry of a directory also finishes the directory: encodes its node, and so on upwards \[6\]. When the
//! root is finished every chunk is in a gatherer, a pack or the store; flushing these ends the session.
//!
//! # Restore
//!
//! ```text
//!  planner (1)          tree nodes, depth first: makes directories, collects a batch of files, sorts their chunks by place   [1]
//!     │ files that stand in the target already: read, compared chunk by chunk, right chunks copied    (writers do this, too)
//!  writers (cores)      one segment at a time: fetch, open, decompress, verify each chunk, write it where it belongs          [2]
//!  who finishes last    a file: attributes, its name, further names; a directory: attributes, and so on upwards             [3]
//! ```
//!
//! # Copy
//!
//! ```text
//!  walker (1)           tree nodes, depth first: stores those that lack, collects a batch of chunks, sorts them by place      [1]
//!     │ segments, at most 16 wait
//!  copiers (cores)      fetch, open, decompress, verify each chunk that lacks                                                 [2]
//!     │ new chunks      from here on as a backup: gatherers, packer, uploaders
//! ```
//!
//! # Rules
//!
//! Every queue is bounded, and a thread that waits for room holds nothing that another needs. Memory is bounded by the queues,
//! the open directories and the parts at hand of the chunk lists of the files in work. The first failure stops all threads; a request
//! to stop ends the walk but not what is under way. Threads live in one scope: none outlives the call that started it.

pub mod attributes;
pub mod backup;
pub mod checkpoint;
pub mod choose;
pub mod chunk_list;
pub mod dedup;
pub mod destination;
pub mod directory;
pub mod hand;
pub mod large;
pub mod limits;
mod output;
pub mod piped;
pub mod read;
pub mod restore;
pub mod scan;
pub mod select;
pub mod sink;
pub mod stream;
pub mod target;
pub mod transfer;
pub mod walk;

/// A name as the file system has it.
pub(crate) fn os_str(name: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}
