//! One stream type over TCP and Unix sockets, plain or with TLS, used through readiness.
//!
//! The two directions of a connection are driven by one task, so that no split and no lock is
//! needed. A caller first waits for readiness, then takes a buffer, then reads: a connection that
//! waits holds no buffer. Reads and writes go through tokio's poll functions, which know that a
//! short read or write has emptied or filled the socket and so spare a system call that would only
//! say `WouldBlock`.

use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::fresh::Fresh;
use super::tls::Tls;
use crate::tls::{Secured, Server, ToBackend};

/// A connected stream socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// TCP, accepted a moment ago: the runtime does not know it yet.
    Fresh(Fresh),
    /// A Unix socket.
    Unix(UnixStream),
    /// A TLS session over one of the two.
    Tls(Box<Tls>),
}

/// The same on both kinds of sockets; something else on a session, and on one that is fresh.
macro_rules! forward {
    ($self:expr, $stream:ident => $call:expr, $tls:ident => $secured:expr, $fresh:ident => $first:expr) => {
        match $self {
            Self::Tcp($stream) => $call,
            Self::Unix($stream) => $call,
            Self::Tls($tls) => $secured,
            Self::Fresh($fresh) => $first,
        }
    };
}

impl Stream {
    /// Shakes hands with a client. `first`: what was read of it before.
    ///
    /// # Errors
    /// The handshake failed; the client has been told why.
    pub async fn accept(self, server: &Server, first: &[u8]) -> io::Result<Self> {
        let mut tls = Box::new(Tls::server(self, server)?);
        tls.begin_with(first)?;
        poll_fn(|cx| tls.poll_handshake(cx)).await?;
        Ok(Self::Tls(tls))
    }

    /// Shakes hands with a backend, which has to prove who it is.
    ///
    /// # Errors
    /// The handshake failed, or the backend does not speak the protocol that is wanted within.
    pub async fn meet(self, backend: &ToBackend) -> io::Result<Self> {
        let mut tls = Box::new(Tls::client(self, backend)?);
        poll_fn(|cx| tls.poll_handshake(cx)).await?;
        let agreed = tls.protocol();
        // Who agrees on nothing speaks HTTP/1.1.
        if agreed != Some(backend.protocol) && (agreed.is_some() || backend.protocol == b"h2") {
            let wanted = String::from_utf8_lossy(backend.protocol);
            return Err(io::Error::other(format!("the backend does not speak {wanted}")));
        }
        Ok(Self::Tls(tls))
    }

    /// What was agreed on in the handshake; `None` of a plain connection.
    pub fn secured(&self) -> Option<Secured> {
        match self {
            Self::Tls(tls) => Some(tls.secured()),
            Self::Tcp(_) | Self::Fresh(_) | Self::Unix(_) => None,
        }
    }

    /// The protocol that was agreed on in the handshake (ALPN, RFC 7301): `http/1.1`, `h2`.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(tls) => tls.protocol(),
            Self::Tcp(_) | Self::Fresh(_) | Self::Unix(_) => None,
        }
    }

    /// Since when it is open, as long as the runtime does not know it.
    #[inline]
    pub fn fresh_since(&self) -> Option<Instant> {
        match self {
            Self::Fresh(fresh) => Some(fresh.accepted()),
            Self::Tcp(_) | Self::Unix(_) | Self::Tls(_) => None,
        }
    }

    /// Tries a read or a write on a fresh socket; if that would block, or enough was tried, the runtime is told
    /// of the socket. `None`: it is not fresh, or not any more.
    fn try_fresh<R>(
        &mut self,
        attempt: impl FnOnce(&std::net::TcpStream) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        let Self::Fresh(fresh) = self else { return None };
        match fresh.socket_to_try().and_then(attempt) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.register().err().map(Err)
            }
            done => Some(done),
        }
    }

    /// Tells the runtime of a socket that it does not know yet.
    fn register(&mut self) -> io::Result<()> {
        if let Self::Fresh(fresh) = self {
            *self = Self::Tcp(fresh.register()?);
        }
        Ok(())
    }

    /// Waits until a read is worth trying, which it always is on a fresh socket. One task at a time may
    /// wait.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(
            self,
            s => s.poll_read_ready(cx),
            tls => tls.poll_read_ready(cx),
            _fresh => Poll::Ready(Ok(()))
        )
    }

    /// Reads what is there into the front of `buffer`; `Ok(0)` is the end of the stream.
    #[inline]
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        ready!(forward!(
            self,
            s => Pin::new(s).poll_read(cx, &mut read),
            tls => return tls.poll_read(cx, buffer),
            _fresh => return self.poll_read_fresh(cx, buffer)
        ))?;
        Poll::Ready(Ok(read.filled().len()))
    }

    /// A short read has emptied the socket: the next one waits, as it does where the runtime knows the socket.
    /// The end of what a client sent is so not found before what it sent has been looked at.
    fn poll_read_fresh(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if matches!(self, Self::Fresh(fresh) if fresh.is_emptied) {
            self.register()?;
        }
        let Some(read) = self.try_fresh(|mut socket| socket.read(buffer)) else {
            return self.poll_read(cx, buffer);
        };
        if let Self::Fresh(fresh) = self {
            fresh.is_emptied = read.as_ref().is_ok_and(|n| (1..buffer.len()).contains(n));
        }
        Poll::Ready(read)
    }

    /// Writes what the kernel takes of `pieces`. After `Pending` a session wants to be called again
    /// with bytes that begin with the same ones.
    #[inline]
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces {
            [one] => forward!(
                self,
                s => Pin::new(s).poll_write(cx, one),
                tls => tls.poll_write(cx, pieces),
                _fresh => self.poll_write_fresh(cx, pieces)
            ),
            many => forward!(
                self,
                s => Pin::new(s).poll_write_vectored(cx, many),
                tls => tls.poll_write(cx, pieces),
                _fresh => self.poll_write_fresh(cx, pieces)
            ),
        }
    }

    fn poll_write_fresh(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.try_fresh(|mut socket| match pieces {
            [one] => socket.write(one),
            many => socket.write_vectored(many),
        });
        match written {
            Some(done) => Poll::Ready(done),
            None => self.poll_write(cx, pieces),
        }
    }

    /// The same with the last bytes before the connection is closed, which follows at once: they leave with
    /// the end of the stream, in one segment instead of two, where they are few and the connection is plain.
    pub fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Self::Tls(tls) = self {
            return tls.poll_write(cx, pieces);
        }
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.poll_io_write(cx, |socket| match pieces {
            [one] => Ok(send(socket, one, flags)?),
            many => Ok(sendmsg(socket, many, &mut SendAncillaryBuffer::default(), flags)?),
        })
    }

    /// Whether what comes and goes is what the socket reads and writes.
    pub fn is_plain(&self) -> bool {
        !matches!(self, Self::Tls(_))
    }

    /// Tries a read of the caller's own on the socket of a plain connection when it is readable. It
    /// must not block, and say `WouldBlock` only when there is nothing to be read.
    pub fn poll_io_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            let done = forward!(
                self,
                s => s.try_io(Interest::READABLE, || read(s.as_fd())),
                _tls => return Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
                _fresh => match self.try_fresh(|socket| read(socket.as_fd())) {
                    Some(done) => done,
                    None => continue,
                }
            );
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// The same for a write.
    pub fn poll_io_write<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            let unsupported = || Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
            ready!(forward!(
                self,
                s => s.poll_write_ready(cx),
                _tls => return unsupported(),
                _fresh => Poll::Ready(Ok(()))
            ))?;
            let done = forward!(
                self,
                s => s.try_io(Interest::WRITABLE, || write(s.as_fd())),
                _tls => return unsupported(),
                _fresh => match self.try_fresh(|socket| write(socket.as_fd())) {
                    Some(done) => done,
                    None => continue,
                }
            );
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Writes all of this.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        poll_fn(|cx| {
            while sent < bytes.len() {
                sent += ready!(self.poll_write(cx, &[IoSlice::new(&bytes[sent..])]))?;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// The two ends, the other one first; `None` where they are no Internet addresses.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().zip(stream.local_addr().ok()),
            Self::Fresh(fresh) => {
                let socket = fresh.socket().ok()?;
                socket.peer_addr().ok().zip(socket.local_addr().ok())
            }
            Self::Unix(_) => None,
            Self::Tls(tls) => tls.socket.ends(),
        }
    }

    /// Whether an idle connection is still good: open, and silent. Costs a system call only when
    /// the kernel has reported something.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let read = forward!(
            self,
            s => s.try_read(&mut byte),
            tls => return tls.is_quiet(),
            _fresh => return self.is_silent()
        );
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same, asked of the kernel in any case: what it has not reported yet counts too.
    pub fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let read = forward!(
            self,
            s => recv(&*s, &mut byte, flags),
            tls => return tls.is_quiet(),
            fresh => match fresh.socket() {
                Ok(socket) => recv(socket, &mut byte, flags),
                Err(_) => return false,
            }
        );
        matches!(read, Err(Errno::WOULDBLOCK))
    }

    /// The port at our end; 0 of a Unix socket, and of one that is broken.
    pub fn local_port(&self) -> u16 {
        match self {
            Self::Tcp(stream) => stream.local_addr().map_or(0, |address| address.port()),
            Self::Fresh(fresh) => {
                let address = fresh.socket().and_then(std::net::TcpStream::local_addr);
                address.map_or(0, |address| address.port())
            }
            Self::Unix(_) => 0,
            Self::Tls(tls) => tls.socket.local_port(),
        }
    }

    /// Tells the other side that nothing more will be sent; what it sends can still be read.
    pub fn finish_writing(&mut self) -> io::Result<()> {
        self.say_goodbye();
        forward!(
            self,
            s => SockRef::from(&*s).shutdown(Shutdown::Write),
            tls => tls.socket.finish_writing(),
            fresh => fresh.socket()?.shutdown(Shutdown::Write)
        )
    }

    /// Ends a session before its connection is closed, so that the other side can tell the end from
    /// a cut (RFC 8446 §6.1). A plain connection has no such word.
    pub fn say_goodbye(&mut self) {
        if let Self::Tls(tls) = self {
            tls.send_close_notify();
        }
    }

    /// Has the kernel end a connection over TCP whose other end acknowledges nothing for so long: neither
    /// what was sent (RFC 5482) nor, while nothing is, that it is there (RFC 9293 §3.8.4).
    ///
    /// # Errors
    /// The connection is over already.
    pub fn end_when_silent(&self, silence: Duration) -> io::Result<()> {
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Fresh(fresh) => SockRef::from(fresh.socket()?),
            Self::Unix(_) => return Ok(()),
            Self::Tls(tls) => return tls.socket.end_when_silent(silence),
        };
        let probes = TcpKeepalive::new().with_time(silence / 2).with_interval(silence / 6);
        socket.set_tcp_keepalive(&probes)?;
        socket.set_tcp_user_timeout(Some(silence))
    }

    /// Resets the connection, so that what was sent cannot be taken for the whole.
    pub fn cut(self) {
        let zero = Some(Duration::ZERO);
        let _ = forward!(
            self,
            s => SockRef::from(&s).set_linger(zero),
            tls => return tls.socket.cut(),
            fresh => fresh.socket().and_then(|socket| SockRef::from(socket).set_linger(zero))
        );
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        forward!(self, s => s.as_raw_fd(), tls => tls.socket.as_raw_fd(), fresh => fresh.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_kernel_is_told_how_long_nothing_may_be_heard() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = tcp.as_fd().try_clone_to_owned().unwrap();
        Stream::Tcp(tcp).end_when_silent(Duration::from_secs(30)).unwrap();
        let socket = SockRef::from(&socket);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
        assert!(socket.keepalive().unwrap());
        // Asked three times, the last of them before the time is over.
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(15));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
    }
}
