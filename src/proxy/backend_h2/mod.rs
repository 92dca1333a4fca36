//! One request and its response over HTTP/2 to a backend, by hyper's client connection.
//!
//! A worker has one connection to each such backend and multiplexes its requests over it. What a
//! backend gets and what it answers is composed and judged as for HTTP/1: the head is encoded by the
//! same writer, and the answer's head goes through the same parser, so that no rule is there twice.

mod exchange;
mod tunnel;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::net::Stream;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::http1::{Framing, Known, Limits, Parse, RequestHead, ResponseHead, encode, is_trailer};
use crate::model::Outcome;
use crate::proxy::exchange::RESPONSE_LIMITS;
use crate::proxy::failure::Failure;

pub(super) use exchange::H2Exchange;
pub(super) use tunnel::begin_tunnel;

use tunnel::Opening;

/// Bytes of one response that may come ahead of its client.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same of all responses on a connection: so many that clients who do not read on, up to 4096 of
/// them, do not stall the others, nor end the connection for them. For the library takes a backend for
/// one that means harm whose frames, at 256 bytes for one with hardly anything in it, take more than half
/// of this while they wait.
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;

/// An answer that has begun. Dropped before its end, it resets its stream.
pub(super) type Answer = Response<Incoming>;

/// A way to send requests over a connection, which is in use by others while there are clones of it.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    requests: http2::SendRequest<RequestBody>,
    users: Rc<()>,
}

impl Sender {
    fn new(requests: http2::SendRequest<RequestBody>) -> Self {
        Self { requests, users: Rc::default() }
    }

    /// Sends a request; gives its answer once that has begun.
    pub(super) fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> impl Future<Output = hyper::Result<Answer>> + use<> {
        self.requests.send_request(request)
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Whether nobody else sends requests.
    pub(super) fn is_alone(&self) -> bool {
        Rc::strong_count(&self.users) == 1
    }
}

/// Runs a connection's own work on this worker.
#[derive(Debug, Clone, Copy)]
struct OnThisWorker;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisWorker {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What every connection is begun with.
fn builder<E: Clone>(executor: E) -> http2::Builder<E> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(RESPONSE_LIMITS.max_head_bytes as u32);
    builder
}

/// Shakes hands on a fresh connection. The caller bounds the time.
pub(super) async fn begin(stream: Stream) -> std::io::Result<Sender> {
    let (sender, connection) = builder(OnThisWorker)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    tokio::task::spawn_local(async move {
        // Requests under way learn of its end by themselves.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/2 connection to a backend ended");
        }
    });
    Ok(Sender::new(sender))
}

/// What became of a request that failed before its answer began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It was refused, and certainly not looked at (RFC 9113 §8.7); others may go on.
    Refused,
    /// The connection took no more requests, and certainly not this one (§6.8).
    TooLate,
    /// It may have been seen. The backend broke it off and nothing else, which is its answer.
    BrokenOff,
    /// It may have been seen, and the connection has ended.
    Unknown,
}

/// What is known of a request that has no answer.
pub(super) struct Unanswered {
    /// It was certainly not looked at.
    pub(super) unseen: bool,
    /// The backend reset its stream alone; its connection is as good as before.
    pub(super) reset: bool,
}

pub(super) fn unanswered(error: &hyper::Error) -> Unanswered {
    let fate = fate(error);
    Unanswered {
        unseen: matches!(fate, Fate::Refused | Fate::TooLate),
        reset: matches!(fate, Fate::Refused | Fate::BrokenOff),
    }
}

fn fate(error: &hyper::Error) -> Fate {
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<h2::Error>()) {
        Some(error) if !error.is_remote() => Fate::Unknown,
        Some(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => Fate::Refused,
        // Told of streams above the last one of the GOAWAY only.
        Some(error) if error.is_go_away() => Fate::TooLate,
        Some(error) if error.is_reset() => Fate::BrokenOff,
        // Never handed to the connection.
        _ if error.is_canceled() => Fate::TooLate,
        _ => Fate::Unknown,
    }
}

/// The request that an encoded HTTP/1.1 head stands for (RFC 9113 §8.3.1, §8.2.2), and the tunnel that it
/// asks for (RFC 8441 §4).
pub(super) fn request(
    scheme: &str,
    head: &[u8],
    body: RequestBody,
) -> Option<(http::Request<RequestBody>, Option<Opening>)> {
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
    let mut request = http::Request::new(body);
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
    answer: &http::response::Parts,
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

/// One frame of a request's body on its way from the upload to hyper.
#[derive(Debug, Default)]
struct Slot {
    frame: Option<Frame<Bytes>>,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The upload's end of a request's body.
#[derive(Debug, Default)]
pub(super) struct BodyFeed {
    slot: Rc<RefCell<Slot>>,
}

/// hyper's end of a request's body.
#[derive(Debug)]
pub(super) struct RequestBody {
    slot: Rc<RefCell<Slot>>,
    length: Option<u64>,
}

/// The client broke off before its body was whole.
#[derive(Debug, thiserror::Error)]
#[error("the request's body broke off")]
pub(super) struct BrokenOff;

impl BodyFeed {
    /// The other end. `length` is known for a body that announced it.
    pub(super) fn body(&self, framing: Framing) -> RequestBody {
        let length = match framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        RequestBody { slot: Rc::clone(&self.slot), length }
    }

    /// Ready when the next frame can be handed over.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.slot.borrow_mut();
        if slot.frame.is_none() {
            return Poll::Ready(());
        }
        slot.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether a frame waits to be taken.
    pub(super) fn is_full(&self) -> bool {
        self.slot.borrow().frame.is_some()
    }

    /// Hands a frame over.
    pub(super) fn put(&self, frame: Frame<Bytes>) {
        let mut slot = self.slot.borrow_mut();
        slot.frame = Some(frame);
        if let Some(reader) = slot.reader.take() {
            reader.wake();
        }
    }

    /// Nothing more will come.
    pub(super) fn end(&self) {
        let mut slot = self.slot.borrow_mut();
        slot.ended = true;
        if let Some(reader) = slot.reader.take() {
            reader.wake();
        }
    }
}

impl Drop for BodyFeed {
    /// A body that is dropped before its end resets its stream.
    fn drop(&mut self) {
        if let Some(reader) = self.slot.borrow_mut().reader.take() {
            reader.wake();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let mut slot = self.slot.borrow_mut();
        if let Some(frame) = slot.frame.take() {
            if let Some(writer) = slot.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        if slot.ended {
            return Poll::Ready(None);
        }
        if Rc::strong_count(&self.slot) == 1 {
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        slot.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let slot = self.slot.borrow();
        slot.frame.is_none() && (slot.ended || self.length == Some(0))
    }
}
