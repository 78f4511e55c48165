//! The back-end without intrinsics: scalar rolling, AES from the `aes` crate, for every processor and for short remainders.
//!
//! Invariant: this is the plainest reading of the formula, and what the other back-ends are compared with.

use aes::Block;
use aes::cipher::BlockEncrypt;

use super::keys::{Keys, times_x};
use super::{Engine, LANES, WINDOW};

/// Digests encrypted at a time: several times the blocks that the `aes` crate takes in parallel.
const BATCH: usize = 64;

/// See [`Backend::Portable`](super::Backend::Portable).
pub(super) struct Portable;

impl Engine for Portable {
    fn stripes(&self, keys: &Keys, bytes: &[u8], stripe: usize, found: &mut Vec<usize>) {
        test_all(keys, &bytes[..WINDOW + LANES * stripe - 1], found);
    }
}

/// Tests the positions `WINDOW..=bytes.len()` and appends those that are candidates, less `WINDOW`, ascending.
pub(super) fn test_all(keys: &Keys, bytes: &[u8], found: &mut Vec<usize>) {
    let Some((window, coming)) = bytes.split_first_chunk::<WINDOW>() else { return };
    let mut digest =
        window.iter().fold([0; 2], |digest, &byte| roll(digest, keys.enter.0[usize::from(byte)]));
    let mut blocks = [Block::default(); BATCH];
    let mut first = 0;
    // One more position than bytes to come: the first window stands complete.
    while first <= coming.len() {
        let count = BATCH.min(coming.len() + 1 - first);
        for (i, block) in (first..).zip(&mut blocks[..count]) {
            block[..8].copy_from_slice(&digest[0].to_le_bytes());
            block[8..].copy_from_slice(&digest[1].to_le_bytes());
            if let Some(&enter) = coming.get(i) {
                let leave = keys.leave.0[usize::from(bytes[i])];
                digest = roll(digest, keys.enter.0[usize::from(enter)]);
                digest = [digest[0] ^ leave[0], digest[1] ^ leave[1]];
            }
        }
        keys.cipher.encrypt_blocks(&mut blocks[..count]);
        for (i, block) in (first..).zip(&blocks[..count]) {
            let (value, _) = block.split_first_chunk().expect("a block has 16 bytes");
            if u64::from_le_bytes(*value) & keys.mask == 0 {
                found.push(i);
            }
        }
        first += count;
    }
}

fn roll(digest: [u64; 2], entry: [u64; 2]) -> [u64; 2] {
    [times_x(digest[0]) ^ entry[0], times_x(digest[1]) ^ entry[1]]
}
