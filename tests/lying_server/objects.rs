//! Lies about objects: harmed, hidden, never kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use vault_core::error::{Error, ErrorKind};
use vault_core::store::ObjectKey;
use vault_tests::damage::files_below;
use vault_tests::{Answer, Asked, TestServer, noise};

use crate::{Story, flipped};

/// What becomes of the bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    FlipFirst,
    FlipMiddle,
    FlipLast,
    Cut,
    Extend,
    Empty,
    Swap,
    Hide,
}

const HARMS: [Harm; 8] = [
    Harm::FlipFirst,
    Harm::FlipMiddle,
    Harm::FlipLast,
    Harm::Cut,
    Harm::Extend,
    Harm::Empty,
    Harm::Swap,
    Harm::Hide,
];

impl Harm {
    /// The whole object as the liar has it, `other` being another one of the kind; `None` if it says that there is none.
    fn apply(self, bytes: &[u8], other: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::FlipFirst => flipped(bytes, 0),
            Self::FlipMiddle => flipped(bytes, bytes.len() / 2),
            Self::FlipLast => flipped(bytes, bytes.len() - 1),
            Self::Cut => bytes[..bytes.len() - 1].to_vec(),
            Self::Extend => [bytes, &[0; 7]].concat(),
            Self::Empty => Vec::new(),
            Self::Swap => other.to_vec(),
            Self::Hide => return None,
        })
    }
}

/// Answers GET, with a range or without, and HEAD for an object as if it had these bytes.
fn answer_object(asked: &Asked, honest: Answer, bytes: Option<&[u8]>) -> Answer {
    let Some(bytes) = bytes else {
        let problem = r#"{"type":"about:blank","title":"not found","status":404,"code":"not_found"}"#;
        let answer = Answer { status: 404, ..honest }.with_header("content-type", "application/problem+json");
        return answer.with_body(problem);
    };
    if asked.method == "HEAD" {
        return honest.with_header("content-length", bytes.len());
    }
    match asked.range() {
        None => honest.with_body(bytes),
        Some((first, last)) if last < bytes.len() => {
            let range = format!("bytes {first}-{last}/{}", bytes.len());
            let answer = Answer { status: 206, ..honest }.with_body(&bytes[first..=last]);
            answer.with_header("content-range", range)
        }
        Some(_) => Answer { status: 416, ..honest }
            .with_header("content-range", format!("bytes */{}", bytes.len()))
            .with_body(""),
    }
}

/// The objects of a kind, by their paths, with their bytes.
fn objects_of(server: &TestServer, kind: &str) -> Vec<(String, Vec<u8>)> {
    let objects = server.data().join("objects");
    let of_kind = |file: &Path| {
        let path = file.strip_prefix(&objects).unwrap().to_str().unwrap();
        path.split_once('/').filter(|(_, path)| path.starts_with(kind)).map(|(_, path)| path.to_owned())
    };
    let files = files_below(&objects).into_iter();
    files.filter_map(|file| Some((of_kind(&file)?, fs::read(&file).unwrap()))).collect()
}

/// Tries every harm on every object of a kind, on machines that have never seen the vault.
fn every_harm_is_noticed(kind: &str) {
    let mut story = Story::new();
    let objects = objects_of(&story.server, kind);
    assert!(objects.len() > 1, "there are several {kind}");
    let mut machine = 1;
    for (number, (path, bytes)) in objects.iter().enumerate() {
        let other = &objects[(number + 1) % objects.len()].1;
        for harm in HARMS {
            let (end, harmed) = (format!("/objects/{path}"), harm.apply(bytes, other));
            story.liar.lie(move |asked, ask| {
                let is_it = matches!(&*asked.method, "GET" | "HEAD") && asked.target.ends_with(&end);
                let honest = ask();
                if is_it { answer_object(asked, honest, harmed.as_deref()) } else { honest }
            });
            let what = format!("{harm:?} of {path}");

            match story.restores_nothing_wrong(machine, &what) {
                Ok(is_whole) => assert_found_by_check(&story, path, is_whole, &what),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Integrity, "{what}: {error:?}"),
            }
            machine += 1;
        }
    }
    story.liar.tell_the_truth();
    assert!(story.restores_nothing_wrong(0, "the truth").unwrap());
}

/// Where a restore did not need the object, or got what it could, `check` names the object, as damage.
fn assert_found_by_check(story: &Story, path: &str, is_whole: bool, what: &str) {
    match story.check() {
        Ok(checked) => {
            let of_path = |object: Option<ObjectKey>| object.is_some_and(|key| key.path() == path);
            let found = checked.findings.iter().find(|finding| of_path(finding.object));
            // An envelope of another device is of no use to this one.
            let is_needed = !path.starts_with("epochs/") || !is_whole;
            assert!(found.is_some() || !is_needed, "{what}: {:?}", checked.findings);
            if let Some(found) = found {
                assert_eq!(found.error.kind(), ErrorKind::Integrity, "{what}: {:?}", found.error);
            }
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Integrity, "{what}: {error:?}"),
    }
}

#[test]
fn every_harm_to_a_pack_is_noticed() {
    every_harm_is_noticed("packs/");
}

#[test]
fn every_harm_to_an_index_object_is_noticed() {
    every_harm_is_noticed("index/");
}

#[test]
fn every_harm_to_an_envelope_is_noticed() {
    every_harm_is_noticed("epochs/");
}

#[test]
fn a_body_that_ends_early_or_goes_on_is_not_taken() {
    let mut story = Story::new();
    let lies: [(&str, fn(Vec<u8>) -> Vec<u8>); 2] = [
        ("shorter than it says", |mut body| {
            body.pop();
            body
        }),
        ("longer than it says", |mut body| {
            body.extend([0; 9]);
            body
        }),
    ];
    for (machine, (what, lie)) in (1..).zip(lies) {
        // Once: a line that breaks is tried again.
        let is_first = std::sync::atomic::AtomicBool::new(true);
        story.liar.lie(move |asked, ask| {
            let mut answer = ask();
            let is_due = asked.is("GET", "/objects/packs/") && !answer.body.is_empty();
            if is_due && is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                answer.body = lie(answer.body);
            }
            answer
        });

        match story.restores_nothing_wrong(machine, what) {
            Ok(is_whole) => assert!(is_whole || what.starts_with("longer"), "{what}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Failed, "{what}: {error:?}"),
        }
    }
}

#[test]
fn a_list_that_hides_an_object_does_no_harm() {
    let mut story = Story::new();
    for (machine, kind) in (1..).zip(["packs", "index", "epochs"]) {
        let part = format!("/objects?kind={kind}");
        let hidden = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let hiding = std::sync::Arc::clone(&hidden);
        story.liar.lie(move |asked, ask| match ask() {
            answer if asked.is("GET", &part) && answer.status == 200 => {
                let mut list: Value = serde_json::from_slice(&answer.body).unwrap();
                let objects = list["objects"].as_array_mut().unwrap();
                if !objects.is_empty() {
                    hiding.lock().unwrap().insert(objects.remove(0)["path"].to_string());
                }
                answer.with_body(serde_json::to_vec(&list).unwrap())
            }
            answer => answer,
        });

        assert!(story.restores_nothing_wrong(machine, kind).unwrap(), "{kind}");
        story.tree.file("newest", kind);
        let newest = story.backup().unwrap();
        // Either nothing is found, since nothing is lost, or what the list hides is.
        for finding in story.check().unwrap().findings {
            let path = finding.object.map(|key| format!("\"{}\"", key.path()));
            assert!(path.is_some_and(|path| hidden.lock().unwrap().contains(&path)), "{finding:?}");
        }
        story.liar.tell_the_truth();
        story.snapshot = newest;
        assert!(story.restores_nothing_wrong(100 + machine, kind).unwrap(), "{kind}");
        assert!(story.check().unwrap().findings.is_empty());
    }
}

#[test]
fn a_pack_that_was_taken_and_dropped_is_found_by_a_check() {
    let mut story = Story::new();
    story.tree.file("newest", noise(9, 200_000));
    story.liar.lie(|asked, ask| {
        if asked.is("PUT", "/objects/packs/") {
            return Answer { status: 201, headers: Vec::new(), body: Vec::new() }.with_body("");
        }
        ask()
    });

    // No client can know: the server said that it has it.
    story.snapshot = story.backup().unwrap();

    story.liar.tell_the_truth();
    let findings = story.check().unwrap().findings;
    let missing = findings.iter().filter(|finding| matches!(finding.error, Error::Missing { .. }));
    assert!(missing.count() > 0, "{findings:?}");
    assert!(!matches!(story.restores_nothing_wrong(1, "a dropped pack"), Ok(true)));
}
