//! One request and its response over one connection to a backend.
//!
//! Request and response move independently: a backend may answer before it has read the whole
//! request, and both directions may stream at the same time. One task polls both; whoever has to
//! move next decides which time-out runs.

mod relay;

use std::future::poll_fn;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use crate::http1::{HeadError, Limits, Parse, ResponseHead, Version};
use crate::model::Outcome;
use crate::proxy::buffers::{Buffer, Buffers, LentPipe};
use crate::proxy::deadline;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::pool::Connection;
use crate::proxy::still::{Moved, Still};
use crate::proxy::upload::{Upload, Waits};
use crate::proxy::view::Near;
use crate::snapshot::settings::{Client, Timeouts};

pub(super) use relay::{Relay, Relayed};

/// Most of a response head that is read at once.
const HEAD_READ: usize = 16 * 1024;
/// Informational responses before the final one that a backend may send.
pub(super) const MAX_INFORMATIONAL: u8 = 16;

/// Limits of a response head.
pub(super) const RESPONSE_LIMITS: Limits = Limits { max_head_bytes: 64 * 1024, ..Limits::DEFAULT };

/// The same where a response of HTTP/1.0 may be chunked.
const OLD_CHUNKS_TOO: Limits = Limits { chunked_http10: true, ..RESPONSE_LIMITS };

/// What a response head may be.
pub(super) fn response_limits(chunked_http10: bool) -> &'static Limits {
    if chunked_http10 { &OLD_CHUNKS_TOO } else { &RESPONSE_LIMITS }
}

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
    /// What is to be at hand when the answer comes.
    pub(super) backend: Near<'a>,
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
    /// What a response head may be.
    pub(super) limits: &'static Limits,
    /// The request goes on whose client has closed its side.
    pub(super) ignore_client_abort: bool,
}

/// A request under way to one backend.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    way: Way<'a>,
    down: &'a mut Downstream,
    pub(super) connection: Box<Connection>,
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

impl<'a> Exchange<'a> {
    /// An exchange over `connection`. The upload is begun. Early hints of an attempt before may
    /// still be on their way in `to_client`.
    pub(super) fn new(
        way: Way<'a>,
        down: &'a mut Downstream,
        connection: Box<Connection>,
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
    pub(super) fn into_sides(self) -> (&'a mut Downstream, Box<Connection>, &'a mut Outgoing) {
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
        poll_fn(|cx| {
            self.way.backend.fetch();
            self.poll_head(response, method, version, cx)
        })
        .await
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
        if let Some(ahead) = self.connection.ahead.take() {
            return Poll::Ready(Ok(self.read_ahead(&ahead)));
        }
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

    /// What was read before the exchange began.
    #[cold]
    fn read_ahead(&mut self, ahead: &[u8]) -> (Buffer, usize) {
        let mut buffer = self.way.buffers.take();
        buffer[..ahead.len()].copy_from_slice(ahead);
        self.read += ahead.len() as u64;
        (buffer, ahead.len())
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
            match response.parse(&buffer[begin..end], self.way.limits, method) {
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

    /// The port to which the client has connected.
    pub(super) fn local_port(&self) -> u16 {
        self.down.stream.local_port()
    }

    /// Whether what is on its way to the client waits in memory of its own.
    pub(super) fn holds_no_buffer(&self) -> bool {
        self.to_client.holds_no_buffer()
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
            Some(total) if total < since + limit => {
                (total, deadline::used_up(self.total, self.until))
            }
            _ => (since + limit, failure),
        }
    }
}
