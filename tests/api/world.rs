//! A server with one vault of three people, as the examples of the log have them, and one who is no member.

use vault_core::card::Card;
use vault_core::crypto::hash;
use vault_core::id::{IndexId, PackId, Seq, VaultId};
use vault_core::log::PqPolicy;
use vault_core::log::testing::{Example, Machine, Person, TestLog};
use vault_core::object::ObjectKey;
use vault_core::wire::v1::paths;
use vault_server::config::Config;
use vault_tests::server::{first_card, listed};
use vault_tests::{Client, TestServer};

/// Alice owns the vault with `laptop` and, append-only, `nas`; Bob is editor with `phone`, Carol reader with `tablet`. Alice's
/// `lost` was taken off her card; Mallory has an account and a `desk`, and is no member.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) people: Example,
    pub(crate) mallory: Person,
    pub(crate) desk: Machine,
    pub(crate) lost: Machine,
    /// Genesis and members; what is pushed is not sent.
    pub(crate) log: TestLog,
    /// Alice's second card entry.
    pub(crate) second_card: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let server = TestServer::with(change);
        let (people, mallory) = (Example::new(), Person::new(9));
        let (desk, lost) = (Machine::new(19), Machine::new(18));
        let mut log = TestLog::founded(&people.alice, PqPolicy::Required);
        log.push_members(&people.alice, people.members(1));
        server.join(&people.alice, &[&people.laptop, &people.nas, &lost]);
        server.join(&people.bob, &[&people.phone]);
        server.join(&people.carol, &[&people.tablet]);
        server.join(&mallory, &[&desk]);

        let first = first_card(&people.alice, &[&people.laptop, &people.nas, &lost]);
        let first_bytes = first.sign(&people.alice.root).unwrap();
        let second: Card = first.next(
            hash::card_hash(&first_bytes),
            listed(&people.alice, &[&people.laptop, &people.nas]),
            2,
        );
        let second_card = second.sign(&people.alice.root).unwrap();
        let world = Self { server, people, mallory, desk, lost, log, second_card };
        let laptop = world.laptop();
        let user = world.people.alice.id();
        assert_eq!(laptop.put(&paths::card_entry(&user, 1), &world.second_card).status, 201);
        assert_eq!(laptop.put(&paths::vault(&world.vault()), &world.log.stored[0]).status, 201);
        assert_eq!(laptop.put(&paths::statement(&world.vault(), Seq(1)), &world.log.stored[1]).status, 201);
        world
    }

    pub(crate) fn vault(&self) -> VaultId {
        self.log.vault
    }

    pub(crate) fn laptop(&self) -> Client<'_> {
        self.server.client(&self.people.laptop)
    }

    pub(crate) fn phone(&self) -> Client<'_> {
        self.server.client(&self.people.phone)
    }

    /// Sends the last statement of the log as `client`; its status.
    pub(crate) fn send_last(&self, client: &Client<'_>) -> u16 {
        let seq = self.log.stored.len() - 1;
        client.put(&paths::statement(&self.vault(), Seq(seq as u64)), &self.log.stored[seq]).status
    }

    pub(crate) fn path(&self, key: ObjectKey) -> String {
        paths::object(&self.vault(), &key)
    }

    /// Stores a pack.
    pub(crate) fn put_pack(&self, bytes: &[u8]) -> PackId {
        let id = PackId::new(hash::object_hash(bytes));
        let put = self.laptop().put(&self.path(ObjectKey::Pack(id)), bytes);
        assert_eq!(put.status, 201, "{}", put.text());
        id
    }

    /// Stores an index object.
    pub(crate) fn put_index(&self, bytes: &[u8]) -> IndexId {
        let id = IndexId::new(hash::object_hash(bytes));
        let put = self.laptop().put(&self.path(ObjectKey::Index(id)), bytes);
        assert_eq!(put.status, 201, "{}", put.text());
        id
    }

    /// Bytes that count to Alice's quota.
    pub(crate) fn used(&self) -> u64 {
        self.laptop().get(paths::ME).json()["used"].as_u64().unwrap()
    }

    /// Files of objects on the server's disk, whole or arriving.
    pub(crate) fn files(&self) -> usize {
        vault_tests::damage::files_below(&self.server.data().join("objects")).len()
    }
}
