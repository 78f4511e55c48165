//! Fidelity: a restored tree is the tree that was backed up, in everything that a program can see of it.
//!
//! Each test backs up one kind of peculiarity, restores it on a machine that has never seen the vault, and compares all there is.
//! Where this machine cannot make the peculiarity (no superuser, a file system without attributes) the test says so and ends.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use rustix::fs::{FileType, makedev};
use vault_core::ops::backup::BackupSummary;
use vault_core::progress::Severity;
use vault_tests::scan::Kind;
use vault_tests::{TestVault, Tree, TreeFixture, assert_same_tree, is_root, noise};

/// Backs a tree up and restores it elsewhere; both must be the same. Returns what the backup did.
fn assert_comes_back(tree: &TreeFixture) -> BackupSummary {
    let mut vault = TestVault::new();
    let summary = vault.backup(&tree.path());

    vault.move_to_new_machine();
    let restored = vault.restore(summary.snapshot);

    assert_same_tree(&tree.path(), restored.path());
    assert!(!summary.partial && summary.counts.failed_entries == 0, "{summary:?}");
    summary
}

/// Says why a test shows nothing here.
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

#[test]
fn names_are_bytes() {
    let tree = TreeFixture::new();
    let longest = [b'n'; 255];
    tree.file(b"\xff\xfe not UTF-8", "1").file("line\nbreak", "2").file(longest, "3").file(" ", "4");
    tree.file("back\\slash", "5")
        .file("*?[a-z]", "6")
        .file("-rf", "7")
        .file("\x1b[31mred", "8")
        .file("...", "9");
    tree.file("e\u{301}", "decomposed").file("\u{e9}", "composed").dir(b"d\xffr").file(b"d\xffr/\x01", "x");

    assert_comes_back(&tree);
}

#[test]
fn empty_files_and_directories_come_back() {
    let tree = TreeFixture::new();
    tree.file("empty", "").dir("nothing").dir("nothing in/nothing");

    let summary = assert_comes_back(&tree);

    assert_eq!((summary.counts.files, summary.counts.bytes), (1, 0));
}

#[test]
fn an_empty_tree_comes_back() {
    assert_comes_back(&TreeFixture::new());
}

#[test]
fn all_permission_bits_come_back() {
    let tree = TreeFixture::new();
    for mode in [0o000, 0o400, 0o644, 0o755, 0o777, 0o1644, 0o2755, 0o4755, 0o6755, 0o7777] {
        if is_root() || mode & 0o400 != 0 {
            tree.file(format!("file {mode:04o}"), format!("{mode}")).mode(format!("file {mode:04o}"), mode);
        }
        if is_root() || mode & 0o500 == 0o500 {
            tree.file(format!("dir {mode:04o}/inside"), "x").mode(format!("dir {mode:04o}"), mode);
        }
    }
    tree.dir("sticky").mode("sticky", 0o1777).dir("read only").mode("read only", 0o555);

    assert_comes_back(&tree);
}

#[test]
fn owners_come_back() {
    if !is_root() {
        return skip("only the superuser can give files to others");
    }
    let tree = TreeFixture::new();
    tree.file("theirs", "x").owner("theirs", 1234, 5678);
    // Giving a file away takes these bits from it, so they must be set after the owner.
    tree.file("setuid", "x").owner("setuid", 1234, 5678).mode("setuid", 0o6755);
    tree.dir("dir").owner("dir", 1, 2).symlink("link", "theirs").owner("link", 3, 4);
    tree.fifo("fifo").owner("fifo", 4_000_000_000, 4_294_967_294);

    assert_comes_back(&tree);
}

#[test]
fn times_come_back_to_the_nanosecond() {
    let tree = TreeFixture::new();
    let times = [
        ("the epoch", 0, 0),
        ("a nanosecond later", 0, 1),
        ("just before", -1, 999_999_999),
        ("1968", -50_000_000, 123_456_789),
        ("2038", 1 << 31, 1),
        ("2106", 1 << 32, 999_999_999),
        ("2400", 13_569_465_600, 7),
    ];
    for (name, seconds, nanos) in times {
        tree.file(name, name);
        if !tree.mtime(name, seconds, nanos) {
            skip(&format!("this file system cannot keep the time of {name:?}"));
        }
    }
    tree.symlink("link", "x").dir("dir").fifo("fifo");
    tree.mtime("link", 1_000_000_000, 42);
    tree.mtime("dir", 999_999_999, 43);
    tree.mtime("fifo", 1, 44);

    assert_comes_back(&tree);
}

#[test]
fn times_of_directories_outlive_the_restore_of_what_is_in_them() {
    let tree = TreeFixture::new();
    tree.file("a/b/c/file", "x").symlink("a/b/link", "c").fifo("a/b/fifo").hard_link("a/again", "a/b/c/file");
    for (nanos, name) in ["a/b/c", "a/b", "a", ""].into_iter().enumerate() {
        assert!(tree.mtime(name, 1_234_567_890, nanos as i64));
    }

    assert_comes_back(&tree);
}

#[test]
fn symlinks_come_back_as_they_are() {
    let tree = TreeFixture::new();
    tree.file("file", "x").dir("dir");
    tree.symlink("to file", "file").symlink("to dir", "dir").symlink("trailing slash", "dir/");
    tree.symlink("dangling", "nowhere").symlink("absolute", "/etc/passwd").symlink("up", "../../../..");
    tree.symlink("itself", "itself").symlink("bytes", b"\xff\n\x01").symlink("long", [b'x'; 4095]);

    assert_comes_back(&tree);
}

#[test]
fn a_symlink_that_stands_for_the_source_is_followed_and_others_are_not() {
    let tree = TreeFixture::new();
    tree.file("dir/file", "x").symlink("link", "dir");
    let vault = TestVault::new();

    let summary = vault.backup(&tree.at("link"));

    assert_same_tree(&tree.at("dir"), vault.restore(summary.snapshot).path());
}

#[test]
fn hard_links_come_back_as_one_file() {
    let tree = TreeFixture::new();
    tree.file("a", noise(1, 100_000)).hard_link("b", "a").dir("deep/down").hard_link("deep/down/c", "a");
    tree.file("twin of a", noise(1, 100_000)).file("empty", "").hard_link("empty too", "empty");
    tree.fifo("fifo").hard_link("fifo too", "fifo");
    tree.symlink("link", "a").hard_link("link too", "link");

    let summary = assert_comes_back(&tree);

    assert!(summary.counts.added_bytes < 200_000, "{summary:?}");
}

#[test]
fn a_file_with_names_outside_the_tree_comes_back() {
    let tree = TreeFixture::new();
    tree.dir("in").file("in/a", "x").hard_link("outside", "in/a");
    let vault = TestVault::new();

    let summary = vault.backup(&tree.at("in"));

    let restored = vault.restore(summary.snapshot);
    assert_eq!(fs::read(restored.path().join("a")).unwrap(), b"x");
    assert_eq!(restored.path().join("a").metadata().unwrap().nlink(), 1);
}

#[test]
fn sparse_files_stay_sparse() {
    // Large enough to notice, small enough to be hashed twice.
    const LARGE: u64 = 1 << 28;
    let tree = TreeFixture::new();
    tree.sparse("all hole", LARGE, &[]);
    tree.sparse("end", LARGE, &[(LARGE - 5, b"end")]).sparse("begin", LARGE, &[(0, b"begin")]);
    tree.sparse("middle", 8 << 20, &[(1 << 20, &noise(1, 5000)), (5 << 20, &noise(2, 300_000))]);
    tree.file("zeros", vec![0; 3 << 20]);

    let summary = assert_comes_back(&tree);

    assert!(summary.counts.read_bytes < 16 << 20, "holes were read: {summary:?}");
}

#[test]
fn extended_attributes_come_back() {
    let tree = TreeFixture::new();
    tree.file("file", "x").dir("dir").symlink("link", "file");
    if !tree.xattr("file", "user.empty", b"") {
        return skip("this file system has no extended attributes");
    }
    assert!(tree.xattr("file", "user.bytes", b"\x00\xff\n"));
    assert!(tree.xattr("file", "user.long", &noise(1, 3000)));
    assert!(tree.xattr("dir", "user.on a directory", b"1"));
    if is_root() {
        assert!(tree.xattr("file", "trusted.hidden", b"2"));
        assert!(tree.xattr("link", "trusted.on a link", b"3"));
        // Changing the owner of a file takes its capabilities away, so they must be set after it.
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        tree.file("capable", "x").owner("capable", 12, 34);
        assert!(tree.xattr("capable", "security.capability", &capability));
    }
    // A file that nobody may write to has attributes too.
    tree.file("read only", "x").xattr("read only", "user.a", b"b");
    tree.mode("read only", 0o444);

    assert_comes_back(&tree);
}

#[test]
fn acls_come_back() {
    let tree = TreeFixture::new();
    tree.file("file", "x").dir("dir").file("dir/inside", "x");
    let set = |acl: &[&str], name: &str| {
        let status = Command::new("setfacl").args(acl).arg(tree.at(name)).status();
        status.is_ok_and(|status| status.success())
    };
    if !set(&["-m", "u:1234:rw,g:5678:r"], "file") {
        return skip("there is no setfacl, or this file system has no ACLs");
    }
    assert!(set(&["-m", "u:1234:rwx,d:u:1234:rx,d:g:5678:-"], "dir"));

    assert_comes_back(&tree);

    let inside = Tree::scan(&tree.path()).entries()[Path::new("dir/inside")].xattrs.len();
    assert_eq!(inside, 0, "a default ACL must not have been given to what is restored below it");
}

#[test]
fn fifos_come_back() {
    let tree = TreeFixture::new();
    tree.fifo("fifo").dir("dir").fifo("dir/another").mode("dir/another", 0o622);

    assert_comes_back(&tree);
}

#[test]
fn device_nodes_come_back() {
    if !is_root() {
        return skip("only the superuser can make devices");
    }
    let tree = TreeFixture::new();
    tree.device("null", FileType::CharacterDevice, makedev(1, 3));
    tree.device("loop", FileType::BlockDevice, makedev(7, 1_000));

    assert_comes_back(&tree);
}

#[test]
fn sockets_are_skipped_with_a_note() {
    let tree = TreeFixture::new();
    tree.file("file", "x");
    let _listener = UnixListener::bind(tree.at("socket")).unwrap();
    let vault = TestVault::new();

    let summary = vault.backup(&tree.path());

    let notices = vault.progress.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0].0, Severity::Note);
    assert!(notices[0].1.ends_with("socket"));
    assert_eq!((summary.counts.skipped_entries, summary.counts.failed_entries), (1, 0));
    let expected = Tree::scan(&tree.path()).without(|_, facts| facts.kind == Kind::Socket);
    let restored = vault.restore(summary.snapshot);
    assert_eq!(expected.differences(&Tree::scan(restored.path())), "");
}

#[test]
fn a_tree_three_hundred_levels_deep_comes_back() {
    let tree = TreeFixture::new();
    let deepest = "d/".repeat(300);
    tree.file(format!("{deepest}file"), "deep down").symlink(format!("{deepest}link"), "file");

    assert_comes_back(&tree);
}

#[test]
fn paths_longer_than_the_system_takes_in_one_call_come_back() {
    let tree = TreeFixture::new();
    // Each step is taken from within the last, as only so can the path grow beyond 4096 bytes.
    let name = "n".repeat(250);
    let script =
        format!("cd \"$0\" && for i in $(seq 20); do mkdir {name} && cd -P ./{name}; done; echo deep > file");
    let status = Command::new("bash").arg("-c").arg(script).arg(tree.path()).status();
    if !status.is_ok_and(|status| status.success()) {
        return skip("there is no bash");
    }
    let vault = TestVault::new();

    let summary = vault.backup(&tree.path());
    let restored = vault.restore(summary.snapshot);

    assert_eq!((summary.counts.files, summary.counts.directories), (1, 21));
    let list = |root: &Path| {
        Command::new("find").arg(root).args(["-printf", "%P %y %m %s %T@\\n"]).output().unwrap()
    };
    assert_eq!(list(&tree.path()).stdout, list(restored.path()).stdout);
}

#[test]
fn a_directory_with_twenty_thousand_files_comes_back() {
    let tree = TreeFixture::new();
    tree.dir("many");
    for number in 0..20_000_u32 {
        fs::write(tree.at(format!("many/{number:05}")), number.to_string()).unwrap();
    }

    let summary = assert_comes_back(&tree);

    assert_eq!(summary.counts.files, 20_000);
}

#[test]
fn a_file_of_many_chunks_comes_back() {
    let tree = TreeFixture::new();
    tree.file("noise", noise(1, 30 << 20)).file("text", "all work and no play ".repeat(500_000));
    tree.file("noise again", noise(1, 30 << 20));

    let summary = assert_comes_back(&tree);

    assert!(summary.counts.added_bytes < 42 << 20, "the second copy was stored: {summary:?}");
    assert!(summary.counts.stored_bytes < 32 << 20, "the text was not compressed: {summary:?}");
}

#[test]
fn times_that_nothing_can_set_or_trust_are_not_kept() {
    let tree = TreeFixture::new();
    tree.file("file", "x").mtime("file", 1_000_000_000, 42);
    let vault = TestVault::new();

    let summary = vault.backup(&tree.path());

    let restored = vault.restore(summary.snapshot);
    let metadata = restored.path().join("file").metadata().unwrap();
    assert_eq!((metadata.atime(), metadata.atime_nsec()), (1_000_000_000, 42), "read as often as changed");
    assert!(metadata.ctime() > 1_700_000_000);
}

#[test]
fn every_test_that_the_page_names_exists() {
    let root = vault_tests::workspace();
    let page = fs::read_to_string(root.join("docs/fidelity.md")).unwrap();
    let sources = ["fidelity", "restore", "restore_model", "resume", "roundtrip"];
    let sources = sources.map(|name| fs::read_to_string(root.join(format!("tests/{name}.rs"))).unwrap());
    let is_test = |word: &&str| {
        word.matches('_').count() > 1 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter(is_test).collect();

    assert!(named.len() > 20, "{named:?}");
    for name in named {
        assert!(
            sources.iter().any(|source| source.contains(&format!("fn {name}("))),
            "there is no test {name}"
        );
    }
}
