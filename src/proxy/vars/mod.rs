//! The variables of templates: what a request gives for `${name}`.
//!
//! Header edits, redirects, hash keys and access lines are templates that were parsed with the
//! configuration; here their pieces are put together for one request. Pure: what has to be asked for
//! (the time, the ends of a connection) is handed in. Called by `proxy::headers` for edits, by
//! `proxy::attempt` for keys, by `proxy::local` for redirects.

mod address;
mod attempts;
mod limited;
mod lookup;
mod made;
mod otherwise;
mod secured;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use regex::bytes::Captures;

use crate::http1::encode::push_decimal;
use crate::http1::{Known, RequestHead, ResponseHead, Version, is_field_value};
use crate::model::UNIX_CLIENT;
use crate::proxy::headers::ClientIdentity;
use crate::snapshot::Captured;
use crate::snapshot::settings::{Group, Piece, ProxiedEnd, Template, TimeForm, Variable};
use crate::telemetry::{Zone, basic_user};
use crate::tls::Secured;
pub(crate) use address::{push_address, push_client};
pub use attempts::{At, Attempt, Attempts};
pub use limited::{Verdict, Verdicts};
pub use lookup::{arg, cookie};
pub use otherwise::Otherwise;

/// Everything that variables speak of.
#[derive(Debug, Clone, Copy)]
pub struct Vars<'a> {
    /// The request.
    pub head: &'a RequestHead,
    /// Who sent it.
    pub client: &'a ClientIdentity,
    /// Its id, as [`request_id`](crate::proxy::headers::request_id) gives it.
    pub request_id: &'a [u8],
    /// The path by which its route was found.
    pub path: &'a [u8],
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name; empty where none is chosen.
    pub upstream: &'a str,
    /// The backend's address as written; empty where none is chosen.
    pub backend: &'a str,
    /// What it came by.
    pub link: Link<'a>,
    /// The time; `None` where nothing asks for it.
    pub clock: Option<Clock<'a>>,
    /// The time that is left for it; `None` where nothing asks for it, or it has no limit.
    pub left: Option<Duration>,
    /// Its attempts.
    pub attempts: Attempts<'a>,
    /// What the client gets.
    pub answer: Answer<'a>,
    /// What the expressions of its route found; `None` where no text asks for it.
    pub captured: Option<&'a Captured>,
    /// What was answered when it was asked whether the request may pass.
    pub auth: Option<&'a ResponseHead>,
    /// The trace that it belongs to, where requests are traced.
    pub trace: Option<&'a TraceIds>,
    /// What is sent otherwise than it came, where anything is.
    pub otherwise: Option<&'a Otherwise>,
    /// What became of it by its route's limits.
    pub limited: Verdicts,
    /// The request's body, where a text asks for it and all of it is in memory.
    pub body: Option<&'a [u8]>,
    /// What the expression found that gives the text.
    pub groups: Option<&'a Captures<'a>>,
}

/// A request's place in a trace, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace's id.
    pub trace: [u8; 32],
    /// The id of the request's own span.
    pub span: [u8; 16],
}

/// The client's connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link<'a> {
    /// The listener's name.
    pub listener: &'a str,
    /// The connection's number.
    pub number: u64,
    /// Requests on it, this one included.
    pub served: u64,
    /// Its two ends, the client's first; `None` where nothing asks for them.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// The two ends that the PROXY protocol told of.
    pub proxied: Option<&'a (SocketAddr, SocketAddr)>,
    /// What was agreed on in the TLS handshake; `None` of a plain connection.
    pub secured: Option<&'a Secured>,
}

/// The time, as far as a request needs it.
#[derive(Debug, Clone, Copy)]
pub struct Clock<'a> {
    /// Now.
    pub now: Instant,
    /// When the request's first byte was there.
    pub started: Instant,
    /// A moment, and the time since 1970 at that moment.
    pub anchor: (Instant, Duration),
    /// The time zone for people.
    pub zone: &'a Zone,
}

/// What the client gets, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// The status; 0 before it is known.
    pub status: u16,
    /// The head as it was sent; empty before that.
    pub head: &'a [u8],
    /// The backend's trailer fields, a line each.
    pub trailers: &'a [u8],
    /// Bytes sent, with the head.
    pub length: u64,
    /// Bytes of the body sent.
    pub body: u64,
    /// Bytes of the request's body that came.
    pub request_body: u64,
}

impl<'a> Vars<'a> {
    /// A request of which nothing is known but its head and who sent it.
    pub fn new(head: &'a RequestHead, client: &'a ClientIdentity) -> Self {
        Self {
            head,
            client,
            request_id: b"",
            path: head.path(),
            route: "",
            upstream: "",
            backend: "",
            link: Link::default(),
            clock: None,
            left: None,
            attempts: Attempts::default(),
            answer: Answer::default(),
            captured: None,
            auth: None,
            trace: None,
            otherwise: None,
            limited: Verdicts::default(),
            body: None,
            groups: None,
        }
    }
}

impl Clock<'_> {
    /// The time since 1970.
    pub(super) fn since_epoch(&self) -> Duration {
        let (moment, time) = self.anchor;
        match self.now.checked_duration_since(moment) {
            Some(later) => time + later,
            None => time.saturating_sub(moment.saturating_duration_since(self.now)),
        }
    }
}

/// Appends the text of `template` for this request.
///
/// What is appended may stand in a field: control characters other than HTAB are left out, so no
/// value can end a line (RFC 9110 §5.5). A variable without a value gives nothing.
pub fn render(template: &Template, vars: &Vars<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    render_raw(template, vars, out);
    if !is_field_value(&out[start..]) {
        remove_controls(out, start);
    }
}

/// The same byte for byte, for keys.
pub fn render_raw(template: &Template, vars: &Vars<'_>, out: &mut Vec<u8>) {
    for piece in &template.0 {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Variable(variable) => {
                push_variable(variable, vars, out);
            }
        }
    }
}

/// Appends a variable's value; `false` if there is none.
pub fn push_variable(variable: &Variable, vars: &Vars<'_>, out: &mut Vec<u8>) -> bool {
    let head = vars.head;
    let value = match variable {
        Variable::Capture(group) => vars.captured.and_then(|captured| captured.get(*group)),
        Variable::Host => Some(head.host_name()),
        Variable::Method => Some(head.method_in_question()),
        Variable::Path => Some(head.path()),
        Variable::NormalizedPath => Some(vars.path),
        Variable::Query => head.query(),
        Variable::QueryMark => head.query().filter(|query| !query.is_empty()).map(|_| &b"?"[..]),
        Variable::Uri => Some(head.asked_target()),
        Variable::Version => version(head),
        Variable::Scheme => Some(vars.client.scheme.as_bytes()),
        Variable::Https => vars.link.secured.map(|_| &b"on"[..]),
        Variable::RequestId => Some(vars.request_id),
        Variable::TraceId => vars.trace.map(|ids| &ids.trace[..]),
        Variable::SpanId => vars.trace.map(|ids| &ids.span[..]),
        Variable::Listener => Some(vars.link.listener.as_bytes()),
        Variable::Route => Some(vars.route.as_bytes()),
        Variable::Upstream => Some(vars.upstream.as_bytes()),
        Variable::Backend => Some(vars.backend.as_bytes()),
        Variable::ToHost => vars.otherwise.map(|otherwise| otherwise.host.as_bytes()),
        Variable::RequestBody => vars.body,
        Variable::Cookie(name) => cookie(head, name),
        Variable::Arg(name) => arg(head, name),
        Variable::UpstreamCookie(name) => {
            vars.attempts.response().and_then(|head| lookup::set_cookie(head, name))
        }
        Variable::Group(group) => vars.groups.and_then(|groups| match group {
            Group::Number(number) => groups.get(*number).map(|found| found.as_bytes()),
            Group::Name(name) => groups.name(name).map(|found| found.as_bytes()),
        }),
        Variable::Made(made) => return made::push(made, vars, out),
        composed => return push_composed(composed, vars, out),
    };
    let Some(value) = value.filter(|value| !value.is_empty()) else { return false };
    out.extend_from_slice(value);
    true
}

fn version(head: &RequestHead) -> Option<&'static [u8]> {
    Some(match head.version() {
        _ if head.method().is_empty() => return None,
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2.0",
    })
}

/// Appends what does not stand anywhere as it is.
fn push_composed(variable: &Variable, vars: &Vars<'_>, out: &mut Vec<u8>) -> bool {
    let Vars { head, client, link, answer, .. } = *vars;
    let before = out.len();
    match variable {
        Variable::ClientIp => push_client(out, client.address),
        Variable::ClientIpBytes => push_client_bytes(out, client.address),
        Variable::DownstreamIp => push_client(out, client.downstream),
        Variable::ForwardedFor => {
            if lookup::push_joined(out, head.all(Known::XForwardedFor), b", ") {
                out.extend_from_slice(b", ");
            }
            push_client(out, client.address);
        }
        Variable::ClientPort => push_end(link, out, |out, (client, _)| push_port(out, client)),
        Variable::ServerPort => push_end(link, out, |out, (_, server)| push_port(out, server)),
        Variable::ServerIp => {
            push_end(link, out, |out, (_, server)| push_address(out, server.ip().to_canonical()));
        }
        Variable::Proxied(of) => push_proxied(link, *of, out),
        Variable::Tls(fact) => secured::push(link.secured, *fact, out),
        Variable::Connection => push_decimal(out, link.number),
        Variable::ConnectionRequests => push_decimal(out, link.served),
        Variable::ToPort => vars.otherwise.iter().for_each(|otherwise| otherwise.push_port(out)),
        Variable::RequestLine => push_request_line(head, out),
        Variable::User => {
            let user = head.first(Known::Authorization).and_then(basic_user);
            out.extend(user.unwrap_or_default());
        }
        Variable::Header(name) => {
            let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
            return lookup::push_joined(out, head.find_all(name), separator);
        }
        Variable::Time(form) => push_time(*form, vars.clock, out),
        Variable::TimeLeft => {
            let millis = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            vars.left.iter().for_each(|left| push_decimal(out, millis(*left)));
        }
        Variable::Duration => {
            if let Some(clock) = vars.clock {
                push_seconds(out, clock.now.saturating_duration_since(clock.started));
            }
        }
        Variable::RequestLength => push_decimal(out, head.text_len() + answer.request_body),
        Variable::Status if answer.status == 0 => {}
        Variable::Status => push_decimal(out, u64::from(answer.status)),
        Variable::ResponseLength => push_decimal(out, answer.length),
        Variable::BodyLength => push_decimal(out, answer.body),
        Variable::ResponseHeader(name) => {
            return lookup::push_joined(out, lookup::sent_fields(answer.head, name), b", ");
        }
        Variable::UpstreamTrailer(name) => {
            return lookup::push_joined(out, lookup::fields(answer.trailers, name), b", ");
        }
        Variable::Limited(kind) => out.extend_from_slice(vars.limited.text(*kind).as_bytes()),
        Variable::Attempts(fact) => vars.attempts.push(*fact, out),
        Variable::UpstreamHeader(name) => {
            let Some(response) = vars.attempts.response() else { return false };
            return lookup::push_joined(out, response.find_all(name), b", ");
        }
        Variable::AuthStatus => {
            let Some(response) = vars.auth else { return false };
            push_decimal(out, u64::from(response.status()));
        }
        Variable::Auth(name) => {
            let Some(response) = vars.auth else { return false };
            return lookup::push_joined(out, response.find_all(name), b", ");
        }
        // Told by `push_variable`.
        _ => {}
    }
    out.len() > before
}

fn push_client_bytes(out: &mut Vec<u8>, client: IpAddr) {
    match client {
        UNIX_CLIENT => out.extend_from_slice(b"unix:"),
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}

fn push_end(
    link: Link<'_>,
    out: &mut Vec<u8>,
    push: impl Fn(&mut Vec<u8>, (SocketAddr, SocketAddr)),
) {
    if let Some(ends) = link.ends {
        push(out, ends);
    }
}

fn push_proxied(link: Link<'_>, of: ProxiedEnd, out: &mut Vec<u8>) {
    let Some((client, server)) = link.proxied else { return };
    match of {
        ProxiedEnd::ClientIp => push_address(out, client.ip().to_canonical()),
        ProxiedEnd::ClientPort => push_port(out, *client),
        ProxiedEnd::ServerIp => push_address(out, server.ip().to_canonical()),
        ProxiedEnd::ServerPort => push_port(out, *server),
    }
}

fn push_port(out: &mut Vec<u8>, address: SocketAddr) {
    push_decimal(out, u64::from(address.port()));
}

fn push_request_line(head: &RequestHead, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method());
    if let Some(version) = version(head) {
        out.push(b' ');
        out.extend_from_slice(head.received_target());
        out.push(b' ');
        out.extend_from_slice(version);
    }
}

fn push_time(form: TimeForm, clock: Option<Clock<'_>>, out: &mut Vec<u8>) {
    let Some(clock) = clock else { return };
    let time = clock.since_epoch();
    match form {
        TimeForm::Seconds => push_seconds(out, time),
        TimeForm::Local => clock.zone.push_local(time, out),
        TimeForm::Iso8601 => clock.zone.push_iso8601(time, out),
        TimeForm::Http(later) => Zone::push_http(time + Duration::from_secs(later.into()), out),
    }
}

/// Appends seconds with three decimals.
pub(super) fn push_seconds(out: &mut Vec<u8>, time: Duration) {
    push_decimal(out, time.as_secs());
    let thousandths = time.subsec_millis();
    let digit = |number: u32| b'0' + (number % 10) as u8;
    let digits = [digit(thousandths / 100), digit(thousandths / 10), digit(thousandths)];
    out.push(b'.');
    out.extend_from_slice(&digits);
}

/// Removes what may not stand in a field from `out[start..]`.
pub(super) fn remove_controls(out: &mut Vec<u8>, start: usize) {
    let mut at = 0;
    out.retain(|byte| {
        at += 1;
        at <= start || *byte == b'\t' || !byte.is_ascii_control()
    });
}

#[cfg(test)]
mod tests;
