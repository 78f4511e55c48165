//! The chunker's secret tables and key, and the arithmetic of one digest half.
//!
//! Invariant: the tables and the key are wiped when dropped, and `leave[b] = enter[b] * x^64` for every byte `b`.

use aes::Aes128;
use aes::cipher::KeyInit;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::WINDOW;
use crate::crypto::secret::Secret;
use crate::crypto::{kdf, labels};
use crate::id::VaultId;

/// `x^64` reduced: `x^4 + x^3 + x + 1`.
pub(super) const POLYNOMIAL: u64 = 0x1b;

/// The two halves of an entry for each value of a byte; aligned so that no entry straddles a cache line.
#[derive(Zeroize, ZeroizeOnDrop)]
#[repr(align(64))]
pub(super) struct Table(pub(super) [[u64; 2]; 256]);

/// All that decides whether a position is a candidate.
pub(super) struct Keys {
    /// What a byte adds when it comes into the window.
    pub(super) enter: Box<Table>,
    /// What a byte has become when it goes out: its entry times `x^64`.
    pub(super) leave: Box<Table>,
    /// The AES-128 key, for back-ends with their own AES.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only x86-64 has such back-ends"))]
    pub(super) prf: Secret<16>,
    /// The same key expanded.
    pub(super) cipher: Aes128,
    /// The bits that are zero at a candidate.
    pub(super) mask: u64,
}

impl Keys {
    /// Derives the table and the AES key from `K_cut`.
    pub(super) fn derive(k_cut: &Secret<32>, vault: &VaultId, mask: u64) -> Self {
        let bytes: Secret<4096> = kdf::derive(k_cut, vault, labels::CUT_TABLE, &[]);
        let prf: Secret<16> = kdf::derive(k_cut, vault, labels::CUT_PRF, &[]);
        let mut enter = Box::new(Table([[0; 2]; 256]));
        let mut leave = Box::new(Table([[0; 2]; 256]));
        let (halves, _) = bytes.expose().as_chunks::<8>();
        for (i, half) in halves.iter().enumerate() {
            let half = u64::from_le_bytes(*half);
            enter.0[i / 2][i % 2] = half;
            leave.0[i / 2][i % 2] = (0..WINDOW).fold(half, |value, _| times_x(value));
        }
        let cipher = Aes128::new(prf.expose().into());
        Self { enter, leave, prf, cipher, mask }
    }
}

/// `half * x mod x^64 + x^4 + x^3 + x + 1`, without a branch.
pub(super) fn times_x(half: u64) -> u64 {
    let carry = ((half as i64) >> 63) as u64;
    (half << 1) ^ (carry & POLYNOMIAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplying_by_x_wraps_into_the_polynomial() {
        assert_eq!(times_x(1), 2);
        assert_eq!(times_x(1 << 63), 0x1b);
        assert_eq!(times_x(3 << 62), (1 << 63) ^ 0x1b);
    }

    #[test]
    fn an_entry_that_leaves_has_been_multiplied_by_x_to_the_64th() {
        let keys = Keys::derive(&Secret::new([1; 32]), &VaultId::new([2; 32]), 0);

        // x^64 = x^4 + x^3 + x + 1, so the product is a sum of four shifts of the entry.
        for (enter, leave) in keys.enter.0.iter().flatten().zip(keys.leave.0.iter().flatten()) {
            let twice = times_x(*enter);
            let eightfold = times_x(times_x(twice));
            assert_eq!(*leave, times_x(eightfold) ^ eightfold ^ twice ^ enter);
        }
    }
}
