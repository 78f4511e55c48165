//! How many connections one address may have, so that nobody takes all that there are.
//!
//! A connection beyond is closed before it asks anything. Those of proxies are not counted: they stand for many clients.

use std::any::Any;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;

use crate::state::State;

/// Counts a connection until it ends, or closes it.
pub(crate) fn admit(connection: &dyn Any, data: &mut Extensions, state: &State) {
    let Some(socket) = socket_of(connection) else { return };
    // Without an address it is closed already.
    let Ok(peer) = socket.peer_addr() else { return };
    if state.config.proxies.contain(peer.ip()) {
        return;
    }
    if let Ok(slot) = state.limiter.connection_from(peer.ip()) {
        data.insert(slot);
    } else {
        tracing::debug!(address = %peer.ip(), "too many connections from one address");
        let _ = close(socket);
    }
}

/// Ends a connection whose socket someone else has.
fn close(socket: &TcpStream) -> io::Result<()> {
    let socket: std::net::TcpStream = socket.as_fd().try_clone_to_owned()?.into();
    socket.shutdown(Shutdown::Both)
}

fn socket_of(connection: &dyn Any) -> Option<&TcpStream> {
    let with_tls = connection.downcast_ref::<TlsStream<TcpStream>>();
    with_tls.map(|stream| stream.get_ref().0).or_else(|| connection.downcast_ref::<TcpStream>())
}
