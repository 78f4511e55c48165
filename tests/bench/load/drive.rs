//! Drives many connections from one thread, and keeps how long each request took.
//!
//! Each connection has one request at a time, and begins the next one as soon as the answer is there.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use vault_tests::server::tls_config;

use crate::connection::{Ask, Connection};

/// The longest that nothing may happen.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// What was done.
pub(crate) struct Done {
    /// How long each request took, ascending.
    pub(crate) took: Vec<Duration>,
    /// From the first request to the last answer.
    pub(crate) all: Duration,
}

/// Opens connections, and asks on each what `next` gives for its number until that gives nothing.
pub(crate) fn drive<'a>(
    address: SocketAddr,
    connections: usize,
    mut next: impl FnMut(usize) -> Option<Ask<'a>>,
) -> Done {
    let config = tls_config();
    let open = |_| Connection::open(address, config.clone()).unwrap();
    let mut connections: Vec<Connection<'a>> = (0..connections).map(open).collect();
    let mut begun = vec![None; connections.len()];
    let mut took = Vec::new();
    let start = Instant::now();
    for (number, connection) in connections.iter_mut().enumerate() {
        begin(connection, &mut begun[number], next(number));
    }
    while begun.iter().any(Option::is_some) {
        for number in wait(&connections, &begun) {
            if connections[number].advance().unwrap() {
                took.extend(begun[number].take().map(|begun: Instant| begun.elapsed()));
                begin(&mut connections[number], &mut begun[number], next(number));
            }
        }
    }
    let all = start.elapsed();
    took.sort_unstable();
    Done { took, all }
}

fn begin<'a>(connection: &mut Connection<'a>, begun: &mut Option<Instant>, ask: Option<Ask<'a>>) {
    if let Some(ask) = ask {
        *begun = Some(Instant::now());
        connection.begin(ask).unwrap();
    }
}

/// Waits until something can be done; the numbers of the connections with which.
fn wait(connections: &[Connection<'_>], begun: &[Option<Instant>]) -> Vec<usize> {
    let (mut fds, mut numbers) = (Vec::new(), Vec::new());
    for (number, connection) in connections.iter().enumerate().filter(|(number, _)| begun[*number].is_some())
    {
        let writing = if connection.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        fds.push(PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN | writing));
        numbers.push(number);
    }
    let ready = poll(&mut fds, Some(&PATIENCE)).unwrap();
    assert!(ready > 0, "no answer within a minute");
    let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    fds.iter().zip(numbers).filter(|(fd, _)| is_ready(fd)).map(|(_, number)| number).collect()
}

impl Done {
    /// The figures of many small requests.
    pub(crate) fn rates(&self) -> Value {
        let per_second = self.took.len() as f64 / self.all.as_secs_f64();
        json!({
            "requests": self.took.len(),
            "per_second": per_second,
            "p50_ms": self.at(0.5),
            "p99_ms": self.at(0.99),
            "max_ms": self.at(1.0),
        })
    }

    /// The time within which this part of the requests was answered, in ms.
    fn at(&self, part: f64) -> f64 {
        let last = self.took.len().saturating_sub(1);
        let index = (last as f64 * part).round() as usize;
        self.took.get(index).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    }
}
