//! The signature base of RFC 9421 (2.5): the bytes that a request's signature covers.
//!
//! One line for each component and a last one for the parameters. No value can bring a line of its own.

/// A request that has no signature base: a component is missing, or has bytes that no such component has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be signed")]
pub struct NotSignable;

/// `"name": value` for each component, then `"@signature-params": parameters`; lines end with a line feed but for the last.
pub(super) fn signature_base(components: &[(&str, &str)], parameters: &str) -> Result<Vec<u8>, NotSignable> {
    let mut base = Vec::with_capacity(512);
    for (name, value) in components {
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(NotSignable);
        }
        base.extend_from_slice(format!("\"{name}\": {value}\n").as_bytes());
    }
    base.extend_from_slice(format!("\"@signature-params\": {parameters}").as_bytes());
    Ok(base)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::crypto::secret::Secret;
    use crate::crypto::sign::SigningKey;

    /// RFC 9421, B.2.6, with the key `test-key-ed25519` of B.1.4.
    #[test]
    fn the_vector_of_the_rfc_is_signed_as_there() {
        let private =
            STANDARD.decode("MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF").unwrap();
        let key = SigningKey::from_seed(Secret::from_slice(&private[16..]).unwrap());
        let components = [
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@method", "POST"),
            ("@path", "/foo"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
            ("content-length", "18"),
        ];
        let parameters = "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\")\
                          ;created=1618884473;keyid=\"test-key-ed25519\"";

        let base = signature_base(&components, parameters).unwrap();

        let expected =
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
        let signature = key.sign_base(&base);
        assert_eq!(STANDARD.encode(signature), expected);
        assert_eq!(key.verifying_key().verify_base(&base, &signature), Ok(()));
    }

    #[test]
    fn a_value_brings_no_line_of_its_own() {
        for value in ["a\nb", "a\r", "\t", "ä", "\0", "\x7f"] {
            assert_eq!(signature_base(&[("@path", value)], "()"), Err(NotSignable), "{value:?}");
        }
    }
}
