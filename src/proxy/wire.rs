//! What carries the bytes between a client and us: its own socket, or one stream of its HTTP/2
//! connection, which takes and gives the same bytes (`client_h2`).

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::time::Instant;

use crate::net::Stream;
use crate::proxy::buffers::ROOM;
use crate::proxy::client_h2::Channel;

/// Most of a response that is read for an HTTP/2 client at once: its window may be closed, and what
/// then waits is memory that a client can claim once per stream.
const STREAM_ROOM: usize = 64 * 1024;

/// Between a client and us.
#[derive(Debug)]
pub(super) enum Wire {
    /// A socket of its own.
    Socket(Stream),
    /// A stream of an HTTP/2 connection. Boxed: sockets shall not pay for its size.
    Http2(Box<Channel>),
}

/// What bytes can be moved from and to.
pub(super) trait Carries {
    /// See [`Stream::poll_read_ready`].
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// See [`Stream::poll_read`].
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    /// See [`Stream::poll_write`].
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;
    /// See [`Stream::poll_write_last`].
    fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, pieces)
    }
    /// See [`Stream::finish_writing`].
    fn finish_writing(&mut self) -> io::Result<()>;
    /// The socket, if what the other side gets is what is written to it.
    fn plain(&mut self) -> Option<&mut Stream>;
    /// Whether many of these belong to one client, so that none may keep a lent buffer while it
    /// cannot take bytes.
    fn is_one_of_many(&self) -> bool {
        false
    }
}

impl Carries for Stream {
    #[inline]
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, buffer)
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, pieces)
    }

    fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_last(self, cx, pieces)
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        Self::finish_writing(self)
    }

    #[inline]
    fn plain(&mut self) -> Option<&mut Stream> {
        self.is_plain().then_some(self)
    }
}

impl Carries for Wire {
    #[inline]
    fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(stream) => stream.poll_read_ready(cx),
            Self::Http2(channel) => channel.poll_read_ready(cx),
        }
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(stream) => stream.poll_read(cx, buffer),
            Self::Http2(channel) => channel.poll_read(cx, buffer),
        }
    }

    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(stream) => stream.poll_write(cx, pieces),
            Self::Http2(channel) => channel.poll_write(cx, pieces),
        }
    }

    fn poll_write_last(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(stream) => stream.poll_write_last(cx, pieces),
            Self::Http2(channel) => channel.poll_write(cx, pieces),
        }
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(stream) => stream.finish_writing(),
            Self::Http2(channel) => channel.finish_writing(),
        }
    }

    #[inline]
    fn plain(&mut self) -> Option<&mut Stream> {
        match self {
            Self::Socket(stream) => stream.plain(),
            Self::Http2(_) => None,
        }
    }

    fn is_one_of_many(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

impl Wire {
    /// Most of a response that is to be read at once for whoever is at the other end.
    #[inline]
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Socket(_) => ROOM,
            Self::Http2(_) => STREAM_ROOM,
        }
    }

    /// The two ends, the other one first; `None` where they are no Internet addresses.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Socket(stream) => stream.ends(),
            Self::Http2(channel) => channel.ends(),
        }
    }

    /// The port at our end; 0 of a Unix socket, and of one that is broken.
    pub(super) fn local_port(&self) -> u16 {
        match self {
            Self::Socket(stream) => stream.local_port(),
            Self::Http2(channel) => channel.ends().map_or(0, |(_, ours)| ours.port()),
        }
    }

    /// Whether the client asks for a tunnel and for nothing else (RFC 8441). With `Upgrade` it asks for
    /// a response too, should there be no tunnel.
    pub(super) fn asks_for_tunnel(&self) -> bool {
        matches!(self, Self::Http2(channel) if channel.asks_for_tunnel())
    }

    /// See [`Stream::fresh_since`].
    #[inline]
    pub(super) fn fresh_since(&self) -> Option<Instant> {
        match self {
            Self::Socket(stream) => stream.fresh_since(),
            Self::Http2(_) => None,
        }
    }

    /// Whether a socket has nothing that was not read.
    pub(super) fn is_silent(&mut self) -> bool {
        match self {
            Self::Socket(stream) => stream.is_silent(),
            Self::Http2(_) => false,
        }
    }

    /// See [`Stream::say_goodbye`].
    pub(super) fn say_goodbye(&mut self) {
        if let Self::Socket(stream) = self {
            stream.say_goodbye();
        }
    }

    /// Cuts a socket so that the client cannot take what it got for the whole. A stream whose answer
    /// has no end is reset by whoever serves it.
    pub(super) fn cut(self) {
        if let Self::Socket(stream) = self {
            stream.cut();
        }
    }
}
