//! The crate `httpsig`.

use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{
    AlgorithmName, HttpSignatureBase, HttpSignatureHeaders, HttpSignatureParams, PublicKey, SecretKey,
};
use vault_core::crypto::hash;
use vault_core::wire::signing::headers::{
    CONTENT_DIGEST, CONTENT_LENGTH, SIGNATURE, SIGNATURE_INPUT, digest_value,
};
use vault_core::wire::signing::{Body, Claimed, Signer};

use crate::{AUTHORITY, NONCE, NONCE_TEXT, NOW, PATH, SEED, authority, key, parts, requests};

const LABEL: &str = "vault";

/// What is signed of a request: names and values, in order.
fn components(method: &str, query: Option<&str>, body: Option<&Body>) -> Vec<(&'static str, String)> {
    let mut components = vec![
        ("@method", method.to_owned()),
        ("@authority", AUTHORITY.to_owned()),
        ("@path", PATH.to_owned()),
        ("@query", format!("?{}", query.unwrap_or_default())),
    ];
    if let Some(body) = body {
        components.push((CONTENT_DIGEST, digest_value(&body.sha256)));
        components.push((CONTENT_LENGTH, body.length.to_string()));
    }
    components
}

fn lines(components: &[(&str, String)]) -> Vec<HttpMessageComponent> {
    let lines = components.iter().map(|(name, value)| format!("\"{name}\": {value}"));
    lines.map(|line| HttpMessageComponent::try_from(line.as_str()).unwrap()).collect()
}

#[test]
fn what_vault_signs_httpsig_verifies() {
    let (key, authority) = (key(), authority());
    let device = hash::device_id(&key.verifying_key().0);
    let public = PublicKey::from_bytes(&AlgorithmName::Ed25519, &key.verifying_key().0).unwrap();
    for (query, body) in requests() {
        let signer = Signer { key: &key, device };
        let signed = signer.sign(&parts(&authority, query), body.as_ref(), (NOW, &NONCE)).unwrap();
        let read = HttpSignatureHeaders::try_parse(&signed.signature, &signed.signature_input).unwrap();
        let verify = |method: &str| {
            let lines = lines(&components(method, query, body.as_ref()));
            let base = HttpSignatureBase::try_new(&lines, read[LABEL].signature_params()).unwrap();
            base.verify_signature_headers(&public, &read[LABEL])
        };

        assert!(verify("PUT").is_ok(), "{}", signed.signature_input);
        assert!(verify("GET").is_err(), "another method does not verify");
        let understood = read[LABEL].signature_params();
        assert_eq!(understood.keyid, Some(device.to_hex()));
        assert_eq!((understood.created, understood.nonce.as_deref()), (Some(NOW), Some(NONCE_TEXT)));
    }
}

#[test]
fn what_httpsig_signs_vault_verifies() {
    let (key, authority) = (key(), authority());
    let device = hash::device_id(&key.verifying_key().0);
    let secret = SecretKey::from_bytes(&AlgorithmName::Ed25519, &SEED).unwrap();
    for (query, body) in requests() {
        let components = components("PUT", query, body.as_ref());
        let names = components.iter().map(|(name, _)| HttpMessageComponentId::try_from(*name).unwrap());
        let mut params = HttpSignatureParams::try_new(&names.collect::<Vec<_>>()).unwrap();
        params.set_created(NOW).set_nonce(NONCE_TEXT).set_alg(&AlgorithmName::Ed25519);
        params.set_keyid(&device.to_hex()).set_tag("vault-v1");

        let base = HttpSignatureBase::try_new(&lines(&components), &params).unwrap();
        let made = base.build_signature_headers(&secret, Some(LABEL)).unwrap();

        let mut sent = vec![
            (SIGNATURE_INPUT, made.signature_input_header_value()),
            (SIGNATURE, made.signature_header_value()),
        ];
        sent.extend(components.iter().filter(|(name, _)| !name.starts_with('@')).cloned());
        let claimed = Claimed::parse(sent.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap();
        let verified = claimed.verify(&key.verifying_key(), &parts(&authority, query)).unwrap();
        assert_eq!((verified.device(), verified.created(), verified.body().copied()), (device, NOW, body));
        assert!(claimed.verify(&key.verifying_key(), &parts(&authority, Some("other"))).is_err());
    }
}
