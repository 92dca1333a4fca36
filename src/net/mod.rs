//! Sockets: what is listened on, and one stream type over TCP and Unix sockets, plain or with TLS. Sockets
//! pass from one process to the next through a [`Channel`].

mod channel;
mod client_hello;
mod listen;
mod listener;
mod pipe;
mod proxy_header;
mod stream;
mod tls;
mod unix;

pub use channel::{Channel, MOST_SOCKETS};
pub use client_hello::{Asked, ClientHello};
pub use listen::{BindError, bind, bind_beside, bind_one, bind_unix, take_over};
pub use listener::{Accepted, Acceptor, Listener, Place};
pub use pipe::Pipe;
pub use proxy_header::{Ends as ProxyEnds, ProxyHeader};
pub use stream::Stream;
pub use tls::Tls;
pub use unix::SocketFile;

use std::io;

use rustix::io::Errno;

/// The error of a process that has no descriptor left.
pub fn shortage() -> io::Error {
    Errno::MFILE.into()
}

/// Whether a fresh connection stood, and the TLS handshake on it failed.
pub fn is_of_handshake(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | Other | UnexpectedEof)
}

/// Whether an error is our own want of descriptors, ports or memory, which lasts until something is
/// closed and says nothing about the other side.
pub fn is_shortage(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
