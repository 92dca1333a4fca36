//! One request and its response over one connection to a backend.
//!
//! Request and response move independently: a backend may answer before it has read the whole
//! request, and both directions may stream at the same time. One task polls both; whoever has to
//! move next decides which time-out runs.

use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use crate::http1::{self, Decoder, Framing, HeadError, Limits, Parse, ResponseHead, Version};
use crate::model::Outcome;
use crate::proxy::buffers::{Buffer, Buffers, LentPipe, ROOM};
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::pace::{Pace, Pacing};
use crate::proxy::piped::{Piped, poll_piped};
use crate::proxy::pool::Connection;
use crate::proxy::still::{Moved, Still};
use crate::proxy::trailers::Trailers;
use crate::proxy::upload::{Upload, Waits};
use crate::snapshot::settings::{Client, Timeouts};

/// Most of a response head that is read at once.
const HEAD_READ: usize = 16 * 1024;
/// Most of a body of unknown length that is read at once.
const STREAM_READ: usize = 64 * 1024;
/// What is left of a body with a length when it goes through a pipe of the kernel: for less, the two
/// calls more for each piece cost as much as is saved.
const PIPED_FROM: u64 = 256 * 1024;
/// Informational responses before the final one that a backend may send.
const MAX_INFORMATIONAL: u8 = 16;

/// Limits of a response head.
const RESPONSE_LIMITS: Limits = Limits { max_head_bytes: 64 * 1024, ..Limits::DEFAULT };

/// Bytes that were read behind a response head.
#[derive(Debug)]
pub(super) struct Received {
    buffer: Buffer,
    range: Range<usize>,
}

impl Received {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }

    /// The buffer back to its owner.
    pub(super) fn give_back(self, buffers: &Buffers) {
        buffers.give(self.buffer);
    }
}

/// What an exchange goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) buffers: &'a Buffers,
    pub(super) client: &'a Client,
    pub(super) timeouts: &'a Timeouts,
    /// When the attempt began.
    pub(super) begun: Instant,
    /// When the time for all attempts is used up.
    pub(super) total: Option<Instant>,
    /// When the client waits no longer, the end of the answer included.
    pub(super) until: Option<Instant>,
    /// Early hints are passed on.
    pub(super) early_hints: bool,
    /// What does not begin like HTTP is a body without a head.
    pub(super) bare_answers: bool,
    /// The request goes on whose client has closed its side.
    pub(super) ignore_client_abort: bool,
}

/// A request under way to one backend.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    way: Way<'a>,
    down: &'a mut Downstream,
    pub(super) connection: Connection,
    pub(super) upload: &'a mut Upload,
    /// A response head that has come in part.
    partial: Vec<u8>,
    informational: u8,
    to_client: &'a mut Outgoing,
    /// Bytes that the client took, early hints included.
    pub(super) written: u64,
    /// Where in these the final response's head ends.
    head_end: u64,
    /// Bytes that came from the backend.
    pub(super) read: u64,
    /// What the rest of a large body goes through.
    pipe: Option<Box<LentPipe>>,
    still: Still,
}

/// How the body of a response goes on to the client.
#[derive(Debug)]
pub(super) struct Relay {
    decoder: Decoder,
    chunked: bool,
    trailers: Trailers,
    /// It is not passed on as it comes.
    pacing: Option<Pacing>,
    extra: bool,
    body: u64,
}

/// How a relayed response ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relayed {
    /// Body bytes handed to the client's socket.
    pub(super) body: u64,
    /// Nothing speaks against using the connection again.
    pub(super) clean: bool,
    /// It took more than one go.
    pub(super) waited: bool,
    /// How fast the client gets what was read ahead of it.
    pub(super) pace: Option<Pace>,
}

impl<'a> Exchange<'a> {
    /// An exchange over `connection`. The upload is begun. Early hints of an attempt before may
    /// still be on their way in `to_client`.
    pub(super) fn new(
        way: Way<'a>,
        down: &'a mut Downstream,
        connection: Connection,
        upload: &'a mut Upload,
        to_client: &'a mut Outgoing,
    ) -> Self {
        Self {
            way,
            down,
            connection,
            upload,
            partial: Vec::new(),
            informational: 0,
            to_client,
            written: 0,
            head_end: 0,
            read: 0,
            pipe: None,
            still: Still::default(),
        }
    }

    /// The two sides, and what is still on its way to the client, for a tunnel.
    pub(super) fn into_sides(self) -> (&'a mut Downstream, Connection, &'a mut Outgoing) {
        (self.down, self.connection, self.to_client)
    }

    /// Sends the request and waits for the final response head.
    pub(super) async fn head(
        &mut self,
        response: &mut ResponseHead,
        method: &[u8],
        version: Version,
    ) -> Result<Received, Failure> {
        response.reset();
        poll_fn(|cx| self.poll_head(response, method, version, cx)).await
    }

    fn poll_head(
        &mut self,
        response: &mut ResponseHead,
        method: &[u8],
        version: Version,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, Failure>> {
        let uploaded =
            self.upload.poll(self.down, &mut self.connection.stream, self.way.buffers, cx);
        if let Poll::Ready(Err(failure)) = uploaded {
            return Poll::Ready(Err(failure));
        }
        loop {
            // Early hints go out at once; a client that does not take them waits no longer for it.
            let flushed = self.to_client.poll_flush(
                &mut self.down.stream,
                cx,
                self.way.buffers,
                &mut self.written,
            );
            if let Poll::Ready(Err(_)) = flushed {
                return Poll::Ready(Err(Failure::ClientGone));
            }
            let Poll::Ready((buffer, end)) = self.poll_read_head(cx)? else {
                break;
            };
            match self.parse_head(buffer, end, response, method, version) {
                Ok(Some(received)) => return Poll::Ready(Ok(received)),
                Ok(None) => {}
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        if uploaded.is_ready() && !self.way.ignore_client_abort {
            self.down.poll_gone(self.way.buffers, cx)?;
        }
        self.poll_time_out(cx)
    }

    /// A buffer with what has come of the head so far.
    fn poll_read_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Buffer, usize), Failure>> {
        let stream = &mut self.connection.stream;
        let reset = Failure::Attempt(Outcome::Reset);
        ready!(stream.poll_read_ready(cx)).map_err(|_| reset)?;
        let mut buffer = self.way.buffers.take();
        let begin = self.partial.len();
        buffer[..begin].copy_from_slice(&self.partial);
        match stream.poll_read(cx, &mut buffer[begin..begin + HEAD_READ]) {
            Poll::Ready(Ok(n)) if n > 0 => {
                self.read += n as u64;
                Poll::Ready(Ok((buffer, begin + n)))
            }
            other => {
                self.way.buffers.give(buffer);
                other.map(|_| Err(reset))
            }
        }
    }

    /// Parses heads until the final one. `None`: more bytes are needed.
    fn parse_head(
        &mut self,
        buffer: Buffer,
        end: usize,
        response: &mut ResponseHead,
        method: &[u8],
        version: Version,
    ) -> Result<Option<Received>, Failure> {
        let mut begin = 0;
        loop {
            match response.parse(&buffer[begin..end], &RESPONSE_LIMITS, method) {
                Ok(Parse::Complete { len }) => {
                    begin += len;
                    if !response.is_informational() || response.status() == 101 {
                        return Ok(Some(Received { buffer, range: begin..end }));
                    }
                    self.informational += 1;
                    if self.informational > MAX_INFORMATIONAL {
                        self.way.buffers.give(buffer);
                        return Err(Failure::Attempt(Outcome::InvalidResponse));
                    }
                    if response.status() == 103
                        && version >= Version::Http11
                        && self.way.early_hints
                    {
                        crate::proxy::headers::write_informational(
                            &mut self.to_client.head,
                            response,
                        );
                    }
                }
                Ok(Parse::Partial) => {
                    self.partial.clear();
                    self.partial.extend_from_slice(&buffer[begin..end]);
                    self.way.buffers.give(buffer);
                    return Ok(None);
                }
                Err(HeadError::BadStatusLine)
                    if self.way.bare_answers && begin == 0 && self.informational == 0 =>
                {
                    response.without_head(method);
                    return Ok(Some(Received { buffer, range: 0..end }));
                }
                Err(_) => {
                    self.way.buffers.give(buffer);
                    return Err(Failure::Attempt(Outcome::InvalidResponse));
                }
            }
        }
    }

    /// Puts `head` (already encoded for the client) on its way, with what came of the body. `out`
    /// is the framing announced to the client.
    ///
    /// # Errors
    /// The body is broken from the start; nothing of the response has gone out, or will.
    pub(super) fn begin_relay(
        &mut self,
        response: &ResponseHead,
        out: Framing,
        received: Received,
        head: &mut Vec<u8>,
        (trailers, pacing): (Trailers, Option<Pacing>),
    ) -> Result<Relay, Failure> {
        let begin = self.to_client.head.len();
        self.to_client.head.append(head);
        self.head_end = self.written + self.to_client.left() as u64;
        let mut relay = Relay {
            decoder: Decoder::new(response.framing()),
            chunked: out == Framing::Chunked,
            trailers,
            pacing,
            extra: false,
            body: 0,
        };
        let Received { buffer, range } = received;
        if range.is_empty() || relay.decoder.is_done() {
            relay.extra = !range.is_empty();
            self.way.buffers.give(buffer);
            if relay.chunked && relay.decoder.is_done() {
                relay.trailers.push_last_chunk(&mut self.to_client.head, &[]);
            }
        } else if self.take_piece(&mut relay, buffer, range).is_err() {
            self.to_client.head.truncate(begin);
            return Err(Failure::Attempt(Outcome::InvalidResponse));
        }
        if out == response.framing()
            && relay.pacing.is_none()
            && self.down.stream.plain().is_some()
            && self.connection.stream.is_plain()
            && relay.decoder.remaining().is_some_and(|remaining| remaining >= PIPED_FROM)
        {
            self.pipe = self.way.buffers.take_pipe();
        }
        self.way.total = self.way.until;
        self.upload.end_withheld();
        Ok(relay)
    }

    /// The port to which the client has connected.
    pub(super) fn local_port(&self) -> u16 {
        self.down.stream.local_port()
    }

    /// Whether what is on its way to the client waits in memory of its own.
    pub(super) fn holds_no_buffer(&self) -> bool {
        self.to_client.holds_no_buffer()
    }

    /// Body bytes of the response that the client took so far.
    pub(super) fn body_written(&self) -> u64 {
        self.written.saturating_sub(self.head_end)
    }

    /// Moves a response that was begun to its end.
    pub(super) async fn relay(&mut self, mut relay: Relay) -> Result<Relayed, Failure> {
        let mut waited = false;
        poll_fn(|cx| {
            let done = self.poll_relay(&mut relay, cx);
            waited |= done.is_pending();
            done
        })
        .await?;
        let clean = !relay.extra && self.upload.is_delivered();
        let pace = relay.pacing.and_then(|pacing| pacing.client);
        Ok(Relayed { body: relay.body, clean, waited, pace })
    }

    fn poll_relay(&mut self, relay: &mut Relay, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(mut pacing) = relay.pacing {
            let done = self.poll_paced(relay, &mut pacing, cx);
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
        let sides = (&self.connection.stream, client);
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

    /// The same for a response that is not passed on as it comes. Ends when all has come, if it may
    /// be ahead of the client.
    fn poll_paced(
        &mut self,
        relay: &mut Relay,
        pacing: &mut Pacing,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let (buffers, written) = (self.way.buffers, &mut self.written);
            let mut turn = pacing.poll_client(self.to_client, self.down, buffers, written, cx)?;
            let flushed = self.to_client.is_empty();
            let done = relay.decoder.is_done();
            if done && (flushed || pacing.ahead > 0) {
                return Poll::Ready(Ok(()));
            }
            let (room, next) = if done { (0, None) } else { pacing.room(self.to_client, buffers) };
            turn = turn.into_iter().chain(next).min();
            if room > 0 {
                let before = self.read;
                let read = self.poll_read_body(relay, room, cx)?;
                pacing.came(self.read - before);
                if read.is_ready() {
                    continue;
                }
            }
            let backend = &mut self.connection.stream;
            let uploaded = self.upload.poll(self.down, backend, buffers, cx);
            if let Poll::Ready(Err(failure)) = uploaded {
                return Poll::Ready(Err(failure));
            }
            if flushed && uploaded.is_ready() {
                self.down.poll_gone(buffers, cx)?;
            }
            match turn {
                Some(turn) => {
                    self.still.hold();
                    ready!(self.down.timer.poll(turn, cx));
                }
                None => return self.poll_time_out(cx),
            }
        }
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

    /// Fails when whoever has to move next has not moved in time.
    fn poll_time_out<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        let moved = Moved {
            sent: self.upload.received,
            taken: self.written,
            backend: self.read + self.upload.sent,
        };
        let flushed = self.to_client.is_empty()
            && self.pipe.as_ref().is_none_or(|lent| lent.pipe.held() == 0);
        let waits = flushed.then(|| self.upload.waits());
        let (deadline, failure) = self.way.deadline(waits, &mut self.still, moved);
        self.down.timer.poll(deadline, cx).map(|()| Err(failure))
    }
}

impl Way<'_> {
    /// Until when to wait, and what it means if nothing moves by then. `waits` says who has to move
    /// next, `None` that it is the client, who has to take bytes.
    pub(super) fn deadline(
        &self,
        waits: Option<Waits>,
        still: &mut Still,
        moved: Moved,
    ) -> (Instant, Failure) {
        let since = still.since(waits, moved, (self.client, self.begun));
        let timed_out = Failure::Attempt(Outcome::Timeout);
        let (limit, failure) = match waits {
            None => (still.to_take(self.client), Failure::ClientGone),
            Some(Waits::ForClient) => (still.to_send(self.client), Failure::BodyTimeout),
            Some(Waits::ForBackend) => (self.timeouts.write, timed_out),
            Some(Waits::Done) => (self.timeouts.read, timed_out),
        };
        match self.total {
            // A client that is slow with its body is no fault of the backend.
            Some(total) if total < since + limit && failure == Failure::BodyTimeout => {
                (total, failure)
            }
            Some(total) if total < since + limit => (total, Failure::TotalTimeout),
            _ => (since + limit, failure),
        }
    }
}
