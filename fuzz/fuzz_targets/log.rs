//! What a statement says, said by each member of a vault in turn and signed: refused, or a state that still tells everything.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vault_core::crypto::sign::SigningKey;
use vault_core::id::Seq;
use vault_core::log::testing::Example;
use vault_core::log::{Author, Body, Payload, State, Statement, sign};

static EXAMPLE: LazyLock<(Example, State)> = LazyLock::new(|| {
    let example = Example::new();
    let state = example.state();
    (example, state)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(statement) = Statement::decode(Seq(5), bytes) else { return };
    let (example, state) = &*EXAMPLE;
    let machines = [&example.laptop, &example.nas, &example.phone, &example.tablet];
    let people = [&example.alice, &example.bob, &example.carol];
    let authors = machines.map(|machine| (Author::from(machine.id()), &machine.key)).into_iter();
    for (author, key) in authors.chain(people.map(|person| (Author::from(person.id()), &person.root))) {
        say(state, example.log.draft(author, statement.payload().body.clone()), key);
    }
});

fn say(state: &State, payload: Payload, key: &SigningKey) {
    let Ok(stored) = sign(&payload, key) else { return };
    let before = state.snapshots().len();
    let mut state = state.clone();
    if state.append(&stored).is_err() {
        return;
    }
    assert_eq!(state.next_seq(), Seq(6));
    assert!(!matches!(payload.body, Body::Genesis(_)), "a vault is founded once");
    assert!(state.members().is_some_and(|members| !members.users.is_empty()));
    assert!(state.snapshots().len() <= before + 1, "a statement makes one snapshot at most");
}
