//! Forgeries: every way in which a request could be other than what its device has signed, each refused with the same value.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::headers::{CONTENT_DIGEST, CONTENT_LENGTH, SIGNATURE, SIGNATURE_INPUT};
use super::*;
use crate::crypto::hash;
use crate::crypto::secret::Secret;

const NOW: u64 = 1_790_000_000;
const NONCE: Nonce = [7; NONCE_BYTES];

/// A request as it arrives.
#[derive(Clone)]
struct Request {
    method: String,
    authority: String,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(Secret::new([number; 32]))
}

fn device(number: u8) -> DeviceId {
    hash::device_id(&key(number).verifying_key().0)
}

fn body() -> Body {
    Body { sha256: hash::object_hash(b"body"), length: 4 }
}

/// A request of device 1, signed as it must be.
fn request(body: Option<Body>) -> Request {
    let authority = Authority::parse("example.com:8443").unwrap();
    let (method, path, query) = ("PUT", "/v1/vaults/ab/log/7", Some("from=3&limit=5"));
    let parts = Parts { method, authority: &authority, path, query };
    let (key, device) = (&key(1), device(1));
    let signed = Signer { key, device }.sign(&parts, body.as_ref(), (NOW, &NONCE)).unwrap();
    let mut headers = vec![
        ("host".to_owned(), authority.to_string()),
        (SIGNATURE_INPUT.to_owned(), signed.signature_input),
        (SIGNATURE.to_owned(), signed.signature),
    ];
    if let (Some(digest), Some(body)) = (signed.content_digest, body) {
        headers.push((CONTENT_DIGEST.to_owned(), digest));
        headers.push((CONTENT_LENGTH.to_owned(), body.length.to_string()));
    }
    Request {
        method: method.to_owned(),
        authority: authority.to_string(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers,
    }
}

impl Request {
    /// What a server makes of it that knows device 1 alone.
    fn arrive(&self) -> Result<Signed, Unauthorized> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let claimed = Claimed::parse(headers)?;
        let authority = Authority::parse(&self.authority).ok_or(Unauthorized)?;
        let parts = Parts {
            method: &self.method,
            authority: &authority,
            path: &self.path,
            query: self.query.as_deref(),
        };
        claimed.verify(&key(1).verifying_key(), &parts)
    }

    fn header(&mut self, name: &str) -> &mut String {
        &mut self.headers.iter_mut().find(|(found, _)| found == name).unwrap().1
    }

    /// Replaces text in a header, which must have it.
    fn replace(&mut self, name: &str, from: &str, to: &str) {
        let value = self.header(name);
        assert!(value.contains(from), "{value} has no {from}");
        *value = value.replacen(from, to, 1);
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(found, _)| found != name);
    }

    fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn repeat(&mut self, name: &str) {
        let value = self.header(name).clone();
        self.add(name, &value);
    }

    /// Signs the parameters as they stand now, as a client would that does not keep to the profile.
    fn sign_again(&mut self, components: &[(&str, &str)]) {
        let parameters = self.header(SIGNATURE_INPUT).split_once('=').unwrap().1.to_owned();
        let base = base::signature_base(components, &parameters).unwrap();
        *self.header(SIGNATURE) = headers::signature_value(&key(1).sign_base(&base));
    }
}

type Forgery = (&'static str, fn(&mut Request));

/// Replacements in `signature-input`: what, by what.
const INPUTS: &[(&str, &str)] = &[
    // Components: missing, altered, twice, in another order, too many.
    (r#""@method" "#, ""),
    (r#" "@authority""#, ""),
    (r#" "@path""#, ""),
    (r#" "@query""#, ""),
    (r#" "content-digest""#, ""),
    (r#" "content-length""#, ""),
    (r#" "content-digest" "content-length""#, ""),
    (r#""@method""#, r#""@Method""#),
    (r#""@authority""#, r#""host""#),
    (r#""@path""#, r#""@target-uri""#),
    (r#""@query""#, r#""@query-param";name="from""#),
    (r#""@method""#, r#""@method" "@method""#),
    (r#""@authority""#, r#""@authority" "@authority""#),
    (r#""@path""#, r#""@path" "@path""#),
    (r#""@query""#, r#""@query" "@query""#),
    (r#""content-digest""#, r#""content-digest" "content-digest""#),
    (r#""@method" "@authority""#, r#""@authority" "@method""#),
    (r#""@path" "@query""#, r#""@query" "@path""#),
    (r#""content-digest" "content-length""#, r#""content-length" "content-digest""#),
    (r#""content-length")"#, r#""content-length" "content-type")"#),
    (r#""content-digest""#, r#""content-digest";req"#),
    (r#""@path""#, r#""@path";bs"#),
    // Label.
    ("vault=", "sig1="),
    ("vault=", "Vault="),
    ("vault=", ""),
    ("vault=(", "vault=((("),
    ("vault=", " vault="),
    ("vault=", "vault= "),
    // Time.
    (";created=1790000000", ""),
    (";created=1790000000", ";created=1790000001"),
    (";created=1790000000", ";created=-1790000000"),
    (";created=1790000000", ";created=1790000000.0"),
    (";created=1790000000", ";created=01790000000"),
    (";created=1790000000", ";created=+1790000000"),
    (";created=1790000000", ";created=\"1790000000\""),
    (";created=1790000000", ";created=soon"),
    (";created=1790000000", ";created="),
    (";created=1790000000", ";created=9999999999999999"),
    (";created=1790000000", ";created=99999999999999999999999"),
    (";created=1790000000", ";created=1790000000;created=1790000000"),
    (";created=1790000000", ";created=1790000000;expires=1790000300"),
    // Nonce.
    (";nonce=\"BwcHBwcHBwcHBwcHBwcHBw\"", ""),
    ("BwcHBwcHBwcHBwcHBwcHBw", ""),
    ("BwcHBwcHBwcHBwcHBwcHBw", "BwcHBwcHBwcHBwcHBwcH"),
    ("BwcHBwcHBwcHBwcHBwcHBw", "BwcHBwcHBwcHBwcHBwcHBwcH"),
    ("BwcHBwcHBwcHBwcHBwcHBw", "BwcHBwcHBwcHBwcHBwcHBw=="),
    ("BwcHBwcHBwcHBwcHBwcHBw", "BwcHBwcHBwcHBwcHBwcHBx"),
    ("BwcHBwcHBwcHBwcHBwcHBw", "CwcHBwcHBwcHBwcHBwcHBw"),
    ("BwcHBwcHBwcHBwcHBwcHBw", "+wcHBwcHBwcHBwcHBwcHBw"),
    // Key.
    (";keyid=\"", ";keyid=\"00"),
    (";keyid=\"", ";keyid="),
    (";keyid=\"", ";kid=\""),
    // Algorithm and tag.
    (";alg=\"ed25519\"", ""),
    ("ed25519", "hmac-sha256"),
    ("ed25519", "rsa-pss-sha512"),
    ("ed25519", "Ed25519"),
    (";tag=\"vault-v1\"", ""),
    ("vault-v1", "vault-v2"),
    ("vault-v1", "vault-v1 "),
    (";alg=\"ed25519\";keyid=\"", ";keyid=\"ed25519\";alg=\""),
    (";tag=\"vault-v1\"", ";tag=\"vault-v1\";extra"),
    (";tag=\"vault-v1\"", ";tag=\"vault-v1\" "),
    (";tag=\"vault-v1\"", ";tag=\"vault-v1\", other=()"),
    (";alg=", "; alg="),
    (";alg=", "\n ;alg="),
];

const FORGERIES: &[Forgery] = &[
    ("another method", |r| r.method = "GET".into()),
    ("a method in lower case", |r| r.method = "put".into()),
    ("another host", |r| r.authority = "example.org:8443".into()),
    ("another port", |r| r.authority = "example.com".into()),
    ("another path", |r| r.path.push('0')),
    ("a path with an escape", |r| r.path = r.path.replace("log", "%6cog")),
    ("a path with a dot", |r| r.path = r.path.replace("/log", "/./log")),
    ("a path with the query in it", |r| {
        r.path = format!("{}?{}", r.path, r.query.take().unwrap());
    }),
    ("a path with a line feed", |r| r.path.push_str("\n\"@query\": ?")),
    ("no query", |r| r.query = None),
    ("an empty query", |r| r.query = Some(String::new())),
    ("another query", |r| r.query = Some("from=4&limit=5".into())),
    ("a query in another order", |r| r.query = Some("limit=5&from=3".into())),
    ("a longer query", |r| r.query = Some("from=3&limit=5&".into())),
    ("no signature-input", |r| r.remove(SIGNATURE_INPUT)),
    ("no signature", |r| r.remove(SIGNATURE)),
    ("no content-digest", |r| r.remove(CONTENT_DIGEST)),
    ("no content-length", |r| r.remove(CONTENT_LENGTH)),
    ("no headers", |r| r.headers.clear()),
    ("signature-input twice", |r| r.repeat(SIGNATURE_INPUT)),
    ("signature twice", |r| r.repeat(SIGNATURE)),
    ("content-digest twice", |r| r.repeat(CONTENT_DIGEST)),
    ("content-length twice", |r| r.repeat(CONTENT_LENGTH)),
    ("signature-input twice in other cases", |r| {
        let value = r.header(SIGNATURE_INPUT).clone();
        r.add("Signature-Input", &value);
    }),
    ("two signatures", |r| r.header(SIGNATURE).push_str(", other=:AAAA:")),
    ("a signature under another label", |r| r.replace(SIGNATURE, "vault=", "sig1=")),
    ("a signature without padding", |r| r.replace(SIGNATURE, "==:", ":")),
    ("a signature without colons", |r| {
        let value = r.header(SIGNATURE).replace(':', "");
        *r.header(SIGNATURE) = value;
    }),
    ("a signature in quotation marks", |r| r.header(SIGNATURE).replace_range(6..7, "\"")),
    ("a signature with a parameter", |r| r.header(SIGNATURE).push_str(";a")),
    ("a signature that is cut off", |r| r.header(SIGNATURE).truncate(60)),
    ("a signature of zeros", |r| *r.header(SIGNATURE) = headers::signature_value(&[0; 64])),
    ("an empty signature", |r| *r.header(SIGNATURE) = "vault=::".into()),
    ("another digest", |r| *r.header(CONTENT_DIGEST) = headers::digest_value(&[0; 32])),
    ("a digest of another algorithm", |r| r.replace(CONTENT_DIGEST, "sha-256", "sha-512")),
    ("a digest in upper case", |r| r.replace(CONTENT_DIGEST, "sha-256", "SHA-256")),
    ("two digests", |r| r.header(CONTENT_DIGEST).push_str(", sha-512=:AAAA:")),
    ("the digest of an old standard", |r| {
        r.remove(CONTENT_DIGEST);
        r.add("digest", "SHA-256=AAAA");
    }),
    ("another length", |r| *r.header(CONTENT_LENGTH) = "5".into()),
    ("a length of 0", |r| *r.header(CONTENT_LENGTH) = "0".into()),
    ("a length with a sign", |r| *r.header(CONTENT_LENGTH) = "+4".into()),
    ("a length with a zero in front", |r| *r.header(CONTENT_LENGTH) = "04".into()),
    ("two lengths in one", |r| *r.header(CONTENT_LENGTH) = "4, 4".into()),
    ("a length beyond all numbers", |r| *r.header(CONTENT_LENGTH) = "4".repeat(40)),
    ("a body in chunks", |r| r.add("Transfer-Encoding", "chunked")),
    ("the key of another device", |r| {
        let mine = device(1).to_hex();
        r.replace(SIGNATURE_INPUT, &mine, &device(2).to_hex());
    }),
    ("a device in upper case", |r| {
        let mine = device(1).to_hex();
        r.replace(SIGNATURE_INPUT, &mine, &mine.to_uppercase());
    }),
];

#[test]
fn what_was_signed_is_accepted() {
    for sent in [None, Some(body()), Some(Body { sha256: hash::object_hash(b""), length: 0 })] {
        let signed = request(sent).arrive().unwrap();

        assert_eq!((signed.device(), signed.created(), signed.nonce()), (device(1), NOW, &NONCE));
        assert_eq!(signed.body().copied(), sent);
    }
}

#[test]
fn the_headers_are_as_the_page_shows_them() {
    let mut request = request(Some(body()));

    let expected = format!(
        "vault=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"content-length\");created=1790000000;\
         nonce=\"BwcHBwcHBwcHBwcHBwcHBw\";alg=\"ed25519\";keyid=\"{}\";tag=\"vault-v1\"",
        device(1)
    );
    assert_eq!(*request.header(SIGNATURE_INPUT), expected);
    assert_eq!(
        *request.header(CONTENT_DIGEST),
        "sha-256=:Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU=:".to_owned()
    );
}

#[test]
fn harmless_differences_are_accepted() {
    let changes: [fn(&mut Request); 5] = [
        |r| r.headers.reverse(),
        |r| r.headers.iter_mut().for_each(|(name, _)| *name = name.to_uppercase()),
        |r| r.authority = "EXAMPLE.com:8443".into(),
        |r| r.add("user-agent", "vault"),
        |r| r.add("signature-agent", "\u{e4}"),
    ];
    for change in changes {
        let mut request = request(Some(body()));
        change(&mut request);
        assert!(request.arrive().is_ok());
    }
}

#[test]
fn every_forgery_is_refused_alike() {
    for (what, forge) in FORGERIES {
        let mut request = request(Some(body()));
        forge(&mut request);
        assert_eq!(request.arrive(), Err(Unauthorized), "{what}");
    }
    for (from, to) in INPUTS {
        let mut request = request(Some(body()));
        request.replace(SIGNATURE_INPUT, from, to);
        assert_eq!(request.arrive(), Err(Unauthorized), "{from} -> {to}");
    }
    let kinds: BTreeSet<_> = FORGERIES.iter().map(|(what, _)| *what).collect();
    assert!(kinds.len() + INPUTS.len() >= 100);
}

#[test]
fn the_profile_is_kept_to_even_by_who_can_sign() {
    let parts = [
        ("@method", "PUT"),
        ("@authority", "example.com:8443"),
        ("@path", "/v1/vaults/ab/log/7"),
        ("@query", "?from=3&limit=5"),
    ];
    let mut request = request(None);
    request.sign_again(&parts);
    assert!(request.arrive().is_ok());

    for (from, to) in INPUTS {
        let mut forged = request.clone();
        if !forged.header(SIGNATURE_INPUT).contains(from) || to.contains('\n') || *from == "vault=" {
            continue;
        }
        forged.replace(SIGNATURE_INPUT, from, to);
        forged.sign_again(&parts);
        // Another time or nonce is as good as the first one, if its device signs it.
        let is_other_value = ["CwcHBwcHBwcHBwcHBwcHBw", ";created=1790000001"].contains(to);
        assert_eq!(forged.arrive().is_ok(), is_other_value, "{from} -> {to}");
    }
}

#[test]
fn a_body_that_is_not_signed_is_refused() {
    let additions: [&[(&str, &str)]; 4] = [
        &[(CONTENT_LENGTH, "4")],
        &[(CONTENT_LENGTH, "4"), (CONTENT_DIGEST, "sha-256=:Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU=:")],
        &[(CONTENT_DIGEST, "sha-256=:Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU=:")],
        &[("transfer-encoding", "chunked")],
    ];
    for headers in additions {
        let mut request = request(None);
        headers.iter().for_each(|(name, value)| request.add(name, value));
        assert_eq!(request.arrive(), Err(Unauthorized), "{headers:?}");
    }
    let mut request = request(None);
    request.add(CONTENT_LENGTH, "0");
    assert!(request.arrive().is_ok());
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    let headers = [(SIGNATURE_INPUT, &[0xff, 0xfe][..]), (SIGNATURE, b"vault=::")];

    assert_eq!(Claimed::parse(headers), Err(Unauthorized));
}

#[test]
fn the_window_is_five_minutes_either_way() {
    let signed = request(None).arrive().unwrap();
    let at = |offset: i64| signed.is_fresh(Timestamp::new(NOW as i64 + offset, 0));

    assert!(at(0) && at(300) && at(-300));
    assert!(!at(301) && !at(-301));
    assert!(!signed.is_fresh(Timestamp::new(i64::MIN, 0)) && !signed.is_fresh(Timestamp::new(i64::MAX, 0)));
}

#[test]
fn what_cannot_stand_in_the_head_of_a_request_is_not_signed() {
    let authority = Authority::parse("example.com").unwrap();
    let (key, device) = (&key(1), device(1));
    let sign = |method, path, query| {
        let parts = Parts { method, authority: &authority, path, query };
        Signer { key, device }.sign(&parts, None, (NOW, &NONCE)).map(drop)
    };

    assert_eq!(sign("GET", "/", Some("")), Ok(()));
    for (method, path, query) in [
        ("", "/", None),
        ("get", "/", None),
        ("GET", "", None),
        ("GET", "v1", None),
        ("GET", "/a b", None),
        ("GET", "/a?b", None),
        ("GET", "/a#b", None),
        ("GET", "/ä", None),
        ("GET", "/a\n", None),
        ("GET", "/", Some("a b")),
        ("GET", "/", Some("a#b")),
        ("GET\n", "/", None),
    ] {
        assert_eq!(sign(method, path, query), Err(NotSignable), "{method} {path} {query:?}");
    }
}

proptest! {
    #[test]
    fn every_request_arrives_as_it_was_signed(
        method in "[A-Z]{1,8}",
        path in "/[a-z0-9/._%~-]{0,40}",
        query in prop::option::of("[a-z0-9=&%]{0,30}"),
        nonce in any::<Nonce>(),
        created in 0u64..1_000_000_000_000_000,
        body in prop::option::of((any::<[u8; 32]>(), any::<u64>())),
    ) {
        let authority = Authority::parse("example.com").unwrap();
        let parts = Parts { method: &method, authority: &authority, path: &path, query: query.as_deref() };
        let body = body.map(|(sha256, length)| Body { sha256, length });
        let (key, device) = (&key(1), device(1));

        let headers = Signer { key, device }.sign(&parts, body.as_ref(), (created, &nonce)).unwrap();

        let length = body.map(|body| body.length.to_string());
        let sent = [
            (SIGNATURE_INPUT, Some(headers.signature_input)),
            (SIGNATURE, Some(headers.signature)),
            (CONTENT_DIGEST, headers.content_digest),
            (CONTENT_LENGTH, length),
        ];
        let claimed = Claimed::parse(sent.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_bytes())))).unwrap();
        let signed = claimed.verify(&key.verifying_key(), &parts).unwrap();
        prop_assert_eq!((signed.device(), signed.created(), *signed.nonce()), (device, created, nonce));
        prop_assert_eq!(signed.body().copied(), body);
    }

    #[test]
    fn any_header_is_read_or_refused(input in "vault=\\PC{0,200}", signature in "\\PC{0,120}") {
        let _ = Claimed::parse([(SIGNATURE_INPUT, input.as_bytes()), (SIGNATURE, signature.as_bytes())]);
    }
}
