//! The seeds of the fuzz targets: small valid inputs, so that fuzzing begins behind the first checks of each decoder.
//!
//! They are what the encoders write today. When a format changes, `cargo test -p vault-tests --test fuzz_seeds -- --ignored`
//! writes them anew. Sealed ones differ each time, so those are only compared by name.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use vault_core::card::{Card, ListedDevice, WholeCard};
use vault_core::chunk::compress::{Compressor, Level};
use vault_core::crypto::age_pq::PqIdentity;
use vault_core::crypto::bech32_text::Prefix;
use vault_core::crypto::hash;
use vault_core::crypto::random::{FixedRandom, Random};
use vault_core::crypto::secret::Secret;
use vault_core::format::annotation::AnnotationBody;
use vault_core::format::commit::{CommitBody, CommitCounts};
use vault_core::format::index::{self, IndexHeader, IndexedPack};
use vault_core::format::pack::{PackBuilder, PackHeader};
use vault_core::format::table::{ChunkRow, SegmentKind, SegmentRow, Table};
use vault_core::format::tree::{
    BranchRef, ChunkRef, Contents, DeviceNumber, Entry, EntryKind, Hole, ListRef, Metadata, Xattr,
    encode_branch, encode_chunk_list, encode_entries,
};
use vault_core::id::{
    ChunkHash, ChunkId, DeviceId, DomainId, Epoch, GrantId, IndexId, PackId, Seq, SessionId, SnapshotId,
    UserId, VaultId,
};
use vault_core::keys::age_file::{self, Unlock};
use vault_core::keys::device::DeviceKeys;
use vault_core::keys::envelope::{DomainKeys, IndexKey, MemberEpoch, MemberKeys, SessionKey, SessionPlace};
use vault_core::keys::grant::GrantPlace;
use vault_core::keys::identity::AnyIdentity;
use vault_core::keys::identity_file::UserIdentity;
use vault_core::keys::kit::{Kit, KitIdentity};
use vault_core::log::testing::{self, Example, Machine, Person};
use vault_core::log::{Body, FinalHead, Forget, Grant, Head, LinkTerms};
use vault_core::store::{DirectoryStore, ObjectKey};
use vault_core::time::Timestamp;
use vault_core::vault::chunk_index::ChunkIndex;
use vault_core::vault::stat_cache::{DirectoryKey, Stamp, StatCacheWriter, Totals};
use vault_core::wire::Authority;
use vault_core::wire::ranges::{PackRanges, Ranges};
use vault_core::wire::signing::{self, Parts, Signer};
use vault_tests::damage::files_below;
use vault_tests::server::{card, listed};
use vault_tests::workspace;

/// All seeds together are in every clone, so they must be small.
const MAX_BYTES: u64 = 200_000;

/// Targets whose seeds are sealed with fresh randomness.
const SEALED: [&str; 2] = ["age_file", "age_pq"];

const VAULT: VaultId = VaultId::new([1; 32]);
const SESSION: SessionId = SessionId::new([2; 16]);
const EPOCH: Epoch = Epoch(3);

/// A seed: its target, its name, and what is in it.
struct Seed {
    target: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
}

fn seed(target: &'static str, name: &'static str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { target, name, bytes: bytes.into() }
}

fn bytes<const N: usize>(random: &FixedRandom) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes).unwrap();
    bytes
}

fn identity() -> PqIdentity {
    PqIdentity::from_seed(Secret::new([7; 32]))
}

/// A table of a segment of data and one of tree nodes.
fn table(first_offset: u32) -> Table {
    let random = FixedRandom::new(1);
    let mut table = Table::new(first_offset).unwrap();
    for (kind, lengths) in [(SegmentKind::Data, &[700, 300, 24][..]), (SegmentKind::Tree, &[90])] {
        let chunks: Vec<_> =
            lengths.iter().map(|&length| ChunkRow { id: ChunkId::new(bytes(&random)), length }).collect();
        let raw_bytes = lengths.iter().sum();
        table
            .push(
                SegmentRow { stored_bytes: 600, raw_bytes, kind, chunk_count: chunks.len() as u32 },
                &chunks,
            )
            .unwrap();
    }
    table
}

fn indexed_pack(number: u8) -> IndexedPack {
    IndexedPack {
        id: PackId::new([number; 32]),
        bytes: 2_048,
        session: SESSION,
        pack_number: number.into(),
        epoch: EPOCH,
        table: table(100),
    }
}

fn packs_and_indexes() -> Vec<Seed> {
    let header =
        PackHeader { vault: VAULT, session: SESSION, pack_number: 4, epoch: EPOCH, envelope: vec![5; 40] };
    let mut head = Vec::new();
    header.encode(&mut head).unwrap();
    let mut builder = PackBuilder::new(&header, 4_096).unwrap();
    let chunk = ChunkRow { id: ChunkId::new([6; 16]), length: 500 };
    builder.push_segment(&[7; 300], SegmentKind::Data, &[chunk]).unwrap();
    let (pack, built) = builder.finish(|_| Ok::<_, vault_core::format::DecodeError>(vec![8; 90])).unwrap();
    let encoded = |table: &Table| {
        let mut out = Vec::new();
        table.encode(&mut out);
        out
    };
    let index_header = IndexHeader { vault: VAULT, session: SESSION, index_number: 1, epoch: EPOCH };
    let body = index::encode_body(&[indexed_pack(1), indexed_pack(2)]).unwrap();
    vec![
        seed("pack_header", "header", head),
        seed("trailer", "pack", pack),
        seed("table", "one_segment", encoded(&built)),
        seed("table", "two_segments", encoded(&table(100))),
        seed("table", "empty", encoded(&Table::new(100).unwrap())),
        seed("index", "object", index::encode(&index_header, &body).unwrap()),
        seed("index_body", "two_packs", body),
        seed("index_body", "empty", index::encode_body(&[]).unwrap()),
    ]
}

fn entry(name: &str, kind: EntryKind) -> Entry {
    let metadata = Metadata { mode: 0o644, uid: 1_000, gid: 100, ..Metadata::default() };
    Entry { name: name.into(), kind, metadata, link_group: None, changed_while_read: false }
}

/// One of everything that a directory can hold, by ascending name.
fn entries() -> Vec<Entry> {
    let h = ChunkHash::new([9; 32]);
    let device = DeviceNumber { major: 8, minor: 1 };
    let sparse = EntryKind::File {
        size: 1_500,
        contents: Contents::Chunks(vec![ChunkRef { h, length: 500 }]),
        holes: vec![Hole { offset: 0, length: 400 }, Hole { offset: 900, length: 600 }],
    };
    let large = EntryKind::File {
        size: 1 << 40,
        contents: Contents::Lists(vec![ListRef { h, bytes: 1 << 40 }]),
        holes: Vec::new(),
    };
    let mut all = vec![
        entry("block", EntryKind::BlockDevice(device)),
        entry("char", EntryKind::CharDevice(device)),
        entry("directory", EntryKind::Directory { subtree: h }),
        entry("fifo", EntryKind::Fifo),
        entry("large", large),
        entry("link", EntryKind::Symlink { target: b"../\xff".to_vec() }),
        entry("socket", EntryKind::Socket),
        entry("sparse", sparse),
    ];
    let rich = &mut all[7];
    rich.link_group = Some(5);
    rich.changed_while_read = true;
    rich.metadata.user = Some(b"alice".to_vec());
    rich.metadata.group = Some(b"users".to_vec());
    rich.metadata.mtime = Timestamp::new(-5, 999_999_999);
    rich.metadata.xattrs =
        ["security.x", "user.a"].map(|name| Xattr { name: name.into(), value: vec![0, 255] }).into();
    all
}

fn trees_and_bodies() -> Vec<Seed> {
    let h = ChunkHash::new([9; 32]);
    let entries: Vec<_> = entries().iter().map(|entry| entry.encode().unwrap()).collect();
    let parts = ["a", "m"].map(|name| BranchRef { first_name: name.into(), h });
    let chunks = [1, 70_000].map(|length| ChunkRef { h, length });
    let commit = CommitBody {
        root: entry("", EntryKind::Directory { subtree: h }),
        paths: vec![b"/home/alice".to_vec(), b"/home/b\xff".to_vec()],
        root_path: b"/home".to_vec(),
        host: "laptop".to_owned(),
        tags: vec!["a".to_owned(), "b".to_owned()],
        begin: Timestamp::new(1_700_000_000, 0),
        end: Timestamp::new(1_700_000_100, 5),
        counts: CommitCounts { files: 1, bytes: 1 << 33, ..CommitCounts::default() },
        program: "vault 0.1.0".to_owned(),
    };
    let annotation = AnnotationBody { tags: vec!["kept".to_owned(), String::new()] };
    let mut unit = Compressor::new(Level::DEFAULT).unwrap();
    let mut packed = |raw: &[u8]| {
        let mut out = Vec::new();
        unit.pack(raw, &mut out).unwrap();
        out
    };
    vec![
        seed("tree", "entries", encode_entries(&entries)),
        seed("tree", "empty", encode_entries(&[] as &[&[u8]])),
        seed("tree", "branch", encode_branch(&parts)),
        seed("tree", "chunk_list", encode_chunk_list(&chunks)),
        seed("commit_body", "body", commit.encode().unwrap()),
        seed("annotation", "tags", annotation.encode()),
        seed("unit_body", "compressed", packed(&b"once upon a time, ".repeat(40))),
        seed("unit_body", "as_it_is", packed(&bytes::<200>(&FixedRandom::new(2)))),
        // A map of each kind of value, which a reader passes over.
        seed("cbor", "map", *b"\xa3\x00\x82\x20\x19\x01\x00\x01\x42\x00\xff\x18\x80\xa1\x00\x63abc"),
    ]
}

/// A statement of each type, as the example's people and machines say it.
fn statements() -> Vec<(&'static str, Vec<u8>)> {
    let example = Example::new();
    let domain = DomainId::from(example.alice.id());
    let snapshots = example.state().snapshots().iter().map(|snapshot| snapshot.id).collect::<BTreeSet<_>>();
    let snapshot = *snapshots.first().unwrap();
    let mut next = example.members(2);
    next.users.retain(|user| user.id != example.bob.id());
    let device: DeviceId = example.phone.id();
    next.final_heads = vec![FinalHead { device, seq: Seq(4) }];
    let said = |machine: &Machine, body| {
        let mut log = example.log.clone();
        log.push_body(machine, body);
        log.stored.pop().unwrap()
    };
    let mut membership = example.log.clone();
    membership.push_members(&example.alice, next);
    vec![
        ("genesis", example.log.stored[0].clone()),
        ("members", example.log.stored[1].clone()),
        ("members_removed", membership.stored.pop().unwrap()),
        ("commit", example.log.stored[2].clone()),
        (
            "forget",
            said(&example.laptop, Body::Forget(Forget { snapshots: snapshots.into_iter().collect() })),
        ),
        ("condemn", said(&example.laptop, Body::Condemn(testing::condemn(domain, &[1, 2], &[1], &[8])))),
        ("attest", said(&example.laptop, Body::Attest(testing::attest(&[1, 2, 3])))),
        ("annotate", said(&example.laptop, Body::Annotate(testing::annotate(1, snapshot, 9)))),
        ("grant", said(&example.laptop, Body::Grant(testing::grant(1, 9)))),
        ("link", said(&example.laptop, Body::Grant(link()))),
    ]
}

fn link() -> Grant {
    let terms = LinkTerms { token_hash: [5; 32], downloads: Some(3), envelope: b"sealed".to_vec() };
    Grant { to: Vec::new(), link: Some(terms), expires: Some(1_800_000_000), ..testing::grant(1, 9) }
}

/// The list of ranges of a grant.
fn ranges() -> Vec<Seed> {
    let pack =
        |number, parts: &[(u32, u32)]| PackRanges { pack: PackId::new([number; 32]), parts: parts.to_vec() };
    let packs = vec![pack(1, &[]), pack(2, &[(100, 50), (200, 1)])];
    let list = Ranges { vault: VAULT, grant: GrantId::new([4; 16]), packs };
    vec![seed("ranges", "two_packs", list.encode())]
}

fn history() -> Vec<Seed> {
    let statements = statements();
    let seeds = |target| statements.iter().map(move |(name, stored)| seed(target, name, stored.clone()));
    seeds("statement").chain(seeds("log")).collect()
}

/// The packets inside the three kinds of envelope.
fn packets() -> Vec<Seed> {
    let random = FixedRandom::new(3);
    let epoch = |number| MemberEpoch::generate(Epoch(number), &random).unwrap();
    let secret = || Secret::generate(&random).unwrap();
    let (user, device) = (UserId::new([4; 16]), DeviceId::new([5; 16]));
    let to = identity().to_recipient().into();
    let member = MemberKeys { current: epoch(3), dedup_root: secret(), earlier: vec![epoch(1), epoch(2)] };
    let writer = DomainKeys {
        domain: user.into(),
        k_id: secret(),
        k_cut: secret(),
        current: IndexKey { epoch: EPOCH, key: secret() },
        earlier: vec![IndexKey { epoch: Epoch(1), key: secret() }],
    };
    let place = SessionPlace { vault: VAULT, epoch: EPOCH, session: SESSION };
    let session = SessionKey { place, device, key: secret() };
    let grant =
        GrantPlace { vault: VAULT, epoch: EPOCH, grant: GrantId::new([6; 16]), session: SESSION, device };
    let files = [
        ("member", member.seal(&VAULT, (&user, Epoch::FIRST), &to).unwrap().file),
        ("writer", writer.seal(&VAULT, &device, &to).unwrap().file),
        ("session", session.seal(&to).unwrap()),
        ("grant", grant.seal(user.as_bytes(), &secret(), &to).unwrap()),
    ];
    let identities = [AnyIdentity::PostQuantum(identity())];
    let mut seeds: Vec<_> = files
        .iter()
        .map(|(name, file)| {
            let packet = age_file::open(file, Unlock::Identities(&identities)).unwrap();
            seed("packet", name, packet.to_vec())
        })
        .collect();
    seeds.push(seed("age_pq", "stanza", stanza(&files[2].1)));
    seeds.extend(files.into_iter().skip(2).map(|(name, file)| seed("age_file", name, file)));
    seeds
}

/// The one stanza of an age file, as the target takes it: a line of its arguments, then its body.
fn stanza(file: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let mut lines = file.split(|byte| *byte == b'\n').skip(1);
    let arguments = lines.next().unwrap().strip_prefix(b"-> ").unwrap();
    let body = base64::prelude::BASE64_STANDARD_NO_PAD.decode(lines.next().unwrap()).unwrap();
    [arguments, b"\n", &body].concat()
}

fn texts() -> Vec<Seed> {
    let random = FixedRandom::new(4);
    let user = UserIdentity::generate(&random).unwrap();
    let device = DeviceKeys::generate(&random).unwrap();
    let example = Example::new();
    let head = Head { seq: Seq(17), hash: example.log.head(0).hash };
    let kit = |identity| Kit {
        vault: VAULT,
        head,
        location: b"/mnt/my disk/\xff".to_vec(),
        identity,
        contacts: Vec::new(),
    };
    let sealed = kit(KitIdentity::Sealed(bytes::<450>(&random).to_vec()));
    let plain = kit(KitIdentity::Plain(user.to_secret_text().as_bytes().to_vec().into()));
    let codes: Vec<_> = sealed.to_codes().iter().map(|code| code.to_string()).collect();
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("vault");
    DirectoryStore::create(&place, VAULT).unwrap().publish().unwrap();
    let native = |identity: &AnyIdentity| identity.to_secret_text().unwrap().to_string();
    let note =
        format!("restore 1\nsnapshot {}\nbegun empty\nrun 0123456789abcdef\n", SnapshotId::new([6; 32]));
    let key = |key: ObjectKey| key.path().into_bytes();
    vec![
        seed("contact_card", "two_entries", contact_card()),
        seed("key_text", "identity", user.to_secret_text().as_bytes()),
        seed("key_text", "device", device.encode().as_bytes()),
        seed("kit", "sealed", sealed.to_text().as_bytes()),
        seed("kit", "plain", plain.to_text().as_bytes()),
        seed("kit", "codes", codes.join("\n")),
        seed("public_key", "post_quantum", identity().to_recipient().to_string()),
        seed("public_key", "x25519", "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"),
        seed("public_key", "ssh", SSH),
        seed("public_key", "identities", format!("# made today\n\n{}\r\n", native(user.age()))),
        seed("public_key", "bech32", Prefix::new("vault").encode(b"hello").as_bytes()),
        seed("names", "head", head.to_string()),
        seed("names", "vault_file", fs::read(place.join("VAULT")).unwrap()),
        seed("names", "note", note),
        seed("names", "pack", key(ObjectKey::Pack(PackId::new([0xab; 32])))),
        seed("names", "statement", key(ObjectKey::Statement(Seq(42)))),
        seed("names", "envelope", key(ObjectKey::envelope(EPOCH, [0xab; 16]))),
        seed(
            "names",
            "second_envelope",
            key(ObjectKey::Envelope { epoch: EPOCH, addressee: [0xab; 16], besides: Some([0xcd; 8]) }),
        ),
        seed("names", "identity", key(ObjectKey::Identity(UserId::new([0xab; 16])))),
    ]
}

/// A card that grew by a device.
fn contact_card() -> String {
    let (person, laptop, phone) = (Person::new(1), Machine::new(11), Machine::new(12));
    let first = card(&person, &[&laptop]);
    let begun = WholeCard::verify(None, vec![first.clone()]).unwrap();
    let next = begun.card().next(begun.chain().hash(), listed(&person, &[&laptop, &phone]), 2);
    WholeCard::verify(None, vec![first, next.sign(&person.root).unwrap()]).unwrap().to_text().unwrap()
}

const SSH: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL+OjxdlXXnuimWlwY2IwznnRH/gp9pLbEbQhGVwKoW5 someone@example";

/// What a machine remembers of a vault.
fn remembered() -> Vec<Seed> {
    let directory = tempfile::tempdir().unwrap();
    let runs = directory.path().join("runs");
    let mut index = ChunkIndex::open(&runs, &BTreeSet::new()).unwrap();
    let packs = [indexed_pack(1), indexed_pack(2)];
    index.add(&[IndexId::new([1; 32])], &packs).unwrap();
    let run = fs::read(&files_below(&runs)[0]).unwrap();

    let path = directory.path().join("stat");
    let writer = StatCacheWriter::create(&path).unwrap();
    let stamp = Stamp { inode: 5, ctime: Timestamp::new(6, 7), mtime: Timestamp::new(-8, 9), size: 10 };
    let encoded: Vec<_> = entries().iter().map(|entry| entry.encode().unwrap()).collect();
    let rows = encoded.iter().map(|entry| (stamp, &entry[..]));
    let record = directory_record(stamp, &encoded);
    writer.add(DirectoryKey::new(b"/home"), ChunkHash::new([3; 32]), rows).unwrap();
    writer.add(DirectoryKey::new(b"/"), ChunkHash::new([4; 32]), std::iter::empty()).unwrap();
    writer.finish(&path, SnapshotId::new([5; 32]), Totals { entries: 9, bytes: 600 }).unwrap();
    vec![
        seed("run", "two_packs", run),
        seed("stat_cache", "two_directories", fs::read(&path).unwrap()),
        seed("stat_cache", "record", record),
    ]
}

/// One record of a stat cache alone.
fn directory_record(stamp: Stamp, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut record = vec![3; 32];
    record.extend((entries.len() as u32).to_le_bytes());
    for entry in entries {
        record.extend(stamp.inode.to_le_bytes());
        for time in [stamp.ctime, stamp.mtime] {
            record.extend(time.seconds.to_le_bytes());
            record.extend(time.nanos.to_le_bytes());
        }
        record.extend(stamp.size.to_le_bytes());
        record.extend((entry.len() as u32).to_le_bytes());
        record.extend(entry);
    }
    record
}

/// Entries of cards, and the headers of signed requests as their target takes them.
fn of_servers() -> Vec<Seed> {
    let alice = Person::new(1);
    let machines = [Machine::new(11), Machine::append_only(14)];
    let entry = |count: usize| {
        let of = |machine: &Machine| {
            ListedDevice::new(&machine.key, &alice.id(), "age1pq1device".to_owned(), machine.kind)
        };
        let devices = machines.iter().take(count).map(of).collect();
        let card = Card::first(alice.root.verifying_key(), "age1pq1user".to_owned(), devices, 1);
        card.sign(&alice.root).unwrap()
    };
    let authority = Authority::parse("example.com").unwrap();
    let parts = Parts { method: "GET", authority: &authority, path: "/", query: None };
    let headers = |body: Option<&signing::Body>, more: &str| {
        let signer = Signer { key: &machines[0].key, device: machines[0].id() };
        let signed = signer.sign(&parts, body, (1_790_000_000, &[7; 16])).unwrap();
        let digest = signed.content_digest.map_or_else(String::new, |digest| format!("\nC{digest}"));
        format!("A{}\nB{}{digest}{more}", signed.signature_input, signed.signature)
    };
    let body = signing::Body { sha256: hash::object_hash(b"body"), length: 4 };
    vec![
        seed("card_entry", "no_device", entry(0)),
        seed("card_entry", "one_device", entry(1)),
        seed("card_entry", "two_devices", entry(2)),
        seed("signature_input", "without_body", headers(None, "")),
        seed("signature_input", "with_body", headers(Some(&body), "\nD4")),
        seed("signature_input", "chunked", headers(Some(&body), "\nEchunked")),
    ]
}

fn seeds() -> Vec<Seed> {
    [
        packs_and_indexes(),
        trees_and_bodies(),
        history(),
        ranges(),
        packets(),
        texts(),
        remembered(),
        of_servers(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn directory() -> PathBuf {
    workspace().join("fuzz/seeds")
}

#[test]
fn the_seeds_are_what_the_encoders_write() {
    let mut expected = BTreeSet::new();
    for seed in seeds() {
        let path = directory().join(seed.target).join(seed.name);
        let found = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(SEALED.contains(&seed.target) || found == seed.bytes, "{} is out of date", path.display());
        expected.insert(path);
    }

    let found: BTreeSet<_> = files_below(&directory()).into_iter().collect();
    assert_eq!(found, expected);
    let total: u64 = found.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(total < MAX_BYTES, "{total} bytes");
}

#[test]
fn every_target_is_built_and_has_seeds() {
    let manifest = fs::read_to_string(workspace().join("fuzz/Cargo.toml")).unwrap();
    let built: BTreeSet<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    let built: BTreeSet<_> = built.into_iter().filter_map(|line| line.strip_suffix(".rs\"")).collect();
    let files = files_below(&workspace().join("fuzz/fuzz_targets"));
    let files: BTreeSet<_> = files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    let seeded: BTreeSet<_> = seeds().iter().map(|seed| seed.target).collect();

    assert_eq!(built, files);
    assert_eq!(built, seeded);
}

#[test]
#[ignore = "writes the seeds anew; run after a format changes"]
fn write_the_seeds() {
    let _ = fs::remove_dir_all(directory());
    for seed in seeds() {
        let place = directory().join(seed.target);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(seed.name), seed.bytes).unwrap();
    }
}
