//! A client's socket, as the HTTP/2 library drives it.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::net::Stream;
use crate::proxy::timer::Timer;

/// How long a closing connection is read from, so that the client sees the last frames before the
/// end.
const LINGER: Duration = Duration::from_secs(1);

/// Since when the client has taken no bytes that wait for it.
pub(super) type Blocked = Rc<Cell<Option<Instant>>>;

/// A client's socket.
#[derive(Debug)]
pub(super) struct Io {
    stream: Stream,
    /// What was read of it before.
    before: Vec<u8>,
    blocked: Blocked,
    timer: Timer,
    /// Our half is closed; until when the other one is read.
    until: Option<Instant>,
}

impl Io {
    /// A socket of which this was read before.
    pub(super) fn new(stream: Stream, before: Vec<u8>, blocked: Blocked) -> Self {
        Self { stream, before, blocked, timer: Timer::default(), until: None }
    }

    /// Notes whether the client takes bytes.
    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.blocked.set(None),
            Poll::Pending if self.blocked.get().is_none() => self.blocked.set(Some(Instant::now())),
            Poll::Pending => {}
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.before.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let n = this.before.len().min(buffer.remaining());
        buffer.put_slice(&this.before[..n]);
        this.before.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.stream.poll_write(cx, pieces);
        this.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Ends our half, and reads what the client still sends for a while: closing at once would reset
    /// the connection, and could take the last frames with it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let until = if let Some(until) = this.until {
            until
        } else {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            *this.until.insert(Instant::now() + LINGER)
        };
        let mut bytes = [0; 4096];
        loop {
            match this.stream.poll_read(cx, &mut bytes) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return this.timer.poll(until, cx).map(Ok),
            }
        }
    }
}
