//! One request and its response over HTTP/2 to a backend, by the library `h2`.
//!
//! A worker has one connection to each such backend and multiplexes its requests over it; it opens another
//! one only while the backend allows no more requests at once. What a backend gets and what it answers is
//! composed and judged as for HTTP/1: the head is encoded by the same writer, and the answer's head goes
//! through the same parser, so that no rule is there twice.

mod exchange;
mod places;
mod stream;
mod tunnel;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::sleep;

use crate::http1::{Known, Limits, Parse, RequestHead, ResponseHead, encode, is_trailer};
use crate::model::Outcome;
use crate::net;
use crate::proxy::exchange::RESPONSE_LIMITS;
use crate::proxy::failure::Failure;

pub(super) use exchange::H2Exchange;
pub(super) use places::Turn;
pub(super) use stream::Stream;
pub(super) use tunnel::begin_tunnel;

use places::Places;
use tunnel::Opening;

/// Bytes of one response that may come ahead of its client.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same of all responses on a connection: so many that clients who do not read on, up to 4096 of
/// them, do not stall the others, nor end the connection for them. For the library takes a backend for
/// one that means harm whose frames, at 256 bytes for one with hardly anything in it, take more than half
/// of this while they wait.
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;
/// Streams at once while the backend has not told how many it allows: as many as it should (RFC 9113 §6.5.2).
pub(super) const UNTOLD: usize = 100;
/// How long nothing may be heard of a backend's system on a connection: requests that share it would else wait
/// in vain, one after the other, until one of them has done so for the whole of its time.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection that nobody uses any more may take to send its last frames.
const LINGER: Duration = Duration::from_secs(10);

/// An answer that has begun.
#[derive(Debug)]
pub(super) struct Answer {
    parts: Parts,
    stream: Stream,
}

/// A way to send requests over a connection, which is in use by others while there are clones of it.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    requests: SendRequest<Bytes>,
    places: Rc<Places>,
    users: Rc<()>,
}

impl Sender {
    /// Runs this connection on this worker until it ends or nobody uses it any more.
    fn over(requests: SendRequest<Bytes>, mut connection: Connection<net::Stream>) -> Self {
        let (places, users) = (Rc::<Places>::default(), Rc::default());
        let (line, in_use) = (Rc::downgrade(&places), Rc::downgrade(&users));
        tokio::task::spawn_local(async move {
            let ended = run(&mut connection, &line, &in_use).await;
            // Requests under way learn of its end by themselves.
            if let Err(error) = ended {
                tracing::debug!(%error, "HTTP/2 connection to a backend ended");
            }
            drop(connection);
            line.upgrade().inspect(|line| line.wake_first());
        });
        Self { requests, places, users }
    }

    /// A turn to begin a stream.
    pub(super) fn turn(&self) -> Turn {
        Turn::at(&self.places)
    }

    /// Begins a stream with this request, of which nothing was sent before. `whole`: nothing follows its
    /// head.
    pub(super) fn poll_begin(
        &mut self,
        turn: &mut Turn,
        (request, whole): (&mut http::Request<()>, bool),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, Unanswered>> {
        if self.is_closed() {
            return Poll::Ready(Err(Unanswered::UNSEEN));
        }
        let place = ready!(turn.poll(self.requests.current_max_send_streams(), cx));
        let begun = self.requests.send_request(std::mem::take(request), whole);
        Poll::Ready(match begun {
            Ok(begun) => Ok(Stream::new(begun, whole, place)),
            Err(_) => Err(Unanswered::UNSEEN),
        })
    }

    /// Whether the connection takes no more requests.
    pub(super) fn is_closed(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        matches!(self.requests.poll_ready(cx), Poll::Ready(Err(_)))
    }

    /// Requests that the backend allows at once.
    pub(super) fn most(&self) -> usize {
        self.requests.current_max_send_streams()
    }

    /// Whether a request more would not have to wait for others.
    pub(super) fn has_room(&self) -> bool {
        self.places.has_room(self.most())
    }

    /// Whether nobody else sends requests.
    pub(super) fn is_alone(&self) -> bool {
        Rc::strong_count(&self.users) == 1
    }
}

impl Stream {
    /// Waits until the answer begins.
    pub(super) async fn answer(mut self) -> Result<Answer, Unanswered> {
        let parts = poll_fn(|cx| self.poll_head(cx)).await?;
        Ok(Answer { parts, stream: self })
    }
}

/// A connection's own work.
async fn run(
    connection: &mut Connection<net::Stream>,
    line: &Weak<Places>,
    in_use: &Weak<()>,
) -> Result<(), h2::Error> {
    let mut linger = None;
    poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(ended);
        }
        // It may have been told that it may send more, or no more at all.
        line.upgrade().inspect(|line| line.wake_first());
        if in_use.strong_count() > 0 {
            return Poll::Pending;
        }
        let linger = linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        linger.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// What every connection is begun with.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(RESPONSE_LIMITS.max_head_bytes as u32);
    builder
}

/// Shakes hands on a fresh connection, on which so many streams may be at once until the backend has told
/// how many it allows. The caller bounds the time.
pub(super) async fn begin(stream: net::Stream, most: usize) -> io::Result<Sender> {
    stream.end_when_silent(SILENCE)?;
    let mut builder = builder();
    let shaken = builder.initial_max_send_streams(most).handshake(stream).await;
    let (requests, connection) = shaken.map_err(io::Error::other)?;
    Ok(Sender::over(requests, connection))
}

/// What is known of a request that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// What it comes to.
    pub(super) outcome: Outcome,
    /// It was certainly not looked at.
    pub(super) unseen: bool,
    /// The backend spoke of this request alone; its connection is as good as before.
    pub(super) reset: bool,
}

impl Unanswered {
    /// It never went out.
    const UNSEEN: Self = Self { outcome: Outcome::Reset, unseen: true, reset: false };
    /// What came is no answer.
    const INVALID: Self = Self { outcome: Outcome::InvalidResponse, unseen: false, reset: true };
}

fn unanswered(error: &h2::Error) -> Unanswered {
    let reset = error.is_remote() && error.is_reset();
    let refused = reset && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    // A GOAWAY is told of the streams above its last one only (RFC 9113 §6.8, §8.7).
    let unseen = refused || (error.is_remote() && error.is_go_away());
    Unanswered { outcome: Outcome::Reset, unseen, reset }
}

/// The request that an encoded HTTP/1.1 head stands for (RFC 9113 §8.3.1, §8.2.2), and the tunnel that it
/// asks for (RFC 8441 §4).
pub(super) fn request(scheme: &str, head: &[u8]) -> Option<(http::Request<()>, Option<Opening>)> {
    let limits = Limits {
        max_head_bytes: head.len(),
        max_fields: 512,
        max_target_bytes: head.len(),
        ..Limits::DEFAULT
    };
    let mut parsed = RequestHead::default();
    if !matches!(parsed.parse(head, &limits), Ok(Parse::Complete { .. })) {
        return None;
    }
    let mut uri = [scheme.as_bytes(), b"://"].concat();
    uri.extend_from_slice(parsed.host());
    if parsed.target() != b"*" {
        uri.extend_from_slice(parsed.target());
    }
    let mut request = http::Request::new(());
    let opening = Opening::of(&parsed);
    if let Some(opening) = &opening {
        *request.method_mut() = http::Method::CONNECT;
        request.extensions_mut().insert(opening.protocol()?);
    } else {
        *request.method_mut() = http::Method::from_bytes(parsed.method()).ok()?;
    }
    *request.uri_mut() = http::Uri::try_from(uri).ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    for field in parsed.fields() {
        let value = parsed.value(*field);
        let per_connection = match field.known {
            Known::Host
            | Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade
            | Known::Http2Settings => true,
            Known::Te => !value.eq_ignore_ascii_case(b"trailers"),
            _ => opening.is_some() && tunnel::is_key(parsed.name(*field)),
        };
        if !per_connection {
            let name = HeaderName::from_bytes(parsed.name(*field)).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some((request, opening))
}

/// Parses the head of an answer as if it had come over HTTP/1.1. `switched`: it opens this tunnel.
fn parse_head(
    answer: &Parts,
    head: &mut ResponseHead,
    method: &[u8],
    switched: Option<&Opening>,
) -> Result<(), Failure> {
    let mut text = Vec::with_capacity(512);
    match switched {
        None => encode::push_status_line(&mut text, answer.status.as_u16(), b""),
        Some(opening) => opening.push_switched(&mut text),
    }
    for (name, value) in &answer.headers {
        encode::push_field(&mut text, name.as_str().as_bytes(), value.as_bytes());
    }
    encode::push_end(&mut text);
    head.reset();
    match head.parse(&text, &RESPONSE_LIMITS, method) {
        Ok(Parse::Complete { .. }) => Ok(()),
        _ => Err(Failure::Attempt(Outcome::InvalidResponse)),
    }
}

/// Trailers as lines, without what may not stand in them (RFC 9110 §6.5.1).
pub(super) fn trailer_lines(trailers: &HeaderMap) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in trailers {
        let name = name.as_str().as_bytes();
        if is_trailer(name) {
            encode::push_field(&mut lines, name, value.as_bytes());
        }
    }
    lines
}

/// The trailer fields of a request, if there are any.
pub(super) fn trailers<'t>(
    fields: impl Iterator<Item = (&'t [u8], &'t [u8])>,
) -> Option<HeaderMap> {
    let mut trailers = HeaderMap::new();
    for (name, value) in fields {
        trailers.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    (!trailers.is_empty()).then_some(trailers)
}
