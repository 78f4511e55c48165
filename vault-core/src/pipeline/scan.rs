//! Counting what there is to back up, beside the backup, so that a listener can tell how much is left.
//!
//! Only an estimate: it applies the rules, but looks at no file's contents and ignores whatever it cannot list.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walkdir::{DirEntry, WalkDir};

use crate::progress::{Amount, Progress};

use super::select::{Rules, Selection, Sources};

/// Entries between two messages to the listener.
const TELL_EACH: u64 = 1000;

/// Counts until the end, or until `done`, and tells `progress` now and then.
pub fn scan(sources: &Sources, rules: &Rules, progress: &dyn Progress, done: &AtomicBool) {
    let device =
        sources.root.metadata().ok().filter(|_| rules.one_file_system).map(|metadata| metadata.dev());
    let entries = WalkDir::new(&sources.root)
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || belongs(entry, sources, rules, device))
        .filter_map(Result::ok);
    let mut total = Amount::default();
    for entry in entries {
        if done.load(Ordering::Relaxed) {
            return;
        }
        total.items += 1;
        if entry.file_type().is_file() {
            total.bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
        if total.items % TELL_EACH == 0 {
            progress.expect(total);
        }
    }
    progress.expect(total);
}

fn belongs(entry: &DirEntry, sources: &Sources, rules: &Rules, device: Option<u64>) -> bool {
    let is_directory = entry.file_type().is_dir();
    let parent = entry.path().parent().unwrap_or(Path::new("/"));
    if !selected(entry.path(), sources)
        || rules.excludes(parent, entry.file_name().as_encoded_bytes(), is_directory)
    {
        return false;
    }
    let needs_look =
        rules.larger_than.is_some() || (is_directory && (device.is_some() || rules.has_forbidden()));
    let Some(metadata) = needs_look.then(|| entry.metadata().ok()).flatten() else { return true };
    let too_large =
        entry.file_type().is_file() && rules.larger_than.is_some_and(|limit| metadata.len() > limit);
    let elsewhere = is_directory && device.is_some_and(|device| device != metadata.dev());
    let forbidden = is_directory && rules.forbids(metadata.dev(), metadata.ino());
    !(too_large || elsewhere || forbidden)
}

fn selected(path: &Path, sources: &Sources) -> bool {
    let Ok(below) = path.strip_prefix(&sources.root) else { return false };
    let mut selection: Arc<Selection> = Arc::clone(&sources.selection);
    for part in below.components() {
        match selection.below(part.as_os_str().as_encoded_bytes()) {
            Some(next) => selection = next,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Phase;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Total(Mutex<Amount>);

    impl Progress for Total {
        fn phase(&self, _: Phase) {}
        fn expect(&self, total: Amount) {
            *self.0.lock().unwrap() = total;
        }
        fn advance(&self, _: Amount) {}
        fn notice(&self, _: &crate::progress::Notice<'_>) {}
    }

    #[test]
    fn only_what_was_asked_for_is_counted() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("in/below")).unwrap();
        std::fs::create_dir_all(tree.path().join("out")).unwrap();
        std::fs::create_dir_all(tree.path().join("other")).unwrap();
        std::fs::write(tree.path().join("in/below/file"), [0; 100]).unwrap();
        std::fs::write(tree.path().join("out/file"), [0; 1000]).unwrap();
        let sources = Sources::resolve(&[tree.path().join("in"), tree.path().join("other")]).unwrap();
        let rules = Rules::nothing(&sources.root);
        let total = Total::default();

        scan(&sources, &rules, &total, &AtomicBool::new(false));

        // The root, "in", "below", its file, and "other".
        assert_eq!(*total.0.lock().unwrap(), Amount { items: 5, bytes: 100 });
    }
}
