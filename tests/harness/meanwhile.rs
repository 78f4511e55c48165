//! Something else that happens in the middle of an operation: what interleaves is driven, not left to chance.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use vault_core::progress::{Amount, Notice, Phase, Progress};

/// Does something once, when a number of items is done; the operation waits for it.
pub struct Meanwhile<'a> {
    after: u64,
    done: AtomicU64,
    what: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
}

impl<'a> Meanwhile<'a> {
    /// Does it when the first item is done.
    pub fn once(what: impl FnOnce() + Send + 'a) -> Self {
        Self::after(0, what)
    }

    /// Does it when so many items are done.
    pub fn after(after: u64, what: impl FnOnce() + Send + 'a) -> Self {
        Self { after, done: AtomicU64::new(0), what: Mutex::new(Some(Box::new(what))) }
    }

    /// Whether it is done, or being done.
    pub fn has_happened(&self) -> bool {
        self.what.lock().unwrap().is_none()
    }
}

impl Progress for Meanwhile<'_> {
    fn phase(&self, _: Phase) {}
    fn expect(&self, _: Amount) {}
    fn advance(&self, done: Amount) {
        let before = self.done.fetch_add(done.items, Ordering::Relaxed);
        if before + done.items >= self.after {
            let what = self.what.lock().unwrap().take();
            what.into_iter().for_each(|what| what());
        }
    }
    fn notice(&self, _: &Notice<'_>) {}
}
