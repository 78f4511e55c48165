//! Forgetting: which snapshots go, who may say so, and that what is left is whole.
//!
//! Each test is a short history of backups at chosen moments.

use std::path::{Path, PathBuf};

use vault_core::error::{Error, ErrorKind};
use vault_core::id::{SessionId, SnapshotId};
use vault_core::log::{self, Annotate, Body, Device, DeviceKind, Refusal};
use vault_core::ops::backup::{BackupOptions, backup};
use vault_core::ops::forget::{Choice, ForgetOptions, ForgetSummary, forget};
use vault_core::ops::groups::{Filter, GroupBy};
use vault_core::ops::retention::{CivilHour, Rules};
use vault_core::ops::snapshots::snapshots;
use vault_core::ops::tag::{TagChange, tag};
use vault_core::store::ObjectKey;
use vault_core::time::{FixedClock, Timestamp};
use vault_tests::{Machine, TestVault, TreeFixture};

const DAY: i64 = 86_400;

/// Days since 1970 stand for days of a calendar; nothing here depends on more.
fn calendar(time: Timestamp) -> CivilHour {
    CivilHour { year: (time.seconds.div_euclid(DAY)) as i16, ..CivilHour::default() }
}

/// Backs up as of that day and hour.
fn backup_at(vault: &mut TestVault, path: &Path, (day, hour): (i64, i64)) -> SnapshotId {
    vault.clock = Box::new(FixedClock(Timestamp::new(day * DAY + hour * 3_600, 0)));
    vault.backup(path).snapshot
}

fn try_forget(vault: &TestVault, options: &ForgetOptions) -> Result<ForgetSummary, Error> {
    let mut open = vault.open()?;
    let reader = open.unlock(&vault.identity)?;
    forget(&mut open, (&reader, &vault.device), options, &vault.around(), &calendar)
}

fn named(ids: &[SnapshotId]) -> ForgetOptions {
    let choice = Choice::Named(ids.to_vec());
    ForgetOptions { choice, group_by: GroupBy::default(), force: false, dry_run: false }
}

fn by_rules(rules: Rules) -> ForgetOptions {
    let choice = Choice::Rules(rules, Filter::default());
    ForgetOptions { choice, ..named(&[]) }
}

fn live(vault: &TestVault) -> Vec<SnapshotId> {
    vault.open().unwrap().state().snapshots().iter().map(|snapshot| snapshot.id).collect()
}

#[test]
fn what_no_rule_keeps_is_gone_and_the_rest_is_whole() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    let made = [(1, 8), (1, 20), (2, 9), (3, 9)].map(|at| {
        tree.file("file", format!("{at:?}"));
        backup_at(&mut vault, &tree.path(), at)
    });

    let yearly = by_rules(Rules { yearly: 2, ..Rules::default() });
    let dry = try_forget(&vault, &ForgetOptions { dry_run: true, ..yearly.clone() }).unwrap();
    assert_eq!(live(&vault), made);
    let summary = try_forget(&vault, &yearly).unwrap();

    assert_eq!(dry, summary);
    assert_eq!(live(&vault), made[2..]);
    assert_eq!((summary.forgotten().count(), summary.kept()), (2, 2));
    vault.restore(made[2]);
    vault.restore(made[3]);
    vault.assert_clean();
}

#[test]
fn the_last_complete_snapshot_of_a_group_is_kept_unless_that_is_forced() {
    let mut vault = TestVault::new();
    let (one, other) = (TreeFixture::new(), TreeFixture::new());
    one.file("a", "1");
    other.file("b", "2");
    let first = backup_at(&mut vault, &one.path(), (1, 0));
    let second = backup_at(&mut vault, &one.path(), (2, 0));
    let elsewhere = backup_at(&mut vault, &other.path(), (3, 0));
    let forced = |ids: &[SnapshotId]| ForgetOptions { force: true, ..named(ids) };

    // The snapshot of other paths is no replacement for these.
    for ids in [&[first, second][..], &[elsewhere]] {
        let refused = try_forget(&vault, &named(ids)).unwrap_err();
        assert!(matches!(refused, Error::LastSnapshot { .. }), "{refused:?}");
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
    let keeps_none = by_rules(Rules { tags: vec!["gold".to_owned()], ..Rules::default() });
    assert!(matches!(try_forget(&vault, &keeps_none), Err(Error::LastSnapshot { .. })));
    assert_eq!(live(&vault), [first, second, elsewhere]);

    try_forget(&vault, &named(&[first])).unwrap();
    try_forget(&vault, &forced(&[second])).unwrap();

    assert_eq!(live(&vault), [elsewhere]);
    vault.assert_clean();
}

#[test]
fn a_snapshot_dated_in_the_future_pushes_nothing_out() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    tree.file("a", "1");
    let real = backup_at(&mut vault, &tree.path(), (10, 0));
    let future = backup_at(&mut vault, &tree.path(), (5_000, 0));
    vault.clock = Box::new(FixedClock(Timestamp::new(11 * DAY, 0)));

    let summary = try_forget(&vault, &by_rules(Rules { last: 1, ..Rules::default() })).unwrap();
    let refused = try_forget(&vault, &named(&[real])).unwrap_err();

    assert_eq!(live(&vault), [real, future]);
    assert_eq!(summary.forgotten().count(), 0);
    // Nor does it stand in for the last one that is dated rightly.
    assert!(matches!(refused, Error::LastSnapshot { .. }), "{refused:?}");
}

#[test]
fn what_is_not_there_is_not_forgotten() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    let made = [1, 2].map(|day| backup_at(&mut vault, &tree.path(), (day, 0)));
    try_forget(&vault, &named(&made[..1])).unwrap();

    for gone in [made[0], SnapshotId::new([9; 32])] {
        assert!(matches!(try_forget(&vault, &named(&[gone])), Err(Error::NoSuchSnapshot { .. })));
    }
}

#[test]
fn filters_choose_what_rules_decide_on() {
    let mut vault = TestVault::new();
    let (one, other) = (TreeFixture::new(), TreeFixture::new());
    let ones = [1, 2].map(|day| backup_at(&mut vault, &one.path(), (day, 0)));
    let others = [3, 4].map(|day| backup_at(&mut vault, &other.path(), (day, 0)));
    let paths = vec![one.path().canonicalize().unwrap()];
    let filter = Filter { paths, ..Filter::default() };
    let choice = Choice::Rules(Rules { last: 1, ..Rules::default() }, filter);

    try_forget(&vault, &ForgetOptions { choice, ..named(&[]) }).unwrap();

    assert_eq!(live(&vault), [ones[1], others[0], others[1]]);
}

#[test]
fn tags_in_force_decide_not_those_of_the_commit() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    let made = [1, 2, 3].map(|day| backup_at(&mut vault, &tree.path(), (day, 0)));
    {
        let mut open = vault.open().unwrap();
        let reader = open.unlock(&vault.identity).unwrap();
        let change = TagChange { add: vec!["gold".to_owned()], ..TagChange::default() };
        let tagged = tag(&mut open, (&reader, &vault.device), &made[..1], &change, &vault.around()).unwrap();
        let again = tag(&mut open, (&reader, &vault.device), &made[..1], &change, &vault.around()).unwrap();
        assert!(tagged[0].changed && !again[0].changed);
        assert_eq!(snapshots(&open, &reader).unwrap()[0].tags, ["gold"]);
    }

    let rules = Rules { last: 1, tags: vec!["gold".to_owned()], ..Rules::default() };
    try_forget(&vault, &by_rules(rules)).unwrap();

    assert_eq!(live(&vault), [made[0], made[2]]);
    vault.assert_clean();
}

/// Appends an annotation that does not open.
fn damage_tags(vault: &TestVault, snapshot: SnapshotId) {
    let epoch = vault.open().unwrap().state().epoch().unwrap();
    let body = vec![0; 64];
    vault.append(Body::Annotate(Annotate { snapshot, epoch, session: SessionId::new([1; 16]), body }));
}

#[test]
fn a_damaged_annotation_is_reported_and_hides_no_snapshot() {
    let vault = TestVault::new();
    let tree = TreeFixture::new();
    let options = BackupOptions { tags: vec!["silver".to_owned()], ..TestVault::options(&[&tree.path()]) };
    let made = [(); 2].map(|()| vault.try_backup(&options).unwrap().snapshot);
    damage_tags(&vault, made[0]);

    let open = vault.open().unwrap();
    let listed = snapshots(&open, &open.unlock(&vault.identity).unwrap()).unwrap();
    let checked = vault.try_check().unwrap();

    let tags: Vec<_> = listed.iter().map(|one| (one.id, &one.tags[..])).collect();
    let silver = &["silver".to_owned()][..];
    assert_eq!(tags, [(made[0], silver), (made[1], silver)]);
    assert_eq!((checked.findings.len(), checked.snapshots), (1, 2), "a snapshot is whole without its tags");
    assert_eq!(checked.findings[0].object, Some(ObjectKey::Statement(open.state().head().seq)));
}

#[test]
fn tags_that_are_not_known_make_nothing_be_forgotten_until_they_are_set_anew() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    let made = [1, 2, 3].map(|day| backup_at(&mut vault, &tree.path(), (day, 0)));
    damage_tags(&vault, made[0]);
    let gold = || Rules { last: 1, tags: vec!["gold".to_owned()], ..Rules::default() };

    let refused = try_forget(&vault, &by_rules(gold())).unwrap_err();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
    assert_eq!(live(&vault), made);

    {
        let mut open = vault.open().unwrap();
        let reader = open.unlock(&vault.identity).unwrap();
        let change = TagChange { set: Some(vec!["gold".to_owned()]), ..TagChange::default() };
        tag(&mut open, (&reader, &vault.device), &made[..1], &change, &vault.around()).unwrap();
    }
    try_forget(&vault, &by_rules(gold())).unwrap();

    assert_eq!(live(&vault), [made[0], made[2]]);
    vault.assert_clean();
}

#[test]
fn what_does_not_go_by_tags_is_forgotten_whatever_became_of_them() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    let made = [1, 2, 3].map(|day| backup_at(&mut vault, &tree.path(), (day, 0)));
    damage_tags(&vault, made[0]);
    damage_tags(&vault, made[1]);

    try_forget(&vault, &named(&made[..1])).unwrap();
    try_forget(&vault, &by_rules(Rules { last: 1, ..Rules::default() })).unwrap();

    assert_eq!(live(&vault), made[2..]);
}

/// Makes the vault's device append-only, as its owner could.
fn make_append_only(vault: &TestVault) {
    let root = vault.identity.root();
    let mut open = vault.open().unwrap();
    let mut members = open.state().members().unwrap().clone();
    let device: &mut Device = &mut members.users[0].devices[0];
    device.kind = DeviceKind::AppendOnly;
    device.certificate =
        log::certify_device(root, open.id(), (&device.signing_key, device.kind), &device.recipient);
    let payload = open.state().draft(vault.identity.user_id(), vault.clock.now(), Body::Members(members));
    let stored = log::sign(&payload, root).unwrap();
    let key = ObjectKey::Statement(payload.seq);
    let _ = open.store().put_new(&key, &stored).unwrap();
    open = vault.open().unwrap();
    assert_eq!(open.state().next_seq(), payload.seq.next());
}

#[test]
fn an_append_only_device_forgets_and_tags_nothing() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    let made = [1, 2].map(|day| backup_at(&mut vault, &tree.path(), (day, 0)));
    make_append_only(&vault);

    let refused = try_forget(&vault, &named(&made[..1])).unwrap_err();
    let dry = ForgetOptions { dry_run: true, ..by_rules(Rules { last: 1, ..Rules::default() }) };
    let dry = try_forget(&vault, &dry).unwrap_err();

    for error in [refused, dry] {
        let reason = Refusal::AppendOnlyChanges;
        assert!(matches!(&error, Error::NoRight(found) if *found == reason), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Permission);
    }
    let mut open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let change = TagChange { set: Some(Vec::new()), ..TagChange::default() };
    let refused = tag(&mut open, (&reader, &vault.device), &made, &change, &vault.around()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Permission);
    assert_eq!(live(&vault), made);
}

#[test]
fn a_backup_after_forgetting_everything_is_whole() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    tree.file("a", "1").file("dir/b", "2");
    let first = backup_at(&mut vault, &tree.path(), (1, 0));

    try_forget(&vault, &ForgetOptions { force: true, ..named(&[first]) }).unwrap();
    vault.assert_clean();
    let second = backup_at(&mut vault, &tree.path(), (2, 0));

    vault.restore(second);
    assert_eq!(vault.assert_clean().snapshots, 1);
}

#[test]
fn backups_that_come_between_are_not_forgotten_unseen() {
    let mut vault = TestVault::new();
    let tree = TreeFixture::new();
    let made = [1, 2].map(|day| backup_at(&mut vault, &tree.path(), (day, 0)));
    let mut open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    // Another process goes on after this one has read the log.
    let options = TestVault::options(&[&tree.path()]);
    let between =
        backup(&mut vault.open().unwrap(), &vault.device, &options, &vault.around()).unwrap().snapshot;

    let rules = by_rules(Rules { last: 1, ..Rules::default() });
    forget(&mut open, (&reader, &vault.device), &rules, &vault.around(), &calendar).unwrap();

    assert_eq!(live(&vault), [made[1], between]);
}

fn ids(machine: &Machine, more: &[&str]) -> Vec<String> {
    let arguments = [&["snapshots"], more].concat();
    let listed = machine.json(arguments);
    listed["snapshots"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_commands_forget_tag_and_list() {
    let machine = Machine::new();
    machine.init();
    let source = PathBuf::from("source");
    std::fs::create_dir(machine.home().join(&source)).unwrap();
    for tags in ["one", "two", "three"] {
        machine.succeed(["backup", "--tag", tags, "source"]);
    }
    let all = ids(&machine, &[]);

    let short = &all[0][..12];
    let tagged = machine.json(["tag", short, "--add", "gold", "--remove", "one"]);
    assert_eq!(tagged["snapshots"][0]["tags"], serde_json::json!(["gold"]));
    assert_eq!(ids(&machine, &["--tag", "gold"]), all[..1]);
    assert_eq!(ids(&machine, &["--latest", "2"]), all[1..]);
    assert_eq!(ids(&machine, &["--path", "source", "--tag", "two"]), all[1..2]);
    assert!(ids(&machine, &["--host", "elsewhere"]).is_empty());

    let planned = machine.json(["forget", "--keep-last", "1", "--keep-tag", "gold", "--dry-run"]);
    assert_eq!((&planned["forgotten"], &planned["kept"]), (&1.into(), &2.into()));
    assert_eq!(ids(&machine, &[]), all);
    machine.succeed(["forget", "--keep-last", "1", "--keep-tag", "gold"]);
    assert_eq!(ids(&machine, &[]), [all[0].clone(), all[2].clone()]);

    let code = |arguments: &[&str]| machine.run(arguments).status.code();
    assert_eq!(code(&["forget"]), Some(2));
    assert_eq!(code(&["forget", "--keep-daily", "0"]), Some(2));
    assert_eq!(code(&["forget", "latest", "--keep-daily", "7"]), Some(2));
    assert_eq!(code(&["forget", &all[0], &all[2]]), Some(5));
    assert_eq!(code(&["forget", "--keep-tag", "silver"]), Some(5));
    assert_eq!(code(&["forget", &all[1]]), Some(10));
    assert_eq!(code(&["forget", "--force", &all[0], &all[2]]), Some(0));
    assert!(ids(&machine, &[]).is_empty());
}
