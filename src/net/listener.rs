//! One listening socket over TCP and Unix sockets.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::task::{Context, Poll, ready};

use socket2::{Domain, SockRef};

use super::Stream;

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
    Tcp(tokio::net::TcpListener),
    /// A Unix socket, shared by all workers.
    Unix(tokio::net::UnixListener),
}

/// A connection with the address at its other end; `None` of a Unix socket.
pub type Accepted = (Stream, Option<IpAddr>);

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
            Self::Tcp(socket) => Acceptor::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Self::Unix(socket) => Acceptor::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    /// A connection that the kernel has complete already.
    ///
    /// # Errors
    /// When there is none left.
    pub fn accept_at_once(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Stream::Tcp(tokio::net::TcpStream::from_std(stream)?), Some(peer.ip())))
            }
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
        Poll::Ready(match self {
            Self::Tcp(socket) => {
                let (stream, peer) = ready!(socket.poll_accept(cx))?;
                Ok((Stream::Tcp(stream), Some(peer.ip())))
            }
            Self::Unix(socket) => Ok((Stream::Unix(ready!(socket.poll_accept(cx))?.0), None)),
        })
    }

    /// The same outside of any runtime.
    ///
    /// # Errors
    /// When the runtime cannot give it up.
    pub fn into_listener(self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(socket) => Listener::Tcp(socket.into_std()?),
            Self::Unix(socket) => Listener::Unix(socket.into_std()?),
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}
