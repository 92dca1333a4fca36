//! Writes the head that a backend gets.

use crate::http1::encode::{CRLF, push_decimal, push_end, push_field};
use crate::http1::target::push_path;
use crate::http1::{Framing, Known, RequestHead, is_token};
use crate::model::UNIX_CLIENT;
use crate::proxy::headers::{
    ClientIdentity, apply_edits, is_per_connection, push_rendered, remove_field,
};
use crate::proxy::vars::{Otherwise, Vars, push_address, push_client};
use crate::snapshot::settings::{
    ForwardPolicy, Forwarded, HeaderEdit, HostPolicy, PathRewrite, RequestIdField,
};

/// How a request is passed on.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    /// The request, its client and what its route chose.
    pub vars: &'a Vars<'a>,
    /// The listener's forwarding headers.
    pub forwarded: &'a Forwarded,
    /// What is done with the path.
    pub rewrite: &'a PathRewrite,
    /// The route's path prefix.
    pub prefix: &'a str,
    /// The normalised path, in which `prefix` was found.
    pub path: &'a [u8],
    /// The `Host` that is sent.
    pub host: &'a HostPolicy,
    /// The `Host` of the backend itself, for `HostPolicy::Backend` and for a request without one.
    pub authority: &'a str,
    /// What is sent otherwise than the client asked for, if anything.
    pub otherwise: Option<&'a Otherwise>,
    /// The trace that the request belongs to; what is told of it takes the place of the client's word.
    pub trace: Option<&'a TraceFields>,
    /// How the body is sent.
    pub framing: Framing,
    /// Trailer fields of the response would reach the client.
    pub trailers: bool,
    /// The protocol that this attempt asks to switch to.
    pub upgrade: Option<&'a [u8]>,
    /// The time that a call of gRPC has left, in its own form; it takes the place of the client's.
    pub grpc_timeout: Option<&'a [u8]>,
    /// The connection is not kept, and the backend is told so, as nginx does.
    pub close: bool,
    /// The route's changes.
    pub edits: &'a [HeaderEdit],
}

/// What a backend is told of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceFields {
    /// The value of `traceparent`.
    pub parent: [u8; 55],
    /// The client's `tracestate` goes with it.
    pub keeps_state: bool,
}

/// Appends the head for the backend of this attempt, its empty line included.
///
/// `Host` comes first (RFC 9110 §7.2), then the client's fields in their order, the forwarding
/// headers, `X-Request-Id` and what the route adds; framing and `Connection` come last. `Expect` is
/// not passed on: the proxy itself asks for the body. `TE: trailers` is.
pub fn write_request_head(out: &mut Vec<u8>, ctx: &RequestContext<'_>) {
    let head = ctx.vars.head;
    match ctx.otherwise {
        None => {
            out.extend_from_slice(head.method());
            out.push(b' ');
            push_target(out, ctx);
        }
        Some(otherwise) => push_otherwise(out, otherwise, ctx),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");

    let fields = out.len();
    push_host(out, ctx);
    if passes_fields(ctx) {
        head.push_fields(out, |field| {
            !is_made_anew(field.known, ctx.forwarded) && !head.is_nominated(*field)
        });
    }
    push_forwarding(out, ctx);
    push_id(out, fields, ctx);
    if let Some(trace) = ctx.trace {
        push_trace(out, fields, trace);
    }
    if let Some(time) = ctx.grpc_timeout {
        remove_field(out, fields, "grpc-timeout");
        push_field(out, b"grpc-timeout", time);
    }
    apply_edits(out, fields, ctx.edits, 0, ctx.vars);

    push_framing(out, head, ctx.framing);
    push_connection(out, head, ctx);
    push_end(out);
}

/// Whether the client's fields are sent on.
fn passes_fields(ctx: &RequestContext<'_>) -> bool {
    ctx.otherwise.is_none_or(|otherwise| otherwise.headers)
}

/// Appends method and target, which are others than the client's.
fn push_otherwise(out: &mut Vec<u8>, otherwise: &Otherwise, ctx: &RequestContext<'_>) {
    out.extend_from_slice(otherwise.method.as_deref().unwrap_or(ctx.vars.head.method()));
    out.push(b' ');
    match &otherwise.target {
        Some(target) => out.extend_from_slice(target),
        None => push_target(out, ctx),
    }
}

/// Appends the request's id, if one is sent.
fn push_id(out: &mut Vec<u8>, fields: usize, ctx: &RequestContext<'_>) {
    match &ctx.forwarded.request_id {
        Some(RequestIdField::Usual) => push_field(out, b"X-Request-Id", ctx.vars.request_id),
        Some(RequestIdField::Named(name)) => {
            remove_field(out, fields, name);
            push_field(out, name.as_bytes(), ctx.vars.request_id);
        }
        None => {}
    }
}

#[cold]
fn push_trace(out: &mut Vec<u8>, fields: usize, trace: &TraceFields) {
    remove_field(out, fields, "traceparent");
    if !trace.keeps_state {
        remove_field(out, fields, "tracestate");
    }
    push_field(out, b"traceparent", &trace.parent);
}

/// Appends the target: as the client sent it, or with its path rewritten.
///
/// A rewrite works on the normalised path, where the prefix was found, and escapes again what may
/// not stand in a path; so `/a/%2e%2e/b` arrives as `/b`, and `%2F` as `/`. The query is passed on
/// byte for byte.
pub fn push_target(out: &mut Vec<u8>, ctx: &RequestContext<'_>) {
    let head = ctx.vars.head;
    let by_segments = |prefix: &str| ctx.path.strip_prefix(prefix.trim_end_matches('/').as_bytes());
    let rewritten = match ctx.rewrite {
        PathRewrite::Keep => None,
        PathRewrite::Asked => return out.extend_from_slice(head.asked_target()),
        PathRewrite::StripPrefix => by_segments(ctx.prefix).map(|rest| ("", rest)),
        PathRewrite::ReplacePrefix(to) => {
            by_segments(ctx.prefix).map(|rest| (to.trim_end_matches('/'), rest))
        }
        PathRewrite::ReplaceBytes(to) => {
            ctx.path.strip_prefix(ctx.prefix.as_bytes()).map(|rest| (&**to, rest))
        }
    };
    // `*` of OPTIONS has no prefix, and stays as it is.
    let Some((replacement, rest)) = rewritten.filter(|_| ctx.path.starts_with(b"/")) else {
        return out.extend_from_slice(head.target());
    };
    out.extend_from_slice(replacement.as_bytes());
    if replacement.is_empty() && !rest.starts_with(b"/") {
        out.push(b'/');
    }
    push_path(out, rest);
    if let Some(query) = head.query() {
        // What is put in may have a query of its own.
        out.push(if replacement.contains('?') { b'&' } else { b'?' });
        out.extend_from_slice(query);
    }
}

fn push_host(out: &mut Vec<u8>, ctx: &RequestContext<'_>) {
    let host = match ctx.host {
        HostPolicy::Preserve => ctx.vars.head.host(),
        HostPolicy::Backend => b"",
        HostPolicy::Set(host) => {
            let begin = out.len();
            push_rendered(out, "Host", host, ctx.vars);
            if out.len() > begin {
                return;
            }
            b""
        }
    };
    push_field(out, b"Host", if host.is_empty() { ctx.authority.as_bytes() } else { host });
}

/// Whether we write the field ourselves, or nobody does.
fn is_made_anew(known: Known, forwarded: &Forwarded) -> bool {
    match known {
        Known::Host | Known::Expect => true,
        Known::XRequestId => forwarded.request_id == Some(RequestIdField::Usual),
        Known::XForwardedFor => forwarded.x_forwarded.address != ForwardPolicy::Off,
        Known::XForwardedProto => forwarded.x_forwarded.proto != ForwardPolicy::Off,
        Known::XForwardedHost => forwarded.x_forwarded.host != ForwardPolicy::Off,
        Known::Forwarded => forwarded.forwarded != ForwardPolicy::Off,
        Known::XRealIp => forwarded.x_real_ip,
        known => is_per_connection(known),
    }
}

/// Whether what came with the request is passed on with our part behind it; `None`: nothing is sent.
fn keeps_what_came(policy: ForwardPolicy, client: &ClientIdentity) -> Option<bool> {
    match policy {
        ForwardPolicy::Auto => Some(client.trusted),
        ForwardPolicy::Append => Some(true),
        ForwardPolicy::Set => Some(false),
        ForwardPolicy::Remove | ForwardPolicy::Off => None,
    }
}

fn push_forwarding(out: &mut Vec<u8>, ctx: &RequestContext<'_>) {
    let Vars { head, client, .. } = *ctx.vars;
    let policies = ctx.forwarded.x_forwarded;
    // A proxy before us knows better how the client came, so a single value is not replaced.
    let came = |known, keep| head.first(known).filter(|value| keep && !value.is_empty());
    if let Some(keep) = keeps_what_came(policies.address, client) {
        push_list(out, head, (Known::XForwardedFor, b"X-Forwarded-For"), keep);
        push_client(out, speaker(client, keep));
        out.extend_from_slice(CRLF);
    }
    if let Some(keep) = keeps_what_came(policies.proto, client) {
        let scheme = client.scheme.as_bytes();
        let proto = came(Known::XForwardedProto, keep).unwrap_or(scheme);
        push_field(out, b"X-Forwarded-Proto", proto);
    }
    if let Some(keep) = keeps_what_came(policies.host, client) {
        let host = came(Known::XForwardedHost, keep).unwrap_or(head.host());
        if !host.is_empty() {
            push_field(out, b"X-Forwarded-Host", host);
        }
    }
    if let Some(keep) = keeps_what_came(ctx.forwarded.forwarded, client) {
        push_list(out, head, (Known::Forwarded, b"Forwarded"), keep);
        push_forwarded_element(out, head, client, keep);
        out.extend_from_slice(CRLF);
    }
    if ctx.forwarded.x_real_ip {
        out.extend_from_slice(b"X-Real-IP: ");
        push_client(out, client.address);
        out.extend_from_slice(CRLF);
    }
}

/// Whom we name: behind a list that was kept, the one who sent it to us; else the client.
fn speaker(client: &ClientIdentity, keep: bool) -> std::net::IpAddr {
    if keep { client.downstream } else { client.address }
}

/// Appends the name and, with `keep`, the values that came, as one list that awaits one more.
fn push_list(out: &mut Vec<u8>, head: &RequestHead, (known, name): (Known, &[u8]), keep: bool) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    for value in head.all(known).filter(|value| keep && !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
}

/// `for=192.0.2.1;host=example.com;proto=http` (RFC 7239 §4, §6). What is not a token is quoted; a
/// valid host has nothing in it that would have to be escaped there.
fn push_forwarded_element(
    out: &mut Vec<u8>,
    head: &RequestHead,
    client: &ClientIdentity,
    keep: bool,
) {
    let address = speaker(client, keep);
    let (before, after): (&[u8], &[u8]) =
        if address.is_ipv6() { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
    out.extend_from_slice(before);
    if address == UNIX_CLIENT {
        out.extend_from_slice(b"unknown");
    } else {
        push_address(out, address);
    }
    out.extend_from_slice(after);
    let host = head.host();
    if !host.is_empty() {
        let quote: &[u8] = if is_token(host) { b"" } else { b"\"" };
        for part in [b";host=", quote, host, quote] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(client.scheme.as_bytes());
}

fn push_framing(out: &mut Vec<u8>, head: &RequestHead, framing: Framing) {
    match framing {
        Framing::Length(length) => push_length(out, length),
        Framing::Chunked => push_field(out, b"Transfer-Encoding", b"chunked"),
        // A request without a body says so if the client did (RFC 9110 §8.6); none can last until
        // the connection closes.
        Framing::None | Framing::UntilClose => {
            if head.first(Known::ContentLength).is_some() {
                push_length(out, 0);
            }
        }
    }
}

/// Appends `Content-Length`.
pub(super) fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    out.extend_from_slice(CRLF);
}

fn push_connection(out: &mut Vec<u8>, head: &RequestHead, ctx: &RequestContext<'_>) {
    if let Some(protocol) = ctx.upgrade {
        push_field(out, b"Connection", b"upgrade");
        push_field(out, b"Upgrade", protocol);
    } else if ctx.close {
        push_field(out, b"Connection", b"close");
    } else if ctx.trailers && takes_trailers(head) {
        push_field(out, b"Connection", b"TE");
        push_field(out, b"TE", b"trailers");
    }
}

/// Whether the client said `TE: trailers` (RFC 9110 §6.5.1); codings are between it and us.
fn takes_trailers(head: &RequestHead) -> bool {
    let mut codings = head.all(Known::Te).flat_map(|value| value.split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}
