//! Content-defined cut points: where a file is divided into chunks.
//!
//! Invariant: the cuts are a pure function of (contents of the file, `K_cut`, vault id, parameters). They do not depend on the
//! processor, on the back-end, on how many threads look for candidates, or on how the file was split into buffers.
//!
//! # Formula
//!
//! ```text
//! T  = HKDF(K_cut, "vault/1 cut table", 4096)    256 entries b of two u64: half 0, half 1; little-endian
//! Kc = HKDF(K_cut, "vault/1 cut prf", 16)        AES-128
//!
//! digest(p): two halves, each an element of GF(2)[x] / (x^64 + x^4 + x^3 + x + 1), bit i the coefficient of x^i:
//!     half h = sum for i in 1..=64 of T[byte p-i][h] * x^(i-1)
//! rolled:  half h  <-  half h * x  +  T[byte in][h]  +  T[byte out][h] * x^64
//!
//! p is a candidate  iff  p >= 64 and LE64(AES-128(Kc, LE64(half 0) || LE64(half 1))[0..8]) has its lowest `mask bits` bits zero
//!
//! cut = the first candidate at least `minimum` after the last cut; else `maximum` after it; else the end of the file
//! ```
//!
//! A position `p` counts the bytes before it. A file of at most `minimum` bytes is one chunk; an empty file has none.
//!
//! # Why not a plain rolling hash
//!
//! Lengths of chunks are visible to whoever stores them. Where the decision to cut is made from the bits of a rolling hash,
//! every length seen is an equation in the key, and with a few known files the key can be solved for; then anyone can tell
//! which files somebody has from lengths alone (ePrint 2025/532 and 2025/558 do so for Rabin, buzhash and gear hashes with
//! secret seeds). Here the rolling part is only a universal hash: it compresses 64 bytes to 128 bits such that two different
//! windows collide with probability `2^-128` over the choice of the table. What decides is a pseudo-random function of that
//! digest, so that the cuts tell which windows are equal and nothing else. A cheap test before the AES would itself
//! be visible in the cuts, so every position goes through the AES. Tables are indexed by contents, never by secrets.
//!
//! # Back-ends
//!
//! All the work is in testing positions. Every back-end runs several lanes, each over its own stripe of a block, so that the
//! steps of the roll, which depend on each other, overlap; digests go through the AES many at a time.

mod choose;
mod keys;
mod portable;

#[cfg(target_arch = "x86_64")]
mod aesni;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod vaes;

use std::ops::RangeInclusive;

pub use choose::{Chooser, InvalidParams, Params};
use keys::Keys;

use crate::crypto::secret::Secret;
use crate::id::VaultId;

/// Bytes that decide about a position: those just before it.
pub const WINDOW: usize = 64;

/// Stripes of a block that a back-end works on side by side.
const LANES: usize = 4;

/// Positions a lane takes between checks for candidates; lengths of stripes are multiples of it.
const STEP: usize = 8;

/// Positions per lane and block at most: long enough that filling the window (64 bytes) costs little, short enough that a block
/// stays in the first-level cache. Where candidates are near each other a block has two of them in the mean, so that little is
/// tested in vain behind the first.
const STRIPE: usize = 4096;

/// A way to find candidates; all ways find the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Without intrinsics: any processor.
    Portable,
    /// x86-64 with AES-NI.
    AesNi,
    /// x86-64 with AVX2 and VAES.
    Vaes256,
    /// x86-64 with AVX-512 and VAES.
    Vaes512,
}

impl Backend {
    /// The back-ends this processor can run, slowest first; never empty.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|backend| backend.is_supported()).collect()
    }

    const ALL: [Self; 4] = [Self::Portable, Self::AesNi, Self::Vaes256, Self::Vaes512];

    #[cfg(target_arch = "x86_64")]
    fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            Self::AesNi => aesni::is_supported(),
            Self::Vaes256 => vaes::Vaes256::is_supported(),
            Self::Vaes512 => vaes::Vaes512::is_supported(),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_supported(self) -> bool {
        self == Self::Portable
    }

    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(unused_variables, reason = "only x86-64 expands its own key")
    )]
    fn engine(self, keys: &Keys) -> Option<Box<dyn Engine>> {
        match self {
            Self::Portable => Some(Box::new(portable::Portable)),
            #[cfg(target_arch = "x86_64")]
            Self::AesNi => Some(Box::new(aesni::AesNi::new(keys)?)),
            #[cfg(target_arch = "x86_64")]
            Self::Vaes256 => Some(Box::new(vaes::Vaes256::new(keys)?)),
            #[cfg(target_arch = "x86_64")]
            Self::Vaes512 => Some(Box::new(vaes::Vaes512::new(keys)?)),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        }
    }
}

/// What a back-end does.
trait Engine: Send + Sync {
    /// Tests the `LANES * stripe` positions of `bytes` from `WINDOW` on and appends those that are candidates, less `WINDOW`,
    /// in any order.
    ///
    /// `stripe` is a multiple of `STEP`, and `bytes` has at least `WINDOW + LANES * stripe` bytes: one more than the
    /// last window ends at. Nothing outside `bytes` is read even if a caller breaks this.
    fn stripes(&self, keys: &Keys, bytes: &[u8], stripe: usize, found: &mut Vec<usize>);
}

/// Cuts files for one deduplication domain. Immutable, so that one serves all threads.
pub struct Cutter {
    keys: Keys,
    params: Params,
    backend: Backend,
    engine: Box<dyn Engine>,
}

impl Cutter {
    /// Derives the tables from `K_cut` and picks the fastest back-end of this processor.
    pub fn new(k_cut: &Secret<32>, vault: &VaultId, params: Params) -> Self {
        let keys = Keys::derive(k_cut, vault, params.mask());
        let (backend, engine) = Backend::ALL
            .into_iter()
            .rev()
            .find_map(|backend| Some((backend, backend.engine(&keys)?)))
            .unwrap_or_else(|| (Backend::Portable, Box::new(portable::Portable)));
        Self { keys, params, backend, engine }
    }

    /// The same cutter over another back-end; `None` if this processor cannot run it.
    #[must_use]
    pub fn with_backend(mut self, backend: Backend) -> Option<Self> {
        self.engine = backend.engine(&self.keys)?;
        self.backend = backend;
        Some(self)
    }

    /// The back-end in use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The parameters in use.
    pub fn params(&self) -> Params {
        self.params
    }

    /// Appends all candidates in `data`, ascending, as positions relative to its start: from 1 to its length.
    ///
    /// `context` is what stands immediately before `data` in the file; only its last 63 bytes matter. It has fewer only
    /// if the file starts there. Parts of one file can be looked at on several threads; a [`Chooser`] makes cuts of them.
    pub fn candidates(&self, context: &[u8], data: &[u8], out: &mut Vec<usize>) {
        let from = WINDOW.saturating_sub(context.len()).max(1);
        self.search(context, data, from..=data.len(), |position| {
            out.push(position);
            true
        });
    }

    /// The cuts of a whole file: where its chunks end, ascending; the last is its length. Empty for an empty file.
    ///
    /// Gives what [`candidates`](Self::candidates) and [`Chooser`] give, without testing positions below the minimum.
    pub fn cut(&self, data: &[u8]) -> Vec<u64> {
        let mut out = Vec::new();
        let mut stream = self.stream();
        stream.push(data, &mut out);
        stream.finish(&mut out);
        out
    }

    /// Starts to cut one file that comes in consecutive buffers.
    pub fn stream(&self) -> Stream<'_> {
        Stream { cutter: self, context: Vec::with_capacity(2 * WINDOW), start: 0, position: 0 }
    }

    /// Passes the candidates among the positions `range` of `data` to `take`, ascending, until it returns `false`.
    ///
    /// Every window in the range must lie within `context` and `data`.
    fn search(
        &self,
        context: &[u8],
        data: &[u8],
        range: RangeInclusive<usize>,
        mut take: impl FnMut(usize) -> bool,
    ) {
        let (mut from, to) = (*range.start(), *range.end());
        if from < WINDOW && from <= to {
            // Windows that begin in the context.
            let last = to.min(WINDOW - 1);
            let context = &context[context.len() - (WINDOW - from)..];
            let joined = [context, &data[..last]].concat();
            if !self.scan(&joined, |offset| take(from + offset)) {
                return;
            }
            from = last + 1;
        }
        if from <= to {
            self.scan(&data[from - WINDOW..to], |offset| take(from + offset));
        }
    }

    /// Passes the candidates among the positions `WINDOW..=bytes.len()` to `take`, ascending and less `WINDOW`, until it
    /// returns `false`; returns whether it never did.
    fn scan(&self, bytes: &[u8], mut take: impl FnMut(usize) -> bool) -> bool {
        let longest = STRIPE.min((2 << self.params.mask_bits()) / LANES);
        let mut found = Vec::new();
        let mut done = 0;
        loop {
            let rest = &bytes[done..];
            // A back-end wants one byte more than the last window has, so at least one position is left for the tail.
            let stripe = (rest.len().saturating_sub(WINDOW) / LANES).min(longest) / STEP * STEP;
            if stripe == 0 {
                portable::test_all(&self.keys, rest, &mut found);
            } else {
                self.engine.stripes(&self.keys, rest, stripe, &mut found);
                found.sort_unstable();
            }
            if !found.drain(..).all(|offset| take(done + offset)) {
                return false;
            }
            if stripe == 0 {
                return true;
            }
            done += LANES * stripe;
        }
    }
}

/// Cuts one file that comes in consecutive buffers, without testing positions below the minimum.
///
/// However the file is split into buffers, the cuts are those of [`Cutter::cut`].
pub struct Stream<'a> {
    cutter: &'a Cutter,
    /// The last bytes before the next buffer, up to one less than a window.
    context: Vec<u8>,
    start: u64,
    position: u64,
}

impl Stream<'_> {
    /// Takes the next bytes of the file and appends the cuts that are now certain, as offsets in the file.
    pub fn push(&mut self, data: &[u8], out: &mut Vec<u64>) {
        let (min, max) = (u64::from(self.cutter.params.min()), u64::from(self.cutter.params.max()));
        let end = self.position + data.len() as u64;
        while end - self.start >= min {
            let from = (self.start + min).max(self.position + 1);
            let to = (self.start + max).min(end);
            let range = (from - self.position) as usize..=(to - self.position) as usize;
            let mut candidate = None;
            self.cutter.search(&self.context, data, range, |position| {
                candidate = Some(self.position + position as u64);
                false
            });
            let forced = (end - self.start >= max).then_some(self.start + max);
            let Some(cut) = candidate.or(forced) else { break };
            out.push(cut);
            self.start = cut;
        }
        self.position = end;
        self.keep_context(data);
    }

    /// Ends the file: what remains is its last chunk.
    pub fn finish(self, out: &mut Vec<u64>) {
        if self.position > self.start {
            out.push(self.position);
        }
    }

    fn keep_context(&mut self, data: &[u8]) {
        self.context.extend_from_slice(&data[data.len().saturating_sub(WINDOW - 1)..]);
        let surplus = self.context.len().saturating_sub(WINDOW - 1);
        self.context.drain(..surplus);
    }
}

#[cfg(test)]
mod tests;
