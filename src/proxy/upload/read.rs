//! The body as it comes from the client.

use std::io;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::http1;
use crate::proxy::buffers::{Buffer, Buffers, Lent, ROOM};
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::upload::Upload;
use crate::proxy::wire::Carries;

/// What the client gets when it waits for leave to send its body (RFC 9110 §10.1.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Upload {
    /// The next bytes of the body, without framing; `None` after the last ones. For HTTP/2.
    pub(in crate::proxy) fn poll_data(
        &mut self,
        down: &mut Downstream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Result<Poll<Option<Bytes>>, Failure> {
        while self.outgoing.is_empty() {
            match self.poll_load(buffers, cx)? {
                Poll::Ready(true) => continue,
                Poll::Ready(false) => {}
                Poll::Pending => return Ok(Poll::Pending),
            }
            if self.complete || self.stays() {
                return Ok(Poll::Ready(None));
            }
            if self.poll_piece(down, buffers, cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
        }
        let data = self.outgoing.take(buffers);
        self.sent += data.len() as u64;
        Ok(Poll::Ready(Some(data)))
    }

    /// Reads and throws away what is left of the body, for a request that was answered without it.
    pub(in crate::proxy) fn poll_discard(
        &mut self,
        down: &mut Downstream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        self.outgrown = true;
        while !self.complete {
            ready!(self.poll_piece(down, buffers, cx))?;
            self.outgoing.clear();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the next piece of the body and puts it into `outgoing`.
    pub(super) fn poll_piece(
        &mut self,
        down: &mut Downstream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let (buffer, data) = ready!(self.poll_read(down, buffers, cx))?;
        self.enqueue(buffer, data, buffers);
        Poll::Ready(Ok(()))
    }

    /// Reads the next piece of the body, without its framing.
    pub(super) fn poll_read(
        &mut self,
        down: &mut Downstream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Lent, Failure>> {
        let (mut buffer, read) = if let Some((mut buffer, mut read)) = down.first_piece.take() {
            // A body that fills what was read of it so far goes on in the same buffer.
            if down.leftover.is_empty()
                && self.decoder.remaining().is_some_and(|left| left > read.len() as u64)
                && down.stream.poll_read_ready(cx).is_ready()
                && let Poll::Ready(Ok(n)) = down.stream.poll_read(cx, &mut buffer[read.end..])
            {
                read.end += n;
            }
            (buffer, read)
        } else if down.leftover.is_empty() {
            if self.continue_due {
                ready!(self.poll_continue(down, cx))?;
            }
            ready!(down.stream.poll_read_ready(cx)).map_err(|_| Failure::ClientGone)?;
            let mut buffer = buffers.take();
            match down.stream.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(n)) if n > 0 => (buffer, 0..n),
                Poll::Ready(_) => {
                    buffers.give(buffer);
                    return Poll::Ready(Err(Failure::ClientGone));
                }
                Poll::Pending => {
                    buffers.give(buffer);
                    return Poll::Pending;
                }
            }
        } else {
            let mut buffer = buffers.take();
            let n = down.leftover.len().min(ROOM);
            buffer[..n].copy_from_slice(&down.leftover[..n]);
            down.leftover.drain(..n);
            (buffer, 0..n)
        };
        self.continue_due = false;
        let Ok(decoded) = self.decoder.decode_in_place(&mut buffer[read.clone()]) else {
            buffers.give(buffer);
            self.lost = true;
            return Poll::Ready(Err(Failure::BadBody));
        };
        let next = read.start + decoded.consumed..read.end;
        if !next.is_empty() {
            // The next request begins in this read. It stands before what came later.
            down.leftover.splice(..0, buffer[next].iter().copied());
        }
        self.complete = decoded.done;
        self.received += decoded.data.len() as u64;
        if self.limit.is_some_and(|limit| self.received > limit) {
            buffers.give(buffer);
            return Poll::Ready(Err(Failure::BodyTooLarge));
        }
        let data = read.start + decoded.data.start..read.start + decoded.data.end;
        Poll::Ready(Ok((buffer, data)))
    }

    fn enqueue(&mut self, buffer: Buffer, piece: Range<usize>, buffers: &Buffers) {
        let n = piece.len();
        if !self.outgrown {
            let to_come = self.decoder.remaining().unwrap_or(0);
            if (self.kept.len() + n) as u64 + to_come <= self.keep_up_to as u64 {
                self.kept.extend_from_slice(&buffer[piece.clone()]);
            } else {
                self.outgrown = true;
                self.kept = Vec::new();
            }
        }
        if n == 0 {
            buffers.give(buffer);
        } else {
            if self.chunked {
                http1::encode::push_chunk_head(&mut self.outgoing.head, n);
                self.outgoing.tail.extend_from_slice(b"\r\n");
            }
            self.outgoing.set_body(buffer, piece, buffers);
        }
        if self.chunked && self.complete {
            http1::encode::push_last_chunk(&mut self.outgoing.tail, self.decoder.trailers());
        }
    }

    fn poll_continue(
        &mut self,
        down: &mut Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let written = ready!(down.stream.poll_write(cx, &[io::IoSlice::new(CONTINUE)]));
        self.continue_due = false;
        match written {
            // 25 bytes into an empty send buffer go at once or not at all.
            Ok(n) if n == CONTINUE.len() => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(Failure::ClientGone)),
        }
    }
}
