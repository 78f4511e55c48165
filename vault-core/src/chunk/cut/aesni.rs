//! The back-end for x86-64 with AES-NI.
//!
//! Invariant: [`AesNi`] exists only where the processor has been seen to have the instructions.

#![allow(unsafe_code, reason = "intrinsics: calls need the instructions to exist, loads take pointers")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi64, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_and_si128,
    _mm_cvtsi128_si64, _mm_load_si128, _mm_loadu_si128, _mm_set1_epi64x, _mm_setzero_si128,
    _mm_shuffle_epi32, _mm_slli_si128, _mm_srai_epi32, _mm_storeu_si128, _mm_xor_si128,
};
use std::is_x86_feature_detected;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::keys::{Keys, POLYNOMIAL, Table};
use super::lanes::Lanes;
use super::{Engine, LANES, STEP, WINDOW};

/// Blocks in flight: as many as hide the latency of one round and leave registers for the round keys.
const BATCH: usize = 8;

/// Whether this processor can run the back-end.
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("aes") && is_x86_feature_detected!("sse4.1")
}

/// See [`Backend::AesNi`](super::Backend::AesNi).
pub(super) struct AesNi {
    round_keys: RoundKeys,
}

impl AesNi {
    /// Expands the key; `None` if the processor lacks the instructions.
    pub(super) fn new(keys: &Keys) -> Option<Self> {
        if !is_supported() {
            return None;
        }
        // SAFETY: the processor has AES-NI, as just checked.
        let round_keys = unsafe { RoundKeys::expand(keys.prf.expose()) };
        Some(Self { round_keys })
    }
}

impl Engine for AesNi {
    fn stripes(&self, keys: &Keys, bytes: &[u8], stripe: usize, found: &mut Vec<usize>) {
        // SAFETY: `self` exists, so the processor has AES-NI and SSE4.1.
        unsafe { test_stripes(keys, &self.round_keys, bytes, stripe, found) }
    }
}

/// The eleven round keys of AES-128, on the heap and wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct RoundKeys(Box<[[u8; 16]; 11]>);

impl RoundKeys {
    /// The key schedule of AES-128 (FIPS 197, section 5.2).
    #[target_feature(enable = "aes")]
    pub(super) fn expand(key: &[u8; 16]) -> Self {
        let mut keys = Self(Box::new([[0; 16]; 11]));
        let mut last = load(key);
        store(&mut keys.0[0], last);
        macro_rules! round {
            ($number:literal, $constant:literal) => {
                last = next_round_key(last, _mm_aeskeygenassist_si128::<$constant>(last));
                store(&mut keys.0[$number], last);
            };
        }
        round!(1, 0x01);
        round!(2, 0x02);
        round!(3, 0x04);
        round!(4, 0x08);
        round!(5, 0x10);
        round!(6, 0x20);
        round!(7, 0x40);
        round!(8, 0x80);
        round!(9, 0x1b);
        round!(10, 0x36);
        keys
    }

    /// Loads them into registers.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn registers(&self) -> [__m128i; 11] {
        let mut registers = [_mm_setzero_si128(); 11];
        for (register, key) in registers.iter_mut().zip(&self.0[..]) {
            *register = load(key);
        }
        registers
    }
}

#[target_feature(enable = "sse2")]
fn next_round_key(last: __m128i, assist: __m128i) -> __m128i {
    // Each word is the sum of itself and all words below it, and of the transformed highest word.
    let mut sum = _mm_xor_si128(last, _mm_slli_si128::<4>(last));
    sum = _mm_xor_si128(sum, _mm_slli_si128::<8>(sum));
    _mm_xor_si128(sum, _mm_shuffle_epi32::<0xff>(assist))
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference is to 16 readable bytes; the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn store(bytes: &mut [u8; 16], value: __m128i) {
    // SAFETY: the reference is to 16 writable bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), value) }
}

/// The entry of a byte: half 0 in the lower, half 1 in the upper 64 bits.
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn entry(table: &Table, byte: u8) -> __m128i {
    let entry = &table.0[usize::from(byte)];
    // SAFETY: an entry has 16 bytes, and all entries are aligned to 16 since the table is aligned to 64.
    unsafe { _mm_load_si128(entry.as_ptr().cast()) }
}

/// Both halves times `x`, reduced.
#[inline]
#[target_feature(enable = "sse2")]
fn times_x(digest: __m128i) -> __m128i {
    // SSE has no arithmetic shift of 64 bits: spread the sign of the upper 32 over both.
    let carry = _mm_srai_epi32::<31>(_mm_shuffle_epi32::<0b11_11_01_01>(digest));
    let reduction = _mm_and_si128(carry, _mm_set1_epi64x(POLYNOMIAL as i64));
    _mm_xor_si128(_mm_add_epi64(digest, digest), reduction)
}

/// See [`Engine::stripes`].
#[target_feature(enable = "aes,sse4.1")]
fn test_stripes(keys: &Keys, round_keys: &RoundKeys, bytes: &[u8], stripe: usize, found: &mut Vec<usize>) {
    let lanes = Lanes::new(bytes, stripe);
    let mut digests = [_mm_setzero_si128(); LANES];
    for step in 0..WINDOW / STEP {
        let entering = lanes.leaving(step);
        for i in 0..STEP {
            for (digest, bytes) in digests.iter_mut().zip(entering) {
                *digest = _mm_xor_si128(times_x(*digest), entry(&keys.enter, bytes[i]));
            }
        }
    }

    let round_keys = round_keys.registers();
    for step in 0..stripe / STEP {
        let (leaving, entering) = (lanes.leaving(step), lanes.entering(step));
        let mut values = [_mm_setzero_si128(); LANES * STEP];
        for i in 0..STEP {
            for lane in 0..LANES {
                values[i * LANES + lane] = digests[lane];
                let enter = entry(&keys.enter, entering[lane][i]);
                let leave = entry(&keys.leave, leaving[lane][i]);
                digests[lane] = _mm_xor_si128(times_x(digests[lane]), _mm_xor_si128(enter, leave));
            }
        }
        for batch in values.as_chunks_mut::<BATCH>().0 {
            encrypt(batch, &round_keys);
        }
        for (block, value) in values.iter().enumerate() {
            if _mm_cvtsi128_si64(*value) as u64 & keys.mask == 0 {
                found.push(block % LANES * stripe + step * STEP + block / LANES);
            }
        }
    }
}

/// AES-128 of each block, in place.
#[inline]
#[target_feature(enable = "aes,sse4.1")]
fn encrypt(blocks: &mut [__m128i; BATCH], keys: &[__m128i; 11]) {
    for block in &mut *blocks {
        *block = _mm_xor_si128(*block, keys[0]);
    }
    for key in &keys[1..10] {
        for block in &mut *blocks {
            *block = _mm_aesenc_si128(*block, *key);
        }
    }
    for block in &mut *blocks {
        *block = _mm_aesenclast_si128(*block, keys[10]);
    }
}
