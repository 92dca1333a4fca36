//! One stream of a client's HTTP/2 connection, as the bytes that a client over HTTP/1.1 would send
//! and get.
//!
//! The request's head goes another way (`request`); what is read here is its body, framed as the
//! head has told. What is written here is what our HTTP/1 writers make: heads, which become header
//! fields, and bodies, whose framing is taken off. So there is one set of rules for both kinds of
//! client. A body's bytes are taken only when the client's windows have room for them.

use std::io::{self, IoSlice, Write as _};
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http1::{Decoder, Framing, encode};
use crate::proxy::client_h2::answer::{self, Answer};
use crate::proxy::client_h2::request::Told;
use crate::proxy::failure::Failure;
use crate::proxy::rpc;

/// Bytes of a chunk's framing: 16 digits, and two ends of lines.
const CHUNK_FRAMING: usize = 20;

/// A stream as a client's wire.
#[derive(Debug)]
pub(crate) struct Channel {
    body: RecvStream,
    /// How the body is framed where it is read.
    form: Form,
    /// What came of the body and was not read yet.
    piece: Bytes,
    /// Bytes of the body that were not read yet, if it has a length.
    left: Option<u64>,
    /// What is read behind the body: the last chunk.
    last: Vec<u8>,
    ended: bool,
    reply: Reply,
    /// The client has reset the stream.
    reset: bool,
    ends: Option<(SocketAddr, SocketAddr)>,
}

/// How the body is framed where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is: it has a length, or is a tunnel's.
    Plain,
    /// In chunks.
    Chunks,
}

/// How far the answer has come.
#[derive(Debug)]
enum Reply {
    /// Its head is to come.
    Head { respond: SendResponse<Bytes>, request: Asked, partial: Vec<u8> },
    /// Its body is on its way. `call`: it is an answer of gRPC, which ends with trailers.
    Body { stream: SendStream<Bytes>, decoder: Decoder, call: bool },
    /// Everything goes as it is.
    Tunnel(SendStream<Bytes>),
    /// It has gone out whole, or broke.
    Over,
}

/// What of the request decides how an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// HEAD: whatever the head says, no body follows.
    Head,
    /// A tunnel (RFC 8441).
    Tunnel,
    /// Anything else.
    Other,
}

/// The data of one go, and what of it may leave.
struct Batch {
    data: BytesMut,
    /// Bytes that the client's windows have room for.
    room: usize,
}

impl Channel {
    /// A stream whose request's head was read.
    pub(super) fn new(
        body: RecvStream,
        Told { asked: request, form, length: left }: Told,
        respond: SendResponse<Bytes>,
        ends: Option<(SocketAddr, SocketAddr)>,
    ) -> Self {
        Self {
            body,
            form,
            piece: Bytes::new(),
            left,
            last: Vec::new(),
            ended: false,
            reply: Reply::Head { respond, request, partial: Vec::new() },
            reset: false,
            ends,
        }
    }

    /// The two ends of the connection, the client's first.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.ends
    }

    /// Whether the client asks for a tunnel, of which it was told nothing yet.
    pub(crate) fn asks_for_tunnel(&self) -> bool {
        matches!(self.reply, Reply::Head { request: Asked::Tunnel, .. })
    }

    /// The client, owed a response, has given the request up.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let reset = match &mut self.reply {
            Reply::Head { respond, .. } => respond.poll_reset(cx),
            Reply::Body { stream, .. } | Reply::Tunnel(stream) => stream.poll_reset(cx),
            Reply::Over => Poll::Pending,
        };
        match reset {
            Poll::Pending => Ok(()),
            Poll::Ready(_) => {
                self.reset = true;
                Err(Failure::ClientGone)
            }
        }
    }

    /// Ends the answer to a call that cannot go on with its status, behind what has gone out of it. What is no
    /// answer of gRPC, or has a length, would look whole, and is cut.
    #[cold]
    pub(crate) fn end_call(&mut self, failure: Failure) {
        if let Reply::Body { stream, call: true, .. } = &mut self.reply
            && failure != Failure::ClientGone
        {
            let mut trailers = HeaderMap::with_capacity(1);
            trailers.insert("grpc-status", HeaderValue::from(u16::from(rpc::code(failure))));
            if stream.send_trailers(trailers).is_ok() {
                self.reply = Reply::Over;
            }
        }
    }

    /// Ends the stream: an answer without an end is cut. Tells whether the client had reset it.
    pub(super) fn finish(mut self) -> bool {
        match &mut self.reply {
            Reply::Head { respond, .. } => respond.send_reset(Reason::INTERNAL_ERROR),
            Reply::Body { stream, .. } | Reply::Tunnel(stream) => {
                // Whoever wrote to it last has only learnt that it is broken.
                let cx = &mut Context::from_waker(Waker::noop());
                self.reset |= matches!(stream.poll_reset(cx), Poll::Ready(Ok(_)));
                stream.send_reset(Reason::INTERNAL_ERROR);
            }
            Reply::Over => {}
        }
        self.reset
    }

    /// Waits for bytes of the body, or its end. With the last of its length it waits for the end of the
    /// stream too: until then more may come, and the backend shall not have a whole request of it.
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ended && (self.piece.is_empty() || self.left == Some(self.piece.len() as u64)) {
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(data)) if self.piece.is_empty() => self.piece = data,
                Some(Ok(data)) if data.is_empty() => {}
                // The library lets nobody send more than the length.
                Some(Ok(_)) => return Poll::Ready(Err(invalid())),
                Some(Err(error)) => return Poll::Ready(Err(self.broken(&error))),
                None => {
                    let trailers = match ready!(self.body.poll_trailers(cx)) {
                        Ok(trailers) => trailers,
                        Err(error) => return Poll::Ready(Err(self.broken(&error))),
                    };
                    self.ended = true;
                    if self.form == Form::Chunks {
                        let mut lines = Vec::new();
                        for (name, value) in trailers.iter().flatten() {
                            encode::push_field(&mut lines, name.as_ref(), value.as_bytes());
                        }
                        encode::push_last_chunk(&mut self.last, &lines);
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn broken(&mut self, error: &h2::Error) -> io::Error {
        self.reset |= error.is_reset() && error.is_remote();
        io::ErrorKind::ConnectionReset.into()
    }

    /// Reads what is there of the body; `Ok(0)` is its end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_read_ready(cx))?;
        if self.piece.is_empty() {
            let n = self.last.len().min(buffer.len());
            buffer[..n].copy_from_slice(&self.last[..n]);
            self.last.drain(..n);
            return Poll::Ready(Ok(n));
        }
        let framing = if self.form == Form::Chunks { CHUNK_FRAMING } else { 0 };
        let piece = self.piece.split_to(self.piece.len().min(buffer.len().saturating_sub(framing)));
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        let room = buffer.len();
        let mut rest = buffer;
        if self.form == Form::Chunks && !piece.is_empty() {
            write!(rest, "{:x}\r\n", piece.len())?;
        }
        rest.write_all(&piece)?;
        if self.form == Form::Chunks && !piece.is_empty() {
            rest.write_all(encode::CRLF)?;
        }
        let read = room - rest.len();
        // The client may send as much again. Where the stream is over it need not be told.
        let _ = self.body.flow_control().release_capacity(piece.len());
        Poll::Ready(Ok(read))
    }

    /// Takes bytes of the answer, as far as the client's windows have room.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut batch = Batch { data: BytesMut::new(), room: 0 };
        let mut taken = 0;
        'all: for piece in pieces {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let n = match &mut self.reply {
                    Reply::Head { .. } => self.take_head(rest)?,
                    Reply::Body { stream, decoder, .. } => {
                        batch.make_room(stream, left, cx)?;
                        batch.decode(decoder, rest)?
                    }
                    Reply::Tunnel(stream) => {
                        batch.make_room(stream, left, cx)?;
                        batch.take(rest)
                    }
                    Reply::Over => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
                if n == 0 {
                    break 'all;
                }
                (taken, left, rest) = (taken + n, left - n, &rest[n..]);
            }
        }
        self.send(batch.data)?;
        if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    /// Reads a head, or a part of one.
    fn take_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Reply::Head { respond, request, partial } = &mut self.reply else {
            return Ok(0);
        };
        let before = partial.len();
        let whole = if before == 0 {
            bytes
        } else {
            partial.extend_from_slice(bytes);
            &partial[..]
        };
        let Some(len) = answer::head_len(whole) else {
            if before == 0 {
                partial.extend_from_slice(bytes);
            }
            return Ok(bytes.len());
        };
        let (head, behind) = whole.split_at(len);
        let Answer { response, body } = answer::read(head, *request).ok_or(invalid())?;
        let taken = len - before;
        let status = response.status().as_u16();
        if response.status().is_informational() {
            respond.send_informational(response).map_err(io::Error::other)?;
            partial.clear();
            return Ok(taken);
        }
        // An answer of which only the head is left is one frame, as what backends call trailers-only.
        let mut decoder = Decoder::new(body);
        let nothing = *request != Asked::Tunnel || status != 200;
        let all = nothing && (decoder.is_done() || behind.starts_with(b"0\r\n\r\n"));
        let content_type = response.headers().get(CONTENT_TYPE);
        let call = body == Framing::Chunked
            && content_type.is_some_and(|value| rpc::is_answer(value.as_bytes()));
        let stream = respond.send_response(response, all).map_err(io::Error::other)?;
        if all {
            let rest = if decoder.is_done() { 0 } else { b"0\r\n\r\n".len() };
            self.reply = Reply::Over;
            return Ok(taken + rest);
        }
        if !nothing {
            self.form = Form::Plain;
            self.reply = Reply::Tunnel(stream);
            return Ok(taken);
        }
        // Whatever stood in the way of reading it would be a fault of our own writer.
        decoder.decode(&[]).map_err(io::Error::other)?;
        self.reply = Reply::Body { stream, decoder, call };
        Ok(taken)
    }

    /// Sends data, and the end of the answer if it is reached.
    fn send(&mut self, data: BytesMut) -> io::Result<()> {
        match &mut self.reply {
            Reply::Body { stream, decoder, .. } if decoder.is_done() => {
                let trailers = fields(decoder);
                if trailers.is_empty() {
                    stream.send_data(data.freeze(), true).map_err(io::Error::other)?;
                } else {
                    if !data.is_empty() {
                        stream.send_data(data.freeze(), false).map_err(io::Error::other)?;
                    }
                    stream.send_trailers(trailers).map_err(io::Error::other)?;
                }
                self.reply = Reply::Over;
            }
            Reply::Body { stream, .. } | Reply::Tunnel(stream) if !data.is_empty() => {
                stream.send_data(data.freeze(), false).map_err(io::Error::other)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends what goes to the client of a tunnel.
    pub(crate) fn finish_writing(&mut self) -> io::Result<()> {
        if let Reply::Tunnel(stream) = &mut self.reply {
            stream.send_data(Bytes::new(), true).map_err(io::Error::other)?;
            self.reply = Reply::Over;
        }
        Ok(())
    }
}

impl Batch {
    /// Asks for room for so many bytes, framing and all. Without any, the task is woken when there
    /// is.
    fn make_room(
        &mut self,
        stream: &mut SendStream<Bytes>,
        bytes: usize,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        if self.room > 0 || !self.data.is_empty() {
            return Ok(());
        }
        stream.reserve_capacity(bytes);
        self.room = stream.capacity();
        if self.room == 0 {
            match stream.poll_capacity(cx) {
                Poll::Pending => {}
                Poll::Ready(Some(Ok(room))) => self.room = room,
                Poll::Ready(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        self.data.reserve(self.room.min(bytes));
        Ok(())
    }

    /// Takes the framing off, and data as there is room; gives how many bytes that is.
    fn decode(&mut self, decoder: &mut Decoder, bytes: &[u8]) -> io::Result<usize> {
        let decoded = decoder.decode_up_to(bytes, self.room).map_err(io::Error::other)?;
        self.take(&bytes[decoded.data]);
        Ok(decoded.consumed)
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room);
        self.data.extend_from_slice(&bytes[..n]);
        self.room -= n;
        n
    }
}

/// The trailer fields behind a body.
fn fields(decoder: &Decoder) -> HeaderMap {
    let pairs = decoder.trailer_fields().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let mut fields = HeaderMap::new();
    for (name, value) in pairs {
        fields.append(name, value);
    }
    fields
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
