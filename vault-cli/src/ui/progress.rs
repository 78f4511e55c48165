//! Shows how far an operation is: a line that changes on a terminal, a new line each half minute elsewhere.
//!
//! Operations only count; a thread of its own draws, so that drawing never slows an operation down.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vault_core::bytes::ByteSize;
use vault_core::progress::{Amount, Change, Notice, Phase, Progress, Severity};

use super::{Label, Ui, Verbosity, eprint_line, human, json};

/// How often a line on a terminal changes: often enough to look alive, seldom enough to be read.
const REDRAW: Duration = Duration::from_millis(200);
/// How often progress is told where lines stay.
const REPEAT: Duration = Duration::from_secs(30);
/// The span over which a rate is measured: long enough not to jump, short enough to follow.
const RATE_SPAN: Duration = Duration::from_secs(10);
/// Columns of the terminal that are used; one less than the usual width, so that nothing wraps.
const COLUMNS: usize = 79;

/// Shows an operation while it runs; [`Self::finish`] removes the line.
pub(crate) struct Display {
    shared: Arc<Shared>,
    drawer: Option<JoinHandle<()>>,
}

/// How progress is shown.
enum Medium {
    Terminal(ProgressBar),
    Lines,
    Nothing,
}

struct Shared {
    ui: Ui,
    medium: Medium,
    done_items: AtomicU64,
    done_bytes: AtomicU64,
    phase: Mutex<Current>,
    problems: Mutex<Vec<json::Problem>>,
    ended: Mutex<bool>,
    wake: Condvar,
}

/// The phase that runs.
#[derive(Clone, Copy)]
struct Current {
    phase: Phase,
    since: Instant,
    total: Amount,
}

impl Display {
    /// Begins to show an operation.
    pub(crate) fn new(ui: Ui) -> Self {
        let shared = Arc::new(Shared {
            ui,
            medium: medium(ui),
            done_items: AtomicU64::new(0),
            done_bytes: AtomicU64::new(0),
            phase: Mutex::new(Current {
                phase: Phase::Open,
                since: Instant::now(),
                total: Amount::default(),
            }),
            problems: Mutex::default(),
            ended: Mutex::new(false),
            wake: Condvar::new(),
        });
        let drawer = match shared.medium {
            Medium::Nothing => None,
            Medium::Terminal(_) => spawn(&shared, REDRAW),
            Medium::Lines => spawn(&shared, REPEAT),
        };
        Self { shared, drawer }
    }

    /// Stops showing, and gives back the problems that were told (kept only for JSON).
    pub(crate) fn finish(mut self) -> Vec<json::Problem> {
        self.stop();
        std::mem::take(&mut *lock(&self.shared.problems))
    }

    fn stop(&mut self) {
        *lock(&self.shared.ended) = true;
        self.shared.wake.notify_all();
        if let Some(drawer) = self.drawer.take() {
            // A drawer that panicked has told so; the operation is not concerned.
            let _ = drawer.join();
        }
        if let Medium::Terminal(bar) = &self.shared.medium {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Progress for Display {
    fn phase(&self, phase: Phase) {
        let mut current = lock(&self.shared.phase);
        *current = Current { phase, since: Instant::now(), total: Amount::default() };
        self.shared.done_items.store(0, Ordering::Relaxed);
        self.shared.done_bytes.store(0, Ordering::Relaxed);
    }

    fn expect(&self, total: Amount) {
        lock(&self.shared.phase).total = total;
    }

    fn advance(&self, done: Amount) {
        self.shared.done_items.fetch_add(done.items, Ordering::Relaxed);
        self.shared.done_bytes.fetch_add(done.bytes, Ordering::Relaxed);
    }

    fn notice(&self, notice: &Notice<'_>) {
        let shared = &self.shared;
        let label = match notice.severity {
            Severity::Problem => Label::Warning,
            Severity::Note => Label::Note,
        };
        if shared.ui.json && notice.severity == Severity::Problem {
            lock(&shared.problems).push(json::Problem::new(notice));
        }
        if label == Label::Note && shared.ui.verbosity < Verbosity::Normal {
            return;
        }
        let label = label.text(shared.ui.stderr.colored);
        let line = format!("{label}: {}: {}", human::path(notice.subject), human::message(notice.message));
        shared.print(&line);
    }

    fn change(&self, path: &Path, change: Change) {
        let word = match change {
            Change::Written => "written",
            Change::Repaired => "repaired",
            Change::Updated => "updated",
            Change::Kept => "kept",
            Change::Deleted => "deleted",
            _ => return,
        };
        if self.shared.ui.verbosity >= Verbosity::Verbose {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            self.shared.print(&format!("{word:8}  {}", human::path(path)));
        }
    }

    fn wants_total(&self) -> bool {
        matches!(self.shared.medium, Medium::Terminal(_))
    }
}

fn medium(ui: Ui) -> Medium {
    if !ui.progress || ui.verbosity == Verbosity::Quiet || (ui.json && !ui.stderr.terminal) {
        return Medium::Nothing;
    }
    if !ui.stderr.terminal {
        return Medium::Lines;
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is fixed: that it is one is seen at the first use.
    let style =
        ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    bar.set_style(style);
    Medium::Terminal(bar)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spawn(shared: &Arc<Shared>, interval: Duration) -> Option<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    // Without a thread for it nothing is drawn; the operation goes on.
    thread::Builder::new().name("progress".to_owned()).spawn(move || shared.draw_until_ended(interval)).ok()
}

impl Shared {
    /// Prints a line that stays, above one that changes.
    fn print(&self, line: &str) {
        match &self.medium {
            Medium::Terminal(bar) => bar.suspend(|| eprint_line(line)),
            Medium::Lines | Medium::Nothing => eprint_line(line),
        }
    }

    fn draw_until_ended(&self, interval: Duration) {
        let mut rate = Rate::default();
        let mut phase_began = lock(&self.phase).since;
        let mut ended = lock(&self.ended);
        loop {
            // Looks before it waits: the end may have come before this thread began.
            let (guard, _) = self
                .wake
                .wait_timeout_while(ended, interval, |ended| !*ended)
                .unwrap_or_else(PoisonError::into_inner);
            ended = guard;
            if *ended {
                return;
            }
            let current = *lock(&self.phase);
            if current.since != phase_began {
                phase_began = current.since;
                rate = Rate::default();
            }
            let status = self.status(&current, &mut rate);
            match &self.medium {
                Medium::Terminal(bar) => {
                    // Two columns belong to the spinner.
                    bar.set_message(status.line(COLUMNS - 2));
                    bar.tick();
                }
                Medium::Lines => eprint_line(&status.line(usize::MAX)),
                Medium::Nothing => {}
            }
        }
    }

    fn status(&self, current: &Current, rate: &mut Rate) -> Status {
        let done = Amount {
            items: self.done_items.load(Ordering::Relaxed),
            bytes: self.done_bytes.load(Ordering::Relaxed),
        };
        rate.push(current.since.elapsed(), done.bytes);
        Status {
            phase: current.phase,
            elapsed: current.since.elapsed(),
            done,
            total: current.total,
            bytes_per_second: rate.per_second(),
        }
    }
}

/// How many bytes a second, over the last [`RATE_SPAN`].
#[derive(Debug, Default)]
struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl Rate {
    fn push(&mut self, at: Duration, bytes: u64) {
        if self.samples.is_empty() {
            self.samples.push_back((Duration::ZERO, 0));
        }
        self.samples.push_back((at, bytes));
        // The newest sample that is so old is where the span begins.
        while self.samples.get(1).is_some_and(|(second, _)| at.saturating_sub(*second) >= RATE_SPAN) {
            self.samples.pop_front();
        }
    }

    fn per_second(&self) -> u64 {
        let (Some((from, before)), Some((to, after))) = (self.samples.front(), self.samples.back()) else {
            return 0;
        };
        let millis = to.saturating_sub(*from).as_millis().max(1);
        u64::try_from(u128::from(after.saturating_sub(*before)) * 1000 / millis).unwrap_or(u64::MAX)
    }
}

/// What a progress line tells.
#[derive(Debug, Clone, Copy)]
struct Status {
    phase: Phase,
    elapsed: Duration,
    done: Amount,
    total: Amount,
    bytes_per_second: u64,
}

impl Status {
    /// The line, with as much of it as fits the columns.
    fn line(&self, columns: usize) -> String {
        let mut parts = self.parts();
        let width = |parts: &[(u8, String)]| {
            parts.iter().map(|(_, text)| text.chars().count()).sum::<usize>()
                + 2 * parts.len().saturating_sub(1)
        };
        while width(&parts) > columns && parts.len() > 1 {
            let least = parts.iter().enumerate().max_by_key(|(_, (rank, _))| *rank).map_or(0, |(at, _)| at);
            parts.remove(least);
        }
        parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("  ")
    }

    /// The parts from left to right, each with its rank: the higher, the sooner it is left out.
    fn parts(&self) -> Vec<(u8, String)> {
        let (verb, noun) = match self.phase {
            Phase::Open => ("opening", "object"),
            Phase::Backup => ("backing up", "file"),
            Phase::Restore => ("restoring", "file"),
            Phase::Verify => ("verifying", "file"),
            Phase::Check => ("checking", "object"),
            Phase::Prune => ("looking at what is needed", "snapshot"),
            Phase::Compact => ("repacking", "pack"),
            Phase::Copy => ("copying", "entry"),
            Phase::Share => ("sharing", "entry"),
            _ => ("working", "item"),
        };
        let mut parts = vec![(0, verb.to_owned())];
        let known = self.total.bytes > 0;
        if known {
            let done = self.done.bytes.min(self.total.bytes);
            let percent = u128::from(done) * 100 / u128::from(self.total.bytes);
            parts.push((1, format!("{percent:>3} %")));
        }
        parts.push((4, human::counted(self.done.items, noun)));
        let bytes = ByteSize(self.done.bytes);
        parts.push(if known {
            (2, format!("{bytes} of {}", ByteSize(self.total.bytes)))
        } else {
            (2, bytes.to_string())
        });
        if self.bytes_per_second > 0 {
            parts.push((3, format!("{}/s", ByteSize(self.bytes_per_second))));
        }
        parts.push(match self.left() {
            Some(left) => (2, format!("{} left", human::clock(left))),
            None => (5, human::clock(self.elapsed)),
        });
        parts
    }

    /// The time left, as far as anyone can know.
    fn left(&self) -> Option<Duration> {
        let bytes = self.total.bytes.checked_sub(self.done.bytes).filter(|_| self.total.bytes > 0)?;
        bytes.checked_div(self.bytes_per_second).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn status(done: Amount, total: Amount) -> Status {
        Status {
            phase: Phase::Backup,
            elapsed: Duration::from_secs(65),
            done,
            total,
            bytes_per_second: 300 * ByteSize::MIB,
        }
    }

    #[test]
    fn a_line_tells_how_much_is_done_and_left() {
        let line =
            status(Amount { items: 12_345, bytes: GIB }, Amount { items: 78_624, bytes: 4 * GIB }).line(79);

        assert_eq!(line, "backing up   25 %  12,345 files  1.0 GiB of 4.0 GiB  300.0 MiB/s  0:10 left");
    }

    #[test]
    fn a_line_without_a_known_total_tells_the_time_so_far() {
        let line = status(Amount { items: 1, bytes: 512 }, Amount::default()).line(79);

        assert_eq!(line, "backing up  1 file  512 B  300.0 MiB/s  1:05");
    }

    #[test]
    fn a_line_fits_its_columns_whatever_the_numbers() {
        let most = Amount { items: u64::MAX, bytes: u64::MAX };

        for columns in [10, 20, 40, 77] {
            for (done, total) in [(most, most), (Amount::default(), most), (most, Amount::default())] {
                let line = status(done, total).line(columns);
                assert!(line.chars().count() <= columns, "{line}");
            }
        }
    }

    #[test]
    fn an_operation_that_ends_at_once_does_not_wait_for_the_drawer() {
        let stderr = crate::ui::Stderr { terminal: false, colored: false };
        let ui = Ui { json: false, verbosity: Verbosity::Normal, progress: true, stderr };
        let begun = Instant::now();

        for _ in 0..50 {
            Display::new(ui).finish();
        }

        assert!(begun.elapsed() < REPEAT);
    }

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let mut rate = Rate::default();
        for second in 1..=60 {
            rate.push(Duration::from_secs(second), if second <= 40 { second * 1000 } else { 40_000 });
        }

        assert_eq!(rate.per_second(), 0);

        rate.push(Duration::from_secs(61), 41_000);
        assert_eq!(rate.per_second(), 100);
    }
}
