//! Secret bytes: wiped when dropped, never cloned, serialized or shown.
//!
//! Comparing or printing a secret is not possible by accident; the bytes come out only through [`Secret::expose`].

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::random::{Random, RandomUnavailable};

/// `N` secret bytes on the heap, so that moving the value does not leave copies behind.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over; the caller's array is wiped.
    pub fn new(mut bytes: [u8; N]) -> Self {
        let secret = Self(Box::new(bytes));
        bytes.zeroize();
        secret
    }

    /// Copies a secret of exactly `N` bytes; `None` for any other length.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut secret = Self(Box::new([0; N]));
        if bytes.len() != N {
            return None;
        }
        secret.0.copy_from_slice(bytes);
        Some(secret)
    }

    /// Makes a new secret.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomUnavailable> {
        let mut secret = Self(Box::new([0; N]));
        random.fill(&mut secret.0[..])?;
        Ok(secret)
    }

    /// Fills a new secret in place, so that its bytes never stand anywhere else.
    pub(crate) fn fill_with<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    /// The same secret once more, where two owners need it. Not `Clone`, so that it is never done in passing.
    #[cfg(feature = "client")]
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// The secret bytes. **Do not copy them into anything that is not wiped.**
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_show_the_bytes() {
        assert_eq!(format!("{:?}", Secret::new([42; 32])), "Secret<32>(…)");
    }

    #[test]
    fn a_slice_of_another_length_is_no_secret() {
        assert!(Secret::<32>::from_slice(&[0; 31]).is_none());
        assert_eq!(Secret::<4>::from_slice(&[1, 2, 3, 4]).map(|s| *s.expose()), Some([1, 2, 3, 4]));
    }
}
