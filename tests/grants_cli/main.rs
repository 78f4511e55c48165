//! Giving things to others, as people do it with the program: to contacts, by links, and as files; and taking it back.
//!
//! Where a server lies, something stands before it that has its key. Each alarm ends with exit code 8.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod directory;
mod export;
mod links;
mod served;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use vault_core::wire::invite::InviteUrl;
use vault_core::wire::link::LinkUrl;
use vault_tests::{Liar, TestServer, noise};

/// A machine of one person.
#[derive(Default)]
struct Home(vault_tests::Home);

impl std::ops::Deref for Home {
    type Target = vault_tests::Home;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Home {
    /// A machine of somebody who has a vault of their own in a directory, and joined no server.
    fn alone() -> Self {
        let home = Self::default();
        home.succeed(&["init", "--vault", "./v", "--work-factor", "2"]);
        home
    }

    /// A machine of somebody who has joined a server with a name.
    fn joined(invite: &InviteUrl, name: &str) -> Self {
        let home = Self::default();
        home.succeed(&["join", invite.expose().as_str(), "--name", name, "--work-factor", "2"]);
        home
    }

    /// The directory that is the person's own vault.
    fn vault(&self) -> String {
        self.path("v").to_str().unwrap().to_owned()
    }

    /// Two folders with files.
    fn write_pictures(&self) -> PathBuf {
        let pictures = self.path("Pictures");
        for folder in ["Trip", "Secret"] {
            fs::create_dir_all(pictures.join(folder).join("deep")).unwrap();
            fs::write(pictures.join(folder).join("letter"), format!("Dear {folder},")).unwrap();
            fs::write(pictures.join(folder).join("deep/sea"), noise(folder.len() as u64, 400_000)).unwrap();
        }
        pictures
    }

    /// Takes the card of somebody as a contact.
    fn takes(&self, other: &Home, name: &str) {
        let card = other.succeed(&["whoami", "--card"]);
        fs::write(self.path(name), card).unwrap();
        self.succeed(&["contact", "add", name, "--card", name]);
    }

    /// Gives something to somebody; the grant.
    #[track_caller]
    fn shares(&self, arguments: &[&str]) -> String {
        self.json(&[&["share"], arguments].concat())["grant"].as_str().unwrap().to_owned()
    }

    /// What the person was given.
    #[track_caller]
    fn inbox(&self, arguments: &[&str]) -> Vec<Value> {
        self.json(&[&["inbox"], arguments].concat())["grants"].as_array().unwrap().clone()
    }
}

/// Two people who know each other, and the pictures in the vault of the first, in a directory that both can read.
struct Directory {
    alice: Home,
    bob: Home,
    pictures: PathBuf,
    vault: String,
}

impl Directory {
    fn new() -> Self {
        let (alice, bob) = (Home::alone(), Home::alone());
        let pictures = alice.write_pictures();
        alice.succeed(&["backup", "--vault", "./v", "Pictures"]);
        alice.takes(&bob, "bob");
        bob.takes(&alice, "alice");
        let vault = alice.vault();
        Self { alice, bob, pictures, vault }
    }

    /// The folder is given to Bob; by its short id.
    fn share_trip(&self) -> String {
        self.alice.shares(&["latest:/Trip", "--to", "bob", "--vault", "./v"])[..8].to_owned()
    }
}

/// A server that may lie, two people who have joined it and know each other, and the pictures of the first in a vault there.
struct Served {
    server: TestServer,
    liar: Liar,
    alice: Home,
    bob: Home,
    pictures: PathBuf,
}

impl Served {
    fn new() -> Self {
        let server = TestServer::start();
        let liar = Liar::before(&server);
        let join = |name| Home::joined(&liar.invite(&server), name);
        let (alice, bob) = (join("alice"), join("bob"));
        alice.succeed(&["contact", "add", "bob"]);
        bob.succeed(&["contact", "add", "alice"]);
        let pictures = alice.write_pictures();
        alice.succeed(&["backup", "--init", "--vault", "photos", "Pictures"]);
        Self { server, liar, alice, bob, pictures }
    }

    fn share_trip(&self) -> String {
        self.alice.shares(&["photos:latest:/Trip", "--to", "bob", "--expires", "30d"])
    }

    /// A link, and its URL.
    #[track_caller]
    fn link(&self, more: &[&str]) -> String {
        let url =
            self.alice.succeed(&[&["link", "photos:latest:/Trip", "--work-factor", "2"], more].concat());
        assert!(LinkUrl::parse(&url).is_ok() && url.lines().count() == 1, "{url}");
        url.trim().to_owned()
    }
}
