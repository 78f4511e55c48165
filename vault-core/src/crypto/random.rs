//! Where randomness comes from: passed in, so that tests can reproduce every byte.

use ring::rand::SecureRandom as _;

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomUnavailable;

/// A source of random bytes fit for keys.
pub trait Random: Send + Sync {
    /// Fills `buffer` with random bytes, or fails and the buffer must not be used.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomUnavailable>;
}

impl dyn Random + '_ {
    /// `N` fresh random bytes, for nonces and public ids.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], RandomUnavailable> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The operating system's generator.
#[derive(Debug)]
pub struct SystemRandom(ring::rand::SystemRandom);

impl SystemRandom {
    /// A handle on the generator; nothing is read yet.
    pub fn new() -> Self {
        Self(ring::rand::SystemRandom::new())
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomUnavailable> {
        self.0.fill(buffer).map_err(|_| RandomUnavailable)
    }
}

/// A fixed, reproducible stream of bytes. **Only for tests: it protects nothing.**
#[cfg(any(test, feature = "testing"))]
#[derive(Debug)]
pub struct FixedRandom(std::sync::Mutex<blake3::OutputReader>);

#[cfg(any(test, feature = "testing"))]
impl FixedRandom {
    /// The stream numbered `seed`.
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        Self(std::sync::Mutex::new(hasher.finalize_xof()))
    }
}

#[cfg(any(test, feature = "testing"))]
impl Random for FixedRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomUnavailable> {
        self.0.lock().map_err(|_| RandomUnavailable)?.fill(buffer);
        Ok(())
    }
}
