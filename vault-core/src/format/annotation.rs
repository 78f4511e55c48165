//! The body of an annotation: what a snapshot's tags are now (`docs/format.md`, section 7.8). Sealed, so the log does not show it.

use super::DecodeError;
use super::commit::list;
use crate::cbor::{Decoder, Encoder, required};

/// What stands in the place of the same fields of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationBody {
    /// Words to find the snapshot by.
    pub tags: Vec<String>,
}

impl AnnotationBody {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.map(1).uint(0).array(self.tags.len());
        for tag in &self.tags {
            out.text(tag);
        }
        out.finish()
    }

    /// Decodes a body that fills the whole input.
    pub fn decode(encoded: &[u8]) -> Result<Self, DecodeError> {
        Ok(Decoder::decode_all(encoded, |input| {
            let mut tags = None;
            let mut map = input.map()?;
            while let Some(key) = map.key(input)? {
                match key {
                    0 => tags = Some(list(input, "tags", |input| Ok(input.text()?.to_owned()))?),
                    unknown => input.unknown_key(unknown)?,
                }
            }
            Ok(Self { tags: required(tags, 0)? })
        })?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cbor::CborError;

    proptest! {
        #[test]
        fn a_body_decodes_to_what_was_encoded(tags: Vec<String>) {
            let body = AnnotationBody { tags };

            prop_assert_eq!(AnnotationBody::decode(&body.encode()), Ok(body));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(bytes: Vec<u8>) {
            if let Ok(body) = AnnotationBody::decode(&bytes) {
                prop_assert_eq!(body.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_body_without_tags_or_with_something_else_is_refused() {
        // {}, {0: []} with a byte after it, and {0: [], 1: 0}.
        let decode = |bytes: &[u8]| AnnotationBody::decode(bytes).unwrap_err();

        assert_eq!(decode(&[0xa0]), CborError::MissingKey { key: 0 }.into());
        assert_eq!(decode(&[0xa1, 0, 0x80, 0]), CborError::Trailing { bytes: 1 }.into());
        assert_eq!(decode(&[0xa2, 0, 0x80, 1, 0]), CborError::UnknownKey { key: 1 }.into());
    }

    #[test]
    fn a_count_of_tags_beyond_the_limit_is_refused() {
        let body = AnnotationBody { tags: vec![String::new(); 10_001] };

        let error = AnnotationBody::decode(&body.encode()).unwrap_err();

        assert_eq!(error, CborError::Range { field: "tags" }.into());
    }
}
