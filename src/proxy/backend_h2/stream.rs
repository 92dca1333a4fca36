//! One request and its answer as a stream: what is sent keeps to the backend's windows, what comes is
//! taken piece by piece, and whoever breaks off resets the stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use crate::proxy::backend_h2::places::Place;
use crate::proxy::backend_h2::{Unanswered, unanswered};
use crate::proxy::exchange::MAX_INFORMATIONAL;

/// A stream that has begun. Dropped before both sides have ended, it is reset.
#[derive(Debug)]
pub(crate) struct Stream {
    sends: SendStream<Bytes>,
    response: ResponseFuture,
    body: Option<RecvStream>,
    /// Bytes that wait for the backend's window.
    waits: Bytes,
    /// Nothing more is sent.
    sent: bool,
    /// Nothing more can be sent, and what comes back tells why.
    stuck: bool,
    /// The answer has ended.
    answered: bool,
    interim: u8,
    /// Early hints that have come (103, RFC 8297).
    hints: Vec<Parts>,
    _place: Place,
}

/// The next piece of an answer.
pub(super) enum Piece {
    Data(Bytes),
    /// The last one.
    Trailers(HeaderMap),
    End,
}

impl Stream {
    /// `sent`: nothing follows the request's head.
    pub(super) fn new(
        (response, sends): (ResponseFuture, SendStream<Bytes>),
        sent: bool,
        place: Place,
    ) -> Self {
        Self {
            sends,
            response,
            body: None,
            waits: Bytes::new(),
            sent,
            stuck: false,
            answered: false,
            interim: 0,
            hints: Vec::new(),
            _place: place,
        }
    }

    /// The answer's head, once it has come.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parts, Unanswered>> {
        while let Some(interim) = ready_or_none(self.response.poll_informational(cx)) {
            let interim = interim.map_err(|error| unanswered(&error))?;
            self.interim += 1;
            // HTTP/2 has no switch of protocols (RFC 9113 §8.6).
            let switches = interim.status() == StatusCode::SWITCHING_PROTOCOLS;
            if switches || self.interim > MAX_INFORMATIONAL {
                return Poll::Ready(Err(Unanswered::INVALID));
            }
            if interim.status() == StatusCode::EARLY_HINTS {
                self.hints.push(interim.into_parts().0);
            }
        }
        let response = ready!(Pin::new(&mut self.response).poll(cx));
        let (parts, body) = response.map_err(|error| unanswered(&error))?.into_parts();
        self.body = Some(body);
        Poll::Ready(Ok(parts))
    }

    /// The early hints that have come since this was last asked.
    pub(super) fn take_hints(&mut self) -> Vec<Parts> {
        std::mem::take(&mut self.hints)
    }

    /// The next piece of the answer's body. An error is an answer that is not whole.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, h2::Error>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Ok(Piece::End));
        };
        if let Some(data) = ready!(body.poll_data(cx)) {
            let data = data?;
            // Fails only for what was not counted.
            let _ = body.flow_control().release_capacity(data.len());
            return Poll::Ready(Ok(Piece::Data(data)));
        }
        let trailers = ready!(body.poll_trailers(cx))?;
        self.answered = true;
        Poll::Ready(Ok(trailers.map_or(Piece::End, Piece::Trailers)))
    }

    /// Whether all of the answer has been taken.
    pub(super) fn is_answered(&mut self) -> bool {
        self.answered |= self.body.as_ref().is_some_and(RecvStream::is_end_stream);
        self.answered
    }

    /// Ready when all that was given to be sent is on its way. Not so again once the stream takes no more.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.waits.is_empty() {
            let Some(room) = ready!(self.poll_window(self.waits.len(), cx)) else { break };
            let piece = self.waits.split_to(room.min(self.waits.len()));
            self.send(piece, false);
        }
        if self.stuck { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Whether the backend has to open its window.
    pub(super) fn is_full(&self) -> bool {
        self.stuck || !self.waits.is_empty()
    }

    /// Gives bytes to be sent; there is room.
    pub(super) fn put(&mut self, data: Bytes) {
        self.waits = data;
    }

    /// Sends what is the last.
    pub(super) fn end(&mut self, trailers: Option<HeaderMap>) {
        self.sent = true;
        match trailers {
            None => self.send(Bytes::new(), true),
            Some(trailers) => self.stuck |= self.sends.send_trailers(trailers).is_err(),
        }
    }

    /// Sends as many of these as the windows allow.
    pub(super) fn poll_write(
        &mut self,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Some(room) = ready!(self.poll_window(bytes.len(), cx)) else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let n = room.min(bytes.len());
        self.send(Bytes::copy_from_slice(&bytes[..n]), false);
        Poll::Ready(Ok(n))
    }

    fn send(&mut self, data: Bytes, last: bool) {
        self.stuck |= self.sends.send_data(data, last).is_err();
    }

    /// For how many bytes, of so many that wait, there is room; none if the stream takes no more.
    fn poll_window(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        self.sends.reserve_capacity(wanted);
        loop {
            let room = self.sends.capacity();
            if room > 0 {
                return Poll::Ready(Some(room));
            }
            if !matches!(ready!(self.sends.poll_capacity(cx)), Some(Ok(_))) {
                self.stuck = true;
                return Poll::Ready(None);
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !(self.sent && self.is_answered()) {
            self.sends.send_reset(Reason::CANCEL);
        }
    }
}

fn ready_or_none<T>(polled: Poll<Option<T>>) -> Option<T> {
    match polled {
        Poll::Ready(some) => some,
        Poll::Pending => None,
    }
}
