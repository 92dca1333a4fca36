//! Texts with variables.

use std::sync::Arc;

use super::{Capture, Made};

/// A text with variables, parsed once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(pub Vec<Piece>);

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Text(String),
    /// `${name}`.
    Variable(Variable),
}

/// The variables of templates and hash keys. `config::build::variables` has their names and what
/// they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `${1}`, `${capture.NAME}`: what a group of the route's expressions found.
    Capture(Capture),
    /// `${client_ip}`: the client's address, after `trusted_proxies`.
    ClientIp,
    /// `${client_ip_bytes}`: the same as 4 or 16 bytes, for keys.
    ClientIpBytes,
    /// `${time_left}`: the milliseconds that are left for the request.
    TimeLeft,
    /// `${client_port}`.
    ClientPort,
    /// `${downstream_ip}`: the other end of the connection.
    DownstreamIp,
    /// `${forwarded_for}`: the client's `X-Forwarded-For` with the client's address behind it.
    ForwardedFor,
    /// `${server_ip}`: the address that the client connected to.
    ServerIp,
    /// `${server_port}`.
    ServerPort,
    /// `${proxied.client_ip}` and its like: what the PROXY protocol told.
    Proxied(ProxiedEnd),
    /// `${connection}`: the connection's number.
    Connection,
    /// `${connection_requests}`: requests on the connection, this one included.
    ConnectionRequests,
    /// `${host}`: the request's host, lower case, without port.
    Host,
    /// `${method}`.
    Method,
    /// `${path}`: the path as the client sent it, without the query.
    Path,
    /// `${normalized_path}`: the path decoded, without `.`, `..` and empty segments.
    NormalizedPath,
    /// `${query}`: what follows the first `?`, without it.
    Query,
    /// `${query_mark}`: `?` if there is a query that is not empty.
    QueryMark,
    /// `${uri}`: path and query as the client sent them.
    Uri,
    /// `${version}`: `HTTP/1.0` or `HTTP/1.1`.
    Version,
    /// `${request_line}`.
    RequestLine,
    /// `${scheme}`: `http` or `https`.
    Scheme,
    /// `${https}`: `on` if TLS is spoken.
    Https,
    /// `${tls.version}` and its like: what was agreed on in the TLS handshake.
    Tls(TlsFact),
    /// `${user}`: the user of Basic authentication.
    User,
    /// `${request_id}`.
    RequestId,
    /// `${trace_id}`: of the trace that the request belongs to.
    TraceId,
    /// `${span_id}`: of the request's span.
    SpanId,
    /// `${listener}`: the listener's name.
    Listener,
    /// `${route}`: the route's name.
    Route,
    /// `${upstream}`: the upstream's name; empty where none is chosen.
    Upstream,
    /// `${backend}`: the backend's address as written; empty where none is chosen.
    Backend,
    /// `${to.host}`: the host that `send.to` names, with its port unless it is 80.
    ToHost,
    /// `${to.port}`: its port.
    ToPort,
    /// `${hostname}`: the name of this machine. It is put in when the file is read.
    Hostname,
    /// `${request_body}`: the body, where all of it is in memory.
    RequestBody,
    /// `${header.NAME}`: the request fields of that name, lower case.
    Header(String),
    /// `${cookie.NAME}`: the cookie's value.
    Cookie(String),
    /// `${auth.NAME}`: the fields of that name of the answer to the question of `auth`, lower case.
    Auth(String),
    /// `${auth_status}`: the status of that answer.
    AuthStatus,
    /// `${arg.NAME}`: the query argument's raw value.
    Arg(String),
    /// `${time}` and its like.
    Time(TimeForm),
    /// `${duration}`: since the request's first byte, in seconds.
    Duration,
    /// `${request_length}`: bytes of the request with its head.
    RequestLength,
    /// `${status}`: of the response.
    Status,
    /// `${response_length}`: bytes sent to the client, with the head.
    ResponseLength,
    /// `${body_length}`: the same without the head.
    BodyLength,
    /// `${response.NAME}`: the response's fields of that name as they were sent.
    ResponseHeader(String),
    /// `${upstream.status}` and its like: a value for each attempt.
    Attempts(AttemptFact),
    /// `${upstream.header.NAME}`: the backend's response fields of that name.
    UpstreamHeader(String),
    /// `${upstream.cookie.NAME}`: the value of a cookie that the backend set.
    UpstreamCookie(String),
    /// `${upstream.trailer.NAME}`: the backend's trailer fields of that name.
    UpstreamTrailer(String),
    /// `${limit.rate}`, `${limit.concurrency}`: what became of the request by its route's limits.
    Limited(LimitKind),
    /// `${NAME}` of a `[variable.NAME]`.
    Made(Arc<Made>),
    /// `${capture.NAME}`: what a group of the expression found that gives this text.
    Group(Group),
}

/// A group of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// By number; 0 is all that was found.
    Number(usize),
    /// By name.
    Name(String),
}

/// By what a limit judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// How often.
    Rate,
    /// How often at once.
    Concurrency,
}

/// What the PROXY protocol tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxiedEnd {
    /// The client's address.
    ClientIp,
    /// The client's port.
    ClientPort,
    /// The address that the client connected to.
    ServerIp,
    /// The port that the client connected to.
    ServerPort,
}

/// What is told of a TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFact {
    /// `TLSv1.3` or `TLSv1.2`.
    Version,
    /// The cipher suite in OpenSSL's words.
    Cipher,
    /// The name that the client asked for (SNI).
    ServerName,
    /// The protocol within (ALPN).
    Protocol,
    /// `r` if it goes on from an earlier session, else `.`.
    Resumed,
    /// `SUCCESS` with a client's certificate, `NONE` without.
    ClientVerified,
    /// Whom the client's certificate is for.
    ClientSubject,
    /// Who vouches for it.
    ClientIssuer,
    /// Its number.
    ClientSerial,
    /// Its SHA-1.
    ClientFingerprint,
    /// It itself, in PEM, percent-encoded.
    ClientCertificate,
}

/// How a moment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Seconds since 1970 with milliseconds.
    Seconds,
    /// `21/Nov/2026:05:00:00 +0000`.
    Local,
    /// `2026-11-21T05:00:00+00:00`.
    Iso8601,
    /// `Sat, 21 Nov 2026 05:00:00 GMT`, so many seconds later.
    Http(u32),
}

/// What is told of each attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptFact {
    /// The backend's address.
    Address,
    /// The status of its response.
    Status,
    /// Until the connection stood.
    ConnectTime,
    /// Until the response's head was there.
    HeaderTime,
    /// Until the end.
    ResponseTime,
    /// Bytes of the response's body.
    ResponseLength,
    /// Bytes that came from the backend.
    BytesReceived,
    /// Bytes that the backend took.
    BytesSent,
}

/// From when on a variable has its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Once the request's head is there.
    Request,
    /// Once there is an answer.
    Response,
    /// Once the answer is sent.
    End,
}

impl Variable {
    /// From when on it has its value.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Status
            | Self::Attempts(_)
            | Self::UpstreamHeader(_)
            | Self::UpstreamCookie(_) => Stage::Response,
            Self::ResponseLength
            | Self::BodyLength
            | Self::ResponseHeader(_)
            | Self::UpstreamTrailer(_) => Stage::End,
            Self::Made(made) => made.stage,
            _ => Stage::Request,
        }
    }
}

/// What has to be found out for the texts of a configuration, beyond what is known of each request
/// anyhow.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The two ends of the client's connection.
    pub ends: bool,
    /// The head that the client got.
    pub sent: bool,
    /// The backend's trailer fields.
    pub trailers: bool,
    /// The request's body.
    pub body: bool,
    /// The time that is left.
    pub time_left: bool,
}

impl Asked {
    /// Takes in what a variable needs.
    pub fn note(&mut self, variable: &Variable) {
        self.ends |=
            matches!(variable, Variable::ClientPort | Variable::ServerIp | Variable::ServerPort);
        self.sent |= matches!(variable, Variable::ResponseHeader(_));
        self.trailers |= matches!(variable, Variable::UpstreamTrailer(_));
        self.body |= matches!(variable, Variable::RequestBody);
        self.time_left |= matches!(variable, Variable::TimeLeft);
    }
}
