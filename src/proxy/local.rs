//! Answers that Plimsoll gives itself: redirects, fixed responses, errors.
//!
//! Such an answer is composed as a response head and then goes the way of every other one, so that
//! the route's header changes, `Date` and `Connection` follow the same rules. Error pages echo
//! nothing of the request.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

use crate::http1::{self, Framing, Limits, ResponseHead, Version};
use crate::proxy::done::{Done, End};
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::{Failure, Fault};
use crate::proxy::headers::{ClientIdentity, Persistence, ResponseContext, write_response_head};
use crate::proxy::request::State;
use crate::proxy::rpc;
use crate::proxy::service;
use crate::proxy::vars::{self, Answer, Vars};
use crate::snapshot::RouteEntry;
use crate::snapshot::settings::{ErrorPage, Page, PageStatus, Redirect, Respond};

/// A body up to this size is read and thrown away so that the connection can go on; a longer one
/// ends the connection instead.
const DISCARD_UP_TO: u64 = 256 * 1024;

/// The status of a limit that is no answer: the connection is closed, as nginx does.
const CLOSED: u16 = 444;

/// Methods named to a client that used another one (RFC 9110 §15.5.6).
const ALLOWED: &[u8] = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What is answered.
struct Reply<'a> {
    status: u16,
    content_type: &'a str,
    body: &'a [u8],
    /// One more field.
    field: Option<(&'static str, &'a [u8])>,
    /// It goes to a caller over gRPC, who finds in fields what went wrong (trailers-only).
    code: Option<u8>,
    failure: Option<Failure>,
}

/// Redirects.
pub(super) async fn redirect(
    at: &Entrance<'_>,
    entry: &RouteEntry,
    client: &ClientIdentity,
    down: &mut Downstream,
    state: &mut State,
    redirect: &Redirect,
) -> Done {
    let mut location = Vec::new();
    vars::render(&redirect.to, &state.vars(at, client, &entry.route.name), &mut location);
    go_there(at, Some(entry), client, down, state, (redirect.status, &location)).await
}

/// Redirects there, with this status.
pub(super) async fn go_there(
    at: &Entrance<'_>,
    entry: Option<&RouteEntry>,
    client: &ClientIdentity,
    down: &mut Downstream,
    state: &mut State,
    (status, to): (u16, &[u8]),
) -> Done {
    let answer = Reply {
        status,
        content_type: "text/plain; charset=utf-8",
        body: &line(status),
        field: Some(("Location", to)),
        code: None,
        failure: None,
    };
    send(at, entry, client, down, state, &answer).await
}

/// Answers as the route says.
pub(super) async fn respond(
    at: &Entrance<'_>,
    entry: &RouteEntry,
    client: &ClientIdentity,
    down: &mut Downstream,
    state: &mut State,
    respond: &Respond,
) -> Done {
    let status = state.trail.as_ref().and_then(|trail| trail.status);
    let status = status.unwrap_or(respond.status);
    let rendered = respond.template.as_ref().map(|template| {
        let mut body = Vec::new();
        let mut vars = state.vars(at, client, &entry.route.name);
        vars.answer.status = status;
        vars::render_raw(template, &vars, &mut body);
        body
    });
    let answer = Reply {
        status,
        content_type: &respond.content_type,
        body: rendered.as_ref().unwrap_or(&respond.body),
        field: None,
        code: None,
        failure: None,
    };
    send(at, Some(entry), client, down, state, &answer).await
}

/// Answers an authority of certificates (RFC 8555 §8.3).
pub(super) async fn challenge(
    at: &Entrance<'_>,
    client: &ClientIdentity,
    down: &mut Downstream,
    state: &mut State,
    body: &[u8],
) -> Done {
    let (field, code, failure) = (None, None, None);
    let content_type = "application/octet-stream";
    let answer = Reply { status: 200, content_type, body, field, code, failure };
    send(at, None, client, down, state, &answer).await
}

/// Answers with an error, unless the client is gone.
pub(super) async fn fail(
    at: &Entrance<'_>,
    entry: Option<&RouteEntry>,
    client: &ClientIdentity,
    down: &mut Downstream,
    state: &mut State,
    failure: Failure,
) -> Done {
    let status = failure.status();
    let closes = failure == Failure::Limited(CLOSED);
    if status == Failure::ClientGone.status() || closes {
        return Done { status, failure: Some(failure), ..Done::default() };
    }
    let seconds;
    let field = match failure {
        Failure::BreakerOpen(after) => {
            seconds = after.to_string();
            Some(("Retry-After", seconds.as_bytes()))
        }
        // What is down may be up again soon; a client that waits does not add to the load.
        Failure::NoneEligible
        | Failure::Shed
        | Failure::QueueFull(503)
        | Failure::QueueTimeout(503)
        | Failure::MemoryShort => Some(("Retry-After", &b"1"[..])),
        _ if status == 405 => Some(("Allow", ALLOWED)),
        _ => None,
    };
    let on_the_way = state.trail.as_ref().is_some_and(|trail| trail.to_error_page);
    let page = service::error_page(at, entry, status).filter(|_| !on_the_way);
    let answer = match page {
        Some(ErrorPage { page: Page::Fixed { content_type, body }, status: of, .. }) => Reply {
            status: if let PageStatus::Fixed(status) = of { *status } else { status },
            content_type,
            body,
            field,
            code: None,
            failure: Some(failure),
        },
        _ if rpc::is_call(&state.head) => Reply {
            status,
            content_type: rpc::CONTENT_TYPE,
            body: b"",
            field: None,
            code: Some(rpc::code(failure)),
            failure: Some(failure),
        },
        _ => Reply {
            status,
            content_type: "text/plain; charset=utf-8",
            body: &line(status),
            field,
            code: None,
            failure: Some(failure),
        },
    };
    send(at, entry, client, down, state, &answer).await
}

/// The status in words, as the body of an answer that has no other.
fn line(status: u16) -> Vec<u8> {
    let mut line = Vec::with_capacity(40);
    http1::encode::push_decimal(&mut line, u64::from(status));
    line.push(b' ');
    line.extend_from_slice(http1::encode::reason(status).as_bytes());
    line.push(b'\n');
    line
}

async fn send(
    at: &Entrance<'_>,
    entry: Option<&RouteEntry>,
    client: &ClientIdentity,
    down: &mut Downstream,
    state: &mut State,
    answer: &Reply<'_>,
) -> Done {
    let malformed = matches!(answer.failure, Some(failure) if failure.fault() == Fault::Downstream
        && !failure.keeps_connection());
    let discard = is_worth_discarding(state);
    let whole = state.upload.is_complete() || discard;
    let keep = !malformed && whole && at.goes_on(&state.head);
    let sent = compose(at, entry, client, state, answer, keep);
    let deadline = Instant::now() + at.listener.client.write_timeout;
    let mut written = 0;
    let State { to_client, .. } = state;
    to_client.is_last = !keep;
    let buffers = &at.worker.buffers;
    let flush = poll_fn(|cx| to_client.poll_flush(&mut down.stream, cx, buffers, &mut written));
    let flushed = down.timer.within(deadline, flush).await;
    let (status, failure) = (answer.status, answer.failure);
    let done = Done { status, failure, length: written, ..Done::default() };
    if !matches!(flushed, Ok(Ok(()))) {
        return done;
    }
    if keep && discard && !discard_body(at, down, state).await {
        return Done { body: sent, end: End::Linger, ..done };
    }
    Done { body: sent, end: if keep { End::KeepAlive } else { End::Linger }, ..done }
}

/// Whether what is left of the body is little enough to be read and thrown away.
pub(super) fn is_worth_discarding(state: &State) -> bool {
    // On HTTP/2 what is not read holds up nothing.
    state.head.version() != Version::Http2
        && !state.upload.is_complete()
        && !state.upload.is_lost()
        && !state.upload.is_withheld()
        && !matches!(state.head.framing(), Framing::Length(n) if n > DISCARD_UP_TO)
}

/// Reads and throws away what is left of the body; `false` if it does not end soon.
pub(super) async fn discard_body(
    at: &Entrance<'_>,
    down: &mut Downstream,
    state: &mut State,
) -> bool {
    let deadline = Instant::now() + at.listener.client.body_timeout;
    state.upload.limit_to(DISCARD_UP_TO);
    let (upload, buffers) = (&mut state.upload, &at.worker.buffers);
    let mut timer = std::mem::take(&mut down.timer);
    let discard = poll_fn(|cx| upload.poll_discard(down, buffers, cx));
    let discarded = timer.within(deadline, discard).await;
    down.timer = timer;
    matches!(discarded, Ok(Ok(())))
}

/// The same with what has come already: nobody waits for a slow client.
pub(super) async fn discard_what_came(at: &Entrance<'_>, down: &mut Downstream, state: &mut State) {
    state.upload.limit_to(DISCARD_UP_TO);
    let (upload, buffers) = (&mut state.upload, &at.worker.buffers);
    poll_fn(|cx| {
        // What is wrong with it shows when the connection is to go on.
        let _ = upload.poll_discard(down, buffers, cx);
        Poll::Ready(())
    })
    .await;
}

/// Puts head and body into `to_client`; gives the length of the body that is sent.
fn compose(
    at: &Entrance<'_>,
    entry: Option<&RouteEntry>,
    client: &ClientIdentity,
    state: &mut State,
    answer: &Reply<'_>,
    keep: bool,
) -> u64 {
    let status = if answer.code.is_some() { 200 } else { answer.status };
    let bodiless =
        answer.code.is_some() || state.head.method() == b"HEAD" || matches!(status, 204 | 304);
    let mut text = Vec::with_capacity(256);
    let reason = http1::encode::reason(status).as_bytes();
    http1::encode::push_status_line(&mut text, status, reason);
    if let Some(code) = answer.code {
        let why = http1::encode::reason(answer.status).as_bytes();
        http1::encode::push_field(&mut text, b"Content-Type", answer.content_type.as_bytes());
        http1::encode::push_field(&mut text, b"Grpc-Status", code.to_string().as_bytes());
        http1::encode::push_field(&mut text, b"Grpc-Message", why);
    } else if answer.status != 204 && answer.status != 304 {
        http1::encode::push_field(&mut text, b"Content-Type", answer.content_type.as_bytes());
        http1::encode::push_field(
            &mut text,
            b"Content-Length",
            answer.body.len().to_string().as_bytes(),
        );
    }
    if let Some((name, value)) = answer.field {
        http1::encode::push_field(&mut text, name.as_bytes(), value);
    }
    for (name, value) in state.trail.iter().flat_map(|trail| &trail.kept) {
        if !name.eq_ignore_ascii_case(b"Content-Type") {
            http1::encode::push_field(&mut text, name, value);
        }
    }
    http1::encode::push_end(&mut text);
    let mut head = ResponseHead::default();
    // What we compose is a valid head: names are ours, values were checked or rendered clean.
    let limits = Limits { max_head_bytes: text.len(), ..Limits::default() };
    let parsed = head.parse(&text, &limits, state.head.method());
    debug_assert!(matches!(parsed, Ok(http1::Parse::Complete { .. })), "{parsed:?}");

    let (edits, route) = match entry {
        Some(entry) => (&*entry.route.response_headers, &*entry.route.name),
        None => (&[][..], ""),
    };
    let mut to_client = std::mem::take(&mut state.to_client);
    let context = ResponseContext {
        vars: &Vars {
            answer: Answer {
                status: answer.status,
                request_body: state.upload.received,
                ..Answer::default()
            },
            ..state.vars(at, client, route)
        },
        framing: if bodiless { Framing::None } else { Framing::Length(answer.body.len() as u64) },
        persistence: Persistence::of(
            keep,
            state.head.version(),
            at.listener.client.nginx.keep_alive_field,
        ),
        date: &at.worker.dates.text(at.started),
        edits,
        rules: None,
    };
    let begin = to_client.head.len();
    write_response_head(&mut to_client.head, &head, &context);
    if at.view.snapshot.asked.sent {
        state.sent.clear();
        state.sent.extend_from_slice(&to_client.head[begin..]);
    }
    let body = if bodiless { &[] } else { answer.body };
    to_client.head.extend_from_slice(body);
    state.to_client = to_client;
    body.len() as u64
}
