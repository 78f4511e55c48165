//! What no client may do: heads without end, other transfer codings, other methods, too much at once.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use vault_core::log::testing::{Machine, Person};
use vault_core::wire::v1::paths;
use vault_server::proxies::Proxies;
use vault_tests::{Answer, Request, TestServer};

#[test]
fn heads_beyond_the_limits_are_refused() {
    let server = TestServer::start();
    let base = || Request::open("GET", paths::SERVER, &server.authority(), None);

    let many = (0..60).fold(base(), |request, number| request.with(&format!("x-{number}"), "1"));
    assert_eq!(server.send(&many).problem(), (431, "headers_too_large".to_owned()));
    let large = base().with("x-large", &"x".repeat(40_000));
    assert_eq!(server.send(&large).problem(), (431, "headers_too_large".to_owned()));
}

#[test]
fn other_codings_paths_and_methods_are_refused_with_problems() {
    let server = TestServer::start();
    let authority = server.authority();
    let send = |request: Request| server.send(&request).problem();
    let open = |method: &str, target: &str| Request::open(method, target, &authority, None);

    let chunked = Request {
        body: b"0\r\n\r\n".to_vec(),
        ..open("POST", paths::JOIN).with("transfer-encoding", "chunked")
    };
    assert_eq!(send(chunked), (411, "length_required".to_owned()));
    assert_eq!(
        send(open("GET", paths::SERVER).with("content-encoding", "gzip")),
        (415, "media_type".to_owned())
    );
    assert_eq!(send(open("DELETE", paths::SERVER)), (405, "method".to_owned()));
    for path in ["/", "/v1", "/v1/nothing", "/v1//server", "/v1/%73erver", "/v1/x/../server", "/v1/server/"] {
        assert_eq!(send(open("GET", path)), (404, "not_found".to_owned()), "{path}");
    }
    for path in ["/v2", "/v2/server", "/v10/vaults"] {
        let answer = server.send(&open("GET", path));
        assert_eq!(
            (answer.problem(), &answer.json()["protocol"]),
            ((426, "protocol".to_owned()), &json!([1]))
        );
    }
    for path in ["/v", "/v01/server", "/vx", "/v-1", "/v99999999999/server"] {
        assert_eq!(send(open("GET", path)), (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(send(open("POST", paths::JOIN)), (411, "length_required".to_owned()));
    let wrong =
        Request::open("POST", paths::JOIN, &authority, Some(b"x".to_vec())).with("content-type", "text/html");
    assert_eq!(send(wrong), (415, "media_type".to_owned()));
    let large = Request::open("POST", paths::JOIN, &authority, Some(vec![b' '; 300 << 10])).json();
    assert_eq!(send(large), (413, "too_large".to_owned()));
    for body in ["", "{}", "[]", "{\"invite\":\"\",\"entry\":\"\",\"mac\":\"\",\"more\":1}"] {
        let bad = Request::open("POST", paths::JOIN, &authority, Some(body.as_bytes().to_vec())).json();
        assert_eq!(send(bad), (400, "bad_request".to_owned()), "{body}");
    }
}

#[test]
fn answers_carry_the_headers_that_protect_and_none_that_tell() {
    let server = TestServer::start();
    let answer = server.get(paths::SERVER);

    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("strict-transport-security").is_some());
    assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert_eq!(answer.header("vault-request-id").map(str::len), Some(16));
    assert_eq!(answer.header("server"), None);
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")));
    assert_eq!(server.get(paths::HEALTHZ).status, 200);
    assert_eq!(server.get(paths::READYZ).status, 200);
}

#[test]
fn who_asks_too_much_is_told_when_to_come_back() {
    let server = TestServer::with(|config| config.limits.device_rate = 1);
    let (alice, laptop, bob, phone) = (Person::new(1), Machine::new(11), Person::new(2), Machine::new(12));
    server.join(&alice, &[&laptop]);
    server.join(&bob, &[&phone]);
    let answers: Vec<_> = (0..20).map(|_| server.client(&laptop).get(paths::ME)).collect();

    let limited = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(limited.problem(), (429, "rate_limited".to_owned()));
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(server.client(&phone).get(paths::ME).status, 200);
}

#[test]
fn an_address_has_so_many_connections_at_once_and_no_more() {
    let server = TestServer::with(|config| config.limits.address_connections = 3);
    let ask = Request::open("GET", paths::HEALTHZ, &server.authority(), None).to_bytes();
    let open = || {
        let mut stream = server.connect();
        stream.write_all(&ask).and_then(|()| stream.flush()).ok()?;
        Answer::read(&mut stream, false).ok().map(|answer| (answer.status, stream))
    };

    let mut kept: Vec<_> = (0..3).map(|_| open().unwrap()).collect();
    assert!(kept.iter().all(|(status, _)| *status == 200));
    assert!(open().is_none() && open().is_none(), "they are closed");
    kept.pop();

    // The server learns of it when it does.
    let begun = Instant::now();
    while open().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the place is free again");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_connections_of_a_proxy_are_not_counted() {
    let server = TestServer::with(|config| {
        config.limits.address_connections = 1;
        config.proxies = Proxies::parse("127.0.0.1").unwrap();
    });
    let ask = Request::open("GET", paths::HEALTHZ, &server.authority(), None).to_bytes();

    let mut streams: Vec<_> = (0..4).map(|_| server.connect()).collect();

    for stream in &mut streams {
        stream.write_all(&ask).and_then(|()| stream.flush()).unwrap();
        assert_eq!(Answer::read(stream, false).unwrap().status, 200);
    }
}

#[test]
fn who_guesses_signatures_is_slowed_down() {
    let server = TestServer::with(|config| config.limits.open_rate = 20);
    let statuses: Vec<u16> = (0..40).map(|_| server.get(paths::ME).status).collect();

    assert_eq!(statuses[0], 401);
    assert_eq!(statuses[39], 429);
}
