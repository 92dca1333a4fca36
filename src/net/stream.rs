//! One stream type over TCP and Unix sockets, used through readiness.
//!
//! The two directions of a connection are driven by one task, so that no split and no lock is
//! needed. A caller first waits for readiness, then takes a buffer, then reads: a connection that
//! waits holds no buffer. Reads and writes go through tokio's poll functions, which know that a
//! short read or write has emptied or filled the socket and so spare a system call that would only
//! say `WouldBlock`.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

macro_rules! forward {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self {
            Self::Tcp($stream) => $call,
            Self::Unix($stream) => $call,
        }
    };
}

impl Stream {
    /// Waits until a read is worth trying. One task at a time may wait.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, s => s.poll_read_ready(cx))
    }

    /// Reads what is there into the front of `buffer`; `Ok(0)` is the end of the stream.
    #[inline]
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(forward!(self, s => Pin::new(s).poll_read(cx, &mut buffer)))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Writes what the kernel takes of `pieces`.
    #[inline]
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces {
            [one] => forward!(self, s => Pin::new(s).poll_write(cx, one)),
            many => forward!(self, s => Pin::new(s).poll_write_vectored(cx, many)),
        }
    }

    /// The two ends, the other one first; `None` where they are no Internet addresses.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().zip(stream.local_addr().ok()),
            Self::Unix(_) => None,
        }
    }

    /// Whether an idle connection is still good: open, and silent. Costs a system call only when
    /// the kernel has reported something.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = forward!(self, s => s.try_read(&mut byte));
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The port at our end; 0 of a Unix socket, and of one that is broken.
    pub fn local_port(&self) -> u16 {
        match self {
            Self::Tcp(stream) => stream.local_addr().map_or(0, |address| address.port()),
            Self::Unix(_) => 0,
        }
    }

    /// Tells the other side that nothing more will be sent; what it sends can still be read.
    pub fn finish_writing(&self) -> io::Result<()> {
        forward!(self, s => SockRef::from(s).shutdown(Shutdown::Write))
    }
}
