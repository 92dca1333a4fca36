//! The variables of texts: name, meaning, and what of the model each one is.
//!
//! The reference manual and "did you mean" are made of this table.

use super::field::is_token;
use crate::config::model::{
    AttemptFact, LimitKind, ProxiedEnd, Stage, TimeForm, TlsFact, Variable,
};

/// A variable without an argument.
type Plain = (&'static str, Variable, &'static str);

/// The variables without an argument.
static PLAIN: [Plain; 68] = [
    ("client_ip", Variable::ClientIp, "The client's address, after `trusted_proxies`."),
    ("client_ip_bytes", Variable::ClientIpBytes, "The same as 4 or 16 bytes, for a `key`."),
    (
        "time_left",
        Variable::TimeLeft,
        "For fields of the request that is sent: the milliseconds that are left for it, by `total` and \
         `client` of `timeouts` and by `grpc-timeout`; empty without such a limit.",
    ),
    ("client_port", Variable::ClientPort, "The port at the other end of the connection."),
    ("downstream_ip", Variable::DownstreamIp, "The address at the other end of the connection."),
    (
        "forwarded_for",
        Variable::ForwardedFor,
        "The client's `X-Forwarded-For` with `${client_ip}` behind it.",
    ),
    ("server_ip", Variable::ServerIp, "The address that the client connected to."),
    ("server_port", Variable::ServerPort, "The port that the client connected to."),
    (
        "proxied.client_ip",
        Variable::Proxied(ProxiedEnd::ClientIp),
        "The client's address as the PROXY protocol told it. This and the following are empty where \
         it told nothing.",
    ),
    ("proxied.client_port", Variable::Proxied(ProxiedEnd::ClientPort), "The client's port."),
    ("proxied.server_ip", Variable::Proxied(ProxiedEnd::ServerIp), "The address it connected to."),
    ("proxied.server_port", Variable::Proxied(ProxiedEnd::ServerPort), "The port it connected to."),
    ("connection", Variable::Connection, "The connection's number, within its worker."),
    (
        "connection_requests",
        Variable::ConnectionRequests,
        "Requests on the connection so far, this one included.",
    ),
    ("host", Variable::Host, "The request's host, lower case, without port."),
    ("method", Variable::Method, "The method."),
    ("auth_status", Variable::AuthStatus, "The status of the answer to the question of `auth`."),
    ("path", Variable::Path, "The path as the client sent it, without the query."),
    (
        "normalized_path",
        Variable::NormalizedPath,
        "The path by which the route was found: decoded, without `.`, `..` and empty segments.",
    ),
    ("query", Variable::Query, "What follows the first `?`, without it."),
    ("query_mark", Variable::QueryMark, "`?` if there is a query that is not empty."),
    ("uri", Variable::Uri, "Path and query as the client sent them."),
    ("version", Variable::Version, "`HTTP/1.0` or `HTTP/1.1`."),
    ("request_line", Variable::RequestLine, "The first line of the request."),
    ("scheme", Variable::Scheme, "`http` or `https`."),
    ("https", Variable::Https, "`on` if TLS is spoken."),
    (
        "tls.version",
        Variable::Tls(TlsFact::Version),
        "`TLSv1.3` or `TLSv1.2`. This and the following are empty where no TLS is spoken.",
    ),
    ("tls.cipher", Variable::Tls(TlsFact::Cipher), "The cipher suite in OpenSSL's words."),
    (
        "tls.server_name",
        Variable::Tls(TlsFact::ServerName),
        "The name that the client asked for (SNI), in lower case.",
    ),
    ("tls.protocol", Variable::Tls(TlsFact::Protocol), "The protocol within (ALPN)."),
    (
        "tls.resumed",
        Variable::Tls(TlsFact::Resumed),
        "`r` if the session goes on from an earlier one, else `.`.",
    ),
    (
        "tls.client.verified",
        Variable::Tls(TlsFact::ClientVerified),
        "`SUCCESS` with a client's certificate, which then is good; `NONE` without.",
    ),
    (
        "tls.client.subject",
        Variable::Tls(TlsFact::ClientSubject),
        "Whom the client's certificate is for, like `CN=me,O=Example` (RFC 4514).",
    ),
    ("tls.client.issuer", Variable::Tls(TlsFact::ClientIssuer), "Who vouches for it."),
    (
        "tls.client.serial",
        Variable::Tls(TlsFact::ClientSerial),
        "Its number, in upper-case hexadecimal.",
    ),
    (
        "tls.client.fingerprint",
        Variable::Tls(TlsFact::ClientFingerprint),
        "Its SHA-1, in lower-case hexadecimal.",
    ),
    (
        "tls.client.certificate",
        Variable::Tls(TlsFact::ClientCertificate),
        "It itself in PEM, percent-encoded.",
    ),
    ("user", Variable::User, "The user of Basic authentication."),
    ("request_id", Variable::RequestId, "The request's id, as backends and logs get it."),
    (
        "trace_id",
        Variable::TraceId,
        "The id of the trace that the request belongs to, 32 hexadecimal digits; empty without `[tracing]`.",
    ),
    (
        "span_id",
        Variable::SpanId,
        "The id of the request's own span, 16 hexadecimal digits; empty without `[tracing]`.",
    ),
    ("listener", Variable::Listener, "The listener's name."),
    ("route", Variable::Route, "The route's name."),
    ("upstream", Variable::Upstream, "The upstream's name; empty where none is chosen."),
    ("backend", Variable::Backend, "The backend's address as written; empty where none is chosen."),
    (
        "to.host",
        Variable::ToHost,
        "The host that `send.to` of the route names, with its port unless it is 80.",
    ),
    ("to.port", Variable::ToPort, "Its port."),
    (
        "request_body",
        Variable::RequestBody,
        "The request's body, where all of it has come and is in memory (see `request_buffering`).",
    ),
    ("time", Variable::Time(TimeForm::Seconds), "Now: seconds since 1970, with milliseconds."),
    ("time.local", Variable::Time(TimeForm::Local), "Now, like `21/Nov/2026:05:00:00 +0000`."),
    ("time.iso8601", Variable::Time(TimeForm::Iso8601), "Now, like `2026-11-21T05:00:00+00:00`."),
    (
        "time.http",
        Variable::Time(TimeForm::Http(0)),
        "Now, as in fields: `Sat, 21 Nov 2026 05:00:00 GMT`; `${time.http.3600}` is an hour later.",
    ),
    ("hostname", Variable::Hostname, "The name of this machine, lower case."),
    (
        "duration",
        Variable::Duration,
        "Time since the request's first byte, in seconds with milliseconds.",
    ),
    ("request_length", Variable::RequestLength, "Bytes of the request so far, with its head."),
    (
        "limit.rate",
        Variable::Limited(LimitKind::Rate),
        "What became of the request by the `rate`s of its route's `limits`: `PASSED`, `DELAYED` or \
         `REJECTED`, in a dry run `DELAYED_DRY_RUN` or `REJECTED_DRY_RUN`; empty where nothing was judged.",
    ),
    (
        "limit.concurrency",
        Variable::Limited(LimitKind::Concurrency),
        "The same by `concurrency`: `PASSED`, `REJECTED` or `REJECTED_DRY_RUN`.",
    ),
    ("status", Variable::Status, "The response's status."),
    ("response_length", Variable::ResponseLength, "Bytes sent to the client, with the head."),
    ("body_length", Variable::BodyLength, "Bytes of the response's body that were sent."),
    (
        "upstream.addr",
        Variable::Attempts(AttemptFact::Address),
        "The backends' addresses, one for each attempt. Of this and the following, the values of \
         several attempts are joined by `, `, and of several upstreams by ` : `; `-` stands for \
         what never happened, and times are in seconds with milliseconds.",
    ),
    (
        "upstream.status",
        Variable::Attempts(AttemptFact::Status),
        "The statuses of their responses; 502 or 504 for an attempt without one.",
    ),
    (
        "upstream.connect_time",
        Variable::Attempts(AttemptFact::ConnectTime),
        "Until the connections stood; `0.000` for one that was kept.",
    ),
    (
        "upstream.header_time",
        Variable::Attempts(AttemptFact::HeaderTime),
        "Until the responses' heads were there.",
    ),
    (
        "upstream.response_time",
        Variable::Attempts(AttemptFact::ResponseTime),
        "Until the attempts ended.",
    ),
    (
        "upstream.response_length",
        Variable::Attempts(AttemptFact::ResponseLength),
        "Bytes of the responses' bodies.",
    ),
    (
        "upstream.bytes_received",
        Variable::Attempts(AttemptFact::BytesReceived),
        "Bytes that came from the backends.",
    ),
    (
        "upstream.bytes_sent",
        Variable::Attempts(AttemptFact::BytesSent),
        "Bytes that the backends took.",
    ),
];

/// A family of variables, which take a name.
type Family = (&'static str, fn(&str) -> Option<Variable>, &'static str);

static FAMILIES: [Family; 9] = [
    (
        "header.",
        |name| field(name, Variable::Header),
        "The request's fields of that name, joined by `, ` (`Cookie` by `; `).",
    ),
    (
        "cookie.",
        |name| is_token(name).then(|| Variable::Cookie(name.to_owned())),
        "The cookie's value. Of cookies of that very name the first, else the first that differs by upper \
         and lower case only; of `${arg.NAME}` too.",
    ),
    (
        "time.http.",
        |name| Some(Variable::Time(TimeForm::Http(name.parse().ok()?))),
        "`${time.http}` so many seconds later.",
    ),
    (
        "auth.",
        |name| field(name, Variable::Auth),
        "The fields of that name of the answer to the question of `auth`, joined by `, `.",
    ),
    (
        "arg.",
        |name| (!name.is_empty()).then(|| Variable::Arg(name.to_owned())),
        "The query argument's value as it came.",
    ),
    (
        "response.",
        |name| field(name, Variable::ResponseHeader),
        "The response's fields of that name as the client got them, joined by `, `.",
    ),
    (
        "upstream.header.",
        |name| field(name, Variable::UpstreamHeader),
        "The last response's fields of that name as the backend sent them, joined by `, `.",
    ),
    (
        "upstream.cookie.",
        |name| is_token(name).then(|| Variable::UpstreamCookie(name.to_owned())),
        "The value of the cookie of that name that the backend set last.",
    ),
    (
        "upstream.trailer.",
        |name| field(name, Variable::UpstreamTrailer),
        "The last response's trailer fields of that name as the backend sent them, joined by `, `.",
    ),
];

fn field(name: &str, make: fn(String) -> Variable) -> Option<Variable> {
    is_token(name).then(|| make(name.to_ascii_lowercase()))
}

/// One variable, for the manual.
pub(in crate::config) struct Known {
    /// As it stands in `${…}`.
    pub name: String,
    /// What it is.
    pub doc: &'static str,
    /// From when on it is known.
    pub stage: Stage,
}

/// All variables.
pub(in crate::config) fn known() -> impl Iterator<Item = Known> {
    let plain = PLAIN.iter().map(|(name, variable, doc)| Known {
        name: (*name).to_owned(),
        doc,
        stage: variable.stage(),
    });
    let families = FAMILIES.iter().filter_map(|(family, make, doc)| {
        let (shown, name) =
            if *family == "time.http." { ("SECONDS", "1") } else { ("NAME", "name") };
        Some(Known { name: format!("{family}{shown}"), doc, stage: make(name)?.stage() })
    });
    let groups = [
        ("1", "What the first group of the route's last expression found; so on to `${9}`."),
        ("capture.NAME", "What the group of that name found, in any expression of the route."),
    ];
    let groups = groups.into_iter().map(|(name, doc)| {
        let name = name.to_owned();
        Known { name, doc, stage: Stage::Request }
    });
    plain.chain(families).chain(groups)
}

/// The variable without an argument of that name.
pub(super) fn plain(name: &str) -> Option<Variable> {
    PLAIN.iter().find(|(plain, ..)| *plain == name).map(|(_, variable, _)| variable.clone())
}

/// The variable of a family; with the family and the argument, if the argument is no name for it.
pub(super) fn of_family(name: &str) -> Option<Result<Variable, (&'static str, &str)>> {
    FAMILIES.iter().rev().find_map(|(family, make, _)| {
        let argument = name.strip_prefix(family)?;
        Some(make(argument).ok_or((*family, argument)))
    })
}

/// From when on a variable is known; `None` if there is none of that name.
pub(crate) fn stage_of(name: &str) -> Option<Stage> {
    let variable = plain(name).or_else(|| of_family(name)?.ok())?;
    Some(variable.stage())
}
