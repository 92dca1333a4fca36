//! A connection that has switched protocols: bytes both ways until both sides have ended.
//!
//! Either side may end its half first (RFC 9110 §7.8 leaves the rules to the new protocol); the
//! other half goes on. A tunnel in which nothing moves for the read time-out is ended.
//!
//! Messages are copied through a buffer, which costs less for few bytes. What comes faster than a buffer
//! takes at once goes through a pipe of the kernel and is not copied.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::buffers::{Buffers, LentPipe};
use crate::proxy::outgoing::Outgoing;
use crate::proxy::timer::Timer;
use crate::proxy::wire::Carries;

/// Most that is read at once in one direction.
const READ: usize = 64 * 1024;

/// From how much on at once the pipe is worth it.
const BULK: usize = 16 * 1024;

/// One direction of a tunnel.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Bytes on their way; filled with what was read before the tunnel stood.
    pub(super) outgoing: Outgoing,
    /// Bytes that the receiving side took.
    pub(super) moved: u64,
    ended: bool,
    closed: bool,
    /// More came at once than a buffer takes.
    bulk: bool,
    /// Holds bytes on their way that the receiving side does not take yet.
    pipe: Option<Box<LentPipe>>,
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Both sides ended.
    Both,
    /// Nothing moved for too long.
    Idle,
    /// A side broke.
    Broken,
}

/// Moves bytes until the tunnel ends.
pub(super) async fn tunnel(
    client: &mut impl Carries,
    backend: &mut impl Carries,
    (up, down): (&mut Flow, &mut Flow),
    buffers: &Buffers,
    timer: &mut Timer,
    idle: Duration,
) -> Ended {
    let mut still = (Instant::now(), 0);
    poll_fn(|cx| {
        let sent = up.poll(client, backend, buffers, cx);
        let got = down.poll(backend, client, buffers, cx);
        match (sent, got) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Ended::Broken),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Both),
            _ => {
                let moved = up.moved + down.moved;
                if moved != still.1 {
                    still = (Instant::now(), moved);
                }
                timer.poll(still.0 + idle, cx).map(|()| Ended::Idle)
            }
        }
    })
    .await
}

impl Flow {
    fn poll(
        &mut self,
        from: &mut impl Carries,
        to: &mut impl Carries,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.outgoing.poll_flush(to, cx, buffers, &mut self.moved))?;
            if self.ended {
                if !self.closed {
                    self.closed = true;
                    to.finish_writing()?;
                }
                return Poll::Ready(Ok(()));
            }
            if self.bulk || self.pipe.is_some() {
                ready!(self.poll_piped(from, to, buffers, cx))?;
                continue;
            }
            ready!(from.poll_read_ready(cx))?;
            let mut buffer = buffers.take();
            match from.poll_read(cx, &mut buffer[..READ]) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.bulk = n == READ;
                    self.outgoing.set_body(buffer, 0..n, buffers);
                }
                other => {
                    buffers.give(buffer);
                    self.ended = ready!(other)? == 0;
                }
            }
        }
    }

    /// Moves a piece through a pipe; ready at the end of what is sent, or where there is no pipe for it.
    fn poll_piped(
        &mut self,
        from: &mut impl Carries,
        to: &mut impl Carries,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let (Some(from), Some(to)) = (from.plain(), to.plain()) else {
            self.bulk = false;
            return Poll::Ready(Ok(()));
        };
        let Some(mut lent) = self.pipe.take().or_else(|| buffers.take_pipe()) else {
            self.bulk = false;
            return Poll::Ready(Ok(()));
        };
        if lent.pipe.held() == 0 {
            let Poll::Ready(filled) = lent.pipe.poll_fill(from, usize::MAX, cx) else {
                buffers.give_pipe(lent);
                return Poll::Pending;
            };
            let filled = filled?;
            self.bulk = filled >= BULK;
            self.ended = filled == 0;
        }
        while lent.pipe.held() > 0 {
            match lent.pipe.poll_drain(to, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(drained) => self.moved += drained? as u64,
                Poll::Pending => {
                    self.pipe = Some(lent);
                    return Poll::Pending;
                }
            }
        }
        buffers.give_pipe(lent);
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        // One piece in a row: whoever else is ready has its turn before the next one.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
