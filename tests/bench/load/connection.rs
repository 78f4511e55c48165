//! One connection that is never waited for: it takes a request, and moves on as far as its socket lets it.
//!
//! A body is never copied: it is sent from where it is, and what arrives is compared with what is expected while it arrives.

use std::io::{self, BufRead as _, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A request, and the answer that it must have.
pub(crate) struct Ask<'a> {
    pub(crate) head: Vec<u8>,
    pub(crate) body: &'a [u8],
    pub(crate) status: u16,
    /// `None` if any body will do.
    pub(crate) answer: Option<&'a [u8]>,
}

/// See the page above.
pub(crate) struct Connection<'a> {
    socket: TcpStream,
    tls: ClientConnection,
    ask: Option<Ask<'a>>,
    sent: usize,
    head: Vec<u8>,
    /// Bytes of the answer's body that came, of how many; `None` until its head is there.
    body: Option<(usize, usize)>,
}

impl<'a> Connection<'a> {
    /// Connects, and waits for the handshake.
    pub(crate) fn open(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut tls =
            ClientConnection::new(config, ServerName::from(address.ip())).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket, tls, ask: None, sent: 0, head: Vec::new(), body: None })
    }

    /// Begins a request.
    pub(crate) fn begin(&mut self, ask: Ask<'a>) -> io::Result<()> {
        (self.sent, self.body) = (0, None);
        self.head.clear();
        self.ask = Some(ask);
        self.send()
    }

    /// What is to be waited for besides bytes that arrive: whether more can be sent.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// Moves on; whether the answer is there, and right.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        self.send()?;
        loop {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            self.tls.process_new_packets().map_err(io::Error::other)?;
            if self.receive()? {
                self.ask = None;
                return Ok(true);
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(ask) = &self.ask else { return Ok(()) };
        let all = ask.head.len() + ask.body.len();
        loop {
            while self.sent < all {
                let rest = match self.sent.checked_sub(ask.head.len()) {
                    None => &ask.head[self.sent..],
                    Some(of_body) => &ask.body[of_body..],
                };
                match self.tls.writer().write(rest)? {
                    // Its buffer is full.
                    0 => break,
                    taken => self.sent += taken,
                }
            }
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.socket) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            if self.sent == all {
                return Ok(());
            }
        }
    }

    /// Takes what was decrypted; whether the answer is whole.
    fn receive(&mut self) -> io::Result<bool> {
        loop {
            let mut reader = self.tls.reader();
            let bytes = match reader.fill_buf() {
                Ok([]) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let ask = self.ask.as_ref().expect("an answer without a request");
            let used = bytes.len();
            if let Some((came, of)) = self.body {
                assert!(came + used <= of, "more than was announced");
                check_bytes(ask, came, bytes);
                self.body = Some((came + used, of));
            } else {
                let from = self.head.len().saturating_sub(3);
                self.head.extend_from_slice(bytes);
                self.body = read_head(ask, &self.head, from);
            }
            reader.consume(used);
            if self.body.is_some_and(|(came, of)| came == of) {
                return Ok(true);
            }
        }
    }
}

impl AsFd for Connection<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Looks for the end of the head from there on; then the bytes of the body that came with it, and how many there will be.
fn read_head(ask: &Ask<'_>, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let end = from + bytes[from..].windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let (head, body) = bytes.split_at(end);
    let length = check_head(ask, head, body);
    assert!(body.len() <= length, "more than was announced");
    check_bytes(ask, 0, body);
    Some((body.len(), length))
}

/// Status and length of an answer; the length.
fn check_head(ask: &Ask<'_>, head: &[u8], body: &[u8]) -> usize {
    let text = std::str::from_utf8(head).expect("heads are text");
    let status: u16 = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let wrong = || format!("{text}{}", String::from_utf8_lossy(&body[..body.len().min(500)]));
    assert_eq!(status, ask.status, "{}", wrong());
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    };
    let length = text.lines().find_map(header).unwrap_or(0);
    assert!(ask.answer.is_none_or(|expected| expected.len() == length), "{}", wrong());
    length
}

fn check_bytes(ask: &Ask<'_>, at: usize, bytes: &[u8]) {
    let Some(expected) = ask.answer else { return };
    assert!(expected[at..at + bytes.len()] == *bytes, "the answer has other bytes than were stored");
}
