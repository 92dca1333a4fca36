//! The response on its way: its body as it comes, through a pipe of the kernel where that pays, or at
//! the pace that its route wants.

use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll};

use crate::http1::{self, Decoder, Framing, ResponseHead};
use crate::model::Outcome;
use crate::proxy::buffers::{Buffer, ROOM};
use crate::proxy::exchange::{Exchange, Received};
use crate::proxy::failure::Failure;
use crate::proxy::pace::{ClientSide, Pace, Paced, Pacing, poll_paced};
use crate::proxy::piped::{Piped, poll_piped};
use crate::proxy::trailers::Trailers;
use crate::proxy::wire::Carries as _;
use crate::telemetry::Answering;

/// Most of a body of unknown length that is read at once.
const STREAM_READ: usize = 64 * 1024;
/// What is left of a body with a length when it goes through a pipe of the kernel: for less, the two
/// calls more for each piece cost as much as is saved.
const PIPED_FROM: u64 = 256 * 1024;

/// How the body of a response goes on to the client.
#[derive(Debug)]
pub(in crate::proxy) struct Relay {
    decoder: Decoder,
    chunked: bool,
    trailers: Trailers,
    /// It is not passed on as it comes.
    pacing: Option<Pacing>,
    extra: bool,
    body: u64,
    /// The client's connection is closed behind it, and the client sends nothing more.
    pub(in crate::proxy) is_last: bool,
}

impl Relay {
    /// The body of `response`, which is announced to the client as `out`.
    #[inline]
    pub(in crate::proxy) fn new(
        response: &ResponseHead,
        out: Framing,
        (trailers, pacing): (Trailers, Option<Pacing>),
    ) -> Self {
        Self {
            decoder: Decoder::new(response.framing()),
            chunked: out == Framing::Chunked,
            trailers,
            pacing,
            extra: false,
            body: 0,
            is_last: false,
        }
    }

    /// The backend's trailer fields that have come, a line each.
    pub(in crate::proxy) fn theirs(&self) -> &[u8] {
        self.decoder.trailers()
    }
}

/// How a relayed response ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct Relayed {
    /// Body bytes handed to the client's socket.
    pub(in crate::proxy) body: u64,
    /// Nothing speaks against using the connection again.
    pub(in crate::proxy) clean: bool,
    /// It took more than one go.
    pub(in crate::proxy) waited: bool,
    /// How fast the client gets what was read ahead of it.
    pub(in crate::proxy) pace: Option<Pace>,
}

impl Exchange<'_> {
    /// Puts `head` (already encoded for the client) on its way, with what came of the body.
    ///
    /// # Errors
    /// The body is broken from the start; nothing of the response has gone out, or will.
    pub(in crate::proxy) fn begin_relay(
        &mut self,
        relay: &mut Relay,
        received: Received,
        head: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let begin = self.to_client.head.len();
        if begin == 0 {
            std::mem::swap(&mut self.to_client.head, head);
        } else {
            self.to_client.head.append(head);
        }
        self.head_end = self.written + self.to_client.left() as u64;
        let Received { buffer, range } = received;
        if range.is_empty() || relay.decoder.is_done() {
            relay.extra = !range.is_empty();
            self.way.buffers.give(buffer);
            if relay.chunked && relay.decoder.is_done() {
                relay.trailers.push_last_chunk(&mut self.to_client.head, &[]);
            }
        } else if self.take_piece(relay, buffer, range).is_err() {
            self.to_client.head.truncate(begin);
            return Err(Failure::Attempt(Outcome::InvalidResponse));
        }
        if !relay.chunked
            && relay.pacing.is_none()
            && self.down.stream.plain().is_some()
            && self.connection.stream.is_plain()
            && relay.decoder.remaining().is_some_and(|remaining| remaining >= PIPED_FROM)
        {
            self.pipe = self.way.buffers.take_pipe();
        }
        let is_whole = relay.decoder.is_done() && relay.pacing.is_none();
        self.to_client.is_last = relay.is_last && is_whole;
        self.way.total = self.way.until;
        self.upload.end_withheld();
        Ok(())
    }

    /// Body bytes of the response that the client took so far.
    pub(in crate::proxy) fn body_written(&self) -> u64 {
        self.written.saturating_sub(self.head_end)
    }

    /// Moves a response that was begun to its end. What `answers` gives is held if that takes more than
    /// one go.
    pub(in crate::proxy) async fn relay<'c>(
        &mut self,
        relay: &mut Relay,
        answers: impl Fn() -> Answering<'c>,
    ) -> Result<Relayed, Failure> {
        let mut answering = None;
        poll_fn(|cx| {
            let done = self.poll_relay(relay, cx);
            if done.is_pending() && answering.is_none() {
                answering = Some(answers());
            }
            done
        })
        .await?;
        let clean = !relay.extra && self.upload.is_delivered();
        let pace = relay.pacing.and_then(|pacing| pacing.client);
        Ok(Relayed { body: relay.body, clean, waited: answering.is_some(), pace })
    }

    fn poll_relay(&mut self, relay: &mut Relay, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(mut pacing) = relay.pacing {
            let done = poll_paced(&mut AtPace { exchange: self, relay }, &mut pacing, cx);
            relay.pacing = Some(pacing);
            return done;
        }
        let flushed = loop {
            let flushed = self.to_client.poll_flush(
                &mut self.down.stream,
                cx,
                self.way.buffers,
                &mut self.written,
            );
            match flushed {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                Poll::Pending => break false,
                Poll::Ready(Ok(())) => {}
            }
            match self.poll_piped(relay, cx)? {
                None => {}
                Some(Piped::Whole) => return Poll::Ready(Ok(())),
                Some(Piped::WaitsForBackend) => break true,
                Some(Piped::WaitsForClient) => break false,
            }
            if relay.decoder.is_done() {
                return Poll::Ready(Ok(()));
            }
            if self.poll_read_body(relay, self.down.stream.room(), cx)?.is_pending() {
                break true;
            }
        };
        let uploaded =
            self.upload.poll(self.down, &mut self.connection.stream, self.way.buffers, cx);
        if let Poll::Ready(Err(failure)) = uploaded {
            return Poll::Ready(Err(failure));
        }
        if flushed && uploaded.is_ready() && !self.way.ignore_client_abort {
            self.down.poll_gone(self.way.buffers, cx)?;
        }
        self.poll_time_out(cx)
    }

    /// Moves the rest of a large body. `None`: it does not go through a pipe.
    fn poll_piped(
        &mut self,
        relay: &mut Relay,
        cx: &mut Context<'_>,
    ) -> Result<Option<Piped>, Failure> {
        let (Some(lent), Some(client)) = (&mut self.pipe, self.down.stream.plain()) else {
            return Ok(None);
        };
        let sides = (&mut self.connection.stream, client);
        let moved = (&mut self.read, &mut self.written);
        let before = relay.decoder.remaining();
        let piped = poll_piped(&mut lent.pipe, sides, &mut relay.decoder, moved, cx);
        relay.body += before.unwrap_or_default() - relay.decoder.remaining().unwrap_or_default();
        if piped == Ok(Piped::Whole)
            && let Some(lent) = self.pipe.take()
        {
            self.way.buffers.give_pipe(lent);
        }
        piped.map(Some)
    }

    /// Reads at most `most` bytes of the body.
    fn poll_read_body(
        &mut self,
        relay: &mut Relay,
        most: usize,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Failure> {
        let stream = &mut self.connection.stream;
        let truncated = Failure::Attempt(Outcome::Truncated);
        match stream.poll_read_ready(cx) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(ready) => ready.map_err(|_| truncated)?,
        }
        let mut buffer = self.way.buffers.take();
        let want = match relay.decoder.remaining() {
            // One byte more than can come: a short read tells that the socket is empty, which spares
            // a look at the connection before its next request.
            Some(remaining) => usize::try_from(remaining + 1).map_or(ROOM, |want| want.min(ROOM)),
            None => STREAM_READ,
        };
        let want = want.min(most);
        match stream.poll_read(cx, &mut buffer[..want]) {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.read += n as u64;
                self.take_piece(relay, buffer, 0..n)?;
                Ok(Poll::Ready(()))
            }
            Poll::Pending => {
                self.way.buffers.give(buffer);
                Ok(Poll::Pending)
            }
            Poll::Ready(end) => {
                self.way.buffers.give(buffer);
                end.map_err(|_| truncated)?;
                relay.decoder.on_eof().map_err(|_| truncated)?;
                relay.extra = true; // Closed: not for the pool.
                if relay.chunked {
                    relay.trailers.push_last_chunk(&mut self.to_client.tail, &[]);
                }
                Ok(Poll::Ready(()))
            }
        }
    }

    /// Decodes a piece of the body and puts it on its way.
    fn take_piece(
        &mut self,
        relay: &mut Relay,
        mut buffer: Buffer,
        range: Range<usize>,
    ) -> Result<(), Failure> {
        let Ok(decoded) = relay.decoder.decode_in_place(&mut buffer[range.clone()]) else {
            self.way.buffers.give(buffer);
            return Err(Failure::Attempt(Outcome::Truncated));
        };
        relay.extra |= decoded.consumed < range.len();
        let len = decoded.data.len();
        relay.body += len as u64;
        if len == 0 {
            self.way.buffers.give(buffer);
        } else if !self.to_client.takes_piece() {
            let begin = range.start + decoded.data.start;
            let out = self.to_client.end();
            if relay.chunked {
                http1::encode::push_chunk_head(out, len);
            }
            out.extend_from_slice(&buffer[begin..begin + len]);
            if relay.chunked {
                out.extend_from_slice(b"\r\n");
            }
            self.way.buffers.give(buffer);
        } else {
            if relay.chunked {
                http1::encode::push_chunk_head(&mut self.to_client.head, len);
                self.to_client.tail.extend_from_slice(b"\r\n");
            }
            let begin = range.start + decoded.data.start;
            let piece = begin..begin + len;
            self.to_client.set_body(buffer, piece, self.way.buffers);
        }
        if relay.chunked && decoded.done {
            let theirs = relay.decoder.trailers();
            relay.trailers.push_last_chunk(&mut self.to_client.tail, theirs);
        }
        Ok(())
    }
}

/// A relay that keeps to a pace.
struct AtPace<'x, 'a> {
    exchange: &'x mut Exchange<'a>,
    relay: &'x mut Relay,
}

impl Paced for AtPace<'_, '_> {
    fn has_all(&self) -> bool {
        self.relay.decoder.is_done()
    }

    fn came(&self) -> u64 {
        self.exchange.read
    }

    fn poll_read(&mut self, room: usize, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        self.exchange.poll_read_body(self.relay, room, cx)
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        let Exchange { way, down, connection, upload, .. } = &mut *self.exchange;
        match upload.poll(down, &mut connection.stream, way.buffers, cx) {
            Poll::Ready(Err(failure)) => Err(failure),
            uploaded => Ok(uploaded.map(|_| ())),
        }
    }

    fn poll_time_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.exchange.poll_time_out(cx)
    }

    fn client_side(&mut self) -> ClientSide<'_> {
        let Exchange { way, down, to_client, written, still, .. } = &mut *self.exchange;
        ClientSide {
            to_client,
            down,
            buffers: way.buffers,
            written,
            still,
            ignores_abort: way.ignore_client_abort,
            until: way.total,
        }
    }
}
