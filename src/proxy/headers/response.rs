//! Writes the head that a client gets.

use crate::http1::encode::{CRLF, push_decimal, push_end, push_field, push_status_line};
use crate::http1::{Framing, Known, ResponseHead, Version};
use crate::proxy::headers::request::push_length;
use crate::proxy::headers::{Rules, apply_edits, is_per_connection, push_rendered, rewrite};
use crate::proxy::vars::Vars;
use crate::snapshot::settings::{HeaderEdit, Trailer};

/// How a backend's response is passed on.
#[derive(Debug, Clone, Copy)]
pub struct ResponseContext<'a> {
    /// The request and what its route chose.
    pub vars: &'a Vars<'a>,
    /// How the body is sent.
    pub framing: Framing,
    /// What the client is told of its connection.
    pub persistence: Persistence,
    /// Now, as an HTTP date (RFC 9110 §5.6.7).
    pub date: &'a [u8],
    /// The route's changes.
    pub edits: &'a [HeaderEdit],
    /// What else the route wants of a backend's response.
    pub rules: Option<Rules<'a>>,
}

/// What the client is told of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: it persists, as is usual in HTTP/1.1.
    Implied,
    /// `Connection: keep-alive`, for an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// `Connection: keep-alive` and `Keep-Alive: timeout=…` with these seconds, for any client.
    KeepAliveFor(u32),
    /// `Connection: close`.
    Close,
    /// It speaks the protocol of the backend's `Upgrade` from here on: for a 101.
    Upgraded,
}

impl Persistence {
    /// What a client of this version has to be told, if the connection `persists` or not (RFC 9112
    /// §9.3).
    /// `told` are the seconds that it is told in any case.
    pub fn of(persists: bool, client: Version, told: Option<u32>) -> Self {
        match (persists, told, client) {
            (false, _, _) => Self::Close,
            (true, Some(seconds), _) => Self::KeepAliveFor(seconds),
            (true, None, Version::Http10) => Self::KeepAlive,
            (true, None, Version::Http11 | Version::Http2) => Self::Implied,
        }
    }
}

/// Appends the head of a final response or of a 101 for the client, its empty line included.
///
/// The backend's end-to-end fields come in their order, then `Date` if a final response has none
/// (RFC 9110 §6.6.1) and what the route adds; framing and `Connection` come last. Without a body
/// the backend's `Content-Length` is passed on: after HEAD and in a 304 it tells of the body that
/// GET would have.
pub fn write_response_head(out: &mut Vec<u8>, head: &ResponseHead, ctx: &ResponseContext<'_>) {
    let fields = match ctx.rules {
        None => push_end_to_end(out, head),
        Some(rules) => push_ruled(out, head, rules, ctx.vars),
    };
    let dated = head.first(Known::Date).is_some()
        && ctx.rules.is_none_or(|rules| !rewrite::is_hidden(Known::Date, b"date", rules.rules));
    if head.status() >= 200 && !dated {
        push_field(out, b"Date", ctx.date);
    }
    apply_edits(out, fields, ctx.edits, head.status(), ctx.vars);

    match ctx.framing {
        Framing::None => {
            if let Some(length) = head.content_length() {
                push_length(out, length);
            }
        }
        Framing::Length(length) => push_length(out, length),
        Framing::Chunked => push_field(out, b"Transfer-Encoding", b"chunked"),
        Framing::UntilClose => {}
    }
    match ctx.persistence {
        Persistence::Implied => {}
        Persistence::KeepAlive => push_field(out, b"Connection", b"keep-alive"),
        Persistence::KeepAliveFor(seconds) => {
            push_field(out, b"Connection", b"keep-alive");
            out.extend_from_slice(b"Keep-Alive: timeout=");
            push_decimal(out, u64::from(seconds));
            out.extend_from_slice(CRLF);
        }
        Persistence::Close => push_field(out, b"Connection", b"close"),
        Persistence::Upgraded => {
            push_field(out, b"Connection", b"upgrade");
            push_field(out, b"Upgrade", head.upgrade().unwrap_or_default());
        }
    }
    push_end(out);
}

/// The trailer fields that are added to a response with this status, as whole lines.
pub fn trailer_lines(trailers: &[Trailer], status: u16, vars: &Vars<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    for one in trailers.iter().filter(|one| one.statuses.has(status)) {
        push_rendered(&mut lines, &one.name, &one.value, vars);
    }
    lines
}

/// Appends the head of an interim response, such as early hints, as the backend sent it (RFC 9110
/// §15.2). The route's changes are for what follows it.
pub fn write_informational(out: &mut Vec<u8>, head: &ResponseHead) {
    push_end_to_end(out, head);
    push_end(out);
}

/// The same as [`push_end_to_end`], with what the rules say of single fields.
fn push_ruled(out: &mut Vec<u8>, head: &ResponseHead, rules: Rules<'_>, vars: &Vars<'_>) -> usize {
    push_status_line(out, head.status(), head.reason());
    let fields = out.len();
    let mut seen = 0;
    for field in head.fields() {
        let repeats =
            rules.rules.first_of_repeated && rewrite::repeats(head.name(*field), &mut seen);
        if !repeats && !is_per_connection(field.known) && !head.is_nominated(*field) {
            rewrite::push_field(out, head, *field, rules, vars);
        }
    }
    fields
}

/// Appends the status line and the end-to-end fields; gives the place where these begin.
fn push_end_to_end(out: &mut Vec<u8>, head: &ResponseHead) -> usize {
    push_status_line(out, head.status(), head.reason());
    let fields = out.len();
    head.push_fields(out, |field| !is_per_connection(field.known) && !head.is_nominated(*field));
    fields
}
