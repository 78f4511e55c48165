//! A vault that is mounted: what programs see of it is what was backed up, and it ends as it should however it ends.
//!
//! Every test mounts for real, through the program. Where this machine has no FUSE (no /dev/fuse, no fusermount3) each says so and
//! ends. `VAULT_TEST_MOUNT_MB` sets the size of the file that is read through a small cache.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, Read as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, makedev};
use rustix::process::Signal;
use vault_tests::damage::files_below;
use vault_tests::mounted::{Mounted, PATIENCE, can_mount, is_mounted, unmount};
use vault_tests::{Machine, Tree, TreeFixture, assert_same_tree, is_root, noise};

/// What the memory test reads where `VAULT_TEST_MOUNT_MB` says nothing else.
const LARGE_MB: u64 = 256;
/// The user that is nobody on most systems.
const NOBODY: u32 = 65_534;

/// A machine with a vault of one directory.
fn machine_with(tree: &TreeFixture) -> Machine {
    let machine = Machine::new();
    machine.init();
    back_up(&machine, tree);
    machine
}

/// A machine whose vault has one snapshot of a file, mounted; `None` where this machine cannot mount.
fn mounted_file(contents: &[u8]) -> Option<(TreeFixture, Machine, Mounted)> {
    if !can_mount() {
        return None;
    }
    let tree = TreeFixture::new();
    tree.file("file", contents);
    let machine = machine_with(&tree);
    let mounted = Mounted::new(&machine);
    Some((tree, machine, mounted))
}

fn back_up(machine: &Machine, tree: &TreeFixture) {
    machine.succeed(["backup".as_ref(), tree.path().as_os_str()]);
}

/// What a command prints in a directory, its lines sorted; `None` if this machine has no such command.
fn sorted_output(directory: &Path, command: &str) -> Option<Vec<String>> {
    let program = command.split(' ').next().unwrap();
    if !Command::new("which").arg(program).stdout(Stdio::null()).status().unwrap().success() {
        eprintln!("not compared: this machine has no {program}");
        return None;
    }
    let output = Command::new("sh").args(["-c", command]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    Some(lines)
}

/// A tree with everything that a file system has.
fn rich_tree() -> TreeFixture {
    let tree = TreeFixture::new();
    tree.file("small", "contents").file("empty", "").dir("nothing").file("deep/er/file", noise(1, 100_000));
    tree.file("large", noise(2, 9_000_000)).file(b"\xff not UTF-8", "1").file("line\nbreak", "2");
    tree.mode("small", 0o4751).mode("deep/er", 0o1700).mode("nothing", 0o000);
    tree.sparse("sparse", 3 << 20, &[(1 << 20, b"in the middle"), ((3 << 20) - 1, b"!")]);
    tree.symlink("link", "deep/er").symlink("dangling", b"to \xff nothing").fifo("pipe");
    tree.hard_link("second name", "small").hard_link("deep/third name", "small");
    tree.mtime("small", -50_000_000, 123_456_789);
    tree.mtime("link", 1_000_000_000, 42);
    if !tree.xattr("large", "user.test", b"\0value\xff") {
        eprintln!("not tried: this file system has no extended attributes");
    }
    tree.xattr("deep", "user.empty", b"");
    let _ = Command::new("setfacl").args(["-m", "u:1234:rw"]).arg(tree.at("empty")).status();
    if is_root() {
        tree.device("null", FileType::CharacterDevice, makedev(1, 3));
        tree.device("disk", FileType::BlockDevice, makedev(259, 70_000));
        tree.owner("empty", 1234, 5678).owner("dangling", 3, 4);
    }
    tree
}

#[test]
fn everything_is_as_it_was_backed_up() {
    if !can_mount() {
        return;
    }
    let tree = rich_tree();
    let machine = machine_with(&tree);
    let mounted = Mounted::new(&machine);

    let (source, shown) = (tree.path(), mounted.latest());
    assert_same_tree(&source, &shown);
    for command in [
        "find . -printf '%p %y %m %T@ %U %G %l %n\\n' | grep -v ' d '",
        "find . -type d -printf '%p %m %T@ %U %G\\n'",
        "find . -type f -printf '%p %s\\n'",
        "find . -type f -exec md5sum {} +",
        "getfattr -R -h -d -m - -e hex .",
        "getfacl -R .",
        "stat -c '%n %F %t %T' null disk pipe 2>&1 || true",
        "tar c --sort=name -f - . | tar t --full-time -v -f -",
    ] {
        // The first look counts the names of linked files; only a second one can know all.
        sorted_output(&shown, command);
        assert_eq!(sorted_output(&shown, command), sorted_output(&source, command), "{command}");
    }
    assert_eq!(mounted.stop(), (Some(0), String::new()));
}

#[test]
fn trees_compare_equal_to_diff() {
    if !can_mount() {
        return;
    }
    let tree = TreeFixture::new();
    for number in 0..200 {
        tree.file(format!("{}/{number}", number % 7), noise(number, 3_000 * number as usize));
    }
    tree.symlink("3/link", "../4");
    let machine = machine_with(&tree);
    let mounted = Mounted::with(&machine, &["--snapshot", "latest"]);

    let diff =
        Command::new("diff").args(["-r", "--no-dereference"]).arg(tree.path()).arg(&mounted.point).output();

    let diff = diff.unwrap();
    assert!(
        diff.status.success(),
        "{}{}",
        String::from_utf8_lossy(&diff.stdout),
        String::from_utf8_lossy(&diff.stderr)
    );
    assert_same_tree(&tree.path(), &mounted.point);
}

#[test]
fn a_directory_of_a_snapshot_is_mounted_alone() {
    if !can_mount() {
        return;
    }
    let tree = rich_tree();
    let machine = machine_with(&tree);
    let mounted = Mounted::with(&machine, &["--snapshot", "latest:/deep"]);

    assert_same_tree(&tree.at("deep/er"), &mounted.point.join("er"));
    assert_eq!(fs::metadata(&mounted.point).unwrap().mtime(), fs::metadata(tree.at("deep")).unwrap().mtime());
    assert_eq!(mounted.stop().0, Some(0));
    let refused = machine.run(["mount", "mnt", "--snapshot", "latest:/large"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not a directory"));
}

#[test]
fn new_snapshots_appear_in_what_is_mounted() {
    let Some((tree, machine, mounted)) = mounted_file(b"1") else { return };
    let dates = || fs::read_dir(mounted.point.join("by-date")).unwrap().count();
    assert_eq!(dates(), 1);

    tree.file("file", "22").file("more", noise(1, 1_000_000));
    back_up(&machine, &tree);

    assert_eq!(dates(), 2);
    let begun = Instant::now();
    while fs::read(mounted.point.join("latest/file")).unwrap() != b"22" {
        assert!(begun.elapsed() < PATIENCE, "`latest` does not move on");
        thread::sleep(Duration::from_millis(50));
    }
    assert_same_tree(&tree.path(), &mounted.latest());
    assert_eq!(fs::read_dir(mounted.point.join("by-id")).unwrap().count(), 2);
    for host in fs::read_dir(mounted.point.join("by-host")).unwrap() {
        for link in fs::read_dir(host.unwrap().path()).unwrap() {
            assert!(fs::metadata(link.unwrap().path()).unwrap().is_dir());
        }
    }
}

#[test]
fn nothing_can_be_written() {
    let Some((_tree, _machine, mounted)) = mounted_file(b"1") else { return };

    let at = |name: &str| mounted.latest().join(name);
    let read_only = |error: std::io::Error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem;
    assert!(fs::write(at("file"), "2").is_err_and(read_only));
    assert!(fs::write(at("new"), "2").is_err_and(read_only));
    assert!(fs::remove_file(at("file")).is_err_and(read_only));
    assert!(fs::create_dir(at("dir")).is_err_and(read_only));
    assert!(fs::rename(at("file"), at("other")).is_err_and(read_only));
}

#[test]
fn a_damaged_pack_costs_only_what_is_in_it() {
    if !can_mount() {
        return;
    }
    let tree = TreeFixture::new();
    tree.file("old", noise(1, 2_000_000));
    let machine = machine_with(&tree);
    let packs = || files_below(&machine.vault().join("packs"));
    let first = packs();
    tree.file("new", noise(2, 100_000));
    back_up(&machine, &tree);
    for pack in first {
        let bytes = fs::read(&pack).unwrap();
        // Early in the pack: the end holds the tree nodes of the old snapshot.
        let file = fs::OpenOptions::new().write(true).open(&pack).unwrap();
        file.write_all_at(&[bytes[50_000] ^ 1], 50_000).unwrap();
    }
    let mounted = Mounted::new(&machine);

    let damaged = fs::read(mounted.latest().join("old")).unwrap_err();
    assert_eq!(damaged.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(fs::read(mounted.latest().join("old")).is_err());
    assert_eq!(fs::read(mounted.latest().join("new")).unwrap(), noise(2, 100_000));
    let old = File::open(mounted.latest().join("old")).unwrap();
    let mut end = vec![0; 100_000];
    old.read_exact_at(&mut end, 1_900_000).unwrap();
    assert_eq!(end, noise(1, 2_000_000)[1_900_000..]);
    drop(old);

    let (code, said) = mounted.stop();
    assert_eq!(code, Some(3));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("warning: by-date/") && said.contains("/old cannot be read: packs/"), "{said}");
}

#[test]
fn many_threads_read_at_random() {
    if !can_mount() {
        return;
    }
    let tree = TreeFixture::new();
    let contents = noise(3, 6_000_000);
    tree.file("large", &contents);
    for number in 0..50 {
        tree.file(format!("small/{number}"), noise(number, 5_000));
    }
    let machine = machine_with(&tree);
    let mounted = Mounted::with(&machine, &["--cache", "2M"]);

    let latest = mounted.latest();
    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let (latest, contents) = (&latest, &contents);
            scope.spawn(move || {
                let large = File::open(latest.join("large")).unwrap();
                for round in 0..40 {
                    let seed = worker * 1_000 + round;
                    let at = (seed * 7_919_317 % 5_900_000) as usize;
                    let mut bytes = vec![0; (seed * 104_729 % 90_000) as usize];
                    large.read_exact_at(&mut bytes, at as u64).unwrap();
                    assert!(bytes == contents[at..at + bytes.len()]);
                    let number = seed % 50;
                    assert_eq!(
                        fs::read(latest.join(format!("small/{number}"))).unwrap(),
                        noise(number, 5_000)
                    );
                }
            });
        }
    });
}

#[test]
fn a_large_file_is_read_through_a_small_cache() {
    if !can_mount() {
        return;
    }
    let megabytes = std::env::var("VAULT_TEST_MOUNT_MB").ok().and_then(|text| text.parse().ok());
    let bytes = megabytes.unwrap_or(LARGE_MB) << 20;
    let tree = TreeFixture::new();
    let file = File::create(tree.at("large")).unwrap();
    for at in (0..bytes).step_by(1 << 20) {
        file.write_all_at(&noise(at, 1 << 20), at).unwrap();
    }
    drop(file);
    let machine = machine_with(&tree);
    let mounted = Mounted::with(&machine, &["--cache", "8M"]);

    let mut large = File::open(mounted.latest().join("large")).unwrap();
    let mut piece = vec![0; 1 << 20];
    for at in (0..bytes).step_by(1 << 20) {
        large.read_exact(&mut piece).unwrap();
        assert!(piece == noise(at, 1 << 20), "at {at}");
    }

    let status = fs::read_to_string(format!("/proc/{}/status", mounted.process.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    eprintln!("{} MiB read with a peak of {} MiB", bytes >> 20, peak_kb >> 10);
    assert!(peak_kb < 96 << 10, "{peak_kb} kB");
}

#[test]
fn a_directory_of_many_nodes_is_listed_whole() {
    if !can_mount() {
        return;
    }
    let tree = TreeFixture::new();
    let long = "n".repeat(230);
    let names: Vec<String> = (0..20_000).map(|number| format!("{long}{number:05}")).collect();
    for name in &names {
        tree.file(name, "");
    }
    let machine = machine_with(&tree);
    let mounted = Mounted::with(&machine, &["--cache", "1M"]);

    let mut shown: Vec<_> = fs::read_dir(mounted.latest())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    shown.sort_unstable();

    assert!(shown == names, "{} of {}", shown.len(), names.len());
    for name in names.iter().step_by(997) {
        assert!(fs::symlink_metadata(mounted.latest().join(name)).unwrap().is_file());
    }
    assert!(!mounted.latest().join(format!("{long}x")).exists());
}

#[test]
fn it_ends_when_it_is_unmounted_from_outside() {
    let Some((_tree, _machine, mut mounted)) = mounted_file(b"1") else { return };

    assert!(unmount(&["-u"], &mounted.point));

    assert_eq!(mounted.ended().code(), Some(0));
}

#[test]
fn what_is_open_stays_readable_after_a_request_to_stop() {
    let contents = noise(1, 5_000_000);
    let Some((_tree, _machine, mut mounted)) = mounted_file(&contents) else { return };
    let mut file = File::open(mounted.latest().join("file")).unwrap();

    mounted.signal(Signal::TERM);
    let mut said = String::new();
    mounted.errors.read_line(&mut said).unwrap();

    assert!(said.contains("still open"), "{said}");
    assert!(!is_mounted(&mounted.point));
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    assert!(bytes == contents);
    assert!(mounted.process.try_wait().unwrap().is_none());
    drop(file);
    assert_eq!(mounted.ended().code(), Some(0));
}

#[test]
fn a_second_request_to_stop_ends_it_at_once() {
    let Some((_tree, _machine, mut mounted)) = mounted_file(b"1") else { return };
    let _file = File::open(mounted.latest().join("file")).unwrap();

    mounted.signal(Signal::INT);
    mounted.errors.read_line(&mut String::new()).unwrap();
    mounted.signal(Signal::INT);

    assert_eq!(mounted.ended().code(), Some(130));
}

#[test]
fn a_mount_whose_process_was_killed_is_named_and_can_be_cleaned() {
    let Some((_tree, machine, mut mounted)) = mounted_file(b"1") else { return };
    mounted.signal(Signal::KILL);
    mounted.ended();
    assert!(is_mounted(&mounted.point));

    let refused = machine.run(["mount", "mnt"]);
    assert_eq!(refused.status.code(), Some(5));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("fusermount3 -u mnt"), "{said}");

    assert!(unmount(&["-u"], &mounted.point));
    assert!(!is_mounted(&mounted.point));
    assert_eq!(Mounted::new(&machine).stop().0, Some(0));
}

#[test]
fn others_are_let_in_only_on_request_and_only_to_what_they_may_see() {
    if !can_mount() {
        return;
    }
    if !is_root() {
        eprintln!("skipped: only the superuser can act as somebody else");
        return;
    }
    let tree = TreeFixture::new();
    tree.file("public", "x").mode("public", 0o644).file("private", "x").mode("private", 0o600);
    tree.mode("", 0o755);
    let machine = machine_with(&tree);
    fs::set_permissions(machine.home(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let can_read = |path: &Path| {
        let mut cat = Command::new("cat");
        cat.arg(path).uid(NOBODY).gid(NOBODY).stdout(Stdio::null()).stderr(Stdio::null());
        cat.status().unwrap().success()
    };

    let mounted = Mounted::new(&machine);
    let latest = mounted.latest();
    assert!(!can_read(&latest.join("public")));
    mounted.stop();

    let mounted = Mounted::with(&machine, &["--allow-other"]);
    assert!(can_read(&latest.join("public")) && !can_read(&latest.join("private")));
    mounted.stop();
}

#[test]
fn the_same_entry_has_the_same_inode_each_time() {
    if !can_mount() {
        return;
    }
    let tree = rich_tree();
    let machine = machine_with(&tree);
    let inodes = |mounted: &Mounted| sorted_output(&mounted.latest(), "find . -printf '%i %p\\n'").unwrap();

    let mounted = Mounted::new(&machine);
    let first = inodes(&mounted);
    mounted.stop();
    let mounted = Mounted::new(&machine);

    assert_eq!(inodes(&mounted), first);
    assert_eq!(Tree::scan(&mounted.latest()), Tree::scan(&mounted.latest()));
    let name = OsStr::new("latest");
    assert!(fs::symlink_metadata(mounted.point.join(name)).unwrap().is_symlink());
}
