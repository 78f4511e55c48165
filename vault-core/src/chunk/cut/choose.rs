//! Parameters of the chunker, and the choice of cuts among candidates.
//!
//! Invariant: every chunk has at least the minimum and at most the maximum length, except that the last of a file may be
//! shorter.

/// Smallest, typical and greatest length of chunks: part of a vault's genesis, equal for all who back up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    min: u32,
    mask_bits: u32,
    max: u32,
}

/// Parameters outside what the format allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidParams {
    /// A chunk must be able to hold a window.
    #[error("chunk minimum of {min} bytes is below the 64 of a window")]
    MinimumTooSmall {
        /// The minimum asked for, in bytes.
        min: u32,
    },
    /// Lengths of chunks must be able to differ.
    #[error("chunk maximum of {max} bytes is not above the minimum of {min}")]
    MaximumNotAboveMinimum {
        /// The minimum asked for, in bytes.
        min: u32,
        /// The maximum asked for, in bytes.
        max: u32,
    },
    /// A chunk must fit into a segment with room to spare.
    #[error("chunk maximum of {max} bytes is above 8 MiB")]
    MaximumTooLarge {
        /// The maximum asked for, in bytes.
        max: u32,
    },
    /// Candidates must be neither everywhere nor all but absent.
    #[error("{mask_bits} chunker mask bits are not within 8 to 24")]
    MaskBitsOutOfRange {
        /// The number of bits asked for.
        mask_bits: u32,
    },
}

impl Params {
    /// A third to a half of the mean: a candidate too close to a cut is passed over, and the closer, the better cuts find
    /// together again after a change; but below the minimum nothing need be hashed.
    pub const DEFAULT_MIN: u32 = 192 << 10;
    /// One candidate in 256 KiB, so that chunks have 448 KiB in the mean: small enough that a changed byte costs little, large
    /// enough that an index entry per chunk stays below a ten-thousandth of the data. Chunks share segments, so small ones
    /// do not compress worse.
    pub const DEFAULT_MASK_BITS: u32 = 18;
    /// About five times the mean: reached by one chunk in ten thousand of random data, so that only data without candidates
    /// (zeros, short periods) is cut there.
    pub const DEFAULT_MAX: u32 = 2560 << 10;
    /// The greatest maximum, in bytes: a segment holds 16 MiB.
    pub const LARGEST_MAX: u32 = 8 << 20;

    /// Checks parameters: `64 <= min < max <= 8 MiB`, in bytes, and `8 <= mask_bits <= 24`.
    ///
    /// The mean length of chunks is about `min + 2^mask_bits`.
    pub fn new(min: u32, mask_bits: u32, max: u32) -> Result<Self, InvalidParams> {
        if (min as usize) < super::WINDOW {
            return Err(InvalidParams::MinimumTooSmall { min });
        }
        if max <= min {
            return Err(InvalidParams::MaximumNotAboveMinimum { min, max });
        }
        if max > Self::LARGEST_MAX {
            return Err(InvalidParams::MaximumTooLarge { max });
        }
        if !(8..=24).contains(&mask_bits) {
            return Err(InvalidParams::MaskBitsOutOfRange { mask_bits });
        }
        Ok(Self { min, mask_bits, max })
    }

    /// Bytes that all chunks but the last of a file have at least.
    pub fn min(self) -> u32 {
        self.min
    }

    /// One position in `2^mask_bits` is a candidate.
    pub fn mask_bits(self) -> u32 {
        self.mask_bits
    }

    /// Bytes that no chunk exceeds.
    pub fn max(self) -> u32 {
        self.max
    }

    /// The bits of a position's value that are zero at a candidate.
    pub(super) fn mask(self) -> u64 {
        (1 << self.mask_bits) - 1
    }
}

impl Default for Params {
    fn default() -> Self {
        Self { min: Self::DEFAULT_MIN, mask_bits: Self::DEFAULT_MASK_BITS, max: Self::DEFAULT_MAX }
    }
}

/// Chooses the cuts of one file from the candidates of consecutive buffers.
///
/// However the file is split into buffers, the cuts are the same.
#[derive(Debug, Clone)]
pub struct Chooser {
    min: u64,
    max: u64,
    start: u64,
    position: u64,
}

impl Chooser {
    /// Begins at the start of a file.
    pub fn new(params: Params) -> Self {
        Self { min: params.min.into(), max: params.max.into(), start: 0, position: 0 }
    }

    /// Takes the candidates of the next `data_len` bytes, as [`candidates`](super::Cutter::candidates) found them, and appends
    /// the cuts that are now certain, as offsets in the file.
    pub fn push(&mut self, candidates: &[usize], data_len: usize, out: &mut Vec<u64>) {
        for &candidate in candidates {
            let candidate = self.position + candidate as u64;
            self.cut_at_maxima(candidate, out);
            if candidate.saturating_sub(self.start) >= self.min {
                self.cut(candidate, out);
            }
        }
        self.position += data_len as u64;
        self.cut_at_maxima(self.position, out);
    }

    /// Ends the file: what remains is its last chunk.
    pub fn finish(self, out: &mut Vec<u64>) {
        if self.position > self.start {
            out.push(self.position);
        }
    }

    fn cut_at_maxima(&mut self, end: u64, out: &mut Vec<u64>) {
        while end.saturating_sub(self.start) >= self.max {
            self.cut(self.start + self.max, out);
        }
    }

    fn cut(&mut self, at: u64, out: &mut Vec<u64>) {
        self.start = at;
        out.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(pushes: &[(&[usize], usize)]) -> Vec<u64> {
        let mut chooser = Chooser::new(Params::new(100, 8, 300).unwrap());
        let mut out = Vec::new();
        for (candidates, len) in pushes {
            chooser.push(candidates, *len, &mut out);
        }
        chooser.finish(&mut out);
        out
    }

    #[test]
    fn a_candidate_below_the_minimum_is_passed_over() {
        assert_eq!(choose(&[(&[99, 100, 199, 230], 400)]), [100, 230, 400]);
    }

    #[test]
    fn a_chunk_without_candidates_ends_at_the_maximum() {
        assert_eq!(choose(&[(&[], 1000)]), [300, 600, 900, 1000]);
        assert_eq!(choose(&[(&[300, 350, 700], 700)]), [300, 600, 700]);
    }

    #[test]
    fn the_end_of_a_buffer_is_no_cut() {
        assert_eq!(choose(&[(&[], 250), (&[], 49), (&[1], 1), (&[50], 50)]), [300, 350]);
    }

    #[test]
    fn offsets_beyond_32_bits_are_exact() {
        let mut chooser = Chooser::new(Params::default());
        let (max, mut out) = (u64::from(Params::DEFAULT_MAX), Vec::new());

        chooser.push(&[], 5 << 30, &mut out);
        chooser.push(&[Params::DEFAULT_MIN as usize], 1 << 20, &mut out);
        chooser.finish(&mut out);

        assert_eq!(out.len(), 2050);
        assert!(out[..2048].iter().zip(1..).all(|(cut, i)| *cut == i * max));
        assert_eq!(out[2048..], [(5 << 30) + u64::from(Params::DEFAULT_MIN), (5 << 30) + (1 << 20)]);
    }

    #[test]
    fn an_empty_file_has_no_chunks() {
        assert!(choose(&[]).is_empty());
        assert!(choose(&[(&[], 0)]).is_empty());
    }

    #[test]
    fn parameters_outside_the_format_are_refused() {
        assert_eq!(Params::new(63, 8, 100), Err(InvalidParams::MinimumTooSmall { min: 63 }));
        assert_eq!(Params::new(64, 8, 64), Err(InvalidParams::MaximumNotAboveMinimum { min: 64, max: 64 }));
        assert_eq!(
            Params::new(64, 8, (8 << 20) + 1),
            Err(InvalidParams::MaximumTooLarge { max: (8 << 20) + 1 })
        );
        for mask_bits in [0, 7, 25, 64, u32::MAX] {
            assert_eq!(Params::new(64, mask_bits, 65), Err(InvalidParams::MaskBitsOutOfRange { mask_bits }));
        }
        assert_eq!(Params::new(64, 24, 8 << 20).map(Params::mask), Ok(0x00ff_ffff));
    }

    #[test]
    fn the_default_parameters_are_valid() {
        let params = Params::default();

        assert_eq!(Params::new(params.min(), params.mask_bits(), params.max()), Ok(params));
    }
}
