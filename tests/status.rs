//! Status and verification: what was verified is known to everyone, and a vault is called safe only where it is.
//!
//! Time is what the test says it is.

use std::fs;

use vault_core::error::Error;
use vault_core::id::PackId;
use vault_core::keys::device::DeviceKeys;
use vault_core::ops::attest::attest;
use vault_core::ops::check::{Budget, CheckOptions, CheckSummary, Sample, check};
use vault_core::ops::forget::{Choice, ForgetOptions, forget};
use vault_core::ops::groups::GroupBy;
use vault_core::ops::retention::CivilHour;
use vault_core::ops::status::{Overdue, Status, StatusOptions, Subject, status};
use vault_core::time::{FixedClock, Timestamp};
use vault_tests::{Machine, Target, TestVault, TreeFixture, noise};

const DAY: i64 = 86_400;

fn at_day(vault: &mut TestVault, day: i64) {
    vault.clock = Box::new(FixedClock(Timestamp::new(day * DAY, 0)));
}

/// A vault with a pack for each of the days.
fn vault_of_days(days: &[i64]) -> (TestVault, TreeFixture) {
    let (mut vault, tree) = (TestVault::new(), TreeFixture::new());
    for &day in days {
        at_day(&mut vault, day);
        tree.file(format!("of day {day}"), noise(day.unsigned_abs(), 50_000));
        vault.backup(&tree.path());
    }
    (vault, tree)
}

fn sample(since_day: i64, budget: Budget) -> CheckOptions {
    let sample = Some(Sample { since: Timestamp::new(since_day * DAY, 0), budget });
    CheckOptions { sample, ..CheckOptions::default() }
}

fn check_and_attest(vault: &TestVault, options: CheckOptions) -> CheckSummary {
    let mut open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let summary = check(&open, &reader, options, &vault.around()).unwrap();
    attest(&mut open, &vault.device, &summary.verified, &vault.around()).unwrap();
    summary
}

fn status_of(
    vault: &TestVault,
    unlocked: bool,
    max_age_days: u64,
    verify_within_days: Option<u64>,
) -> Status {
    let day = DAY.unsigned_abs();
    let options = StatusOptions {
        max_age_seconds: max_age_days * day,
        verify_within_seconds: verify_within_days.map(|days| days * day),
    };
    let open = vault.open().unwrap();
    let reader = unlocked.then(|| open.unlock(&vault.identity).unwrap());
    status(&open, reader.as_ref(), options, &vault.around()).unwrap()
}

#[test]
fn samples_verify_everything_bit_by_bit_and_the_never_verified_first() {
    let (mut vault, _tree) = vault_of_days(&[1, 2, 3]);
    let mut verified = Vec::<PackId>::new();
    for day in 10..13 {
        at_day(&mut vault, day);
        let summary = check_and_attest(&vault, sample(9, Budget::Bytes(1)));
        assert_eq!((summary.verified.len(), summary.findings.len()), (1, 0));
        assert_eq!(summary.left, 12 - day.unsigned_abs());
        verified.extend(summary.verified);
    }

    let nothing_due = check_and_attest(&vault, sample(10, Budget::All));
    at_day(&mut vault, 13);
    let again = check_and_attest(&vault, sample(11, Budget::All)).verified;

    let first = verified[0];
    verified.sort();
    verified.dedup();
    assert_eq!(verified.len(), 3);
    assert!(nothing_due.verified.is_empty() && nothing_due.chunks == 0);
    assert_eq!(again, [first]);
}

#[test]
fn a_sample_finds_damage_in_what_it_reads_and_loss_of_anything() {
    let (vault, _tree) = vault_of_days(&[1, 2]);
    let packs = Target::Pack.files(&vault);
    let mut bytes = fs::read(&packs[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&packs[0], bytes).unwrap();

    let all = check_and_attest(&vault, sample(10, Budget::All));
    let unread = check_and_attest(&vault, sample(0, Budget::All));
    fs::remove_file(&packs[1]).unwrap();
    let lost = check_and_attest(&vault, sample(0, Budget::All));

    assert_eq!((all.findings.len(), all.verified.len()), (1, 1));
    // What is damaged is never attested, so it stays due.
    assert_eq!((unread.findings.len(), unread.verified.len()), (1, 0));
    assert!(lost.findings.iter().any(|finding| matches!(finding.error, Error::Missing { .. })));
}

#[test]
fn only_a_complete_snapshot_that_is_new_enough_makes_a_vault_safe() {
    let (mut vault, tree) = vault_of_days(&[1]);
    at_day(&mut vault, 9);

    let late = status_of(&vault, true, 7, None);
    let in_time = status_of(&vault, true, 8, None);
    let locked = status_of(&vault, false, 7, None);

    assert!(in_time.overdue.is_empty());
    let [Overdue::Snapshot { subject: Subject::Group(group), newest }] = &late.overdue[..] else {
        panic!("{:?}", late.overdue);
    };
    assert_eq!(group.paths, Some(vec![tree.path().canonicalize().unwrap()]));
    assert_eq!(*newest, Some(Timestamp::new(DAY, 0)));
    assert!(matches!(&locked.overdue[..], [Overdue::Snapshot { subject: Subject::Device(_), .. }]));
    assert_eq!(locked.packs, late.packs);
}

#[test]
fn a_snapshot_dated_in_the_future_is_no_newest_one() {
    let (mut vault, _tree) = vault_of_days(&[1, 5_000]);
    at_day(&mut vault, 9);

    let status = status_of(&vault, true, 7, None);

    assert_eq!((status.future_dated, status.overdue.len()), (1, 1));
    assert_eq!(status.groups[0].newest.map(|(_, time)| time), Some(Timestamp::new(DAY, 0)));
}

#[test]
fn a_vault_without_snapshots_is_not_safe() {
    let vault = TestVault::new();

    assert_eq!(status_of(&vault, true, 7, None).overdue, [Overdue::NoSnapshot]);
    assert_eq!(status_of(&vault, false, 7, Some(1)).overdue, [Overdue::NoSnapshot]);
}

#[test]
fn all_data_is_verified_since_the_oldest_attestation_of_a_pack_in_use() {
    let (mut vault, tree) = vault_of_days(&[1, 2]);
    let never = status_of(&vault, true, 90, Some(30));
    at_day(&mut vault, 10);
    check_and_attest(&vault, sample(9, Budget::Bytes(1)));
    let some = status_of(&vault, true, 90, Some(30));
    at_day(&mut vault, 20);
    check_and_attest(&vault, sample(10, Budget::All));
    let all = status_of(&vault, true, 90, Some(30));
    at_day(&mut vault, 41);
    let late = status_of(&vault, true, 90, Some(30));
    tree.file("new", noise(9, 50_000));
    vault.backup(&tree.path());
    let with_new = status_of(&vault, false, 90, Some(30));

    assert_eq!((never.packs.never, some.packs.never, all.packs.never, with_new.packs.never), (2, 1, 0, 1));
    assert_eq!(never.overdue, [Overdue::Verification { since: None }]);
    assert_eq!(some.overdue, never.overdue);
    let since = Some(Timestamp::new(10 * DAY, 0));
    assert_eq!((all.packs.verified_since, &all.overdue[..]), (since, &[][..]));
    assert_eq!(late.overdue, [Overdue::Verification { since }]);
    assert_eq!(with_new.overdue, [Overdue::Verification { since: None }]);
}

#[test]
fn an_attestation_of_the_future_proves_nothing() {
    let (mut vault, _tree) = vault_of_days(&[1]);
    at_day(&mut vault, 5_000);
    check_and_attest(&vault, sample(4_999, Budget::All));
    at_day(&mut vault, 2);

    let status = status_of(&vault, true, 7, Some(30));
    let again = check_and_attest(&vault, sample(0, Budget::All));

    assert_eq!(status.packs.never, 1);
    assert_eq!(again.verified.len(), 1);
}

#[test]
fn what_is_forgotten_is_no_longer_asked_for() {
    let (mut vault, _tree) = vault_of_days(&[1]);
    let other = TreeFixture::new();
    at_day(&mut vault, 9);
    vault.backup(&other.path());
    assert_eq!(status_of(&vault, true, 7, None).overdue.len(), 1);
    let mut open = vault.open().unwrap();
    let reader = open.unlock(&vault.identity).unwrap();
    let old = open.state().snapshots()[0].id;
    let options = ForgetOptions {
        choice: Choice::Named(vec![old]),
        group_by: GroupBy::default(),
        force: true,
        dry_run: false,
    };

    forget(&mut open, (&reader, &vault.device), &options, &vault.around(), &|_| CivilHour::default())
        .unwrap();

    assert_eq!(status_of(&vault, true, 7, None).overdue, []);
}

#[test]
fn only_registered_devices_attest() {
    let (vault, _tree) = vault_of_days(&[1]);
    let stranger = DeviceKeys::generate(vault.around().random).unwrap();
    let mut open = vault.open().unwrap();

    let refused = attest(&mut open, &stranger, &[PackId::new([1; 32])], &vault.around());

    assert!(matches!(refused, Err(Error::DeviceUnknown { .. })), "{refused:?}");
}

#[test]
fn status_asks_for_no_passphrase() {
    let machine = Machine::new();
    machine.init();
    fs::create_dir(machine.home().join("source")).unwrap();
    machine.succeed(["backup", "source"]);

    let locked = machine.command(["status", "--json"]).env_remove("VAULT_PASSPHRASE").output().unwrap();
    let unlocked = machine.json(["status"]);
    let metrics = machine.command(["status", "--metrics", "--max-age", "0d"]).output().unwrap();
    let overdue = machine.run(["status", "--verify-within", "1d"]);

    assert!(locked.status.success() && locked.stderr.is_empty());
    let locked: serde_json::Value = serde_json::from_slice(&locked.stdout).unwrap();
    assert_eq!((&locked["unlocked"], &unlocked["unlocked"]), (&false.into(), &true.into()));
    assert_eq!(locked["groups"][0]["host"], serde_json::Value::Null);
    assert_eq!(locked["groups"][0]["newest"]["id"], unlocked["groups"][0]["newest"]["id"]);
    assert!(metrics.status.success());
    assert_eq!(overdue.status.code(), Some(3));
}
