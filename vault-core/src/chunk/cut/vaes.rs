//! The back-ends for x86-64 with VAES: one 512-bit register, or two of 256 bits, hold the digests of all four lanes.
//!
//! Invariant: [`Vaes512`] and [`Vaes256`] exist only where the processor has been seen to have the instructions.

#![allow(unsafe_code, reason = "intrinsics: calls need the instructions to exist")]

use std::arch::x86_64::{
    __m128i, __m256i, __m512i, _mm256_add_epi64, _mm256_aesenc_epi128, _mm256_aesenclast_epi128,
    _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_castsi128_si256, _mm256_castsi256_pd,
    _mm256_cmpeq_epi64, _mm256_cmpgt_epi64, _mm256_inserti128_si256, _mm256_movemask_epi8,
    _mm256_movemask_pd, _mm256_or_si256, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_unpacklo_epi64,
    _mm256_xor_si256, _mm512_add_epi64, _mm512_aesenc_epi128, _mm512_aesenclast_epi128,
    _mm512_broadcast_i32x4, _mm512_castsi256_si512, _mm512_inserti64x4, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_srai_epi64, _mm512_ternarylogic_epi64, _mm512_testn_epi64_mask,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};
use std::is_x86_feature_detected;

use super::aesni::{self, RoundKeys};
use super::keys::{Keys, POLYNOMIAL, Table};
use super::lanes::Lanes;
use super::{Engine, LANES, STEP, WINDOW};

// Digests of 128 bits fill one register, or two.
const _: () = assert!(LANES == 4);

/// Truth table of `a ^ (b & c)`.
const XOR_AND: i32 = 0x78;
/// Truth table of `a ^ b ^ c`.
const XOR_XOR: i32 = 0x96;

/// See [`Backend::Vaes512`](super::Backend::Vaes512).
pub(super) struct Vaes512(RoundKeys);

impl Vaes512 {
    /// Whether this processor can run the back-end.
    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("vaes")
            && aesni::is_supported()
    }

    /// Expands the key; `None` if the processor lacks the instructions.
    pub(super) fn new(keys: &Keys) -> Option<Self> {
        // SAFETY: the key is expanded only on a processor that has AES-NI.
        Self::is_supported().then(|| Self(unsafe { RoundKeys::expand(keys.prf.expose()) }))
    }
}

impl Engine for Vaes512 {
    fn stripes(&self, keys: &Keys, bytes: &[u8], stripe: usize, found: &mut Vec<usize>) {
        // SAFETY: `self` exists, so the processor has all the instructions `is_supported` asks for.
        unsafe { test_stripes_512(keys, &self.0, bytes, stripe, found) }
    }
}

/// See [`Backend::Vaes256`](super::Backend::Vaes256).
pub(super) struct Vaes256(RoundKeys);

impl Vaes256 {
    /// Whether this processor can run the back-end.
    pub(super) fn is_supported() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("vaes") && aesni::is_supported()
    }

    /// Expands the key; `None` if the processor lacks the instructions.
    pub(super) fn new(keys: &Keys) -> Option<Self> {
        // SAFETY: the key is expanded only on a processor that has AES-NI.
        Self::is_supported().then(|| Self(unsafe { RoundKeys::expand(keys.prf.expose()) }))
    }
}

impl Engine for Vaes256 {
    fn stripes(&self, keys: &Keys, bytes: &[u8], stripe: usize, found: &mut Vec<usize>) {
        // SAFETY: `self` exists, so the processor has all the instructions `is_supported` asks for.
        unsafe { test_stripes_256(keys, &self.0, bytes, stripe, found) }
    }
}

/// The entries of two bytes, side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(table: &Table, first: u8, second: u8) -> __m256i {
    let first: __m128i = aesni::entry(table, first);
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(first), aesni::entry(table, second))
}

/// The entries of the `i`-th byte of each lane, side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn entries_512(table: &Table, lanes: [&[u8; STEP]; LANES], i: usize) -> __m512i {
    let lower = pair(table, lanes[0][i], lanes[1][i]);
    let upper = pair(table, lanes[2][i], lanes[3][i]);
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(lower), upper)
}

/// All halves times `x`, reduced.
#[inline]
#[target_feature(enable = "avx512f")]
fn times_x_512(digests: __m512i) -> __m512i {
    let carry = _mm512_srai_epi64::<63>(digests);
    let polynomial = _mm512_set1_epi64(POLYNOMIAL as i64);
    _mm512_ternarylogic_epi64::<XOR_AND>(_mm512_add_epi64(digests, digests), carry, polynomial)
}

/// See [`Engine::stripes`].
#[target_feature(enable = "avx512f,avx512vl,vaes,aes,sse4.1")]
fn test_stripes_512(
    keys: &Keys,
    round_keys: &RoundKeys,
    bytes: &[u8],
    stripe: usize,
    found: &mut Vec<usize>,
) {
    let lanes = Lanes::new(bytes, stripe);
    let mut digests = _mm512_setzero_si512();
    for step in 0..WINDOW / STEP {
        for i in 0..STEP {
            digests =
                _mm512_xor_si512(times_x_512(digests), entries_512(&keys.enter, lanes.leaving(step), i));
        }
    }

    let round_keys = broadcast_512(round_keys);
    let mask = _mm512_set1_epi64(keys.mask as i64);
    for step in 0..stripe / STEP {
        let (leaving, entering) = (lanes.leaving(step), lanes.entering(step));
        let mut values = [_mm512_setzero_si512(); STEP];
        for (i, value) in values.iter_mut().enumerate() {
            *value = digests;
            let enter = entries_512(&keys.enter, entering, i);
            let leave = entries_512(&keys.leave, leaving, i);
            digests = _mm512_ternarylogic_epi64::<XOR_XOR>(times_x_512(digests), enter, leave);
        }
        encrypt_512(&mut values, &round_keys);
        // The low halves of two values in one register: the even bits of a mask are of the first, the odd of the second.
        let mut zeros = [0; STEP / 2];
        for i in 0..STEP / 2 {
            let low_halves = _mm512_unpacklo_epi64(values[2 * i], values[2 * i + 1]);
            zeros[i] = _mm512_testn_epi64_mask(low_halves, mask);
        }
        if zeros != [0; STEP / 2] {
            note(zeros, stripe, step * STEP, found);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,sse2")]
fn broadcast_512(round_keys: &RoundKeys) -> [__m512i; 11] {
    let mut registers = [_mm512_setzero_si512(); 11];
    for (register, key) in registers.iter_mut().zip(round_keys.registers()) {
        *register = _mm512_broadcast_i32x4(key);
    }
    registers
}

/// Appends the candidates of one step that starts at `first` in each lane.
#[cold]
fn note(zeros: [u8; STEP / 2], stripe: usize, first: usize, found: &mut Vec<usize>) {
    for (pair, zeros) in zeros.into_iter().enumerate() {
        for bit in (0..8).filter(|bit| zeros >> bit & 1 == 1) {
            found.push(bit / 2 * stripe + first + 2 * pair + bit % 2);
        }
    }
}

/// AES-128 of each block of each register, in place.
#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt_512(blocks: &mut [__m512i; STEP], keys: &[__m512i; 11]) {
    for block in &mut *blocks {
        *block = _mm512_xor_si512(*block, keys[0]);
    }
    for key in &keys[1..10] {
        for block in &mut *blocks {
            *block = _mm512_aesenc_epi128(*block, *key);
        }
    }
    for block in &mut *blocks {
        *block = _mm512_aesenclast_epi128(*block, keys[10]);
    }
}

/// The entries of the `i`-th byte of each lane, side by side.
#[inline]
#[target_feature(enable = "avx2")]
fn entries_256(table: &Table, lanes: [&[u8; STEP]; LANES], i: usize) -> [__m256i; 2] {
    [pair(table, lanes[0][i], lanes[1][i]), pair(table, lanes[2][i], lanes[3][i])]
}

/// Both halves of both lanes times `x`, reduced.
#[inline]
#[target_feature(enable = "avx2")]
fn times_x_256(digests: __m256i) -> __m256i {
    let carry = _mm256_cmpgt_epi64(_mm256_setzero_si256(), digests);
    let reduction = _mm256_and_si256(carry, _mm256_set1_epi64x(POLYNOMIAL as i64));
    _mm256_xor_si256(_mm256_add_epi64(digests, digests), reduction)
}

/// See [`Engine::stripes`].
#[target_feature(enable = "avx2,vaes,aes,sse4.1")]
fn test_stripes_256(
    keys: &Keys,
    round_keys: &RoundKeys,
    bytes: &[u8],
    stripe: usize,
    found: &mut Vec<usize>,
) {
    let lanes = Lanes::new(bytes, stripe);
    let mut digests = [_mm256_setzero_si256(); 2];
    for step in 0..WINDOW / STEP {
        for i in 0..STEP {
            let enter = entries_256(&keys.enter, lanes.leaving(step), i);
            digests[0] = _mm256_xor_si256(times_x_256(digests[0]), enter[0]);
            digests[1] = _mm256_xor_si256(times_x_256(digests[1]), enter[1]);
        }
    }

    let round_keys = broadcast_256(round_keys);
    let mask = _mm256_set1_epi64x(keys.mask as i64);
    for step in 0..stripe / STEP {
        let (leaving, entering) = (lanes.leaving(step), lanes.entering(step));
        let mut values = [[_mm256_setzero_si256(); 2]; STEP];
        for (i, value) in values.iter_mut().enumerate() {
            *value = digests;
            let enter = entries_256(&keys.enter, entering, i);
            let leave = entries_256(&keys.leave, leaving, i);
            digests[0] = _mm256_xor_si256(times_x_256(digests[0]), _mm256_xor_si256(enter[0], leave[0]));
            digests[1] = _mm256_xor_si256(times_x_256(digests[1]), _mm256_xor_si256(enter[1], leave[1]));
        }
        for half in values.as_chunks_mut::<{ STEP / 2 }>().0 {
            encrypt_256(half.as_flattened_mut(), &round_keys);
        }
        // A zero in the low halves of the two values of each lane: of lanes 0, 2, 1 and 3.
        let mut zeros = [_mm256_setzero_si256(); STEP];
        let mut any = _mm256_setzero_si256();
        for (zero, value) in zeros.iter_mut().zip(&values) {
            let low_halves = _mm256_and_si256(_mm256_unpacklo_epi64(value[0], value[1]), mask);
            *zero = _mm256_cmpeq_epi64(low_halves, _mm256_setzero_si256());
            any = _mm256_or_si256(any, *zero);
        }
        if _mm256_movemask_epi8(any) != 0 {
            for (i, zero) in zeros.into_iter().enumerate() {
                let bits = _mm256_movemask_pd(_mm256_castsi256_pd(zero));
                let lanes = [0, 2, 1, 3].into_iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
                found.extend(lanes.map(|(_, lane)| lane * stripe + step * STEP + i));
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn broadcast_256(round_keys: &RoundKeys) -> [__m256i; 11] {
    let mut registers = [_mm256_setzero_si256(); 11];
    for (register, key) in registers.iter_mut().zip(round_keys.registers()) {
        *register = _mm256_broadcastsi128_si256(key);
    }
    registers
}

/// AES-128 of each block of each register, in place.
#[inline]
#[target_feature(enable = "avx2,vaes")]
fn encrypt_256(blocks: &mut [__m256i], keys: &[__m256i; 11]) {
    for block in &mut *blocks {
        *block = _mm256_xor_si256(*block, keys[0]);
    }
    for key in &keys[1..10] {
        for block in &mut *blocks {
            *block = _mm256_aesenc_epi128(*block, *key);
        }
    }
    for block in &mut *blocks {
        *block = _mm256_aesenclast_epi128(*block, keys[10]);
    }
}
