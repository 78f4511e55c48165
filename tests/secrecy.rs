//! What the server cannot do: it never has what it would need to tell what a vault holds.
//!
//! A whole story is played against the real program, and then everything that the server has is searched for what was said, in several
//! encodings: its database, objects, log and temporary files, and its memory. The search is shown to find what is there.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "a skipped part must say so")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use vault_core::chunk::cut::Params;
use vault_core::crypto::hash;
use vault_core::id::{PackId, SnapshotId, VaultId};
use vault_core::keys::SecretString;
use vault_core::log::PqPolicy;
use vault_core::net::Stored;
use vault_core::ops::Surroundings;
use vault_core::ops::backup::backup;
use vault_core::ops::forget::{Choice, ForgetOptions, forget};
use vault_core::ops::groups::GroupBy;
use vault_core::ops::init::{InitOptions, init};
use vault_core::ops::prune::{PruneOptions, prune};
use vault_core::ops::retention::CivilHour;
use vault_core::ops::tag::{TagChange, tag};
use vault_core::store::ObjectKey;
use vault_core::store::location::Location;
use vault_core::time::{FixedClock, Timestamp};
use vault_core::wire::invite::InviteUrl;
use vault_tests::binary::{binary, server_binary};
use vault_tests::damage::files_below;
use vault_tests::{Account, ServerProcess, TestVault, TreeFixture, assert_same_tree, noise, workspace};

const CANARIES: [&str; 8] = [
    "canary-directory",
    "canary-file-name",
    "canary contents of a file",
    "canary-link-target",
    "canary.attribute.value",
    "canary-tag-at-backup",
    "canary-tag-afterwards",
    "canary-host-name",
];

/// What the second user does is told by names of its own.
const SECOND: [&str; 2] = ["canary of the second user", "canary-second-host"];

const CANARY_PASSPHRASE: &str = "neun Kanarien, ein Kater";

/// What is put where it must be found.
const PLANTED: &str = "a planted canary that sings";

const CLOCK: FixedClock = FixedClock(Timestamp::new(1_790_000_000, 0));

/// Something that must not be there, and how it is called in a message.
struct Needle {
    name: String,
    bytes: Vec<u8>,
}

/// All encodings of some bytes in which one would find them.
fn needles(name: &str, bytes: &[u8]) -> Vec<Needle> {
    let hexed = hex::encode(bytes);
    let wide = |order: fn(u16) -> [u8; 2]| bytes.iter().flat_map(|byte| order(u16::from(*byte))).collect();
    let mut found: Vec<(String, Vec<u8>)> = vec![
        ("as it is".to_owned(), bytes.to_vec()),
        ("as hex".to_owned(), hexed.clone().into_bytes()),
        ("as upper-case hex".to_owned(), hexed.to_uppercase().into_bytes()),
        ("as UTF-16LE".to_owned(), wide(u16::to_le_bytes)),
        ("as UTF-16BE".to_owned(), wide(u16::to_be_bytes)),
    ];
    for before in 0..3 {
        let shifted = [&[0; 3][..before], bytes].concat();
        for (alphabet, engine) in [("base64", STANDARD_NO_PAD), ("base64url", URL_SAFE_NO_PAD)] {
            let text = engine.encode(&shifted);
            // Only characters that no neighbour changes.
            let (from, to) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
            found.push((format!("as {alphabet} after {before}"), text.as_bytes()[from..to].to_vec()));
        }
    }
    found.into_iter().map(|(how, bytes)| Needle { name: format!("{name} {how}"), bytes }).collect()
}

/// Looks for many things at once.
struct Search {
    names: Vec<String>,
    needles: AhoCorasick,
}

impl Search {
    fn new(all: &[(String, Vec<u8>)]) -> Self {
        let all: Vec<Needle> = all.iter().flat_map(|(name, bytes)| needles(name, bytes)).collect();
        assert!(all.iter().all(|needle| needle.bytes.len() >= 8), "nothing is found by chance");
        let needles = AhoCorasick::new(all.iter().map(|needle| &needle.bytes)).unwrap();
        Self { names: all.into_iter().map(|needle| needle.name).collect(), needles }
    }

    /// What is in these bytes.
    fn look(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let found = self.needles.find_overlapping_iter(bytes);
        found.map(|found| &*self.names[found.pattern().as_usize()]).collect()
    }

    /// What is in the files below a directory, and in which.
    fn look_below(&self, directory: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for file in files_below(directory) {
            let place = file.strip_prefix(directory).unwrap().display().to_string();
            let named = self.look(place.as_bytes());
            let inside = fs::read(&file).unwrap();
            found.extend(named.union(&self.look(&inside)).map(|name| format!("{name} in {place}")));
        }
        found
    }
}

/// What is searched for: everything that the clients said to nobody.
fn secrets(accounts: &[&Account], invites: &[&InviteUrl], tree: &TreeFixture) -> Vec<(String, Vec<u8>)> {
    let text = |text: &str| (text.to_owned(), text.as_bytes().to_vec());
    let mut all: Vec<_> = CANARIES.iter().chain(&SECOND).copied().map(text).collect();
    all.push(("the passphrase".to_owned(), CANARY_PASSPHRASE.into()));
    all.push(("the path".to_owned(), tree.path().canonicalize().unwrap().to_str().unwrap().into()));
    all.push(("incompressible contents".to_owned(), noise(1, 1 << 20)[5_000..5_024].to_vec()));
    for (number, account) in accounts.iter().enumerate() {
        let secret = |name: &str, bytes: &[u8]| (format!("{name} of user {number}"), bytes.to_vec());
        all.push(secret("the root key", account.identity.root().seed().expose()));
        all.push(secret("the device key", account.device.signing().seed().expose()));
        for (name, file) in
            [("identity", account.identity.to_secret_text()), ("device", account.device.encode())]
        {
            let lines = file.lines().filter_map(|line| line.split_once("-1"));
            let lines = lines.filter_map(|(_, data)| data.as_bytes().get(..24));
            all.extend(lines.map(|data| secret(&format!("a line of the {name} file"), data)));
        }
    }
    for (number, invite) in invites.iter().enumerate() {
        all.push((format!("the secret of invite {number}"), invite.secret.expose().to_vec()));
    }
    all
}

fn around(account: &Account) -> Surroundings<'_> {
    account.around(&CLOCK)
}

/// Makes a vault with the identity sealed by the passphrase in it, which is the worst that a client may do.
fn vault_with_identity(account: &Account) -> VaultId {
    let passphrase = SecretString::from(CANARY_PASSPHRASE.to_owned());
    let sealed = account.identity.seal_with_passphrase(&passphrase, Some(2)).unwrap();
    let options = InitOptions {
        location: &Location::Server { server: account.server().url().clone(), vault: None },
        access: &account.access(),
        identity: &account.identity,
        sealed_identity: Some(&sealed),
        device: &account.device,
        pq: PqPolicy::Required,
        chunker: Params::default(),
    };
    init(&options, &around(account)).unwrap().vault
}

fn back_up(
    account: &Account,
    vault: VaultId,
    tree: &TreeFixture,
    (host, tags): (&str, &[&str]),
) -> SnapshotId {
    let mut options = TestVault::options(&[&tree.path()]);
    host.clone_into(&mut options.host);
    options.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    backup(&mut account.open(vault).unwrap(), &account.device, &options, &around(account)).unwrap().snapshot
}

/// Backs up twice, tags, forgets, prunes and restores.
fn play(account: &mut Account, tree: &TreeFixture) {
    let id = vault_with_identity(account);
    let first = back_up(account, id, tree, (CANARIES[7], &[CANARIES[5]]));
    tree.file("later", noise(2, 400_000));
    fs::remove_file(tree.at("canary contents alone")).unwrap();
    let second = back_up(account, id, tree, (CANARIES[7], &[]));

    let mut vault = account.open(id).unwrap();
    let reader = vault.unlock(&account.identity).unwrap();
    let by = (&reader, &account.device);
    let change = TagChange { add: vec![CANARIES[6].to_owned()], ..TagChange::default() };
    tag(&mut vault, by, &[second], &change, &around(account)).unwrap();
    let options = ForgetOptions {
        choice: Choice::Named(vec![first]),
        group_by: GroupBy::default(),
        force: true,
        dry_run: false,
    };
    let calendar = |_: Timestamp| CivilHour::default();
    forget(&mut vault, by, &options, &around(account), &calendar).unwrap();
    let reader = vault.unlock(&account.identity).unwrap();
    let options = PruneOptions { orphan_age: std::time::Duration::ZERO, ..PruneOptions::default() };
    prune(&mut vault, &reader, &account.device, &options, &around(account)).unwrap();

    account.move_to_new_machine();
    let target = tempfile::tempdir().unwrap();
    account.restore(&account.open(id).unwrap(), second, target.path()).unwrap();
    assert_same_tree(&tree.path(), target.path());
}

fn tree_of_canaries() -> TreeFixture {
    let tree = TreeFixture::new();
    let [directory, file, contents, target, attribute, ..] = CANARIES;
    tree.file(format!("{directory}/{file}"), format!("these are {contents}\n").repeat(40));
    tree.file("canary contents alone", noise(1, 1 << 20)).symlink("link", target);
    tree.xattr(format!("{directory}/{file}"), "user.canary", attribute.as_bytes());
    tree
}

#[test]
fn nothing_that_is_said_to_nobody_is_anywhere_on_the_server() {
    let server = ServerProcess::start();
    let (invite, second_invite) = (server.invite(), server.invite());
    let mut first = Account::join_by(&invite);
    let tree = tree_of_canaries();
    play(&mut first, &tree);
    let second = Account::join_by(&second_invite);
    let letter = TreeFixture::new();
    letter.file(SECOND[0], SECOND[0].repeat(9));
    let vault = second.init().unwrap();
    back_up(&second, vault, &letter, (SECOND[1], &[]));

    let search = Search::new(&secrets(&[&first, &second], &[&invite, &second_invite], &tree));
    let places = files_below(server.everything());
    let has = |part: &str| places.iter().any(|file| file.to_str().unwrap().contains(part));
    assert!(["vault.db", "/log", "objects/"].iter().all(|part| has(part)), "{places:?}");
    assert_eq!(search.look_below(server.everything()), BTreeSet::new());
    match server.memory() {
        Some(memory) => {
            let bytes: usize = memory.iter().map(Vec::len).sum();
            println!("{bytes} bytes of memory were searched");
            let found: BTreeSet<_> = memory.iter().flat_map(|part| search.look(part)).collect();
            assert_eq!(found, BTreeSet::new(), "in memory");
        }
        None => println!("skipped: the memory of another process cannot be read here"),
    }
}

#[test]
fn what_is_planted_is_found() {
    let server = ServerProcess::start();
    let account = Account::join_by(&server.invite());
    let vault = account.init().unwrap();
    // A client that seals nothing, and an operator who writes it down.
    let pack = [&noise(3, 9_001)[..], PLANTED.as_bytes(), &[0]].concat();
    let key = ObjectKey::Pack(PackId::new(hash::object_hash(&pack)));
    assert_eq!(account.server().put_object(&vault, &key, &pack).unwrap(), Stored::New);
    let made = server.command(&["invite", "--label", PLANTED]).output().unwrap();
    assert!(made.status.success());
    let encoded = STANDARD_NO_PAD.encode(format!("x{PLANTED}"));
    fs::write(server.data().join("base64"), encoded).unwrap();
    let wide: Vec<u8> = PLANTED.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(server.data().join("utf-16"), wide).unwrap();
    fs::write(server.data().join("hex"), hex::encode(PLANTED)).unwrap();

    let search = Search::new(&[("planted".to_owned(), PLANTED.into())]);
    let found = search.look_below(server.everything());

    for place in ["objects/", "vault.db", "data/base64", "data/utf-16", "data/hex"] {
        assert!(found.iter().any(|found| found.contains(place)), "{place}: {found:?}");
    }
    // In memory there is what the server was told: where its data is.
    let Some(memory) = server.memory() else {
        println!("skipped: the memory of another process cannot be read here");
        return;
    };
    let search = Search::new(&[("data".to_owned(), server.data().to_str().unwrap().into())]);
    let parts = memory.iter().filter(|part| !search.look(part).is_empty()).count();
    assert!(parts > 1, "on the stack, and on the heap: {parts}");
}

/// What a program is made of, a line each.
fn made_of(package: &str, edges: &str, format: &str) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--prefix", "none", "--package", package]);
    let output = tree.args(["--edges", edges, "--format", format]).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn the_server_is_made_without_the_part_of_the_engine_that_opens() {
    let features = |package: &str| made_of(package, "normal,features", "{p}");
    let client = r#"vault-core feature "client""#;

    assert!(features("vault-cli").contains(client), "it is shown like this");
    let server = features("vault-server");
    assert!(!server.contains(client) && !server.contains(r#"vault-core feature "default""#), "{server:?}");
    assert!(server.iter().any(|line| line.starts_with("vault-core v")), "{server:?}");
}

#[test]
fn the_server_depends_on_nothing_that_opens() {
    let crates = |package: &str| made_of(package, "normal", "{lib}");
    let opening = [
        "age",
        "age_core",
        "aes",
        "aes_gcm",
        "bech32",
        "chacha20poly1305",
        "ml_kem",
        "scrypt",
        "ureq",
        "x25519_dalek",
        "zstd",
    ];
    let (server, client) = (crates("vault-server"), crates("vault-cli"));

    let found: Vec<_> = opening.iter().filter(|name| server.contains(**name)).collect();

    assert_eq!(found, Vec::<&&str>::new());
    assert!(server.contains("vault_core") && server.contains("ring"), "{server:?}");
    let known = opening.iter().filter(|name| client.contains(**name)).count();
    assert!(known > 6, "the names are those that a client's tree has: {client:?}");
}

#[test]
fn the_program_of_the_server_has_no_code_that_opens() {
    // Symbols as the compiler writes them, and texts that opening needs.
    let opening = [
        "10vault_core4keys",
        "10vault_core8pipeline",
        "10vault_core3ops",
        "10vault_core5chunk",
        "10vault_core6format",
        "10vault_core5vault",
        "10vault_core6crypto4aead",
        "10vault_core6crypto3kdf",
        "AGE-SECRET-KEY-",
        "VAULT-ROOT-KEY-",
        "age-encryption.org/v1",
        "vault/1 seal segment",
    ];
    let found_in = |path: &Path| {
        let program = fs::read(path).unwrap();
        let search = AhoCorasick::new(opening.iter().chain(&["10vault_core3log"])).unwrap();
        let found = search.find_overlapping_iter(&program);
        found.map(|found| found.pattern().as_usize()).collect::<BTreeSet<_>>()
    };
    let (server, client) = (found_in(server_binary()), found_in(binary()));
    let names = |found: &BTreeSet<usize>| -> Vec<_> {
        found.iter().filter_map(|&number| opening.get(number)).copied().collect()
    };

    assert_eq!(names(&server), Vec::<&str>::new());
    assert!(server.contains(&opening.len()), "the program has its symbols");
    assert!(names(&client).len() > 8, "a client has what is looked for: {:?}", names(&client));
}
