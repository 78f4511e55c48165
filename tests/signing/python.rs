//! `http-message-signatures` (`PyPI`), written in Python.
//!
//! Needs python3 with venv; `interop/setup.sh` installs the pinned packages once. Where they are missing, the tests say that they
//! were skipped, unless `CI` is set: there they fail.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use vault_core::crypto::hash;
use vault_core::wire::signing::headers::{CONTENT_DIGEST, CONTENT_LENGTH, digest_value};
use vault_core::wire::signing::{Claimed, Signer};

use crate::{AUTHORITY, NONCE, NONCE_TEXT, NOW, PATH, SEED, authority, key, parts, requests};

/// The interpreter with the packages; `None` where they cannot be had.
fn python() -> Option<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python-signing");
    let setup = Command::new(tests.join("interop/setup.sh")).arg(environment).output().unwrap();
    if setup.status.success() {
        return Some(PathBuf::from(String::from_utf8(setup.stdout).unwrap().trim()));
    }
    let said = String::from_utf8_lossy(&setup.stderr);
    assert!(std::env::var_os("CI").is_none(), "the tests of interoperability must run here: {said}");
    println!("skipped: {said}");
    None
}

/// What the script answers; `None` if it failed.
fn ask(python: &Path, question: &Value) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/signatures.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn url(query: Option<&str>) -> String {
    let query = query.map_or(String::new(), |query| format!("?{query}"));
    format!("https://{AUTHORITY}{PATH}{query}")
}

#[test]
fn what_vault_signs_others_verify() {
    let Some(python) = python() else { return };
    let (key, authority) = (key(), authority());
    let device = hash::device_id(&key.verifying_key().0);
    for (query, body) in requests() {
        let signer = Signer { key: &key, device };
        let signed = signer.sign(&parts(&authority, query), body.as_ref(), (NOW, &NONCE)).unwrap();
        let mut headers = json!({ "signature-input": signed.signature_input, "signature": signed.signature });
        if let (Some(body), Some(digest)) = (body, signed.content_digest) {
            headers[CONTENT_DIGEST] = digest.into();
            headers[CONTENT_LENGTH] = body.length.to_string().into();
        }
        let public = hex::encode(key.verifying_key().0);
        let mut question =
            json!({ "do": "verify", "method": "PUT", "url": url(query), "headers": headers, "key": public });

        let verified = ask(&python, &question).unwrap();

        assert_eq!(
            (verified["keyid"].as_str(), verified["nonce"].as_str()),
            (Some(&*device.to_hex()), Some(NONCE_TEXT))
        );
        assert_eq!(verified["components"].as_array().unwrap().len(), if body.is_some() { 6 } else { 4 });
        question["method"] = "GET".into();
        assert_eq!(ask(&python, &question), None, "another method does not verify");
    }
}

#[test]
fn what_others_sign_vault_verifies() {
    let Some(python) = python() else { return };
    let (key, authority) = (key(), authority());
    let device = hash::device_id(&key.verifying_key().0);
    for (query, body) in requests() {
        let mut components = vec!["@method", "@authority", "@path", "@query"];
        let mut headers = json!({});
        if let Some(body) = body {
            components.extend([CONTENT_DIGEST, CONTENT_LENGTH]);
            headers[CONTENT_DIGEST] = digest_value(&body.sha256).into();
            headers[CONTENT_LENGTH] = body.length.to_string().into();
        }
        let question = json!({
            "do": "sign", "method": "PUT", "url": url(query), "headers": headers, "seed": hex::encode(SEED),
            "keyid": device.to_hex(), "created": NOW, "nonce": NONCE_TEXT, "components": components,
        });

        let signed = ask(&python, &question).unwrap();

        let all = [signed.as_object().unwrap(), headers.as_object().unwrap()];
        let sent = all.iter().flat_map(|part| part.iter());
        let claimed =
            Claimed::parse(sent.map(|(name, value)| (name.as_str(), value.as_str().unwrap().as_bytes())))
                .unwrap();
        let verified = claimed.verify(&key.verifying_key(), &parts(&authority, query)).unwrap();
        assert_eq!((verified.device(), verified.created(), verified.body().copied()), (device, NOW, body));
        assert!(claimed.verify(&key.verifying_key(), &parts(&authority, Some("other"))).is_err());
    }
}
