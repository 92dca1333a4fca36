//! One request and its response as a stream of a shared HTTP/2 connection to a backend.
//!
//! The same rules as in `proxy::exchange`: both directions move independently, and whoever has to move next
//! decides which time-out runs.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use http::response::Parts;

use crate::http1::{Framing, ResponseHead, encode};
use crate::model::Outcome;
use crate::proxy::backend_h2::stream::{Piece, Stream};
use crate::proxy::backend_h2::tunnel::{Opening, Tunnel};
use crate::proxy::backend_h2::{self, Answer, Sender, Turn, Unanswered};
use crate::proxy::downstream::Downstream;
use crate::proxy::exchange::{Relayed, Way};
use crate::proxy::failure::Failure;
use crate::proxy::headers::write_informational;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::pace::{ClientSide, Paced, Pacing, poll_paced};
use crate::proxy::still::{Moved, Still};
use crate::proxy::trailers::Trailers;
use crate::proxy::upload::{Upload, Waits};
use crate::telemetry::Answering;

/// A request under way as one stream.
pub(crate) struct H2Exchange<'a> {
    way: Way<'a>,
    down: &'a mut Downstream,
    pub(crate) upload: &'a mut Upload,
    to_client: &'a mut Outgoing,
    stream: Option<Stream>,
    /// The request's body is under way.
    uploads: bool,
    /// The answer's body is.
    answers: bool,
    /// Bytes that the client took, early hints included.
    pub(crate) written: u64,
    /// Where in these the final response's head ends.
    head_end: u64,
    pub(crate) read: u64,
    /// The trailer fields of the response, a line each.
    pub(crate) theirs: Vec<u8>,
    /// The backend reset this stream alone; its connection is as good as before.
    pub(crate) reset: bool,
    still: Still,
}

impl<'a> H2Exchange<'a> {
    /// An exchange over a shared connection. The upload is begun.
    pub(crate) fn new(
        way: Way<'a>,
        down: &'a mut Downstream,
        upload: &'a mut Upload,
        to_client: &'a mut Outgoing,
    ) -> Self {
        Self {
            way,
            down,
            upload,
            to_client,
            stream: None,
            uploads: false,
            answers: false,
            written: 0,
            head_end: 0,
            read: 0,
            theirs: Vec::new(),
            reset: false,
            still: Still::default(),
        }
    }

    /// Sends the request whose HTTP/1.1 form is `head`, and waits for the response head.
    pub(crate) async fn head(
        &mut self,
        sender: &mut Sender,
        (scheme, head): (&str, &[u8]),
        framing: Framing,
        response: &mut ResponseHead,
        method: &[u8],
    ) -> Result<(), Failure> {
        let invalid = Failure::Attempt(Outcome::InvalidResponse);
        let (mut request, opening) = backend_h2::request(scheme, head).ok_or(invalid)?;
        let whole = matches!(framing, Framing::None | Framing::Length(0));
        self.uploads = !whole;
        let mut turn = sender.turn();
        // A tunnel's head is followed by what goes through it.
        let alone = whole && opening.is_none();
        let stream =
            poll_fn(|cx| self.poll_begin(sender, &mut turn, (&mut request, alone), cx)).await?;
        self.stream = Some(stream);
        self.upload.sent += head.len() as u64;
        let answer = poll_fn(|cx| self.poll_head(cx)).await?;
        let switched = match opening {
            Some(opening) if answer.status == StatusCode::OK => Some(opening),
            // Any other of these would be a tunnel too, and none that the client could be told of.
            Some(_) if answer.status.is_success() => return Err(invalid),
            _ => None,
        };
        self.read_head(&answer, switched.as_ref(), response, method)
    }

    /// Takes up an answer that has begun, and reads its head.
    pub(crate) fn take(
        &mut self,
        answer: Answer,
        response: &mut ResponseHead,
        method: &[u8],
    ) -> Result<(), Failure> {
        self.stream = Some(answer.stream);
        self.read_head(&answer.parts, None, response, method)
    }

    fn read_head(
        &mut self,
        answer: &Parts,
        switched: Option<&Opening>,
        response: &mut ResponseHead,
        method: &[u8],
    ) -> Result<(), Failure> {
        backend_h2::parse_head(answer, response, method, switched)?;
        self.answers = true;
        Ok(())
    }

    /// The two sides of a tunnel, and what is still on its way to the client. The answer opens one: HTTP/2
    /// has no other that is a 101.
    pub(crate) fn into_sides(self) -> Option<(&'a mut Downstream, Tunnel, &'a mut Outgoing)> {
        Some((self.down, Tunnel::new(self.stream?), self.to_client))
    }

    /// Bytes of the response behind its head that the client took.
    pub(crate) fn body_written(&self) -> u64 {
        self.written.saturating_sub(self.head_end)
    }

    /// The port to which the client has connected.
    pub(crate) fn local_port(&self) -> u16 {
        self.down.stream.local_port()
    }

    /// Begins the stream, once the connection has room for it.
    fn poll_begin(
        &mut self,
        sender: &mut Sender,
        turn: &mut Turn,
        asked: (&mut http::Request<()>, bool),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, Failure>> {
        if let Poll::Ready(begun) = sender.poll_begin(turn, asked, cx) {
            return Poll::Ready(begun.map_err(|why| self.unanswered(why)));
        }
        if !self.uploads && !self.way.ignore_client_abort {
            self.down.poll_gone(self.way.buffers, cx)?;
        }
        self.poll_time_out(cx)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parts, Failure>> {
        if let Some(stream) = &mut self.stream {
            let answer = stream.poll_head(cx);
            self.pass_on_hints()?;
            if let Poll::Ready(answer) = answer {
                return Poll::Ready(answer.map_err(|why| self.unanswered(why)));
            }
        }
        // Early hints go out at once; a client that does not take them waits no longer for it.
        let (stream, buffers) = (&mut self.down.stream, self.way.buffers);
        let flushed = self.to_client.poll_flush(stream, cx, buffers, &mut self.written);
        if let Poll::Ready(Err(_)) = flushed {
            return Poll::Ready(Err(Failure::ClientGone));
        }
        let uploaded = self.poll_upload(cx)?;
        if uploaded.is_ready() && !self.way.ignore_client_abort {
            self.down.poll_gone(self.way.buffers, cx)?;
        }
        self.poll_time_out(cx)
    }

    /// Puts early hints that have come on their way, where the client is to have them.
    fn pass_on_hints(&mut self) -> Result<(), Failure> {
        for hint in self.stream.iter_mut().flat_map(Stream::take_hints) {
            let mut head = ResponseHead::default();
            backend_h2::parse_head(&hint, &mut head, b"", None)?;
            if self.way.early_hints {
                write_informational(&mut self.to_client.head, &head);
            }
        }
        Ok(())
    }

    fn unanswered(&mut self, why: Unanswered) -> Failure {
        self.reset = why.reset;
        if why.unseen {
            self.upload.sent = 0;
        }
        Failure::Attempt(why.outcome)
    }

    /// Moves the request's body on, piece by piece.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.uploads) else {
            return Ok(Poll::Ready(()));
        };
        loop {
            if stream.poll_room(cx).is_pending() {
                return Ok(Poll::Pending);
            }
            match self.upload.poll_data(self.down, self.way.buffers, cx)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(data)) => stream.put(data),
                Poll::Ready(None) => {
                    stream.end(backend_h2::trailers(self.upload.trailers()));
                    self.uploads = false;
                    return Ok(Poll::Ready(()));
                }
            }
        }
    }

    /// Sends `head` (already encoded for the client) and the body that belongs to it. The backend
    /// answers for as long.
    pub(crate) async fn relay(
        &mut self,
        response: &ResponseHead,
        out: Framing,
        head: &mut Vec<u8>,
        (trailers, mut pacing): (&Trailers, Option<Pacing>),
        _answering: Answering<'_>,
    ) -> Result<Relayed, Failure> {
        self.to_client.head.append(head);
        self.head_end = self.written + self.to_client.left() as u64;
        self.way.total = self.way.until;
        let trailers = Some(trailers).filter(|_| out == Framing::Chunked);
        // An answer that is over with its head stays one.
        if response.framing() == Framing::None
            || self.stream.as_mut().is_none_or(Stream::is_answered)
        {
            self.answers = false;
            if let Some(trailers) = trailers {
                trailers.push_last_chunk(&mut self.to_client.head, &[]);
            }
        }
        let mut body = 0;
        poll_fn(|cx| match &mut pacing {
            Some(pacing) => {
                poll_paced(&mut AtPace { exchange: self, trailers, body: &mut body }, pacing, cx)
            }
            None => self.poll_relay(trailers, &mut body, cx),
        })
        .await?;
        let pace = pacing.and_then(|pacing| pacing.client);
        Ok(Relayed { body, clean: true, waited: true, pace })
    }

    /// `trailers` are there for a body in chunks.
    fn poll_relay(
        &mut self,
        trailers: Option<&Trailers>,
        body: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let flushed = loop {
            let buffers = self.way.buffers;
            let stream = &mut self.down.stream;
            match self.to_client.poll_flush(stream, cx, buffers, &mut self.written) {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                Poll::Pending => break false,
                Poll::Ready(Ok(())) if !self.answers => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            if self.poll_frame(trailers, body, cx)?.is_pending() {
                break true;
            }
        };
        let uploaded = self.poll_upload(cx)?;
        if flushed && uploaded.is_ready() && !self.way.ignore_client_abort {
            self.down.poll_gone(self.way.buffers, cx)?;
        }
        self.poll_time_out(cx)
    }

    /// Takes the next frame of the response and puts it on its way.
    fn poll_frame(
        &mut self,
        trailers: Option<&Trailers>,
        body: &mut u64,
        cx: &mut Context<'_>,
    ) -> Result<Poll<()>, Failure> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.answers) else {
            return Ok(Poll::Ready(()));
        };
        let Poll::Ready(piece) = stream.poll_piece(cx) else {
            return Ok(Poll::Pending);
        };
        let out = self.to_client.end();
        let chunked = trailers.is_some();
        match piece.map_err(|_| Failure::Attempt(Outcome::Truncated))? {
            Piece::Data(data) if data.is_empty() => {}
            Piece::Data(data) => {
                *body += data.len() as u64;
                self.read += data.len() as u64;
                if chunked {
                    encode::push_chunk_head(out, data.len());
                }
                out.extend_from_slice(&data);
                if chunked {
                    out.extend_from_slice(b"\r\n");
                }
            }
            Piece::Trailers(theirs) => {
                self.answers = false;
                self.theirs = backend_h2::trailer_lines(&theirs);
            }
            Piece::End => self.answers = false,
        }
        if !self.answers
            && let Some(trailers) = trailers
        {
            trailers.push_last_chunk(out, &self.theirs);
        }
        Ok(Poll::Ready(()))
    }

    /// Fails when whoever has to move next has not moved in time.
    fn poll_time_out<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Failure>> {
        let moved = Moved {
            sent: self.upload.received,
            taken: self.written,
            backend: self.read + self.upload.sent,
        };
        let waits = match &self.stream {
            _ if !self.to_client.is_empty() => None,
            // Its windows are closed.
            Some(stream) if self.uploads && stream.is_full() => Some(Waits::ForBackend),
            Some(_) if self.uploads => Some(self.upload.waits()),
            _ => Some(Waits::Done),
        };
        let (deadline, failure) = self.way.deadline(waits, &mut self.still, moved);
        ready!(self.down.timer.poll(deadline, cx));
        Poll::Ready(Err(failure))
    }
}

/// A relay that keeps to a pace.
struct AtPace<'x, 'a> {
    exchange: &'x mut H2Exchange<'a>,
    trailers: Option<&'x Trailers>,
    body: &'x mut u64,
}

impl Paced for AtPace<'_, '_> {
    fn has_all(&self) -> bool {
        !self.exchange.answers
    }

    fn came(&self) -> u64 {
        self.exchange.read
    }

    fn poll_read(&mut self, _room: usize, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        self.exchange.poll_frame(self.trailers, self.body, cx)
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        self.exchange.poll_upload(cx)
    }

    fn poll_time_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.exchange.poll_time_out(cx)
    }

    fn client_side(&mut self) -> ClientSide<'_> {
        let H2Exchange { way, down, to_client, written, still, .. } = &mut *self.exchange;
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
