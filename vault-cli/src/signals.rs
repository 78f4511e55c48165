//! Ctrl-C and requests to terminate: an operation is asked to stop in good order; a second request ends the process.
//!
//! A backup that stops in good order keeps what it has stored so far. Where nothing is at stake a signal does what it always
//! does, except that a prompt first gives the terminal back as it was.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use vault_core::ops::Stop;

use crate::exit::Exit;

/// The request to stop of this process.
static STOP: Stop = Stop::new();
/// What a signal means now: one of the constants below.
static MEANING: AtomicU8 = AtomicU8::new(END);
/// Whether the thread that listens was started.
static LISTENING: OnceLock<()> = OnceLock::new();

/// The process ends, as without a handler.
const END: u8 = 0;
/// The prompt returns by itself when Ctrl-C is typed.
const LEAVE_PROMPT: u8 = 1;
/// The operation is asked to stop.
const STOP_OPERATION: u8 = 2;

/// From now on, signals ask the operation to stop; returns where it will see that.
pub(crate) fn stop_operation() -> io::Result<&'static Stop> {
    listen()?;
    MEANING.store(STOP_OPERATION, Ordering::Release);
    Ok(&STOP)
}

/// Whether the operation is asked to stop.
pub(crate) fn stop_requested() -> bool {
    STOP.requested()
}

/// Runs a prompt, which itself returns when Ctrl-C is typed.
pub(crate) fn during_prompt<T>(prompt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    listen()?;
    let meaning = MEANING.swap(LEAVE_PROMPT, Ordering::AcqRel);
    let answer = prompt();
    MEANING.store(meaning, Ordering::Release);
    answer
}

/// Starts the thread that listens, once.
fn listen() -> io::Result<()> {
    if LISTENING.get().is_some() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(act))?;
    LISTENING.get_or_init(|| ());
    Ok(())
}

fn act(signal: i32) {
    match MEANING.load(Ordering::Acquire) {
        LEAVE_PROMPT if signal == SIGINT => {}
        STOP_OPERATION if !STOP.requested() => STOP.request(),
        STOP_OPERATION => low_level::exit(i32::from(Exit::Interrupted.code())),
        _ => {
            // Fails only for signals that it does not know.
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}
