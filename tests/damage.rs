//! Damage: whatever happens to any file of a vault, `check` names it, and a restore never leaves wrong bytes behind.
//!
//! Each cell of the matrix (kind of object × what happens to it) is tried on a machine that has never seen the vault, and on one whose
//! caches were filled before the damage was done. No cell may panic; nothing but the damaged part may be lost.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vault_core::error::{Error, ErrorKind};
use vault_core::id::SnapshotId;
use vault_core::keys::SecretString;
use vault_core::keys::age_file::Unlock;
use vault_core::keys::identity_file::UserIdentity;
use vault_tests::damage::copy_directory;
use vault_tests::scan::Kind;
use vault_tests::vault::PASSPHRASE;
use vault_tests::{Action, Machine, Target, TestVault, Tree, TreeFixture, assert_same_tree, noise};

/// A vault with two snapshots of a tree, and at least two objects of each kind that can have several.
struct Subject {
    vault: TestVault,
    tree: TreeFixture,
    snapshot: SnapshotId,
    /// The vault before any damage.
    intact: TempDir,
    /// Another vault of another user, for swaps of what a vault has only one of.
    stranger: TestVault,
}

impl Subject {
    fn new() -> Self {
        let tree = TreeFixture::new();
        tree.file("small", "small")
            .file("dir/large", noise(1, 4_000_000))
            .file("dir/sub/text", "text ".repeat(9_999));
        for number in 0..50 {
            tree.file(format!("many/{number}"), noise(100 + number, 300));
        }
        let mut vault = TestVault::with_small_chunks();
        vault.backup(&tree.path());
        tree.file("new", noise(2, 2_000_000)).file("dir/sub/newer", "newer");
        let snapshot = vault.backup(&tree.path()).snapshot;

        vault.restore(snapshot);
        vault.move_to_new_machine();
        let intact = TempDir::new().unwrap();
        copy_directory(&vault.root(), intact.path());
        Self { vault, tree, snapshot, intact, stranger: TestVault::new() }
    }

    fn repair(&self) {
        fs::remove_dir_all(self.vault.root()).unwrap();
        copy_directory(self.intact.path(), &self.vault.root());
    }

    /// The file that a swap takes bytes from: another of the kind, or the only one of a stranger's vault.
    fn other(&self, target: Target, file: &Path) -> PathBuf {
        let own = target.files(&self.vault).into_iter().find(|other| other != file);
        own.unwrap_or_else(|| {
            // A copy, so that the stranger's vault stays whole.
            let copy = self.stranger.root().join(format!("copy of {target}"));
            fs::copy(&target.files(&self.stranger)[0], &copy).unwrap();
            copy
        })
    }

    /// Checks and restores the damaged vault as one machine sees it.
    fn assert_handled(&self, target: Target, file: &Path, cell: &str) {
        let name = file.strip_prefix(self.vault.root()).unwrap().to_str().unwrap();
        let found = self.check();
        let noticed = found.iter().any(|text| text.contains(name))
            || match target {
                // A statement is named by its number too; where two do not fit each other, it may be the later one.
                Target::Statement => {
                    let number: u64 = name.strip_prefix("log/").unwrap().parse().unwrap();
                    let names = [format!("statement {number} "), format!("statement {} ", number + 1)];
                    let is_genesis = number == 0
                        && found.iter().any(|text| text.contains("genesis") || text.contains("no log"));
                    // A machine that knows the log's end says that it has become shorter.
                    let is_short = |text: &str| text.contains("before and now ends earlier");
                    is_genesis
                        || found
                            .iter()
                            .any(|text| names.iter().any(|name| text.contains(name)) || is_short(text))
                }
                // Nothing pins a sealed identity, for its passphrase may be changed: damage shows when it is opened.
                Target::Identity => !self.identity_opens(),
                // The id in it is compared with the log; the rest is text for people.
                Target::VaultFile => !found.is_empty() || self.says_the_same_to_programs(),
                _ => false,
            };
        assert!(noticed, "{cell}: {name} is not named in {found:#?}");
        self.restore_and_compare(cell);
    }

    /// Whether a machine without an identity gets the user's from the vault.
    fn identity_opens(&self) -> bool {
        let passphrase = SecretString::from(PASSPHRASE.to_owned());
        let sealed = self.vault.open().and_then(|vault| vault.sealed_identities()).unwrap_or_default();
        let mut opened =
            sealed.iter().flat_map(|file| UserIdentity::open(file, Unlock::Passphrase(&passphrase)));
        opened.any(|identity| identity.user_id() == self.vault.identity.user_id())
    }

    /// Whether the lines of `VAULT` that programs read are as before.
    fn says_the_same_to_programs(&self) -> bool {
        let lines = |directory: &Path| {
            let text = fs::read(directory.join("VAULT")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.lines()
                .filter(|line| line.starts_with("format: ") || line.starts_with("id: "))
                .collect::<String>()
        };
        lines(&self.vault.root()) == lines(self.intact.path())
    }

    /// What `check` says, or why it does not come to that.
    fn check(&self) -> Vec<String> {
        match self.vault.try_check() {
            Ok(summary) => summary
                .findings
                .iter()
                .flat_map(|finding| {
                    [finding.object.map_or(String::new(), |object| object.to_string()), chain(&finding.error)]
                })
                .collect(),
            Err(error) => vec![chain(&error)],
        }
    }

    /// What the missing statement brought cannot be restored.
    fn assert_not_restored(&self, cell: &str) {
        let target = TempDir::new().unwrap();
        let error = self.vault.try_restore(self.snapshot, target.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{cell}: {error:?}");
    }

    fn restore_and_compare(&self, cell: &str) {
        let target = TempDir::new().unwrap();
        let before = self.vault.progress.notices().len();
        let Ok(summary) = self.vault.try_restore(self.snapshot, target.path()) else {
            // Without log or keys nothing is restored; then nothing may be there either.
            assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "{cell}: files after an error");
            return;
        };
        let notices = self.vault.progress.notices().split_off(before);
        let below = |subject: &Path| subject.strip_prefix(target.path()).unwrap_or(subject).to_owned();
        let reported: BTreeSet<PathBuf> = notices.iter().map(|(_, subject, _)| below(subject)).collect();
        let is_reported = |path: &Path| path.ancestors().any(|path| reported.contains(path));

        let expected = Tree::scan(&self.tree.path());
        let found = Tree::scan(target.path());
        for (path, facts) in found.entries() {
            let right = expected.entries().get(path).unwrap_or_else(|| panic!("{cell}: {path:?} is new"));
            let is_directory = facts.kind == Kind::Directory;
            assert!(
                facts == right || (is_directory && summary.failed_entries > 0),
                "{cell}: {path:?} is wrong"
            );
        }
        for path in expected.entries().keys().filter(|path| !found.entries().contains_key(*path)) {
            assert!(is_reported(path), "{cell}: {path:?} is missing, and not among {reported:?}");
        }
        assert_eq!(summary.failed_entries == 0, found == expected, "{cell}: {notices:?}");
    }
}

/// An error with all its sources.
fn chain(error: &Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts.join(": ")
}

/// What a cell of the matrix cannot show: that the log's end is missing, on a machine that has never seen it.
fn is_unknowable(target: Target, action: Action, file: &Path, files: &[PathBuf]) -> bool {
    target == Target::Statement && action == Action::Delete && files.last().is_some_and(|last| last == file)
}

/// Tries every action on every file of a kind, as seen by both machines.
fn try_all(target: Target) {
    let mut subject = Subject::new();
    let files = target.files(&subject.vault);
    assert!(!files.is_empty(), "the vault has no {target}");
    for file in &files {
        for action in Action::ALL {
            action.apply(file, &subject.other(target, file));
            let cell = format!("{action:?} of {}", file.display());

            subject.vault.move_to_new_machine();
            if is_unknowable(target, action, file, &files) {
                subject.assert_not_restored(&cell);
            } else {
                subject.assert_handled(target, file, &format!("{cell} (no cache)"));
            }
            subject.repair();
        }
    }
    // The caches are filled by a look at the whole vault, and the damage comes after it.
    for file in &files {
        for action in Action::ALL {
            subject.vault.move_to_new_machine();
            subject.vault.assert_clean();
            action.apply(file, &subject.other(target, file));
            let cell = format!("{action:?} of {}", file.display());

            subject.assert_handled(target, file, &format!("{cell} (warm cache)"));
            subject.repair();
        }
    }
}

#[test]
fn a_damaged_pack_is_named_and_costs_only_what_is_in_it() {
    try_all(Target::Pack);
}

#[test]
fn a_damaged_index_object_is_named() {
    try_all(Target::Index);
}

#[test]
fn a_damaged_statement_is_named() {
    try_all(Target::Statement);
}

#[test]
fn a_damaged_member_envelope_is_named() {
    try_all(Target::MemberEnvelope);
}

#[test]
fn a_damaged_writer_envelope_is_named() {
    try_all(Target::WriterEnvelope);
}

#[test]
fn a_damaged_identity_is_named() {
    try_all(Target::Identity);
}

#[test]
fn a_damaged_vault_file_is_named() {
    try_all(Target::VaultFile);
}

#[test]
fn a_statement_that_is_missing_from_the_middle_is_named_whatever_is_remembered() {
    let mut subject = Subject::new();
    let files = Target::Statement.files(&subject.vault);
    for remembered in [true, false] {
        for (missing, file) in files[..files.len() - 1].iter().enumerate() {
            subject.vault.move_to_new_machine();
            if remembered {
                subject.vault.open().unwrap();
            }
            fs::remove_file(file).unwrap();

            let error = subject.vault.open().err().unwrap();

            let later = files.len() - 1;
            let expected = format!("statement {missing} is missing, though statement {later} is there");
            assert!(chain(&error).contains(&expected), "{error:?}");
            assert_eq!((error.kind(), error.is_rollback()), (ErrorKind::Integrity, false));
            subject.repair();
        }
    }
}

#[test]
fn a_backup_after_damage_to_a_pack_does_not_pass_for_a_repair() {
    let subject = Subject::new();
    let file = &Target::Pack.files(&subject.vault)[0];
    Action::Flip(500).apply(file, file);

    subject.vault.backup(&subject.tree.path());

    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(subject.check().iter().any(|text| text.contains(name)));
}

#[test]
fn a_backup_stores_again_what_the_store_lost() {
    for target in [Target::Pack, Target::Index] {
        let subject = Subject::new();
        // The stat cache knows every file, and must not be believed.
        subject.vault.backup(&subject.tree.path());
        for file in target.files(&subject.vault) {
            fs::remove_file(file).unwrap();
        }

        let again = subject.vault.backup(&subject.tree.path()).snapshot;

        for snapshot in [again, subject.snapshot] {
            let restored = subject.vault.restore(snapshot);
            assert_same_tree(&subject.tree.path(), restored.path());
        }
    }
}

#[test]
fn a_vault_in_the_place_of_another_is_refused() {
    let (machine, mallory) = (Machine::new(), Machine::new());
    let source = TreeFixture::new();
    source.file("file", "contents");
    for each in [&machine, &mallory] {
        each.init();
        each.succeed([OsStr::new("backup"), source.path().as_os_str()]);
    }

    fs::rename(machine.vault(), machine.home().join("moved away")).unwrap();
    copy_directory(&mallory.vault(), &machine.vault());
    let refused = machine.run([OsStr::new("backup"), source.path().as_os_str()]);

    assert_eq!(refused.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stood there before"));
}
