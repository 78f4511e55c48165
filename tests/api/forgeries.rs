//! Signatures that are not: whatever is wrong with one, the answer is the same, byte for byte.

use std::collections::BTreeSet;
use std::time::Duration;

use vault_core::crypto::hash;
use vault_core::id::PackId;
use vault_core::object::ObjectKey;
use vault_core::wire::v1::paths;
use vault_tests::{Answer, Request};

use crate::world::World;

/// The answer without the id of the request.
fn unauthorized(answer: &Answer) -> String {
    assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{}", answer.text());
    let mut json = answer.json();
    assert!(json.as_object_mut().unwrap().remove("request_id").is_some());
    json.to_string()
}

type Forge = Box<dyn Fn(Request) -> Request>;

fn input(name: &'static str, from: &'static str, to: &'static str) -> (String, Forge) {
    let forge = move |request: Request| {
        assert!(request.header("signature-input").contains(from), "{name}: {from}");
        request.changing("signature-input", |value| value.replacen(from, to, 1))
    };
    (name.to_owned(), Box::new(forge))
}

fn change(name: &str, header: &'static str, to: impl Fn(&str) -> String + 'static) -> (String, Forge) {
    (name.to_owned(), Box::new(move |request| request.changing(header, &to)))
}

fn forge(name: &str, forge: impl Fn(Request) -> Request + 'static) -> (String, Forge) {
    (name.to_owned(), Box::new(forge))
}

/// Cuts the quoted or bare value of a parameter, with its name.
fn parameter(value: &str, name: &str) -> String {
    let at = value.find(&format!(";{name}=")).unwrap();
    let length = value[at + 1..].find(';').map_or(value.len() - at, |end| end + 1);
    value[at..at + length].to_owned()
}

fn without_parameter(name: &'static str) -> (String, Forge) {
    change(&format!("no {name}"), "signature-input", move |value| value.replace(&parameter(value, name), ""))
}

fn parameter_as(name: &'static str, text: &'static str) -> (String, Forge) {
    let kind = format!("{name} is {text}");
    change(&kind, "signature-input", move |value| {
        value.replace(&parameter(value, name), &format!(";{name}={text}"))
    })
}

fn of_headers() -> Vec<(String, Forge)> {
    let twice = |name: &'static str| {
        forge(&format!("{name} twice"), move |request: Request| {
            let value = request.header(name).to_owned();
            request.with(name, &value)
        })
    };
    vec![
        forge("no signature", |request| request.without("signature")),
        forge("no signature-input", |request| request.without("signature-input")),
        forge("neither", |request| request.without("signature").without("signature-input")),
        forge("no content-digest", |request| request.without("content-digest")),
        twice("signature"),
        twice("signature-input"),
        twice("content-digest"),
        change("empty signature", "signature", |_| String::new()),
        change("empty signature-input", "signature-input", |_| String::new()),
        change("empty content-digest", "content-digest", |_| String::new()),
        change("another digest", "content-digest", |_| format!("sha-256=:{}=:", "A".repeat(43))),
        change("sha-512", "content-digest", |value| value.replace("sha-256", "sha-512")),
        change("SHA-256", "content-digest", |value| value.replace("sha-256", "SHA-256")),
        change("two digests", "content-digest", |value| format!("{value}, {value}")),
        change("a digest without colons", "content-digest", |value| value.replace(':', "")),
        change("a digest with a parameter", "content-digest", |value| format!("{value};a")),
    ]
}

fn of_signature() -> Vec<(String, Forge)> {
    let flip = |value: &str, at: usize| {
        let mut bytes = value.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    vec![
        change("the first bits", "signature", move |value| flip(value, 7)),
        change("bits in the middle", "signature", move |value| flip(value, 50)),
        change("the last bits", "signature", move |value| flip(value, value.len() - 5)),
        change("no padding", "signature", |value| value.replace('=', "").replacen("vault", "vault=", 1)),
        change("without colons", "signature", |value| value.replace(':', "")),
        change("truncated", "signature", |value| format!("{}:", &value[..value.len() - 9])),
        change("another label", "signature", |value| value.replace("vault=", "other=")),
        change("two signatures", "signature", |value| format!("{value}, {value}")),
        change("a second label", "signature", |value| format!("{value}, more={}", &value[6..])),
        change("a parameter", "signature", |value| format!("{value};a=1")),
        change("zeros", "signature", |_| format!("vault=:{}==:", "A".repeat(86))),
    ]
}

fn of_parameters() -> Vec<(String, Forge)> {
    vec![
        without_parameter("created"),
        without_parameter("nonce"),
        without_parameter("keyid"),
        without_parameter("alg"),
        without_parameter("tag"),
        parameter_as("created", "-5"),
        parameter_as("created", "0"),
        parameter_as("created", "now"),
        parameter_as("created", "\"1790000000\""),
        parameter_as("created", "01790000000"),
        parameter_as("created", "1790000000.5"),
        parameter_as("created", "99999999999999999999"),
        parameter_as("nonce", "\"\""),
        parameter_as("nonce", "\"AAAA\""),
        parameter_as("nonce", "\"AAAAAAAAAAAAAAAAAAAAAA\""),
        parameter_as("nonce", "\"AAAAAAAAAAAAAAAAAAAAAA==\""),
        parameter_as("nonce", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAA\""),
        parameter_as("nonce", "\"++++AAAAAAAAAAAAAAAAAA\""),
        parameter_as("keyid", "\"\""),
        parameter_as("keyid", "\"00000000000000000000000000000000\""),
        parameter_as("keyid", "\"ABCDEF00000000000000000000000000\""),
        parameter_as("keyid", "\"00\""),
        parameter_as("alg", "\"rsa-v1_5-sha256\""),
        parameter_as("alg", "\"hmac-sha256\""),
        parameter_as("alg", "\"none\""),
        parameter_as("alg", "\"ED25519\""),
        parameter_as("tag", "\"vault-v2\""),
        parameter_as("tag", "\"\""),
        change("expires", "signature-input", |value| format!("{value};expires=9999999999")),
        change("an unknown parameter", "signature-input", |value| format!("{value};x")),
        change("created twice", "signature-input", |value| value.to_owned() + &parameter(value, "created")),
        change("another order of parameters", "signature-input", |value| {
            let nonce = parameter(value, "nonce");
            value.replace(&nonce, "") + &nonce
        }),
    ]
}

fn of_components() -> Vec<(String, Forge)> {
    vec![
        input("no method", "\"@method\" ", ""),
        input("no authority", "\"@authority\" ", ""),
        input("no path", "\"@path\" ", ""),
        input("no query", "\"@query\" ", ""),
        input("digest not named", "\"content-digest\" ", ""),
        input("length not named", " \"content-length\"", ""),
        input("body not named", " \"content-digest\" \"content-length\"", ""),
        input("method twice", "\"@method\" ", "\"@method\" \"@method\" "),
        input("path twice", "\"@path\" ", "\"@path\" \"@path\" "),
        input("digest twice", "\"content-digest\" ", "\"content-digest\" \"content-digest\" "),
        input("another order", "\"@method\" \"@authority\"", "\"@authority\" \"@method\""),
        input("one more component", "\"@method\" ", "\"@method\" \"host\" "),
        input("a component's parameter", "\"@path\"", "\"@path\";req"),
        input("upper case", "\"@path\"", "\"@PATH\""),
        input("target-uri for path", "\"@path\"", "\"@target-uri\""),
        input("two blanks", "\" \"", "\"  \""),
        input("a blank after a semicolon", ";created", "; created"),
        input("no list", "(\"@method\"", "\"@method\""),
        input("another label", "vault=", "other="),
        input("no label", "vault=", ""),
        change("two inputs", "signature-input", |value| format!("{value}, {value}")),
        change("a second label", "signature-input", |value| format!("{value}, more={}", &value[6..])),
    ]
}

fn of_parts() -> Vec<(String, Forge)> {
    vec![
        forge("another method", |request| Request { method: "POST".to_owned(), ..request }),
        forge("a query", |request| Request { target: request.target.clone() + "?a=b", ..request }),
        forge("another query", |request| Request { target: request.target.clone() + "?x", ..request }),
        forge("another host", |request| request.changing("host", |_| "example.org".to_owned())),
        forge("another port", |request| request.changing("host", |_| "127.0.0.1:1".to_owned())),
        forge("no length", |request| request.without("content-length")),
        forge("another length", |request| {
            let body = request.body[1..].to_vec();
            let length = body.len().to_string();
            Request { body, ..request }.changing("content-length", move |_| length.clone())
        }),
    ]
}

#[test]
fn every_forged_signature_is_answered_alike() {
    let world = World::new();
    let body = b"a pack".to_vec();
    let path = world.path(ObjectKey::Pack(PackId::new(hash::object_hash(&body))));
    let (mut answers, mut kinds) = (BTreeSet::new(), BTreeSet::new());

    let forgeries = [of_headers(), of_signature(), of_parameters(), of_components(), of_parts()];
    for (name, forge) in forgeries.into_iter().flatten() {
        let request = forge(world.laptop().request("PUT", &path, Some(&body)));
        // 405 comes before any signature.
        let request = if request.method == "POST" {
            Request { target: paths::ME.to_owned(), ..request }
        } else {
            request
        };
        let answer = world.server.send(&request);
        if answer.status == 405 {
            continue;
        }
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        answers.insert(unauthorized(&answer));
        kinds.insert(name);
    }

    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert!(kinds.len() >= 60, "{}", kinds.len());
    assert_eq!(world.used(), 0);
    assert_eq!(world.laptop().put(&path, &body).status, 201);
}

#[test]
fn other_keys_and_bodies_are_answered_as_forgeries() {
    let world = World::new();
    let (laptop, phone) = (world.laptop(), world.phone());
    let unsigned = unauthorized(&world.server.get(paths::ME));
    let me = |forge: &dyn Fn(Request) -> Request| {
        unauthorized(&world.server.send(&forge(laptop.request("GET", paths::ME, None))))
    };

    let others = phone.request("GET", paths::ME, None);
    assert_eq!(
        me(&|request| request.changing("signature", |_| others.header("signature").to_owned())),
        unsigned
    );
    let id = world.people.phone.id().to_hex();
    let own = world.people.laptop.id().to_hex();
    assert_eq!(
        me(&|request| request.changing("signature-input", |value| value.replace(&own, &id))),
        unsigned
    );
    assert_eq!(
        me(&|request| Request { body: b"hello".to_vec(), ..request }.with("content-length", "5")),
        unsigned
    );
    assert_eq!(unauthorized(&world.server.client(&world.lost).get(paths::ME)), unsigned);
}

#[test]
fn a_request_that_changes_something_is_accepted_once() {
    let world = World::new();
    let body = b"a pack".to_vec();
    let path = world.path(ObjectKey::Pack(PackId::new(hash::object_hash(&body))));
    let put = world.laptop().request("PUT", &path, Some(&body));
    let get = world.laptop().request("GET", &path, None);

    assert_eq!(world.server.send(&put).status, 201);
    unauthorized(&world.server.send(&put));
    assert_eq!(world.server.send(&get).status, 200);
    assert_eq!(world.server.send(&get).status, 200);
}

#[test]
fn a_clock_that_is_wrong_is_told_the_time_and_a_forger_is_not() {
    let world = World::new();
    let skewed = |skew| {
        let mut client = world.laptop();
        client.skew = skew;
        client
    };

    for skew in [-302, 302, 100_000] {
        let answer = skewed(skew).get(paths::ME);
        assert_eq!(answer.problem(), (401, "clock_skew".to_owned()), "{skew}");
        assert!(answer.json()["server_time"].as_u64().unwrap() > 1_700_000_000_000);
    }
    for skew in [-290, 290] {
        assert_eq!(skewed(skew).get(paths::ME).status, 200, "{skew}");
    }
    let forged = skewed(100_000).request("GET", paths::ME, None);
    unauthorized(
        &world
            .server
            .send(&forged.changing("signature-input", |value| value.replace("vault-v1", "vault-v2"))),
    );
}

#[test]
fn a_suspended_user_is_unknown_until_resumed() {
    let world = World::new();
    let user = world.people.bob.id();
    assert_eq!(world.phone().get(paths::ME).status, 200);

    // Said by another process, it counts within a second.
    let say = |suspended| {
        world.server.with_db(async |db| db.set_suspended(user, suspended).await.unwrap());
        std::thread::sleep(Duration::from_millis(1200));
    };
    say(true);
    unauthorized(&world.phone().get(paths::ME));
    say(false);
    assert_eq!(world.phone().get(paths::ME).status, 200);
}
