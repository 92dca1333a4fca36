//! The request on its way to a backend: head, then body, streamed as it comes.
//!
//! An upload outlives its attempt. What was read from the client is kept, up to the replay limit,
//! so that another attempt can send it again; a body that outgrows the limit is sent once only. Where
//! a route wants its bodies whole, they are read into a `spool` before the first attempt.

mod read;
mod stored;
#[cfg(test)]
mod tests;

use std::task::{Context, Poll, ready};

use crate::http1::{self, Decoder, Framing};
use crate::net::Stream;
use crate::proxy::buffers::Buffers;
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::outgoing::Outgoing;
use crate::proxy::spool::Spool;

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
        std::mem::swap(&mut self.outgoing.head, head);
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

    /// Whether there is no body, and none was put in its place.
    pub(super) fn is_empty(&self) -> bool {
        self.complete && self.received == 0 && self.instead.is_none() && self.kept.is_empty()
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
            let loads = self.spool.is_some() && !self.broken && self.outgoing.holds_no_buffer();
            let loading = loads && self.poll_load(buffers, cx)?.is_pending();
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
            if loading {
                return Poll::Pending;
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

    /// The trailer fields behind the body that has come.
    pub(super) fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.decoder.trailer_fields()
    }

    /// Whether the client still waits for leave to send its body.
    pub(super) fn is_withheld(&self) -> bool {
        self.continue_due
    }
}
