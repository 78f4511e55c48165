//! Which bytes of which objects a grant shows: to a device and through a link alike.

use vault_core::id::{Epoch, IndexId};
use vault_core::log::testing::commit;
use vault_core::log::{Body, Commit, Condemn};
use vault_core::object::ObjectKey;
use vault_core::wire::v1::grants::TICKET_HEADER;
use vault_core::wire::v1::paths;
use vault_tests::Answer;

use super::{Given, PACK_BYTES, laptop, pack, say};
use crate::world::World;

/// Mallory, who is no member, is given parts of a vault; and so is who has the link.
struct Shown {
    world: World,
    given: Given,
    ticket: String,
}

fn shown() -> Shown {
    let mut world = World::new();
    let given = Given::prepare(&world, 5).to(&[world.mallory.id()]).with_link(None);
    let given = given.give(&mut world, &laptop());
    let ticket = given.ticket(&world);
    Shown { world, given, ticket }
}

impl Shown {
    /// What a device and a link are answered: the same, but for ids of requests.
    fn ask(&self, method: &str, path: &str, range: Option<&str>) -> Answer {
        let Self { world, given, ticket } = self;
        let client = world.server.client(&world.desk);
        let place = |begin: &str| format!("{begin}/{}/objects/{path}", given.id());
        let by_device = client.request(method, &place("/v1/grants"), None);
        let by_link = given.by_link(world, method, &place("/v1/links")).with(TICKET_HEADER, ticket);
        let [one, other] = [by_device, by_link].map(|request| {
            let request = range.into_iter().fold(request, |request, range| request.with("range", range));
            world.server.send(&request)
        });
        assert_eq!(one.status, other.status, "{path} {range:?}: {} {}", one.text(), other.text());
        if one.status < 400 {
            assert_eq!(one.body, other.body);
            for name in ["content-range", "content-length", "vault-stored-at"] {
                assert_eq!(one.header(name), other.header(name), "{path} {range:?}");
            }
        }
        other
    }

    fn get(&self, key: ObjectKey, range: Option<&str>) -> Answer {
        self.ask("GET", &key.path(), range)
    }
}

#[test]
fn a_pack_that_is_given_as_a_whole_is_read_as_a_member_reads_it() {
    let shown = shown();
    let (key, bytes) = (ObjectKey::Pack(shown.given.whole), pack(5, 1));

    let whole = shown.get(key, None);
    assert_eq!((whole.status, &whole.body), (200, &bytes));
    let as_member = shown.world.laptop().get(&shown.world.path(key));
    assert_eq!(whole.header("vault-stored-at"), as_member.header("vault-stored-at"));
    let part = shown.get(key, Some("bytes=0-9"));
    assert_eq!((part.status, &part.body[..]), (206, &bytes[..10]));
    assert_eq!(part.header("content-range"), Some("bytes 0-9/1000"));
    assert_eq!(shown.get(key, Some("bytes=990-1000")).status, 400);
    let head = shown.ask("HEAD", &key.path(), None);
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000")));
}

#[test]
fn of_a_pack_that_is_given_in_parts_not_one_byte_more_is_read() {
    let shown = shown();
    let (key, bytes) = (ObjectKey::Pack(shown.given.parts), pack(5, 2));

    for (first, last) in [(100, 149), (120, 130), (149, 149), (200, 299)] {
        let part = shown.get(key, Some(&format!("bytes={first}-{last}")));
        assert_eq!((part.status, &part.body[..]), (206, &bytes[first..=last]), "{first}-{last}");
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {first}-{last}/*")));
        assert_eq!(part.header("vault-stored-at"), None, "when the rest was stored is nobody's business");
    }
    let beyond = [
        (99, 149),
        (100, 150),
        (99, 99),
        (150, 150),
        (149, 200),
        (100, 299),
        (150, 199),
        (199, 200),
        (200, 300),
        (300, 300),
        (0, 999),
        (0, 0),
        (5000, 5001),
        (0, u64::MAX - 1),
    ];
    for (first, last) in beyond {
        let refused = shown.get(key, Some(&format!("bytes={first}-{last}")));
        assert_eq!(refused.problem(), (404, "not_found".to_owned()), "{first}-{last}");
    }
    assert_eq!(shown.get(key, None).status, 404, "all of it");
    assert_eq!(shown.ask("HEAD", &key.path(), None).status, 404, "its size");
    for malformed in ["bytes=100-", "bytes=-50", "bytes=100-149,200-299", "bytes=140-120", "x"] {
        assert_eq!(shown.get(key, Some(malformed)).status, 400, "{malformed}");
    }
}

#[test]
fn what_is_not_given_is_not_there() {
    let mut shown = shown();
    let (world, given) = (&mut shown.world, &shown.given);
    let own = world.put_index(b"an index object of the vault");
    assert_eq!(
        say(world, &laptop(), Body::Commit(Commit { indexes: vec![own], ..commit(1, 1) })).status,
        201
    );
    let other = given.other;
    let envelope = ObjectKey::envelope(Epoch(1), *world.people.alice.id().as_bytes());
    assert_eq!(world.laptop().put(&world.path(envelope), b"sealed").status, 201);
    let identity = ObjectKey::Identity(world.people.alice.id());
    assert_eq!(world.laptop().put(&world.path(identity), b"sealed").status, 201);
    let further = Given::prepare(world, 6).to(&[world.people.carol.id()]).give(world, &laptop());

    for key in [
        ObjectKey::Pack(other),
        ObjectKey::Pack(further.whole),
        ObjectKey::Index(own),
        further.index(),
        ObjectKey::Index(further.grant.ranges),
        ObjectKey::Index(IndexId::new([9; 32])),
        envelope,
        identity,
        ObjectKey::Statement(vault_core::id::Seq(0)),
    ] {
        for range in [None, Some("bytes=0-0")] {
            assert_eq!(shown.get(key, range).problem(), (404, "not_found".to_owned()), "{key} {range:?}");
        }
        assert_eq!(shown.ask("HEAD", &key.path(), None).status, 404, "{key}");
    }
    for path in ["", "packs", "index/none", "x/y", "packs/ab/abcd"] {
        assert_eq!(shown.ask("GET", path, None).status, 404, "{path}");
    }
    let asked = format!("{}?x=1", given_path(&shown.given));
    assert_eq!(shown.world.server.client(&shown.world.desk).get(&asked).status, 400, "there is no query");
}

fn given_path(given: &Given) -> String {
    paths::grant_object(given.id(), &ObjectKey::Pack(given.whole))
}

#[test]
fn the_index_objects_of_a_grant_and_its_list_are_read() {
    let shown = shown();
    let (given, world) = (&shown.given, &shown.world);

    assert_eq!(shown.get(given.index(), None).body, b"index of \x05");
    let part = shown.get(given.index(), Some("bytes=0-4"));
    assert_eq!((part.status, &part.body[..]), (206, &b"index"[..]));
    let list = shown.get(ObjectKey::Index(given.grant.ranges), None);
    assert_eq!(list.body, given.ranges(world).encode());
    let head = shown.ask("HEAD", &given.index().path(), None);
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
}

#[test]
fn a_pack_that_was_condemned_is_not_shown_to_those_it_was_given_to() {
    let mut shown = shown();
    let key = ObjectKey::Pack(shown.given.whole);
    assert_eq!(shown.get(key, None).body.len(), PACK_BYTES);
    let domain = shown.world.people.alice.id().into();
    let packs = vec![shown.given.whole];
    let condemned = Condemn { domain, packs, replaced: Vec::new(), replacements: Vec::new() };

    assert_eq!(say(&mut shown.world, &laptop(), Body::Condemn(condemned)).status, 201);

    assert_eq!(shown.get(key, None).status, 404);
}

#[test]
fn a_large_part_comes_piece_by_piece() {
    let mut world = World::new();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let large = world.put_pack(&bytes);
    let mut given = Given::prepare(&world, 7).to(&[world.mallory.id()]);
    let mut ranges = given.ranges(&world);
    ranges.packs = vec![vault_core::wire::ranges::PackRanges { pack: large, parts: vec![(10, 2_900_000)] }];
    given.grant.ranges = world.put_index(&ranges.encode());
    let given = given.give(&mut world, &laptop());
    let path = paths::grant_object(given.id(), &ObjectKey::Pack(large));
    let request = world.server.client(&world.desk).request("GET", &path, None);

    let part = world.server.send(&request.with("range", "bytes=1000-2900009"));

    assert_eq!((part.status, part.body.len()), (206, 2_899_010));
    assert!(part.body == bytes[1000..=2_900_009]);
}
