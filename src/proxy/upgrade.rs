//! A connection that has switched protocols: bytes both ways until both sides have ended.
//!
//! Either side may end its half first (RFC 9110 §7.8 leaves the rules to the new protocol); the
//! other half goes on. A tunnel in which nothing moves for the read time-out is ended.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::buffers::Buffers;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::timer::Timer;
use crate::proxy::wire::Carries;

/// Most that is read at once in one direction.
const READ: usize = 64 * 1024;

/// One direction of a tunnel.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Bytes on their way; filled with what was read before the tunnel stood.
    pub(super) outgoing: Outgoing,
    /// Bytes that the receiving side took.
    pub(super) moved: u64,
    ended: bool,
    closed: bool,
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
            ready!(from.poll_read_ready(cx))?;
            let mut buffer = buffers.take();
            match from.poll_read(cx, &mut buffer[..READ]) {
                Poll::Ready(Ok(n)) if n > 0 => self.outgoing.set_body(buffer, 0..n, buffers),
                other => {
                    buffers.give(buffer);
                    self.ended = ready!(other)? == 0;
                }
            }
        }
    }
}
