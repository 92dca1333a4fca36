//! One listening socket over TCP and Unix sockets.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, SockFilter, SockRef};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Fresh, Stream};

/// A listening socket, not in any runtime.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix socket, shared by all workers.
    Unix(UnixListener),
}

/// A listening socket in the runtime of a worker.
#[derive(Debug)]
pub enum Acceptor {
    /// TCP.
    Tcp(AsyncFd<std::net::TcpListener>),
    /// A Unix socket, shared by all workers.
    Unix(tokio::net::UnixListener),
}

/// A connection with the address at its other end; `None` of a Unix socket.
pub type Accepted = (Stream, Option<IpAddr>);

/// How long clients may take to finish a handshake that has begun: one way there and back. Who comes
/// meanwhile loses nothing by a longer time, as long as it is less than the second after which they try again.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// Passes over what begins a connection, and takes everything else in, as a classic BPF program:
/// loads byte 13 of the TCP header, the flags (RFC 9293 §3.1); those with SYN (2) are dropped.
const NO_NEWCOMERS: [SockFilter; 4] = [
    SockFilter::new(0x30, 0, 0, 13),
    SockFilter::new(0x45, 0, 1, 2),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address and a port.
    Ip(SocketAddr),
    /// A file.
    Unix(PathBuf),
}

impl Listener {
    /// A socket that another process made, and where it listens.
    ///
    /// # Errors
    /// It is no socket that listens for connections at an address or a file.
    pub fn adopt(socket: OwnedFd) -> io::Result<(Self, Place)> {
        let unfit = || io::Error::from(io::ErrorKind::InvalidInput);
        let (domain, listens) = {
            let socket = SockRef::from(&socket);
            (socket.domain()?, socket.is_listener()?)
        };
        if !listens {
            return Err(unfit());
        }
        if domain == Domain::UNIX {
            let socket = UnixListener::from(socket);
            socket.set_nonblocking(true)?;
            let path = socket.local_addr()?.as_pathname().map(PathBuf::from);
            return Ok((Self::Unix(socket), Place::Unix(path.ok_or_else(unfit)?)));
        }
        let socket = std::net::TcpListener::from(socket);
        // As for those of our own: accepted sockets inherit it.
        SockRef::from(&socket).set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok((Self::Tcp(socket), Place::Ip(address)))
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// When descriptors are short.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }

    /// The address that it is bound to; `None` of a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The same within the runtime of the calling thread.
    ///
    /// # Errors
    /// When the runtime cannot take it.
    pub fn register(self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Tcp(socket) => Acceptor::Tcp(registered(socket)?),
            Self::Unix(socket) => Acceptor::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    /// A connection that the kernel has complete already.
    ///
    /// # Errors
    /// When there is none left.
    pub fn accept_at_once(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => accept(socket),
            Self::Unix(socket) => {
                let (stream, _) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::Unix(tokio::net::UnixStream::from_std(stream)?), None))
            }
        }
    }
}

impl Acceptor {
    /// See [`poll_accept`](Self::poll_accept).
    ///
    /// # Errors
    /// The same.
    pub async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The next connection. One task at a time may wait.
    ///
    /// # Errors
    /// When descriptors or memory are short, or the client has gone already.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match self {
            Self::Tcp(socket) => loop {
                let mut ready = ready!(socket.poll_read_ready(cx))?;
                if let Ok(accepted) = ready.try_io(|socket| accept(socket.get_ref())) {
                    return Poll::Ready(accepted);
                }
            },
            Self::Unix(socket) => {
                Poll::Ready(Ok((Stream::Unix(ready!(socket.poll_accept(cx))?.0), None)))
            }
        }
    }

    /// Lets nobody in who has not begun to connect yet, for good: a client whose connection is complete
    /// by the time that a socket is closed, and not accepted, is reset. On a Unix socket newcomers are
    /// refused from now on. Over TCP they are not heard; they try again after a second, and are
    /// refused then, for the socket is closed. Gives how long to go on accepting for the sake of those who have
    /// begun; nothing where the system does not know of it.
    ///
    /// Not for sockets that another process goes on with.
    pub fn refuse_newcomers(&self) -> Duration {
        let refused = match self {
            Self::Tcp(socket) => {
                SockRef::from(socket).attach_filter(&NO_NEWCOMERS).map(|()| HANDSHAKE)
            }
            Self::Unix(socket) => {
                SockRef::from(socket).shutdown(Shutdown::Read).map(|()| Duration::ZERO)
            }
        };
        refused.unwrap_or_default()
    }

    /// The same outside of any runtime.
    ///
    /// # Errors
    /// When the runtime cannot give it up.
    pub fn into_listener(self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(socket) => Listener::Tcp(socket.into_inner()),
            Self::Unix(socket) => Listener::Unix(socket.into_std()?),
        })
    }
}

/// A listening socket that the runtime watches. tokio's own type of it would have the runtime watch each
/// connection from the beginning.
#[expect(unsafe_code, reason = "the safe function is deprecated, for it takes sockets of any kind")]
fn registered(socket: std::net::TcpListener) -> io::Result<AsyncFd<std::net::TcpListener>> {
    // SAFETY: it has one descriptor, and keeps it until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// A connection that does not block; std would need a second system call for that.
fn accept(socket: &std::net::TcpListener) -> io::Result<Accepted> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (stream, peer) = acceptfrom_with(socket, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((Stream::Fresh(Fresh::new(stream.into())), peer.map(|peer| peer.ip())))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn who_has_begun_comes_through_and_newcomers_are_not_heard() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let acceptor = Listener::Tcp(socket).register().unwrap();
        let early = TcpStream::connect(address).unwrap();
        assert_eq!(acceptor.refuse_newcomers(), HANDSHAKE);
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(20));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (_stream, peer) = acceptor.accept().await.unwrap();
        assert_eq!(peer, Some(early.local_addr().unwrap().ip()));
        let listener = acceptor.into_listener().unwrap();
        assert!(listener.accept_at_once().is_err(), "the late one was taken in");
        drop(listener);
        let after = TcpStream::connect(address);
        assert_eq!(after.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn newcomers_at_a_unix_socket_are_refused_and_who_waits_is_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let socket = UnixListener::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let acceptor = Listener::Unix(socket).register().unwrap();
        let _early = UnixStream::connect(&path).unwrap();
        assert_eq!(acceptor.refuse_newcomers(), Duration::ZERO);
        let late = UnixStream::connect(&path);
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let listener = acceptor.into_listener().unwrap();
        assert!(listener.accept_at_once().is_ok());
        assert!(listener.accept_at_once().is_err());
    }
}
