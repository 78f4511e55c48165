//! Lies about the log: an older one, another, a shorter one, altered statements, false receipts.

use vault_core::error::{Error, ErrorKind};
use vault_core::id::{Seq, VaultId};
use vault_core::store::{ObjectKey, StoreErrorKind};
use vault_core::vault::Vault;
use vault_core::wire::{Millis, Receipt};
use vault_tests::{Answer, Asked};

use crate::{Stated, Story, flipped, lie_about_statements};

#[test]
fn an_older_log_is_a_rollback() {
    let mut story = Story::new();
    let old = story.server.copy();
    story.tree.file("newest", "newest");
    let newest = story.backup().unwrap();
    story.liar.turn_to(&old);

    let error = story.assert_noticed("an older log");

    assert!(error.is_rollback(), "{error:?}");
    story.liar.turn_to(&story.server);
    assert!(story.open().unwrap().state().snapshots().iter().any(|snapshot| snapshot.id == newest));
    // A machine that knows nothing takes what it is shown; one that was given a head does not.
    let head = story.open().unwrap().state().head();
    story.liar.turn_to(&old);
    story.account.move_to_machine(1);
    assert_eq!(story.open().unwrap().state().snapshots().len(), 2, "nobody could notice this");
    story.account.move_to_machine(2);
    let store = story.account.location(story.vault).open(&story.account.access()).unwrap();
    let error = Vault::open_knowing(store, story.account.local(), Some(head)).err().unwrap();
    assert!(error.is_rollback() && error.kind() == ErrorKind::Integrity, "{error:?}");
}

#[test]
fn another_statement_under_a_known_number_is_a_fork() {
    let mut story = Story::new();
    let other = story.server.copy();
    story.tree.file("newest", "to be seen by the first machine");
    story.backup().unwrap();
    // Another machine of the same user is shown the other server, and goes on there.
    story.liar.turn_to(&other);
    story.account.move_to_machine(1);
    story.tree.file("newest", "to be seen by the second machine");
    story.backup().unwrap();

    story.account.move_to_machine(0);
    let error = story.assert_noticed("another branch");
    assert!(error.is_rollback(), "{error:?}");
    story.liar.turn_to(&story.server);
    story.account.move_to_machine(1);
    let error = story.assert_noticed("the first branch");

    assert!(error.is_rollback(), "{error:?}");
    story.account.move_to_machine(0);
    story.open().unwrap();
}

#[test]
fn a_branch_that_begins_while_a_vault_is_open_is_not_followed() {
    let mut story = Story::new();
    let other = story.server.copy();
    story.tree.file("newest", "one");
    story.backup().unwrap();
    let mut open = story.open().unwrap();
    let head = open.state().head();
    story.liar.turn_to(&other);
    story.account.move_to_machine(1);
    for contents in ["two", "three"] {
        story.tree.file("newest", contents);
        story.backup().unwrap();
    }
    story.account.move_to_machine(0);
    let before = story.remembered();

    let error = open.follow().unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    assert_eq!((open.state().head(), story.remembered()), (head, before));
}

#[test]
fn a_withheld_statement_is_missed_by_who_knows_of_it() {
    let mut story = Story::new();
    lie_about_statements(&story.liar, |mut statements| {
        statements.pop();
        statements
    });

    story.assert_noticed("the newest statement withheld");

    // The list hides it, the head does not: a machine that knows nothing sees that one is missing.
    story.account.move_to_machine(1);
    let error = story.open().err().unwrap();
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
    story.liar.tell_the_truth();
    story.open().unwrap();
}

#[test]
fn answers_of_earlier_are_a_rollback() {
    let story = Story::new();
    story.tree.file("newest", "newest");
    story.backup().unwrap();
    let said = story.liar.said();
    story.liar.lie(move |asked, ask| {
        let earlier = said.get(&format!("{} {}", asked.method, asked.target));
        match earlier {
            Some(earlier) if asked.method == "GET" => earlier.clone(),
            // What was not asked for earlier was not there.
            None if asked.is("GET", "/log?") => ask().with_body(""),
            _ => ask(),
        }
    });

    let error = story.assert_noticed("answers of earlier");

    assert!(error.is_rollback(), "{error:?}");
}

#[test]
fn the_log_of_another_vault_is_not_this_ones() {
    let mut story = Story::new();
    let other = story.account.init().unwrap();
    let (this, other) = (story.vault.to_hex(), other.to_hex());
    story.account.move_to_machine(9);
    story.account.open(VaultId::parse(&other).unwrap()).unwrap();
    story.account.move_to_machine(0);
    let said = story.liar.said();
    let of_other = |part: &str| said[&format!("GET /v1/vaults/{other}{part}")].clone();
    let log = said.keys().find(|key| key.contains(&format!("{other}/log?"))).unwrap();
    let (log, info) = (said[log].clone(), of_other(""));
    let lie = move |asked: &Asked, ask: &dyn Fn() -> Answer| match asked {
        asked if asked.is("GET", &format!("{this}/log?")) => log.clone(),
        asked if asked.method == "GET" && asked.target.ends_with(&this) => info.clone(),
        _ => ask(),
    };
    story.liar.lie(lie);

    story.assert_noticed("another vault's log");
    story.account.move_to_machine(1);
    story.assert_noticed("another vault's log, on a new machine");
    assert_eq!(story.remembered(), None);
}

#[test]
fn an_altered_statement_is_refused() {
    let mut story = Story::new();
    let count = story.open().unwrap().state().head().seq.0 as usize + 1;
    let mut machine = 1;
    for number in 0..count {
        let lies: [(&str, fn(&[u8]) -> Vec<u8>); 5] = [
            ("flipped in the middle", |bytes| flipped(bytes, bytes.len() / 2)),
            ("flipped at the end", |bytes| flipped(bytes, bytes.len() - 1)),
            ("cut", |bytes| bytes[..bytes.len() - 1].to_vec()),
            ("extended", |bytes| [bytes, &[0]].concat()),
            ("emptied", |_| Vec::new()),
        ];
        for (what, lie) in lies {
            lie_about_statements(&story.liar, move |mut statements| {
                if let Some((_, bytes)) = statements.get_mut(number) {
                    *bytes = lie(bytes);
                }
                statements
            });
            for on in [0, machine] {
                story.account.move_to_machine(on);
                story.assert_noticed(&format!("statement {number} {what}, machine {on}"));
            }
            machine += 1;
        }
    }
    story.liar.tell_the_truth();
    story.account.move_to_machine(0);
    story.open().unwrap();
}

#[test]
fn statements_in_another_order_are_refused() {
    let mut story = Story::new();
    let lies: [(&str, fn(&mut Stated)); 3] = [
        ("swapped", |statements| statements.swap(1, 2)),
        ("repeated", |statements| statements.insert(1, statements[1].clone())),
        ("dropped", |statements| drop(statements.remove(1))),
    ];
    for (machine, (what, lie)) in (1..).zip(lies) {
        lie_about_statements(&story.liar, move |mut statements| {
            if statements.len() > 2 {
                lie(&mut statements);
            }
            statements
        });
        for on in [0, machine] {
            story.account.move_to_machine(on);
            story.assert_noticed(&format!("statements {what}, machine {on}"));
        }
    }
}

#[test]
fn a_receipt_that_the_server_did_not_sign_is_refused() {
    let story = Story::new();
    let lies: [(&str, fn(&mut Receipt)); 2] = [
        ("another time", |receipt| receipt.time.0 += 1),
        ("another signature", |receipt| receipt.signature[0] ^= 1),
    ];
    for (what, lie) in lies {
        lie_about_statements(&story.liar, move |mut statements| {
            if let Some((receipt, _)) = statements.last_mut() {
                lie(receipt);
            }
            statements
        });
        let error = story.assert_noticed(what);
        assert!(format!("{error:?}").contains("Forged"), "{what}: {error:?}");

        // Of those before the last, each is looked at when its time is wanted.
        lie_about_statements(&story.liar, move |mut statements| {
            statements.iter_mut().take(1).for_each(|(receipt, _)| lie(receipt));
            statements
        });
        let store = story.account.location(story.vault).open(&story.account.access()).unwrap().store;
        let error = store.stored_at(&ObjectKey::Statement(Seq::GENESIS)).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Integrity, "{what}: {error:?}");
    }
}

#[test]
fn a_false_receipt_for_what_was_just_appended_is_refused() {
    let story = Story::new();
    story.tree.file("newest", "newest");
    story.liar.lie(|asked, ask| match ask() {
        answer if asked.is("PUT", "/log/") && answer.status == 201 => {
            let mut receipt = Receipt::parse_header(answer.header("vault-receipt").unwrap()).unwrap();
            receipt.time.0 += 60_000;
            answer.with_header("vault-receipt", receipt.to_header())
        }
        answer => answer,
    });

    let error = story.backup().unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    // The statement is there all the same, and whoever looks again finds a whole snapshot.
    story.liar.tell_the_truth();
    assert_eq!(story.open().unwrap().state().snapshots().len(), 3);
    assert!(story.check().unwrap().findings.is_empty());
}

#[test]
fn a_statement_that_was_taken_and_dropped_is_missed_at_the_next_look() {
    let story = Story::new();
    let elsewhere = story.server.copy();
    story.tree.file("newest", "newest");
    story.liar.turn_to(&elsewhere);
    story.backup().unwrap();
    story.liar.turn_to(&story.server);

    let error = story.assert_noticed("a statement dropped after its receipt");

    assert!(error.is_rollback(), "{error:?}");
}

#[test]
fn a_statement_that_a_server_only_says_it_has_is_not_taken_for_saved() {
    let story = Story::new();
    story.tree.file("newest", "newest");
    let other = Receipt { time: Millis(1_790_000_000_000), signature: [7; 64] };
    for receipt in [None, Some(other.to_header())] {
        story.liar.lie(move |asked, ask| {
            if !asked.is("PUT", "/log/") {
                return ask();
            }
            let same = Answer { status: 200, headers: Vec::new(), body: Vec::new() }.with_body("");
            match &receipt {
                Some(receipt) => same.with_header("vault-receipt", receipt.clone()),
                None => same,
            }
        });

        let error = story.backup().unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
        assert_eq!(story.open().unwrap().state().snapshots().len(), 2);
    }
    story.liar.tell_the_truth();
    story.backup().unwrap();
}
