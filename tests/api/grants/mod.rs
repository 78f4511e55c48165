//! Grants and links: what is shown of a vault to those who are no members of it, and to nobody else.

mod bytes;
mod life;
mod links;
mod rights;
mod taking;

use vault_core::crypto::hash;
use vault_core::id::{GrantId, IndexId, PackId, Seq, UserId};
use vault_core::log::testing::{Machine, grant};
use vault_core::log::{Addressee, Body, Grant, LinkTerms, Revoke};
use vault_core::object::ObjectKey;
use vault_core::wire::encoding::to_base64url;
use vault_core::wire::link::LinkToken;
use vault_core::wire::ranges::{PackRanges, Ranges};
use vault_core::wire::v1::grants::TICKET_HEADER;
use vault_core::wire::v1::paths;
use vault_tests::{Answer, Request};

use crate::world::World;

/// The ranges of the pack of which not all is given.
const PARTS: [(u32, u32); 2] = [(100, 50), (200, 100)];

/// The length of a pack.
const PACK_BYTES: usize = 1000;

/// A grant of one pack as a whole and of parts of another, and what it needs.
#[derive(Clone)]
pub(crate) struct Given {
    /// As it is said, or was.
    pub(crate) grant: Grant,
    /// That of its link, if it has one.
    token: LinkToken,
    /// A pack that is given as a whole.
    pub(crate) whole: PackId,
    /// A pack of which [`PARTS`] are given.
    parts: PackId,
    /// A pack of the vault of which nothing is given.
    other: PackId,
}

/// The bytes of the packs of a grant: 1 is given as a whole, 2 in parts, 3 not.
pub(crate) fn pack(number: u8, which: u8) -> Vec<u8> {
    let rest = (2..PACK_BYTES).map(|at| (at % 251) as u8);
    [number, which].into_iter().chain(rest).collect()
}

impl Given {
    /// Objects for a grant of that number, stored by the owner; nothing is given yet, and to nobody.
    pub(crate) fn prepare(world: &World, number: u8) -> Self {
        let [whole, parts, other] = [1, 2, 3].map(|which| world.put_pack(&pack(number, which)));
        let index = world.put_index(&[&b"index of "[..], &[number]].concat());
        let given = Grant { id: GrantId::new([number; 16]), indexes: vec![index], ..grant(1, number) };
        let token = LinkToken::parse(&to_base64url(&[number; 32])).unwrap();
        let mut given = Self { grant: Grant { to: Vec::new(), ..given }, token, whole, parts, other };
        given.grant.ranges = world.put_index(&given.ranges(world).encode());
        given
    }

    /// What is given of packs.
    fn ranges(&self, world: &World) -> Ranges {
        let mut packs = vec![
            PackRanges { pack: self.whole, parts: Vec::new() },
            PackRanges { pack: self.parts, parts: PARTS.to_vec() },
        ];
        packs.sort_by_key(|ranges| ranges.pack);
        Ranges { vault: world.vault(), grant: self.grant.id, packs }
    }

    /// The same, to these.
    pub(crate) fn to(mut self, users: &[UserId]) -> Self {
        let of = |user: &UserId| Addressee { id: *user.as_bytes(), envelope: b"envelope".to_vec() };
        self.grant.to = users.iter().map(of).collect();
        self.grant.to.sort_by_key(|to| to.id);
        self
    }

    /// The same, with a link.
    pub(crate) fn with_link(mut self, downloads: Option<u32>) -> Self {
        let envelope = b"envelope of the link".to_vec();
        self.grant.link = Some(LinkTerms { token_hash: self.token.hash(), downloads, envelope });
        self
    }

    /// The same, until so many seconds from now.
    fn expiring_in(mut self, world: &World, seconds: u64) -> Self {
        self.grant.expires = Some(world.server.clock.now_ms() / 1000 + seconds);
        self
    }

    /// Says it as that machine.
    pub(crate) fn give(self, world: &mut World, machine: &Machine) -> Self {
        let answer = say(world, machine, Body::Grant(self.grant.clone()));
        assert_eq!(answer.status, 201, "{}", answer.text());
        self
    }

    /// Takes it back as that machine.
    fn revoke(&self, world: &mut World, machine: &Machine) {
        let answer = say(world, machine, Body::Revoke(Revoke { grant: self.grant.id }));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    fn id(&self) -> &GrantId {
        &self.grant.id
    }

    fn index(&self) -> ObjectKey {
        ObjectKey::Index(self.grant.indexes[0])
    }

    /// What the machine is answered about the statement.
    fn get_as(&self, world: &World, machine: &Machine) -> Answer {
        world.server.client(machine).get(&paths::grant(self.id()))
    }

    /// A request with the token of the link.
    fn by_link(&self, world: &World, method: &str, target: &str) -> Request {
        with_token(Request::open(method, target, &world.server.authority(), None), &self.token)
    }

    /// What the link is answered about the statement.
    pub(crate) fn get_by_link(&self, world: &World) -> Answer {
        world.server.send(&self.by_link(world, "GET", &paths::link(self.id())))
    }

    /// Begins a download through the link.
    fn open(&self, world: &World) -> Answer {
        world.server.send(&self.by_link(world, "POST", &paths::link_open(self.id())))
    }

    /// The ticket of a download that begins now.
    fn ticket(&self, world: &World) -> String {
        let opened = self.open(world);
        assert_eq!(opened.status, 201, "{}", opened.text());
        opened.json()["ticket"].as_str().unwrap().to_owned()
    }

    /// What the link and a ticket are answered about an object.
    fn object_by_link(&self, world: &World, ticket: &str, key: ObjectKey) -> Answer {
        let request = self.by_link(world, "GET", &paths::link_object(self.id(), &key));
        world.server.send(&request.with(TICKET_HEADER, ticket))
    }
}

/// The same request with a token.
fn with_token(request: Request, token: &LinkToken) -> Request {
    request.with("authorization", &format!("Bearer {}", token.text()))
}

/// What comes of a statement of the machine; one that is refused does not stay in the log.
fn say(world: &mut World, machine: &Machine, body: Body) -> Answer {
    world.log.push_body(machine, body);
    let seq = world.log.stored.len() - 1;
    let path = paths::statement(&world.vault(), Seq(seq as u64));
    let answer = world.server.client(machine).put(&path, &world.log.stored[seq]);
    if answer.status != 201 {
        world.log.stored.pop();
    }
    answer
}

/// The owner's machine; those of a world are always the same.
fn laptop() -> Machine {
    Machine::new(11)
}

/// The editor's machine.
fn phone() -> Machine {
    Machine::new(12)
}

/// What does not differ between answers to different requests.
fn blank(answer: &Answer) -> (u16, String) {
    let mut json = answer.json();
    json.as_object_mut().unwrap().remove("request_id");
    (answer.status, json.to_string())
}

/// The name of an index object with these bytes.
fn index_of(bytes: &[u8]) -> IndexId {
    IndexId::new(hash::object_hash(bytes))
}
