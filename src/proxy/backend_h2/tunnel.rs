//! A tunnel as the one stream of an HTTP/2 connection to a backend (extended CONNECT, RFC 8441).
//!
//! It has a connection of its own, as it has over HTTP/1.1: tunnels last, and on a shared one they would
//! take the streams that requests wait for. What is asked and answered is told in the words of HTTP/1.1's
//! `Upgrade`, so that one set of rules holds for both.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64ct::{Base64, Encoding};
use bytes::{Buf, Bytes};
use h2::ext::Protocol;

use crate::http1::{RequestHead, encode};
use crate::net;
use crate::proxy::backend_h2::stream::{Piece, Stream};
use crate::proxy::backend_h2::{SILENCE, Sender, builder};
use crate::proxy::wire::Carries;

/// Streams at once while the backend has not told how many it allows: more than it can tell of, so that
/// it shows when it has. What it allows besides comes in the same frame, its first (RFC 9113 §3.4).
const UNTOLD: usize = usize::MAX - 1;

/// What a WebSocket's key is answered with, behind it (RFC 6455 §1.3).
const ANSWERED_WITH: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Shakes hands on a fresh connection that shall carry a tunnel; `None` if the backend leads none. The
/// caller bounds the time.
pub(crate) async fn begin_tunnel(stream: net::Stream) -> io::Result<Option<Sender>> {
    stream.end_when_silent(SILENCE)?;
    let (requests, mut connection) = builder()
        .initial_max_send_streams(UNTOLD)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(io::Error::other(error))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
        Poll::Pending if requests.current_max_send_streams() == UNTOLD => Poll::Pending,
        Poll::Pending => Poll::Ready(Ok(())),
    })
    .await?;
    let leads = requests.is_extended_connect_protocol_enabled();
    Ok(leads.then(|| Sender::over(requests, connection)))
}

/// What a tunnel was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    protocol: Vec<u8>,
    /// The key of a WebSocket's client, who wants an answer to it. HTTP/2 has neither (RFC 8441 §5).
    key: Option<Vec<u8>>,
}

impl Opening {
    /// What this request asks for; `None`: a response.
    pub(super) fn of(head: &RequestHead) -> Option<Self> {
        let protocol = head.upgrade()?.to_vec();
        let key = head.fields().iter().find(|field| is_key(head.name(**field)));
        Some(Self { protocol, key: key.map(|field| head.value(*field).to_vec()) })
    }

    /// How HTTP/2 names it.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        Some(Protocol::from(str::from_utf8(&self.protocol).ok()?))
    }

    /// Writes what the backend's 200 stands for, but for its own fields.
    pub(super) fn push_switched(&self, text: &mut Vec<u8>) {
        encode::push_status_line(text, 101, b"");
        encode::push_field(text, b"Connection", b"upgrade");
        encode::push_field(text, b"Upgrade", &self.protocol);
        if let Some(key) = &self.key {
            let answer = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ANSWERED_WITH].concat());
            let answer = Base64::encode_string(answer.as_ref());
            encode::push_field(text, b"Sec-WebSocket-Accept", answer.as_bytes());
        }
    }
}

/// Whether a field with this name is a WebSocket's key.
pub(super) fn is_key(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"sec-websocket-key")
}

/// The backend's end of a tunnel.
pub(crate) struct Tunnel {
    stream: Stream,
    /// What has come and was not read yet.
    came: Bytes,
}

impl Tunnel {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, came: Bytes::new() }
    }
}

impl Carries for Tunnel {
    /// Only reading tells.
    fn poll_read_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        while self.came.is_empty() {
            match ready!(self.stream.poll_piece(cx)).map_err(io::Error::other)? {
                Piece::Data(data) => self.came = data,
                Piece::Trailers(_) | Piece::End => return Poll::Ready(Ok(0)),
            }
        }
        let n = self.came.len().min(buffer.len());
        self.came.copy_to_slice(&mut buffer[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces.iter().find(|piece| !piece.is_empty()) {
            None => Poll::Ready(Ok(0)),
            Some(piece) => self.stream.poll_write(piece, cx),
        }
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        self.stream.end(None);
        Ok(())
    }

    fn plain(&mut self) -> Option<&mut net::Stream> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Limits, Parse};

    #[test]
    fn a_key_is_answered_as_rfc_6455_has_it() {
        let text =
            b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut head = RequestHead::default();
        assert!(matches!(head.parse(text, &Limits::DEFAULT), Ok(Parse::Complete { .. })));
        let opening = Opening::of(&head).unwrap();
        assert_eq!(opening.protocol().unwrap().as_str(), "websocket");
        let mut said = Vec::new();
        opening.push_switched(&mut said);
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
        assert!(said.ends_with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{said}");
    }
}
