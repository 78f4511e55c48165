//! What the test batteries share: a vault of one's own, trees to put into it, comparison of trees, damage, and the binary.
//!
//! Everything happens in temporary directories, and nothing depends on the order or number of tests: each makes what it needs.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test ends where something is not as expected"
)]

pub mod account;
pub mod binary;
pub mod change;
pub mod damage;
pub mod deleting;
pub mod fixture;
pub mod home;
pub mod liar;
pub mod meanwhile;
pub mod members;
pub mod mounted;
pub mod process;
pub mod restoring;
pub mod scan;
pub mod schedule;
pub mod server;
pub mod vault;

use std::path::PathBuf;

pub use account::Account;
use proptest::test_runner::Config as ProptestConfig;

pub use binary::Machine;
pub use damage::{Action, Target};
pub use fixture::{TreeFixture, noise, wait_for_next_tick};
pub use home::Home;
pub use liar::{Asked, Liar};
pub use meanwhile::Meanwhile;
pub use process::ServerProcess;
pub use scan::{Tree, assert_same_tree};
pub use server::{Answer, Client, Request, TestServer};
pub use vault::{TestVault, local_below};

/// How property tests of whole vaults are run: so many cases, unless `PROPTEST_CASES` says another number.
pub fn proptest_config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases),
        max_shrink_iters: 200,
        // A failure is kept as a test of its own, not in a file beside this one.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Whether the tests may make devices and give files to others.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
