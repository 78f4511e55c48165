//! The body inside every sealed unit: compressed where that saves space.
//!
//! Invariant: a body decides nothing about memory: its raw length is checked against the caller's limit before anything is
//! allocated, and it unpacks to exactly that length or not at all.
//!
//! | offset | size | field, little-endian |
//! |---|---|---|
//! | 0 | 1 | compression: 0 none, 1 zstd |
//! | 1 | 4 | raw length |
//! | 5 | rest | the raw bytes, or one zstd frame |
//!
//! The frame carries neither checksum nor content size: the seal around the body protects it, and the raw length stands before.

use std::io::{self, Cursor};

use zstd::bulk;
use zstd::zstd_safe::{self, CParameter};

use crate::bytes::{Reader, UnexpectedEnd, Writer};

/// Compression byte of a body stored as it is.
const NONE: u8 = 0;
/// Compression byte of a body with a zstd frame.
const ZSTD: u8 = 1;
/// Bytes before the data of a body.
const HEADER: usize = 5;
/// What compression must save to be worth undoing at every restore: one part in this many.
const WORTHWHILE: usize = 50;
/// How a zstd frame begins (RFC 8878, section 3.1.1).
const FRAME_MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Bytes that cannot be packed, or are no body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// The raw length does not fit its field.
    #[error("{raw_bytes} bytes are too many for one body")]
    TooLarge {
        /// Length of what was to be packed.
        raw_bytes: usize,
    },
    /// zstd refused to compress: it got no memory.
    #[error("zstd could not compress")]
    Compress(#[source] io::Error),
    /// The body ends within its header.
    #[error("body is cut off")]
    CutOff(#[from] UnexpectedEnd),
    /// A compression this version does not know.
    #[error("unknown compression {compression}")]
    UnknownCompression {
        /// The compression byte.
        compression: u8,
    },
    /// The body claims to be larger than its kind of unit may be.
    #[error("body of {raw_bytes} bytes is above the limit of {limit}")]
    AboveLimit {
        /// The raw length it states.
        raw_bytes: u32,
        /// The caller's limit.
        limit: usize,
    },
    /// The data is not what its raw length says.
    #[error("body holds {actual} bytes instead of {stated}")]
    WrongLength {
        /// The raw length it states.
        stated: usize,
        /// The length of its data once unpacked.
        actual: usize,
    },
    /// The data is not exactly one zstd frame.
    #[error("body is not one zstd frame")]
    NotOneFrame,
    /// The zstd frame is damaged, or longer than its raw length.
    #[error("zstd could not decompress")]
    Decompress(#[source] io::Error),
}

/// How hard to compress: a zstd level from -7 (fastest) to 19 (smallest).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(i32);

/// A number that is no level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("compression level {level} is not within -7 to 19")]
pub struct InvalidLevel {
    /// The number given.
    pub level: i32,
}

impl Level {
    /// About twice the speed of the default.
    pub const FAST: Self = Self(-1);
    /// zstd's own default.
    pub const DEFAULT: Self = Self(3);
    /// The smallest result. Above 19 zstd wants hundreds of megabytes per thread.
    pub const BEST: Self = Self(19);

    /// Checks a zstd level. 0 means zstd's default, as everywhere.
    pub fn new(level: i32) -> Result<Self, InvalidLevel> {
        if (-7..=19).contains(&level) { Ok(Self(level)) } else { Err(InvalidLevel { level }) }
    }

    /// The zstd level.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Packs bodies at one level. Keeps zstd's working memory, so use one for many bodies.
pub struct Compressor {
    zstd: bulk::Compressor<'static>,
}

impl Compressor {
    /// Prepares to pack at `level`.
    pub fn new(level: Level) -> Result<Self, CompressError> {
        let prepare = || {
            let mut zstd = bulk::Compressor::new(level.0)?;
            zstd.set_parameter(CParameter::ContentSizeFlag(false))?;
            zstd.set_parameter(CParameter::ChecksumFlag(false))?;
            zstd.set_parameter(CParameter::DictIdFlag(false))?;
            Ok(zstd)
        };
        prepare().map(|zstd| Self { zstd }).map_err(CompressError::Compress)
    }

    /// Appends the body of `raw` to `out`: compressed, or as it is where that saves less than 2 %.
    ///
    /// After an error `out` is as it was before.
    pub fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let raw_len =
            u32::try_from(raw.len()).map_err(|_| CompressError::TooLarge { raw_bytes: raw.len() })?;
        let start = out.len();
        out.reserve(HEADER + zstd_safe::compress_bound(raw.len()));
        out.put_u8(ZSTD);
        out.put_u32(raw_len);
        let mut end = Cursor::new(&mut *out);
        end.set_position((start + HEADER) as u64);
        let written = self.zstd.compress_to_buffer(raw, &mut end).map_err(|error| {
            out.truncate(start);
            CompressError::Compress(error)
        })?;
        if written > raw.len() - raw.len().div_ceil(WORTHWHILE) {
            out[start] = NONE;
            out.truncate(start + HEADER);
            out.extend_from_slice(raw);
        }
        Ok(())
    }
}

/// Unpacks bodies. Keeps zstd's working memory, so use one for many bodies.
pub struct Decompressor {
    zstd: bulk::Decompressor<'static>,
}

impl Decompressor {
    /// Prepares to unpack.
    pub fn new() -> Result<Self, CompressError> {
        Ok(Self { zstd: bulk::Decompressor::new().map_err(CompressError::Decompress)? })
    }

    /// The raw bytes of `body`, at most `limit` of them.
    pub fn unpack(&mut self, body: &[u8], limit: usize) -> Result<Vec<u8>, CompressError> {
        let mut reader = Reader::new(body);
        let compression = reader.u8()?;
        let raw_len = reader.u32()?;
        let data = reader.remaining();
        if raw_len as usize > limit {
            return Err(CompressError::AboveLimit { raw_bytes: raw_len, limit });
        }
        let raw = match compression {
            NONE if data.len() == raw_len as usize => data.to_vec(),
            NONE => {
                return Err(CompressError::WrongLength { stated: raw_len as usize, actual: data.len() });
            }
            ZSTD => self.decompress(data, raw_len as usize)?,
            compression => return Err(CompressError::UnknownCompression { compression }),
        };
        Ok(raw)
    }

    fn decompress(&mut self, frame: &[u8], raw_len: usize) -> Result<Vec<u8>, CompressError> {
        // zstd itself also takes several frames in a row, and frames to be skipped.
        if !frame.starts_with(&FRAME_MAGIC) || zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len())
        {
            return Err(CompressError::NotOneFrame);
        }
        let mut raw = Vec::with_capacity(raw_len);
        self.zstd.decompress_to_buffer(frame, &mut raw).map_err(CompressError::Decompress)?;
        if raw.len() != raw_len {
            return Err(CompressError::WrongLength { stated: raw_len, actual: raw.len() });
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Compressor::new(Level::DEFAULT).unwrap().pack(raw, &mut out).unwrap();
        out
    }

    fn unpack(body: &[u8], limit: usize) -> Result<Vec<u8>, CompressError> {
        Decompressor::new().unwrap().unpack(body, limit)
    }

    fn incompressible(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn with_raw_len(body: &[u8], raw_len: u32) -> Vec<u8> {
        [&body[..1], &raw_len.to_le_bytes(), &body[5..]].concat()
    }

    #[test]
    fn text_is_compressed_and_noise_is_stored() {
        let text = b"the same words again and again ".repeat(100);
        let noise = incompressible(10_000);

        let (text_body, noise_body) = (packed(&text), packed(&noise));

        assert_eq!((text_body[0], noise_body[0]), (ZSTD, NONE));
        assert!(text_body.len() < 100);
        assert_eq!(noise_body.len(), HEADER + noise.len());
        assert_eq!(unpack(&text_body, text.len()).unwrap(), text);
        assert_eq!(unpack(&noise_body, noise.len()).unwrap(), noise);
    }

    #[test]
    fn nothing_is_stored_as_nothing() {
        assert_eq!(packed(&[]), [NONE, 0, 0, 0, 0]);
        assert!(unpack(&[NONE, 0, 0, 0, 0], 0).unwrap().is_empty());
    }

    #[test]
    fn a_saving_below_two_percent_is_not_worth_it() {
        let mut raw = incompressible(100_000);
        raw.extend_from_slice(&[0; 1500]);
        assert_eq!(packed(&raw)[0], NONE);

        raw.extend_from_slice(&[0; 1500]);
        assert_eq!(packed(&raw)[0], ZSTD);
    }

    #[test]
    fn a_body_is_appended_behind_what_is_there() {
        for raw in [vec![7; 1000], incompressible(1000)] {
            let mut out = b"head room".to_vec();
            Compressor::new(Level::BEST).unwrap().pack(&raw, &mut out).unwrap();
            assert_eq!(&out[..9], b"head room");
            assert_eq!(unpack(&out[9..], 1000).unwrap(), raw);
        }
    }

    #[test]
    fn a_raw_length_above_the_limit_is_refused_before_the_data_is_read() {
        let huge = [ZSTD, 0xff, 0xff, 0xff, 0xff];

        assert!(matches!(
            unpack(&huge, 1 << 20),
            Err(CompressError::AboveLimit { raw_bytes: u32::MAX, limit: 0x10_0000 })
        ));
        assert!(matches!(unpack(&packed(&[7; 100]), 99), Err(CompressError::AboveLimit { .. })));
    }

    #[test]
    fn a_wrong_raw_length_is_refused() {
        for raw in [vec![7; 1000], incompressible(1000)] {
            let body = packed(&raw);
            assert!(unpack(&with_raw_len(&body, 999), 5000).is_err());
            assert!(matches!(
                unpack(&with_raw_len(&body, 1001), 5000),
                Err(CompressError::WrongLength { stated: 1001, actual: 1000 })
            ));
        }
    }

    #[test]
    fn more_or_less_than_one_frame_is_refused() {
        let body = packed(&[7; 1000]);
        let twice = [&body[..], &body[5..]].concat();
        let skippable = [&body[..5], &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]].concat();
        let trailing = [&body[..], &[0]].concat();

        for bad in [&twice, &with_raw_len(&twice, 2000), &with_raw_len(&skippable, 0), &trailing] {
            assert!(matches!(unpack(bad, 5000), Err(CompressError::NotOneFrame)));
        }
        assert!(matches!(unpack(&body[..body.len() - 1], 5000), Err(CompressError::NotOneFrame)));
    }

    #[test]
    fn a_cut_off_header_and_an_unknown_compression_are_refused() {
        for len in 0..5 {
            assert!(matches!(unpack(&[0; 5][..len], 10), Err(CompressError::CutOff(_))));
        }
        assert!(matches!(
            unpack(&[2, 0, 0, 0, 0], 10),
            Err(CompressError::UnknownCompression { compression: 2 })
        ));
    }

    #[test]
    fn levels_outside_the_range_are_refused() {
        assert_eq!(Level::new(-8), Err(InvalidLevel { level: -8 }));
        assert_eq!(Level::new(20), Err(InvalidLevel { level: 20 }));
        for level in -7..=19 {
            let mut body = Vec::new();
            Compressor::new(Level::new(level).unwrap()).unwrap().pack(&[7; 1000], &mut body).unwrap();
            assert_eq!(unpack(&body, 1000).unwrap(), [7; 1000]);
        }
    }

    proptest! {
        #[test]
        fn unpacking_gives_back_what_was_packed(raws in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..3000), 1..4,
        )) {
            // One compressor and one decompressor for all, as in use.
            let mut compressor = Compressor::new(Level::default()).unwrap();
            let mut decompressor = Decompressor::new().unwrap();
            for raw in raws {
                let mut body = Vec::new();
                compressor.pack(&raw, &mut body).unwrap();
                prop_assert!(body.len() <= HEADER + raw.len());
                prop_assert_eq!(decompressor.unpack(&body, raw.len()).unwrap(), raw);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_unpacked_within_the_limit(
            body in proptest::collection::vec(any::<u8>(), 0..200), compression in 0..3_u8, raw_len in 0..300_u32,
        ) {
            let body = [&[compression][..], &raw_len.to_le_bytes(), &FRAME_MAGIC, &body].concat();
            if let Ok(raw) = unpack(&body, 200) {
                prop_assert_eq!(raw.len(), raw_len as usize);
                prop_assert!(raw.len() <= 200);
            }
        }
    }
}
