//! The request on its way to a backend: head, then body, streamed as it comes.
//!
//! An upload outlives its attempt. What was read from the client is kept, up to the replay limit,
//! so that another attempt can send it again; a body that outgrows the limit is sent once only. Where
//! a route wants its bodies whole, they are read into a `spool` before the first attempt.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use crate::http1::{self, Decoder, Framing};
use crate::net::Stream;
use crate::proxy::buffers::{Buffer, Buffers, Lent, ROOM};
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::spool::Spool;
use crate::proxy::still::{Moved, Still};
use crate::proxy::wire::Carries;
use crate::snapshot::settings::{Client, RequestBuffering};

/// What the client gets when it waits for leave to send its body (RFC 9110 §10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Who has to move next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Body bytes are due from the client.
    ForClient,
    /// The backend has to take bytes.
    ForBackend,
    /// Nobody: all is sent.
    Done,
}

/// A request's way to the backends. Kept with the request's state, so that its room is used again.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// The head, then body pieces.
    outgoing: Outgoing,
    decoder: Decoder,
    /// How the body is framed towards the backend.
    chunked: bool,
    /// The client is still to be told to go on.
    continue_due: bool,
    /// Decoded body bytes that another attempt can send again.
    kept: Vec<u8>,
    keep_up_to: usize,
    outgrown: bool,
    /// What is sent in place of the client's body, and how it is framed.
    instead: Option<Box<(Vec<u8>, Framing)>>,
    /// The whole body, where it is read before it is sent.
    spool: Option<Box<Spool>>,
    /// Decoded body bytes that came from the client.
    pub(super) received: u64,
    limit: Option<u64>,
    /// Bytes that this attempt's backend took.
    pub(super) sent: u64,
    /// The whole body is read from the client.
    complete: bool,
    /// This attempt's backend takes no more; it may still answer.
    broken: bool,
    /// The body stays with the client: only heads are sent.
    withheld: bool,
    /// The body was malformed: where it ends is not known.
    lost: bool,
}

impl Upload {
    /// Begins a request whose body is framed by `framing`.
    pub(super) fn begin(&mut self, framing: Framing, expects_continue: bool, limit: Option<u64>) {
        self.outgoing.clear();
        self.decoder = Decoder::new(framing);
        self.chunked = framing == Framing::Chunked;
        self.continue_due = expects_continue;
        self.kept.clear();
        self.keep_up_to = 0;
        self.outgrown = false;
        self.spool = None;
        self.instead = None;
        self.received = 0;
        self.limit = limit;
        self.sent = 0;
        self.complete = matches!(framing, Framing::None | Framing::Length(0));
        self.broken = false;
        self.withheld = false;
        self.lost = false;
    }

    /// Begins a request of our own with this body.
    pub(super) fn begin_with(&mut self, body: &[u8]) {
        self.begin(Framing::None, false, None);
        self.kept.extend_from_slice(body);
    }

    /// The body, if all of it has come and was kept.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        if let Some(spool) = &self.spool {
            return spool.in_memory();
        }
        (self.complete && !self.outgrown).then_some(&*self.kept)
    }

    /// From here on, only heads are sent; the body stays with the client.
    pub(super) fn withhold(&mut self) {
        self.withheld = true;
    }

    /// The same for a while; gives what [`release`](Self::release) wants.
    pub(super) fn hold(&mut self) -> bool {
        std::mem::replace(&mut self.withheld, true)
    }

    /// The body may be sent again, if it could before.
    pub(super) fn release(&mut self, held: bool) {
        self.withheld = held;
        self.outgoing.clear();
    }

    /// Sends this in place of the client's body, which stays where it is.
    pub(super) fn send_instead(&mut self, body: Vec<u8>, framing: Framing) {
        self.instead = Some(Box::new((body, framing)));
    }

    /// Sends the client's body again, if it can.
    pub(super) fn send_own(&mut self) {
        self.instead = None;
    }

    /// Whether nothing of the client's body is sent.
    fn stays(&self) -> bool {
        self.withheld || self.instead.is_some()
    }

    /// Forgets what is on its way.
    pub(super) fn clear(&mut self) {
        self.instead = None;
        self.outgoing.clear();
        self.kept.clear();
        self.spool = None;
    }

    /// Begins an attempt with `head`; what was read of the body before follows it.
    ///
    /// `framing` is that of the body towards the backend: none on HTTP/2, which has its own. Body
    /// bytes up to `keep_up_to` are kept for a further attempt.
    pub(super) fn restart(&mut self, head: &mut Vec<u8>, framing: Framing, keep_up_to: usize) {
        self.keep_up_to = keep_up_to;
        self.chunked = framing == Framing::Chunked;
        self.outgoing.clear();
        self.outgoing.head.append(head);
        self.sent = 0;
        self.broken = false;
        if let Some(instead) = &self.instead {
            self.chunked = false;
            self.outgoing.head.extend_from_slice(&instead.0);
        }
        if self.stays() {
            return;
        }
        if let Some(spool) = &mut self.spool {
            spool.rewind();
            self.chunked = false;
            return;
        }
        if !self.kept.is_empty() {
            if self.chunked {
                http1::encode::push_chunk_head(&mut self.outgoing.head, self.kept.len());
            }
            self.outgoing.head.extend_from_slice(&self.kept);
            if self.chunked {
                self.outgoing.head.extend_from_slice(b"\r\n");
            }
        }
        if self.chunked && self.complete {
            http1::encode::push_last_chunk(&mut self.outgoing.head, self.decoder.trailers());
        }
    }

    /// How the body is framed towards backends, when the client framed it like this: what was read
    /// whole has a length.
    pub(super) fn framing(&self, came: Framing) -> Framing {
        if let Some(instead) = &self.instead {
            return instead.1;
        }
        match &self.spool {
            Some(spool) if !self.withheld => Framing::Length(spool.len()),
            _ => came,
        }
    }

    /// Reads the whole body before a backend is asked. A client that is too slow is not waited
    /// for.
    ///
    /// # Errors
    /// The client's, or [`Failure::Storage`].
    pub(super) async fn store(
        &mut self,
        settings: &RequestBuffering,
        down: &mut Downstream,
        buffers: &Buffers,
        client: &Client,
    ) -> Result<(), Failure> {
        let mut spool = Box::new(Spool::new(settings));
        // A place that was asked before has got a part of it. What fails here leaves no whole.
        self.outgrown = true;
        let mut kept = Some(std::mem::take(&mut self.kept));
        let (mut still, begun) = (Still::default(), Instant::now());
        poll_fn(|cx| {
            if let Some(kept) = kept.take() {
                keep(&mut spool, &kept)?;
            }
            while !self.complete {
                let Poll::Ready(piece) = self.poll_read(down, buffers, cx) else {
                    let moved = Moved { sent: self.received, taken: 0, backend: 0 };
                    let since = still.since(Some(Waits::ForClient), moved, (client, begun));
                    let deadline = since + still.to_send(client);
                    return down.timer.poll(deadline, cx).map(|()| Err(Failure::BodyTimeout));
                };
                let (buffer, data) = piece?;
                let stored = keep(&mut spool, &buffer[data]);
                buffers.give(buffer);
                stored?;
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        self.spool = Some(spool);
        self.outgrown = false;
        Ok(())
    }

    /// Puts the next piece of a stored body on its way; `false`: there is none.
    fn load(&mut self, buffers: &Buffers) -> Result<bool, Failure> {
        let stays = self.stays();
        let spool = self.spool.as_mut().filter(|spool| !stays && !spool.is_read());
        let Some(spool) = spool else { return Ok(false) };
        let mut buffer = buffers.take();
        match spool.read(&mut buffer) {
            Ok(n) => {
                self.outgoing.set_body(buffer, 0..n, buffers);
                Ok(true)
            }
            Err(error) => {
                buffers.give(buffer);
                tracing::error!(%error, "a request's body cannot be read again");
                Err(Failure::Storage)
            }
        }
    }

    /// Whether a stored body has gone out, or there is none.
    fn is_unloaded(&self) -> bool {
        self.spool.as_ref().is_none_or(|spool| spool.is_read())
    }

    /// Whether the announced length, or what came so far, is more than the client may send. What is
    /// for nobody may be as long as it likes.
    pub(super) fn exceeds(&self, framing: Framing) -> bool {
        let announced = if let Framing::Length(n) = framing { n } else { 0 };
        !self.withheld && self.limit.is_some_and(|limit| announced.max(self.received) > limit)
    }

    /// The limit of the route to which the request went on, unless its body goes nowhere.
    pub(super) fn limit_anew(&mut self, limit: Option<u64>) {
        if !self.withheld {
            self.limit = limit;
        }
    }

    /// Lowers the limit to what is read only to be thrown away.
    pub(super) fn limit_to(&mut self, limit: u64) {
        self.limit = Some(self.received + limit);
    }

    /// Whether all that was sent can be sent again.
    pub(super) fn is_replayable(&self) -> bool {
        self.instead.is_some() || !self.outgrown
    }

    /// Whether another place can be sent all that this one was: the body too, unless it is for
    /// nobody.
    pub(super) fn can_go_on(&self) -> bool {
        self.withheld || !self.outgrown
    }

    /// Whether all of the body that is to be sent has come.
    pub(super) fn has_all(&self) -> bool {
        self.complete || self.withheld
    }

    /// Whether the end of the body cannot be found any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether the client's body is read to its end, so that its next request can be.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether this attempt's backend got the whole request.
    pub(super) fn is_delivered(&self) -> bool {
        let sent = self.stays() || (self.complete && self.is_unloaded());
        sent && !self.broken && self.outgoing.is_empty()
    }

    /// Who has to move next.
    pub(super) fn waits(&self) -> Waits {
        let read = self.stays() || (self.complete && self.is_unloaded());
        if self.broken || (self.outgoing.is_empty() && read) {
            Waits::Done
        } else if self.outgoing.is_empty() && !self.complete {
            Waits::ForClient
        } else {
            Waits::ForBackend
        }
    }

    /// Moves bytes until all is sent, or the backend takes no more. Failures are the client's.
    pub(super) fn poll(
        &mut self,
        down: &mut Downstream,
        backend: &mut Stream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        loop {
            // What came with the head leaves with the head.
            if down.first_piece.is_some()
                && !self.broken
                && !self.stays()
                && self.outgoing.holds_no_buffer()
            {
                ready!(self.poll_piece(down, buffers, cx))?;
            }
            if self.spool.is_some() && !self.broken && self.outgoing.holds_no_buffer() {
                self.load(buffers)?;
            }
            if !self.broken {
                let flushed = self.outgoing.poll_flush(backend, cx, buffers, &mut self.sent);
                if ready!(flushed).is_err() {
                    self.broken = true;
                    self.outgoing.clear();
                }
            }
            if self.broken || self.stays() || (self.complete && self.is_unloaded()) {
                return Poll::Ready(Ok(()));
            }
            if self.complete {
                continue;
            }
            ready!(self.poll_piece(down, buffers, cx))?;
        }
    }

    /// The request is answered: a client that still waits for leave to send its body gets none.
    pub(super) fn end_withheld(&mut self) {
        self.broken |= self.continue_due;
    }

    /// The next bytes of the body, without framing; `None` after the last ones. For HTTP/2.
    pub(super) fn poll_data(
        &mut self,
        down: &mut Downstream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Result<Poll<Option<Bytes>>, Failure> {
        while self.outgoing.is_empty() {
            if self.load(buffers)? {
                continue;
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

    /// The trailer fields behind the body that has come.
    pub(super) fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.decoder.trailer_fields()
    }

    /// Whether the client still waits for leave to send its body.
    pub(super) fn is_withheld(&self) -> bool {
        self.continue_due
    }

    /// Reads and throws away what is left of the body, for a request that was answered without it.
    pub(super) fn poll_discard(
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
    fn poll_piece(
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
    fn poll_read(
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

/// Keeps the next bytes of a body.
fn keep(spool: &mut Spool, bytes: &[u8]) -> Result<(), Failure> {
    spool.push(bytes).map_err(|error| {
        tracing::error!(%error, "a request's body cannot be kept");
        Failure::Storage
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;
    use crate::proxy::wire::Wire;

    /// An upload of three bytes that the client withholds; the ends of client and backend.
    fn withheld() -> (Upload, Downstream, Stream, UnixStream, UnixStream) {
        let (client, client_end) = UnixStream::pair().unwrap();
        let (backend, backend_end) = UnixStream::pair().unwrap();
        let client = Wire::Socket(Stream::Unix(client));
        let down = Downstream::new(client, std::net::Ipv4Addr::LOCALHOST.into());
        let mut upload = Upload::default();
        upload.begin(Framing::Length(3), true, None);
        upload.restart(&mut b"head".to_vec(), Framing::Length(3), 0);
        (upload, down, Stream::Unix(backend), client_end, backend_end)
    }

    /// What has come to this end; waits until something has.
    async fn taken(end: &UnixStream) -> Vec<u8> {
        end.readable().await.unwrap();
        let mut bytes = vec![0; 100];
        let n = end.try_read(&mut bytes).unwrap();
        bytes.truncate(n);
        bytes
    }

    async fn poll_once(upload: &mut Upload, down: &mut Downstream, backend: &mut Stream) -> bool {
        let buffers = Buffers::default();
        poll_fn(|cx| Poll::Ready(upload.poll(down, backend, &buffers, cx).is_ready())).await
    }

    #[tokio::test]
    async fn leave_is_given_once_the_head_is_with_the_backend() {
        let (mut upload, mut down, mut backend, client_end, backend_end) = withheld();
        assert!(!poll_once(&mut upload, &mut down, &mut backend).await);
        assert_eq!(taken(&backend_end).await, b"head");
        assert_eq!(taken(&client_end).await, CONTINUE);
        assert!(!upload.is_withheld());
        assert_eq!(upload.waits(), Waits::ForClient);
    }

    #[tokio::test]
    async fn no_leave_is_given_once_the_request_is_answered() {
        let (mut upload, mut down, mut backend, client_end, _backend_end) = withheld();
        upload.end_withheld();
        assert!(poll_once(&mut upload, &mut down, &mut backend).await);
        drop(down);
        assert_eq!(taken(&client_end).await, b"", "the end, and nothing before it");
        assert!(!upload.is_delivered(), "its backend is not used again");
        assert!(!upload.is_complete(), "nor is the client's connection");
    }

    #[tokio::test]
    async fn what_is_sent_again_is_head_and_all_that_was_kept() {
        let (mut upload, mut down, mut backend, _client_end, backend_end) = withheld();
        upload.keep_up_to = 3;
        down.leftover = b"abcnext".to_vec();
        assert!(poll_once(&mut upload, &mut down, &mut backend).await);
        assert!(upload.is_delivered() && upload.is_replayable());
        assert_eq!(taken(&backend_end).await, b"headabc");
        assert_eq!(down.leftover, b"next");
        upload.restart(&mut b"again".to_vec(), Framing::Length(3), 3);
        assert!(poll_once(&mut upload, &mut down, &mut backend).await);
        assert_eq!(taken(&backend_end).await, b"againabc");
    }
}
