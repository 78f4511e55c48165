//! The body of a commit: what a snapshot is of (`docs/format.md`, section 7.4). Sealed, so the log does not show it.

use super::DecodeError;
use super::tree::Entry;
use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::time::Timestamp;

/// Paths and tags that a body lists at most.
const LIST_MAX: usize = 10_000;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitBody {
    /// The root directory, with an empty name.
    pub root: Entry,
    /// The paths that were backed up, absolute.
    pub paths: Vec<Vec<u8>>,
    /// The directory that the root stands for, absolute.
    pub root_path: Vec<u8>,
    /// The machine.
    pub host: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// When the backup began, by the device's clock.
    pub begin: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// How much it holds.
    pub counts: CommitCounts,
    /// Program and version.
    pub program: String,
}

/// How much a snapshot holds, and what it added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitCounts {
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links and special files.
    pub others: u64,
    /// Bytes in the files.
    pub bytes: u64,
    /// Bytes of new chunks, before compression.
    pub added_bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
}

impl CommitBody {
    /// The encoding. Fails if the root is no entry that a reader would take.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut out = Encoder::new();
        out.map(9);
        out.uint(0).raw(&self.root.encode()?);
        out.uint(1).array(self.paths.len());
        for path in &self.paths {
            out.bytes(path);
        }
        out.uint(2).bytes(&self.root_path);
        out.uint(3).text(&self.host);
        out.uint(4).array(self.tags.len());
        for tag in &self.tags {
            out.text(tag);
        }
        encode_time(out.uint(5), self.begin);
        encode_time(out.uint(6), self.end);
        out.uint(7).map(6);
        let counts = &self.counts;
        let values = [
            counts.files,
            counts.directories,
            counts.others,
            counts.bytes,
            counts.added_bytes,
            counts.stored_bytes,
        ];
        for (key, value) in (0..).zip(values) {
            out.uint(key).uint(value);
        }
        out.uint(8).text(&self.program);
        Ok(out.finish())
    }

    /// Decodes a body that fills the whole input.
    pub fn decode(encoded: &[u8]) -> Result<Self, DecodeError> {
        let body = Decoder::decode_all(encoded, |input| {
            let (mut root, mut paths, mut root_path, mut host, mut tags) = (None, None, None, None, None);
            let (mut begin, mut end, mut counts, mut program) = (None, None, None, None);
            let mut map = input.map()?;
            while let Some(key) = map.key(input)? {
                match key {
                    0 => root = Some(Entry::decode_from(input)),
                    1 => paths = Some(list(input, "paths", |input| Ok(input.bytes()?.to_vec()))?),
                    2 => root_path = Some(input.bytes()?.to_vec()),
                    3 => host = Some(input.text()?.to_owned()),
                    4 => tags = Some(list(input, "tags", |input| Ok(input.text()?.to_owned()))?),
                    5 => begin = Some(decode_time(input)?),
                    6 => end = Some(decode_time(input)?),
                    7 => counts = Some(decode_counts(input)?),
                    8 => program = Some(input.text()?.to_owned()),
                    unknown => input.unknown_key(unknown)?,
                }
            }
            // A root that is not an entry leaves nothing to go on with.
            let root = match required(root, 0)? {
                Ok(root) => root,
                Err(error) => return Ok(Err(error)),
            };
            Ok(Ok(Self {
                root,
                paths: required(paths, 1)?,
                root_path: required(root_path, 2)?,
                host: required(host, 3)?,
                tags: required(tags, 4)?,
                begin: required(begin, 5)?,
                end: required(end, 6)?,
                counts: required(counts, 7)?,
                program: required(program, 8)?,
            }))
        });
        body.map_err(DecodeError::from)?
    }
}

pub(super) fn list<T>(
    input: &mut Decoder<'_>,
    field: &'static str,
    item: impl Fn(&mut Decoder<'_>) -> Result<T, CborError>,
) -> Result<Vec<T>, CborError> {
    let count = input.array()?;
    if count > LIST_MAX {
        return Err(CborError::Range { field });
    }
    (0..count).map(|_| item(input)).collect()
}

fn encode_time(out: &mut Encoder, time: Timestamp) {
    out.array(2).int(time.seconds).uint(time.nanos.into());
}

fn decode_time(input: &mut Decoder<'_>) -> Result<Timestamp, CborError> {
    input.array_of(2, "time")?;
    let (seconds, nanos) = (input.int()?, input.uint_as("nanoseconds")?);
    if nanos >= 1_000_000_000 {
        return Err(CborError::Range { field: "nanoseconds" });
    }
    Ok(Timestamp::new(seconds, nanos))
}

fn decode_counts(input: &mut Decoder<'_>) -> Result<CommitCounts, CborError> {
    let mut values = [None; 6];
    let mut map = input.map()?;
    while let Some(key) = map.key(input)? {
        match usize::try_from(key).ok().and_then(|key| values.get_mut(key)) {
            Some(value) => *value = Some(input.uint()?),
            None => input.unknown_key(key)?,
        }
    }
    Ok(CommitCounts {
        files: required(values[0], 0)?,
        directories: required(values[1], 1)?,
        others: required(values[2], 2)?,
        bytes: required(values[3], 3)?,
        added_bytes: required(values[4], 4)?,
        stored_bytes: required(values[5], 5)?,
    })
}
