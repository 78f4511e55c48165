//! The bytes that the lanes of a back-end read.
//!
//! Invariant: no lane reads outside the block, whatever lengths it was made with. Nothing here is a closure or a generic
//! of the standard library in the loop: code there is compiled without the instructions of the back-end and stays a call.

use super::{LANES, STEP, WINDOW};

/// Bytes of one step.
type Step = [u8; STEP];

/// The stripes of one block, side by side.
pub(super) struct Lanes<'a> {
    leaving: [&'a [Step]; LANES],
    entering: [&'a [Step]; LANES],
}

impl<'a> Lanes<'a> {
    /// Lays lanes over a block as [`Engine::stripes`](super::Engine::stripes) gets it.
    pub(super) fn new(bytes: &'a [u8], stripe: usize) -> Self {
        let steps =
            |lane: usize, offset: usize, len: usize| bytes[lane * stripe + offset..][..len].as_chunks().0;
        Self {
            leaving: std::array::from_fn(|lane| steps(lane, 0, stripe.max(WINDOW))),
            entering: std::array::from_fn(|lane| steps(lane, WINDOW, stripe)),
        }
    }

    /// The bytes of a step that go out of the window; at first, the bytes of the first window.
    #[inline]
    pub(super) fn leaving(&self, step: usize) -> [&'a Step; LANES] {
        let [a, b, c, d] = self.leaving;
        [&a[step], &b[step], &c[step], &d[step]]
    }

    /// The bytes of a step that come into the window.
    #[inline]
    pub(super) fn entering(&self, step: usize) -> [&'a Step; LANES] {
        let [a, b, c, d] = self.entering;
        [&a[step], &b[step], &c[step], &d[step]]
    }
}
