//! The spans of a request that is over, and its exemplars.
//!
//! Names of attributes are those of OpenTelemetry's semantic conventions for HTTP, as far as they are
//! stable (1.23), and `plimsoll.…` for what has none there.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::{Trace, Try};
use crate::http1::{Known, Version};
use crate::model::{Address, Outcome, UNIX_CLIENT};
use crate::proxy::done::Done;
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::{Failure, Fault};
use crate::proxy::record::Place;
use crate::proxy::request::State;
use crate::proxy::vars::{At, Attempt};
use crate::snapshot::settings::Protocol;
use crate::snapshot::{Backend, Upstream};
use crate::telemetry::Exemplar;
use crate::trace::{Kind, Link, Span};

/// Bytes of a text that are told; what is longer is cut off.
const LONGEST: usize = 2 * 1024;

/// `tracestate` of so many bytes at least is passed on by everybody (W3C Trace Context §3.3.1.5).
const LONGEST_STATE: usize = 512;

/// Methods that are told as they are; any other one is `_OTHER`, so that no client makes up names.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Arguments whose values are credentials, after the conventions' own list.
const CREDENTIALS: [&[u8]; 4] = [b"AWSAccessKeyId", b"Signature", b"sig", b"X-Goog-Signature"];

/// A request that is over.
pub(super) struct Request<'r> {
    pub(super) trace: &'r Trace,
    pub(super) at: &'r Entrance<'r>,
    pub(super) place: Place<'r>,
    pub(super) down: &'r Downstream,
    pub(super) state: &'r State,
    /// How it was answered, and when it ended.
    pub(super) over: (&'r Done, Instant),
}

impl Request<'_> {
    /// Keeps it as an example in the histograms that it counts in.
    pub(super) fn exemplify(&self) {
        let Self { trace, at, place, over: (_, ended), .. } = self;
        let worker = at.worker.ix;
        let one = |took: Duration, ended: Instant| Exemplar {
            trace: trace.own.trace,
            took,
            at: self.since_1970(ended),
        };
        let series = place.entry.map_or(&at.listener.unrouted, |entry| &entry.series);
        let took = ended.saturating_duration_since(at.started);
        series.worker(worker).exemplify(one(took, *ended));
        for tried in &trace.tries {
            if let (At::Backend(upstream, _), Some((ended, record))) = (tried.at, &tried.ended) {
                let series = &at.view.snapshot.upstream(upstream).series;
                let cell = series.worker(worker);
                if let Some(took) = record.duration {
                    cell.exemplify_attempt(one(took, *ended));
                }
                if let Some(took) = record.first_byte {
                    cell.exemplify_first_byte(one(took, tried.begun + took));
                }
            }
        }
    }

    /// Its span, and that of each of its attempts.
    pub(super) fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::with_capacity(1 + self.trace.tries.len());
        spans.push(self.server());
        let mut resent = 0;
        for tried in &self.trace.tries {
            spans.push(self.client(tried, if tried.asks { 0 } else { resent }));
            resent += i64::from(!tried.asks);
        }
        spans
    }

    fn server(&self) -> Span {
        let Self { trace, at, place, down, state, over: (done, ended) } = self;
        let head = &state.head;
        let method = method(head.received_method());
        let route = place.entry.map(|entry| &*entry.route.name);
        let name = name(method, route);
        let mut span = Span::new(Kind::Server, name, trace.own, trace.parent);
        span.start_time_unix_nano = self.nanos(at.started);
        span.end_time_unix_nano = self.nanos(*ended);
        if trace.parent.is_some() {
            span.trace_state = tracestate(head.find_all("tracestate"));
        }
        span.links.extend(trace.passed_over.map(Link::to));
        tell_method(&mut span, method, head.received_method());
        let target = head.received_target();
        let (path, query) = split_target(target);
        span.tell("url.scheme", at.scheme());
        span.tell("url.path", shown(path));
        if let Some(query) = query {
            span.tell("url.query", redacted(query));
        }
        if !head.host().is_empty() {
            let (host, port) = host_and_port(head.host());
            span.tell("server.address", shown(host));
            let usual = if at.secured.is_some() { 443 } else { 80 };
            span.tell("server.port", i64::from(port.unwrap_or(usual)));
        }
        tell_client(&mut span, place.client.address, place.client.downstream, down);
        span.tell("network.protocol.version", version(head.version()));
        if let Some(agent) = head.first(Known::UserAgent) {
            span.tell("user_agent.original", shown(agent));
        }
        span.tell("plimsoll.listener", &*at.listener.name);
        if let Some(route) = route {
            span.tell("plimsoll.route", route);
        }
        if let Some(local) = place.local {
            span.tell("plimsoll.upstream", &*local.upstream.name);
        }
        span.tell("plimsoll.request_id", shown(&state.id));
        tell_answer(&mut span, done);
        span
    }

    fn client(&self, tried: &Try, resent: i64) -> Span {
        let Self { trace, at, over: (_, ended), .. } = self;
        let reached = match tried.at {
            At::Backend(upstream, backend) => {
                let upstream = at.view.snapshot.upstream(upstream);
                Some((&**upstream, &*upstream.backends[backend.index()]))
            }
            At::Nobody(_) | At::Address(_) => None,
        };
        let (sent, target) = split_at_space(&tried.line);
        let sent = if sent.is_empty() { self.state.head.method() } else { sent };
        let method = method(sent);
        let name = name(method, reached.map(|(upstream, _)| &*upstream.name));
        let own = trace.own.with_span(tried.span);
        let mut span = Span::new(Kind::Client, name, own, Some(trace.own.span));
        span.start_time_unix_nano = self.nanos(tried.begun);
        let end = tried.ended.as_ref().map_or(*ended, |(at, _)| *at);
        span.end_time_unix_nano = self.nanos(end);
        tell_method(&mut span, method, sent);
        match (reached, tried.at) {
            (Some((upstream, backend)), _) => {
                tell_backend(&mut span, upstream, backend, target);
                if tried.asks {
                    span.tell("plimsoll.question", true);
                }
            }
            (None, At::Address(address)) => {
                span.tell("server.address", address.ip().to_string());
                span.tell("server.port", i64::from(address.port()));
                if !target.is_empty() {
                    span.tell("url.full", url("http", &address.to_string(), target));
                }
            }
            (None, _) => {}
        }
        if resent > 0 {
            span.tell("http.request.resend_count", resent);
        }
        if let Some(reason) = tried.reason {
            span.tell("plimsoll.retry.reason", reason);
        }
        match &tried.ended {
            Some((_, record)) => tell_end(&mut span, record),
            None => span.fail(Failure::Cut.label()),
        }
        span
    }

    fn nanos(&self, moment: Instant) -> u64 {
        self.since_1970(moment).as_nanos() as u64
    }

    fn since_1970(&self, moment: Instant) -> Duration {
        self.at.clock(moment).since_epoch()
    }
}

/// What is told of the one who sent the request, and of what stands between.
fn tell_client(
    span: &mut Span,
    client: std::net::IpAddr,
    downstream: std::net::IpAddr,
    down: &Downstream,
) {
    if client != UNIX_CLIENT {
        span.tell("client.address", client.to_string());
    }
    if downstream == UNIX_CLIENT {
        span.tell("network.transport", "unix");
    } else {
        span.tell("network.peer.address", downstream.to_string());
        if let Some((peer, _)) = down.stream.ends() {
            span.tell("network.peer.port", i64::from(peer.port()));
        }
    }
}

/// What is told of an answer. That somebody asked for what is not there is no failure of a server.
fn tell_answer(span: &mut Span, done: &Done) {
    let failure = done.failure;
    let is_sent = !matches!(done.status, 0 | 444 | 499) && failure != Some(Failure::Cut);
    if is_sent {
        span.tell("http.response.status_code", i64::from(done.status));
    }
    if let Some(failure) = failure {
        span.tell("plimsoll.failure", failure.label());
    }
    let ours = failure.is_some_and(|failure| failure.fault() == Fault::Upstream);
    if done.status >= 500 || (ours && done.status < 400) {
        match failure {
            Some(failure) => span.fail(failure.label()),
            None => span.fail(done.status.to_string()),
        }
    }
}

fn tell_backend(span: &mut Span, upstream: &Upstream, backend: &Backend, target: &[u8]) {
    span.tell("plimsoll.upstream", &*upstream.name);
    span.tell("plimsoll.backend", &*backend.label);
    match &backend.address {
        Address::Ip(address) => {
            let (host, port) = host_and_port(backend.authority.as_bytes());
            span.tell("server.address", shown(host));
            span.tell("server.port", i64::from(port.unwrap_or(address.port())));
            span.tell("network.peer.address", address.ip().to_string());
            span.tell("network.peer.port", i64::from(address.port()));
        }
        Address::Unix(path) => {
            span.tell("server.address", path.display().to_string());
            span.tell("network.transport", "unix");
        }
    }
    let is_h2 = matches!(upstream.protocol, Protocol::Http2);
    span.tell("network.protocol.version", if is_h2 { "2" } else { "1.1" });
    if !target.is_empty() {
        let scheme = if backend.tls.is_some() { "https" } else { "http" };
        span.tell("url.full", url(scheme, &backend.authority, target));
    }
}

/// What is told of the end of an attempt. For who asked, answers from 400 on are failures.
fn tell_end(span: &mut Span, record: &Attempt) {
    span.tell("plimsoll.outcome", record.outcome.name());
    span.tell("plimsoll.connection.reused", record.reused);
    if let Some(status) = record.status {
        span.tell("http.response.status_code", i64::from(status));
    }
    match (record.outcome, record.status) {
        (Outcome::ClientGone | Outcome::Cancelled, _) | (Outcome::Ok, None) => {}
        (Outcome::Ok | Outcome::Status, Some(status)) => {
            if status >= 400 {
                span.fail(status.to_string());
            }
        }
        (outcome, _) => span.fail(outcome.name()),
    }
}

fn method(method: &[u8]) -> Option<&'static str> {
    METHODS.into_iter().find(|known| known.as_bytes() == method)
}

/// A span's name: the method, and where it goes.
fn name(method: Option<&str>, to: Option<&str>) -> String {
    let method = method.unwrap_or("HTTP");
    to.map_or_else(|| method.to_owned(), |to| format!("{method} {to}"))
}

fn tell_method(span: &mut Span, known: Option<&str>, method: &[u8]) {
    span.tell("http.request.method", known.unwrap_or("_OTHER"));
    if known.is_none() {
        span.tell("http.request.method_original", shown(method));
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    }
}

fn split_at_space(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &[]),
    }
}

/// Path and query of a target. Of one in absolute form they follow the authority (RFC 9112 §3.2.2).
fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let scheme = memchr::memmem::find(target, b"://").filter(|_| !target.starts_with(b"/"));
    let rest = match scheme {
        Some(at) => {
            let rest = &target[at + 3..];
            let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            &rest[end..]
        }
        None => target,
    };
    match rest.iter().position(|byte| *byte == b'?') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    }
}

/// `host:port`, of which the port may be missing and the host may be in brackets.
fn host_and_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    let port = colon.and_then(|at| str::from_utf8(&authority[at + 1..]).ok()?.parse().ok());
    let host = match (colon, port) {
        (Some(at), Some(_)) => &authority[..at],
        _ => authority,
    };
    let bare = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    (bare.unwrap_or(host), port)
}

fn url(scheme: &str, authority: &str, target: &[u8]) -> String {
    let (path, query) = split_target(target);
    let mut url = format!("{scheme}://{authority}{}", shown(path));
    if let Some(query) = query {
        url.push('?');
        url.push_str(&redacted(query));
    }
    url
}

/// A query without the values that are credentials.
fn redacted(query: &[u8]) -> Cow<'_, str> {
    let is_credential = |part: &[u8]| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        part.len() > name.len() && CREDENTIALS.contains(&name)
    };
    if !query.split(|byte| *byte == b'&').any(is_credential) {
        return shown(query);
    }
    let parts = query.split(|byte| *byte == b'&').map(|part| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        if is_credential(part) { format!("{}=REDACTED", shown(name)) } else { shown(part).into() }
    });
    parts.collect::<Vec<_>>().join("&").into()
}

/// A text that came over the network; U+FFFD stands for what is not UTF-8.
fn shown(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(LONGEST)])
}

/// The lines of `tracestate` as one; nothing if they are too long to be told.
fn tracestate<'h>(lines: impl Iterator<Item = &'h [u8]>) -> String {
    let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    let state = lines.join(",");
    if state.len() <= LONGEST_STATE { state } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        for (target, path, query) in [
            ("/a/b?c=d?e", "/a/b", Some("c=d?e")),
            ("/", "/", None),
            ("/?", "/", Some("")),
            ("*", "*", None),
            ("http://h:1/a?b", "/a", Some("b")),
            ("http://h?b", "", Some("b")),
            ("/to?url=http://x", "/to", Some("url=http://x")),
        ] {
            let (found, asked) = split_target(target.as_bytes());
            assert_eq!(str::from_utf8(found).unwrap(), path, "{target}");
            assert_eq!(asked.map(|asked| str::from_utf8(asked).unwrap()), query, "{target}");
        }
    }

    #[test]
    fn hosts_may_be_in_brackets_and_ports_missing() {
        for (authority, host, port) in [
            ("a.test:8080", "a.test", Some(8080)),
            ("a.test", "a.test", None),
            ("[::1]:80", "::1", Some(80)),
            ("[::1]", "::1", None),
            ("a.test:", "a.test:", None),
        ] {
            assert_eq!(host_and_port(authority.as_bytes()), (host.as_bytes(), port));
        }
    }

    #[test]
    fn credentials_in_queries_are_not_told() {
        for (query, told) in [
            ("a=1&b=2", "a=1&b=2"),
            ("a=1&sig=secret&b=2", "a=1&sig=REDACTED&b=2"),
            ("X-Goog-Signature=x", "X-Goog-Signature=REDACTED"),
            ("sig&a=sig", "sig&a=sig"),
            ("", ""),
        ] {
            assert_eq!(redacted(query.as_bytes()), told);
        }
    }

    #[test]
    fn only_known_methods_make_names() {
        assert_eq!(name(method(b"GET"), Some("shop")), "GET shop");
        assert_eq!(name(method(b"get"), Some("shop")), "HTTP shop");
        assert_eq!(name(method(b"BREW"), None), "HTTP");
    }

    #[test]
    fn a_state_that_nobody_has_to_pass_on_is_not_told() {
        let lines = |text: &'static str| [text.as_bytes()].into_iter();
        assert_eq!(tracestate(lines("a=1").chain(lines("b=2"))), "a=1,b=2");
        let long = "a".repeat(LONGEST_STATE + 1);
        assert_eq!(tracestate([long.as_bytes()].into_iter()), "");
    }
}
