//! Sockets: what is listened on, and one stream type over TCP and Unix sockets, plain or with TLS. Sockets
//! pass from one process to the next through a [`Channel`].

mod channel;
mod client_hello;
mod fresh;
mod hyper_io;
mod listen;
mod listener;
mod pipe;
mod proxy_header;
mod source;
mod stream;
mod tls;
mod unix;

pub use channel::{Channel, MOST_SOCKETS};
pub use client_hello::{Asked, ClientHello};
pub use fresh::Fresh;
pub use listen::{BindError, bind, bind_beside, bind_one, bind_unix, take_over};
pub use listener::{Accepted, Acceptor, Listener, Place};
pub use pipe::Pipe;
pub use proxy_header::{Ends as ProxyEnds, ProxyHeader};
pub use source::leave_from;
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

/// What we lack to connect, before anything was asked of the other side.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Lack(String);

/// The error of a process that lacks something else: a right, a file.
pub fn lack(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, Lack(what))
}

/// Whether an error is our own want of descriptors, ports, memory, or of what [`lack`] says: it lasts until
/// something is done about it here, and says nothing about the other side.
pub fn is_shortage(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Lack>)
        || is_errno_of_shortage(error)
}

fn is_errno_of_shortage(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
