//! A head: the newest statement that a reader has verified, and the text in which it remembers it.
//!
//! A head has one text and a text one head: what [`Head::parse`] accepts, [`Head`] displays again byte for byte.

use std::fmt;

use crate::id::{Seq, StatementHash};

/// Names a statement by its place and hash. Whoever knows it knows, by the chain of hashes, everything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    /// Where the statement stands.
    pub seq: Seq,
    /// The hash of its stored bytes.
    pub hash: StatementHash,
}

/// Text that is not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a head: expected a line of a decimal number, a space and 64 hex digits")]
pub struct ParseHeadError;

impl Head {
    /// Parses `"<seq> <hash>\n"`, as a state file holds it.
    pub fn parse(text: &str) -> Result<Self, ParseHeadError> {
        let line = text.strip_suffix('\n').ok_or(ParseHeadError)?;
        let (seq, hash) = line.split_once(' ').ok_or(ParseHeadError)?;
        let seq = Seq(seq.parse().map_err(|_| ParseHeadError)?);
        let hash = StatementHash::parse(hash).map_err(|_| ParseHeadError)?;
        let head = Self { seq, hash };
        // Refuses what only the number's parser allows: a sign, or zeros in front.
        if head.to_string() == text { Ok(head) } else { Err(ParseHeadError) }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.seq, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_parses_back_to_the_same_head() {
        let head = Head { seq: Seq(u64::MAX), hash: StatementHash::new([0xab; 32]) };

        assert_eq!(Head::parse(&head.to_string()), Ok(head));
        assert_eq!(Head::parse(&format!("0 {}\n", "00".repeat(32))).map(|h| h.seq), Ok(Seq::GENESIS));
    }

    #[test]
    fn any_other_text_is_refused() {
        let hash = "ab".repeat(32);
        for text in [
            String::new(),
            format!("7 {hash}"),
            format!("+7 {hash}\n"),
            format!("07 {hash}\n"),
            format!("7  {hash}\n"),
            format!("7 {hash}\n\n"),
            format!("7 {}\n", hash.to_uppercase()),
            format!("7 {}\n", &hash[2..]),
            format!("18446744073709551616 {hash}\n"),
        ] {
            assert_eq!(Head::parse(&text), Err(ParseHeadError), "{text:?}");
        }
    }
}
