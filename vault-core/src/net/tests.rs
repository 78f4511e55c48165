//! The client against servers that fail, stall and lie.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::testing::{NOW, Reply, Scripted, Seen, World, short};
use super::*;
use crate::crypto::random::FixedRandom;
use crate::crypto::sign::SigningKey;
use crate::id::{GrantId, IndexId, PackId, Seq, VaultId};
use crate::object::{ObjectKey, ObjectKind};
use crate::wire::authority::Pin;

const VAULT: VaultId = VaultId::new([1; 32]);
const PACK: ObjectKey = ObjectKey::Pack(PackId::new([2; 32]));

fn signed(server: Server) -> Server {
    server.asked_by(SigningKey::generate(&FixedRandom::new(1)).unwrap())
}

/// A client of a server with a script, and the world in which it waits.
fn client(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> (Scripted, Server, World) {
    let (server, world) = (Scripted::start(script), World::default());
    let client = signed(server.client(&world));
    (server, client, world)
}

fn url_of(listener: &TcpListener) -> ServerUrl {
    ServerUrl::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap()
}

fn busy() -> Reply {
    Reply::problem(503, r#"{"code":"busy","status":503}"#).with("retry-after", 3)
}

#[test]
fn the_pinned_key_is_enough_even_with_an_expired_certificate() {
    let server = Scripted::expired(|_, _| Reply::ok("bytes"));
    let world = World::default();

    assert_eq!(server.client(&world).object(&VAULT, &PACK, 100).unwrap(), b"bytes");
}

#[test]
fn a_question_that_has_no_body_says_that_it_has_none() {
    // Nor has the answer one, or a length.
    let (server, client, _) = client(|_, _| Reply::Raw(b"HTTP/1.1 204 x\r\n\r\n".to_vec()));

    client.open_grant(&GrantId::new([3; 16])).unwrap();

    let [asked] = &server.seen()[..] else { panic!() };
    assert_eq!((asked.method.as_str(), asked.header("content-length")), ("POST", Some("0")));
    assert_eq!((asked.header("transfer-encoding"), asked.header("content-digest")), (None, None));
}

#[test]
fn a_server_with_another_key_hears_nothing() {
    let (one, other) = (Scripted::start(|_, _| Reply::ok("")), Scripted::start(|_, _| Reply::ok("")));
    let world = World::default();
    let trust = Trust::Pin(other.pin());
    let client = Server::with_deadlines(one.url(), trust, world.means(), short()).unwrap();

    let error = client.object(&VAULT, &PACK, 100).unwrap_err();

    assert!(
        matches!(&error, NetError::WrongPin { expected, found, .. } if (*expected, *found) == (other.pin(), one.pin()))
    );
    assert_eq!(error.kind(), NetErrorKind::Integrity);
    assert!(one.seen().is_empty());
    assert_eq!((one.connections(), world.waited()), (1, Duration::ZERO), "it is not tried again");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_without_a_pin() {
    let server = Scripted::start(|_, _| Reply::ok(""));
    let client =
        Server::with_deadlines(server.url(), Trust::System, World::default().means(), short()).unwrap();

    let error = client.object(&VAULT, &PACK, 100).unwrap_err();

    assert!(matches!(error, NetError::Certificate { .. }), "{error:?}");
    assert!(server.seen().is_empty());
}

#[test]
fn what_does_not_speak_tls_is_no_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url_of(&listener);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let trust = Trust::Pin(Pin([0; 32]));
    let client = Server::with_deadlines(url, trust, World::default().means(), short()).unwrap();

    assert_eq!(client.info().unwrap_err().kind(), NetErrorKind::Protocol);
}

#[test]
fn connections_are_kept_for_the_next_request() {
    let (server, client, _) = client(|_, _| Reply::ok("bytes"));

    for _ in 0..5 {
        client.object(&VAULT, &PACK, 100).unwrap();
    }

    assert_eq!(server.connections(), 1);
}

#[test]
fn every_request_is_signed_anew() {
    let (server, client, _) = client(|number, _| if number < 2 { busy() } else { Reply::status(201) });

    client.put_object(&VAULT, &PACK, b"bytes").unwrap();

    let puts: Vec<Seen> = server.seen().into_iter().filter(|seen| seen.method == "PUT").collect();
    let inputs: Vec<&str> = puts.iter().map(|seen| seen.header("signature-input").unwrap()).collect();
    assert!(inputs.len() >= 2 && inputs[0] != inputs[1], "{inputs:?}");
    assert!(inputs.iter().all(|input| input.contains(&format!("created={}", NOW.seconds))));
    assert_eq!(puts[0].header("content-length"), Some("5"));
    assert!(puts[0].header("content-digest").unwrap().starts_with("sha-256=:"));
    assert!(puts.iter().all(|seen| seen.header("transfer-encoding").is_none()));
}

#[test]
fn a_server_that_is_silent_at_any_point_is_given_up() {
    // Nobody accepts: the connection is made, and the handshake never answered.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf_url = url_of(&deaf);
    let world = World::default();
    let no_patience = Patience { budget: Duration::ZERO, ..Patience::default() };
    let trust = Trust::Pin(Pin([0; 32]));
    let at_connect = Server::with_deadlines(deaf_url, trust, world.means(), short()).unwrap();
    let stalls =
        [&b""[..], b"HTTP/1.1 200 x\r\ncontent-le", b"HTTP/1.1 200 x\r\ncontent-length: 50\r\n\r\nhalf"];
    let servers = stalls.map(|said| Scripted::start(move |_, _| Reply::Stall(said.to_vec())));
    let clients = servers.iter().map(|server| server.client(&world)).chain([at_connect]);

    for client in clients.map(|client| client.with_patience(no_patience)) {
        let begun = Instant::now();
        let error = client.object(&VAULT, &PACK, 100).unwrap_err();

        assert!(matches!(error, NetError::TimedOut { .. }), "{error:?}");
        assert_eq!(error.kind(), NetErrorKind::Network);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_restart_is_waited_for() {
    let (server, client, world) = client(|number, _| match number {
        0 => Reply::Close,
        1 => Reply::Raw(b"HTTP/1.1 200 x\r\ncontent-length: 50\r\n\r\nhalf".to_vec()),
        2 => Reply::problem(503, r#"{"code":"shutting_down","status":503}"#),
        3 => Reply::status(502),
        _ => Reply::ok("whole"),
    });

    assert_eq!(client.object(&VAULT, &PACK, 100).unwrap(), b"whole");
    assert_eq!(server.seen().len(), 5);
    assert!(world.waited() > Duration::from_millis(500), "{:?}", world.waited());
}

#[test]
fn a_server_that_stays_away_is_given_up_after_two_minutes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = url_of(&listener);
    drop(listener);
    let world = World::default();
    let client = Server::new(url, Trust::Pin(Pin([0; 32])), world.means()).unwrap();

    let error = client.object(&VAULT, &PACK, 100).unwrap_err();

    assert_eq!(error.kind(), NetErrorKind::Network);
    assert!(world.waited() > Duration::from_secs(100) && world.waited() <= Duration::from_secs(120));
}

#[test]
fn a_request_to_stop_ends_the_waiting() {
    let server = Scripted::start(|_, _| busy());
    let world = World::default();
    let means = Means { stopped: std::sync::Arc::new(|| true), ..world.means() };
    let client = Server::new(server.url(), Trust::Pin(server.pin()), means).unwrap();

    let error = client.object(&VAULT, &PACK, 100).unwrap_err();

    assert_eq!(error.kind(), NetErrorKind::Interrupted);
    assert_eq!((server.seen().len(), world.waited()), (1, Duration::ZERO));
}

#[test]
fn retry_after_is_honoured() {
    let (_server, client, world) = client(|number, _| if number < 2 { busy() } else { Reply::ok("bytes") });

    client.object(&VAULT, &PACK, 100).unwrap();

    assert_eq!(world.waited(), Duration::from_secs(6));
}

#[test]
fn what_may_not_be_done_twice_is_sent_once() {
    let device = crate::wire::v1::devices::NewDevice {
        signing_key: crate::crypto::sign::VerifyingKey([1; 32]),
        recipient: "age1".to_owned(),
    };
    for reply in [busy(), Reply::Close] {
        let (server, client, _) = client(move |_, _| reply.clone());

        assert!(client.request_device(&device).is_err());

        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn a_refusal_is_not_argued_with() {
    for (status, code, kind) in [
        (401, "unauthorized", NetErrorKind::Unauthorized),
        (403, "forbidden", NetErrorKind::Forbidden),
        (404, "not_found", NetErrorKind::NotFound),
        (422, "statement_refused", NetErrorKind::Invalid),
        (507, "quota_exceeded", NetErrorKind::Quota),
        (507, "storage_full", NetErrorKind::Full),
        (410, "invite_used", NetErrorKind::Expired),
        (426, "protocol", NetErrorKind::Protocol),
    ] {
        let json = format!(r#"{{"code":"{code}","status":{status},"title":"words","used":5,"more":[]}}"#);
        let (server, client, _) = client(move |_, _| Reply::problem(status, &json));

        let error = client.object(&VAULT, &PACK, 100).unwrap_err();

        assert_eq!(error.kind(), kind, "{error:?}");
        // Of another version nothing is quoted: its words may mean something else.
        assert_eq!(error.to_string().contains("words"), kind != NetErrorKind::Protocol, "{error}");
        assert_eq!(server.seen().len(), 1, "{code}");
    }
}

#[test]
fn a_reason_of_a_newer_server_is_understood_by_its_status() {
    for (status, kind) in [
        (401, NetErrorKind::Unauthorized),
        (403, NetErrorKind::Forbidden),
        (404, NetErrorKind::NotFound),
        (409, NetErrorKind::Taken),
        (422, NetErrorKind::Invalid),
        (507, NetErrorKind::Full),
        (418, NetErrorKind::Protocol),
    ] {
        let json = format!(r#"{{"code":"of_tomorrow","status":{status},"title":"words"}}"#);
        let (_server, client, _) = client(move |_, _| Reply::problem(status, &json));

        let error = client.object(&VAULT, &PACK, 100).unwrap_err();

        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.to_string().contains("words"), "{error}");
    }
}

#[test]
fn a_server_of_another_version_is_told_apart_from_one_that_is_none() {
    let upgrade = r#"{"code":"protocol","status":426,"title":"words","protocol":[2,3]}"#;
    let page = Reply::status(404);
    for (reply, says) in [
        (Reply::problem(426, upgrade), "speaks versions 2, 3 of the protocol, and this program version 1"),
        (Reply::status(426), "speaks another version of the protocol"),
        (Reply::ok(r#"{"protocol":[2],"name":"of tomorrow"}"#), "speaks version 2 of the protocol"),
        (Reply::ok("<html>"), "does not speak the protocol"),
        (page, "it is no vault-server"),
    ] {
        let (_server, client, _) = client(move |_, _| reply.clone());

        let error = client.info().unwrap_err();

        assert_eq!(error.kind(), NetErrorKind::Protocol, "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let (_server, client, _) = client(move |_, _| Reply::problem(426, upgrade));
    let error = client.object(&VAULT, &PACK, 100).unwrap_err();
    assert!(matches!(&error, NetError::Version { theirs, .. } if *theirs == [2, 3]), "{error:?}");
}

#[test]
fn an_early_refusal_of_a_large_body_is_heard() {
    let (server, world) = (Scripted::hasty(403), World::default());
    let client = signed(server.client(&world));
    let pack = vec![7; 64 << 20];

    let error = client.put_object(&VAULT, &PACK, &pack).unwrap_err();

    assert_eq!(error.kind(), NetErrorKind::Forbidden, "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn the_clock_of_the_server_counts_for_signatures() {
    let json =
        format!(r#"{{"code":"clock_skew","status":401,"server_time":{}}}"#, (NOW.seconds + 4000) * 1000);
    let created = format!("created={}", NOW.seconds + 4000);
    let right = created.clone();
    let (server, client, world) = client(move |_, seen| {
        let input = seen.header("signature-input").unwrap();
        if input.contains(&right) { Reply::ok("bytes") } else { Reply::problem(401, &json) }
    });

    client.object(&VAULT, &PACK, 100).unwrap();
    client.object(&VAULT, &PACK, 100).unwrap();

    assert_eq!(server.seen().len(), 3, "it is remembered");
    assert_eq!(world.waited(), Duration::ZERO);
}

#[test]
fn a_server_that_never_likes_the_clock_is_asked_twice() {
    let json = r#"{"code":"clock_skew","status":401,"server_time":1000}"#;
    let (server, client, _) = client(move |_, _| Reply::problem(401, json));

    assert_eq!(client.object(&VAULT, &PACK, 100).unwrap_err().kind(), NetErrorKind::ClockSkew);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn lies_about_sizes_do_no_harm() {
    let raw = |head: &str, body: &str| Reply::Raw(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes());
    let lies = [
        raw("200 x\r\ncontent-length: 99999999999999", ""),
        raw("200 x\r\ncontent-length: -1", ""),
        raw("200 x", "no length"),
        raw("200 x\r\ntransfer-encoding: chunked", "5\r\nbytes\r\n0\r\n\r\n"),
        raw("200 x\r\ncontent-length: 5\r\ncontent-length: 6", "bytes!"),
        raw("302 x\r\nlocation: https://elsewhere.example\r\ncontent-length: 0", ""),
        raw("100 x\r\n\r\nHTTP/1.1 99 x", ""),
    ];
    for lie in lies {
        let said = lie.clone();
        let (_server, client, _) = client(move |_, _| said.clone());
        let client = client.with_patience(Patience { budget: Duration::ZERO, ..Patience::default() });

        assert!(client.object(&VAULT, &PACK, 100).is_err(), "{lie:?}");
    }
}

#[test]
fn a_range_is_exactly_what_was_asked_for() {
    let part =
        |range: &str, body: &str| Reply::Answer(206, vec![("content-range", range.to_owned())], body.into());
    let ask = |reply: Reply| {
        let (server, client, _) = client(move |_, _| reply.clone());
        let result = client.object_range(&VAULT, &PACK, (10, 4));
        assert_eq!(server.seen()[0].header("range"), Some("bytes=10-13"));
        result
    };

    assert_eq!(ask(part("bytes 10-13/50", "abcd")).unwrap(), Part::Bytes(b"abcd".to_vec()));
    assert_eq!(ask(part("bytes 10-11/12", "ab")).unwrap(), Part::EndsAt(12));
    for lie in [
        part("bytes 11-14/50", "abcd"),
        part("bytes 10-13/50", "abc"),
        part("bytes 10-11/50", "ab"),
        part("bytes */50", "abcd"),
        Reply::ok("abcd"),
    ] {
        let error = ask(lie.clone()).unwrap_err();
        assert_eq!(error.kind(), NetErrorKind::Protocol, "{lie:?}: {error:?}");
    }
}

#[test]
fn a_list_that_does_not_get_further_is_refused() {
    let listed = |names: [u8; 2], more: bool| {
        let object = |byte: u8| {
            let path = ObjectKey::Index(IndexId::new([byte; 32])).path();
            format!(r#"{{"path":"{path}","size":1,"stored_at":5}}"#)
        };
        let objects = names.map(object).join(",");
        Reply::ok(format!(r#"{{"objects":[{objects}],"more":{more}}}"#))
    };
    let ask = |reply: Reply| {
        let (_server, client, _) = client(move |_, _| reply.clone());
        client.objects(&VAULT, ObjectKind::Index, Some(&ObjectKey::Index(IndexId::new([4; 32]))))
    };

    assert_eq!(ask(listed([5, 6], true)).unwrap().0.len(), 2);
    for lie in [listed([6, 5], false), listed([5, 5], false), listed([4, 5], true)] {
        assert_eq!(ask(lie).unwrap_err().kind(), NetErrorKind::Protocol);
    }
    let empty = Reply::ok(r#"{"objects":[],"more":true}"#);
    assert_eq!(ask(empty).unwrap_err().kind(), NetErrorKind::Protocol);
}

#[test]
fn a_put_whose_answer_was_lost_is_not_sent_again() {
    let (server, client, _) = client(|number, _| match number {
        0 => Reply::Close,
        _ => Reply::ok("").with("content-length", 5),
    });

    assert_eq!(client.put_object(&VAULT, &PACK, b"bytes").unwrap(), Stored::Same);

    let methods: Vec<String> = server.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["PUT", "HEAD"]);
}

#[test]
fn a_statement_is_taken_only_with_a_receipt_that_verifies() {
    use crate::crypto::hash::statement_hash;
    use crate::log::Head;
    use crate::wire::{Millis, RECEIPT_HEADER, Receipt};

    let key = SigningKey::generate(&FixedRandom::new(9)).unwrap();
    let head = Head { seq: Seq(3), hash: statement_hash(b"statement") };
    let good = Receipt::sign(&key, &VAULT, &head, Millis(5));
    for (receipt, fine) in [
        (good.to_header(), true),
        (Receipt { time: Millis(6), ..good }.to_header(), false),
        (Receipt::sign(&key, &VAULT, &Head { seq: Seq(4), ..head }, Millis(5)).to_header(), false),
        ("5".to_owned(), false),
    ] {
        for status in [201, 200] {
            let receipt = receipt.clone();
            let (_server, client, _) =
                client(move |_, _| Reply::status(status).with(RECEIPT_HEADER, &receipt));
            let client = client.with_receipt_key(key.verifying_key());

            let appended = client.append(&VAULT, Seq(3), b"statement");

            assert_eq!(appended.is_ok(), fine, "{status} {appended:?}");
        }
    }
    let (_server, without, _) = client(|_, _| Reply::status(200));
    assert_eq!(without.append(&VAULT, Seq(3), b"statement").unwrap_err().kind(), NetErrorKind::Integrity);
    let (_server, client, _) = client(|_, _| Reply::problem(409, r#"{"code":"taken","status":409}"#));
    assert_eq!(client.append(&VAULT, Seq(3), b"statement").unwrap(), Appended::Taken);
}
