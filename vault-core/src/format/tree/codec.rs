//! The encoding of an entry: a CBOR map whose keys are the field numbers of `docs/format.md`, section 6.
//!
//! An optional field is there exactly when it says something, so that an entry has one encoding.

use crate::cbor::{CborError, Decoder, Encoder, required};
use crate::format::tree::contents::{self, Contents, Hole};
use crate::format::tree::entry::{DeviceNumber, Entry, EntryKind, Metadata, Xattr};
use crate::format::tree::{HEAD_MAX_BYTES, NODE_MAX_BYTES};
use crate::format::{DecodeError, at_most, nothing_follows};
use crate::id::ChunkHash;
use crate::time::Timestamp;

const NAME: u64 = 0;
const TYPE: u64 = 1;
const MODE: u64 = 2;
const UID: u64 = 3;
const GID: u64 = 4;
const USER: u64 = 5;
const GROUP: u64 = 6;
const MTIME: u64 = 7;
const SIZE: u64 = 8;
const CHUNKS: u64 = 9;
const SUBTREE: u64 = 10;
const TARGET: u64 = 11;
const DEVICE: u64 = 12;
pub(super) const LINK_GROUP: u64 = 13;
const HOLES: u64 = 14;
const XATTRS: u64 = 15;
const FLAGS: u64 = 16;
const LISTS: u64 = 17;

/// Flag: the file changed while it was read.
const CHANGED: u64 = 1;

/// Largest encoding of an entry: a node that holds it alone.
const ENTRY_MAX_BYTES: usize = NODE_MAX_BYTES - HEAD_MAX_BYTES;

impl Entry {
    /// Encodes the entry, after [`check`](Self::check)ing it.
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        self.check()?;
        let mut out = Encoder::new();
        let metadata = &self.metadata;
        out.map(self.field_count());
        out.uint(NAME).bytes(&self.name);
        out.uint(TYPE).uint(self.kind.number());
        out.uint(MODE).uint(metadata.mode.into());
        out.uint(UID).uint(metadata.uid.into());
        out.uint(GID).uint(metadata.gid.into());
        for (key, name) in [(USER, &metadata.user), (GROUP, &metadata.group)] {
            if let Some(name) = name {
                out.uint(key).bytes(name);
            }
        }
        out.uint(MTIME).array(2).int(metadata.mtime.seconds).uint(metadata.mtime.nanos.into());
        self.encode_kind(&mut out);
        if let Some(group) = self.link_group {
            out.uint(LINK_GROUP).uint(group);
        }
        if let EntryKind::File { holes, .. } = &self.kind
            && !holes.is_empty()
        {
            contents::encode_holes(out.uint(HOLES), holes);
        }
        if !metadata.xattrs.is_empty() {
            out.uint(XATTRS).array(metadata.xattrs.len());
            for xattr in &metadata.xattrs {
                out.array(2).bytes(&xattr.name).bytes(&xattr.value);
            }
        }
        if self.changed_while_read {
            out.uint(FLAGS).uint(CHANGED);
        }
        if let EntryKind::File { contents: Contents::Lists(lists), .. } = &self.kind {
            contents::encode_lists(out.uint(LISTS), lists);
        }
        let encoded = out.finish();
        at_most("the length of an entry", encoded.len() as u64, ENTRY_MAX_BYTES as u64)?;
        Ok(encoded)
    }

    /// Writes the fields 8 to 12, of which each kind has its own.
    fn encode_kind(&self, out: &mut Encoder) {
        match &self.kind {
            EntryKind::File { size, contents, .. } => {
                out.uint(SIZE).uint(*size);
                if let Contents::Chunks(chunks) = contents {
                    contents::encode_chunks(out.uint(CHUNKS), chunks);
                }
            }
            EntryKind::Directory { subtree } => {
                out.uint(SUBTREE).bytes(subtree.as_bytes());
            }
            EntryKind::Symlink { target } => {
                out.uint(TARGET).bytes(target);
            }
            EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
                out.uint(DEVICE).array(2).uint(device.major.into()).uint(device.minor.into());
            }
            EntryKind::Fifo | EntryKind::Socket => {}
        }
    }

    fn field_count(&self) -> usize {
        let of_kind = match &self.kind {
            EntryKind::File { holes, .. } => 2 + usize::from(!holes.is_empty()),
            EntryKind::Fifo | EntryKind::Socket => 0,
            _ => 1,
        };
        let metadata = &self.metadata;
        let optional = [
            metadata.user.is_some(),
            metadata.group.is_some(),
            self.link_group.is_some(),
            !metadata.xattrs.is_empty(),
            self.changed_while_read,
        ];
        // Name, type, mode, owner, group and mtime are always there.
        6 + of_kind + optional.into_iter().filter(|&there| there).count()
    }

    /// Decodes an entry that fills the whole input, such as the root in a commit.
    pub fn decode(encoded: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(encoded);
        let entry = Self::decode_from(&mut input)?;
        nothing_follows(input.remaining())?;
        Ok(entry)
    }

    /// Decodes the next entry.
    pub(in crate::format) fn decode_from(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut fields = Fields::default();
        let mut map = input.map()?;
        while let Some(key) = map.key(input)? {
            fields.read(key, input)?;
        }
        let entry = fields.into_entry()?;
        entry.check()?;
        Ok(entry)
    }
}

/// The fields of an entry as they are read, before it is known whether they belong together.
#[derive(Default)]
struct Fields<'a> {
    name: Option<&'a [u8]>,
    kind: Option<u64>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    user: Option<&'a [u8]>,
    group: Option<&'a [u8]>,
    mtime: Option<Timestamp>,
    size: Option<u64>,
    chunks: Option<Contents>,
    subtree: Option<ChunkHash>,
    target: Option<&'a [u8]>,
    device: Option<DeviceNumber>,
    link_group: Option<u64>,
    holes: Option<Vec<Hole>>,
    xattrs: Option<Vec<Xattr>>,
    flags: Option<u64>,
    lists: Option<Contents>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, key: u64, input: &mut Decoder<'a>) -> Result<(), CborError> {
        match key {
            NAME => self.name = Some(input.bytes()?),
            TYPE => self.kind = Some(input.uint()?),
            MODE => self.mode = Some(input.uint_as("mode")?),
            UID => self.uid = Some(input.uint_as("owner")?),
            GID => self.gid = Some(input.uint_as("group")?),
            USER => self.user = Some(input.bytes()?),
            GROUP => self.group = Some(input.bytes()?),
            MTIME => self.mtime = Some(decode_time(input)?),
            SIZE => self.size = Some(input.uint()?),
            CHUNKS => self.chunks = Some(Contents::Chunks(contents::decode_chunks(input)?)),
            SUBTREE => self.subtree = Some(contents::decode_hash(input)?),
            TARGET => self.target = Some(input.bytes()?),
            DEVICE => self.device = Some(decode_device(input)?),
            LINK_GROUP => self.link_group = Some(input.uint()?),
            HOLES => self.holes = Some(present("holes", contents::decode_holes(input)?)?),
            XATTRS => self.xattrs = Some(present("xattrs", decode_xattrs(input)?)?),
            FLAGS => self.flags = Some(decode_flags(input)?),
            LISTS => self.lists = Some(Contents::Lists(contents::decode_lists(input)?)),
            _ => input.unknown_key(key)?,
        }
        Ok(())
    }

    fn into_entry(mut self) -> Result<Entry, DecodeError> {
        let kind = self.take_kind()?;
        // What the kind has not taken belongs to another one.
        let foreign = [
            (SIZE, self.size.is_some()),
            (CHUNKS, self.chunks.is_some()),
            (SUBTREE, self.subtree.is_some()),
            (TARGET, self.target.is_some()),
            (DEVICE, self.device.is_some()),
            (HOLES, self.holes.is_some()),
            (LISTS, self.lists.is_some()),
        ];
        if let Some((key, _)) = foreign.into_iter().find(|&(_, there)| there) {
            return Err(DecodeError::ForeignField { key });
        }
        let metadata = Metadata {
            mode: required(self.mode, MODE)?,
            uid: required(self.uid, UID)?,
            gid: required(self.gid, GID)?,
            user: self.user.map(<[u8]>::to_vec),
            group: self.group.map(<[u8]>::to_vec),
            mtime: required(self.mtime, MTIME)?,
            xattrs: self.xattrs.unwrap_or_default(),
        };
        Ok(Entry {
            name: required(self.name, NAME)?.to_vec(),
            kind,
            metadata,
            link_group: self.link_group,
            changed_while_read: self.flags.is_some(),
        })
    }

    fn take_kind(&mut self) -> Result<EntryKind, DecodeError> {
        Ok(match required(self.kind, TYPE)? {
            0 => EntryKind::File {
                size: required(self.size.take(), SIZE)?,
                contents: match self.lists.take() {
                    Some(lists) => lists,
                    None => required(self.chunks.take(), CHUNKS)?,
                },
                holes: self.holes.take().unwrap_or_default(),
            },
            1 => EntryKind::Directory { subtree: required(self.subtree.take(), SUBTREE)? },
            2 => EntryKind::Symlink { target: required(self.target.take(), TARGET)?.to_vec() },
            3 => EntryKind::Fifo,
            4 => EntryKind::CharDevice(required(self.device.take(), DEVICE)?),
            5 => EntryKind::BlockDevice(required(self.device.take(), DEVICE)?),
            6 => EntryKind::Socket,
            value => return Err(DecodeError::Value { field: "the type of an entry", value }),
        })
    }
}

fn decode_time(input: &mut Decoder<'_>) -> Result<Timestamp, CborError> {
    input.array_of(2, "time")?;
    Ok(Timestamp { seconds: input.int()?, nanos: input.uint_as("nanoseconds")? })
}

fn decode_device(input: &mut Decoder<'_>) -> Result<DeviceNumber, CborError> {
    input.array_of(2, "device")?;
    Ok(DeviceNumber { major: input.uint_as("device")?, minor: input.uint_as("device")? })
}

fn decode_xattrs(input: &mut Decoder<'_>) -> Result<Vec<Xattr>, CborError> {
    contents::decode_list(input, 3, |input| {
        Ok(Xattr { name: input.bytes()?.to_vec(), value: input.bytes()?.to_vec() })
    })
}

/// Only flags that are known and set may be written: 0 would be a second encoding of none.
fn decode_flags(input: &mut Decoder<'_>) -> Result<u64, CborError> {
    match input.uint()? {
        CHANGED => Ok(CHANGED),
        _ => Err(CborError::Range { field: "flags" }),
    }
}

/// Refuses an empty list where absence says the same.
fn present<T>(field: &'static str, list: Vec<T>) -> Result<Vec<T>, CborError> {
    if list.is_empty() { Err(CborError::Range { field }) } else { Ok(list) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::damage;
    use crate::format::tree::testing::{any_entry, full_file};

    /// The shortest entry with this type and these fields from 8 on, given in hex.
    fn short_entry(kind: u8, pairs: u8, fields: &str) -> Result<Entry, DecodeError> {
        let start = format!("{:02x}004161 01{kind:02x} 0200 0300 0400 07820000", 0xa6 + pairs);
        Entry::decode(&hex::decode((start + fields).replace(' ', "")).unwrap())
    }

    #[test]
    fn an_entry_is_encoded_as_documented() {
        let expected = [
            "ae",
            "00 44 66696c65",
            "01 00",
            "02 1901a4",
            "03 1903e8",
            "04 1864",
            "05 43 616461",
            "06 45 7573657273",
            "07 82 20 1a1dcd6500",
            "08 192000",
            "09 82 82 5820 0101010101010101010101010101010101010101010101010101010101010101 190800",
            "82 5820 0202020202020202020202020202020202020202020202020202020202020202 190800",
            "0d 182a",
            "0e 81 82 190100 191000",
            "0f 81 82 46 757365722e61 41 62",
            "10 01",
        ];

        let encoded = full_file(b"file").encode().unwrap();

        assert_eq!(hex::encode(encoded), expected.concat().replace(' ', ""));
    }

    #[test]
    fn a_damaged_entry_is_refused_or_is_another_entry() {
        damage::survives(&full_file(b"file").encode().unwrap(), |bytes| {
            Entry::decode(bytes).ok()?.encode().ok()
        });
    }

    #[test]
    fn fields_of_another_type_are_refused() {
        let hash = format!("0a5820{}", "01".repeat(32));
        let foreign = |key| Err(DecodeError::ForeignField { key });

        assert!(short_entry(3, 0, "").is_ok());
        assert_eq!(short_entry(3, 1, "0800"), foreign(SIZE));
        assert_eq!(short_entry(3, 1, "0980"), foreign(CHUNKS));
        assert_eq!(short_entry(3, 1, &hash), foreign(SUBTREE));
        assert_eq!(short_entry(3, 1, "0b4161"), foreign(TARGET));
        assert_eq!(short_entry(3, 1, "0c820102"), foreign(DEVICE));
        assert_eq!(short_entry(3, 1, "0e81820001"), foreign(HOLES));
        assert_eq!(short_entry(1, 2, &(hash + "0d01")), foreign(LINK_GROUP));
        let lists = format!("11818258 20{}01", "01".repeat(32));
        assert_eq!(short_entry(3, 1, &lists), foreign(LISTS));
        assert_eq!(
            short_entry(0, 3, &format!("0801 0980 {lists}")),
            foreign(CHUNKS),
            "both forms of contents"
        );
        assert!(short_entry(0, 2, &format!("0801 {lists}")).is_ok());
    }

    #[test]
    fn missing_fields_are_refused() {
        let missing = |key| Err(DecodeError::Cbor(CborError::MissingKey { key }));

        assert_eq!(short_entry(0, 1, "0980"), missing(SIZE));
        assert_eq!(short_entry(0, 1, "0800"), missing(CHUNKS));
        assert_eq!(short_entry(1, 0, ""), missing(SUBTREE));
        assert_eq!(short_entry(2, 0, ""), missing(TARGET));
        assert_eq!(short_entry(4, 0, ""), missing(DEVICE));
        assert_eq!(short_entry(5, 0, ""), missing(DEVICE));
        assert_eq!(Entry::decode(&hex::decode("a10103").unwrap()), missing(MODE));
    }

    #[test]
    fn a_second_encoding_of_nothing_is_refused() {
        assert!(short_entry(3, 1, "1000").is_err(), "no flags");
        assert!(short_entry(3, 1, "0f80").is_err(), "no xattrs");
        assert!(short_entry(0, 3, "0800 0980 0e80").is_err(), "no holes");
        assert!(short_entry(0, 2, "0800 1180").is_err(), "no lists");
        assert!(short_entry(0, 2, "0800 0980").is_ok(), "an empty file");
    }

    #[test]
    fn unknown_types_flags_and_fields_are_refused() {
        let value = DecodeError::Value { field: "the type of an entry", value: 7 };

        assert_eq!(short_entry(7, 0, ""), Err(value));
        assert!(short_entry(3, 1, "1002").is_err());
        assert_eq!(short_entry(3, 1, "1201"), Err(DecodeError::Cbor(CborError::UnknownKey { key: 18 })));
    }

    #[test]
    fn fields_from_128_on_are_passed_over() {
        assert_eq!(short_entry(3, 1, "1880 8101"), short_entry(3, 0, ""));
    }

    #[test]
    fn an_entry_that_no_reader_would_take_is_not_encoded() {
        let bad_name = full_file(b"a/b");
        let mut too_large = full_file(b"file");
        too_large.metadata.xattrs[0].value = vec![0; NODE_MAX_BYTES];

        assert_eq!(bad_name.encode(), Err(DecodeError::Invalid { field: "the name of an entry" }));
        assert!(matches!(too_large.encode(), Err(DecodeError::Limit { .. })));
    }

    proptest! {
        #[test]
        fn any_entry_decodes_to_itself(entry in any_entry()) {
            let encoded = entry.encode().unwrap();

            prop_assert_eq!(Entry::decode(&encoded), Ok(entry));
        }
    }
}
