//! The checked configuration: typed, defaulted, free of spans and of syntax.
//!
//! Every value here is valid on its own and together with the others: names resolve, weights are
//! positive, addresses parse. Later rooms index and match; they do not check again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use regex::bytes::Regex;

use crate::balance::Strategy;
use crate::model::{AdminState, Weight};

/// A whole configuration, of all included files.
#[derive(Debug, Clone)]
pub struct Config {
    /// Process-wide settings.
    pub process: Process,
    /// The admin listener; `None` when there is no `[admin]` section.
    pub admin: Option<Admin>,
    /// Where clients connect, in the order of the files.
    pub listeners: Vec<Listener>,
    /// Which request goes where, in the order of the files.
    pub routes: Vec<Route>,
    /// The upstreams by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Every configuration file that was read, the main one first.
    pub files: Vec<PathBuf>,
}

/// Process-wide settings: the top level of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Number of worker threads; `None` is one per core.
    pub workers: Option<u16>,
    /// How long a graceful stop waits for requests under way.
    pub drain_timeout: Duration,
    /// How often the files are looked at for a change; `None`: reload by signal only.
    pub watch_interval: Option<Duration>,
    /// The program log.
    pub log: Log,
    /// The access log.
    pub access_log: AccessLog,
}

/// The program log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least level that is written: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

/// Form of the program log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Form, or off.
    pub format: AccessLogFormat,
    /// The file; `None` is standard output.
    pub path: Option<PathBuf>,
}

/// Form of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Nothing is written.
    Off,
    /// nginx's `combined`, byte for byte.
    Combined,
    /// One JSON object per request, with every attempt.
    Json,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens. Checked to be loopback unless `allow_public` is set.
    pub address: SocketAddr,
}

/// A place where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name used by routes, metrics and logs.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Limits and time-outs towards the client.
    pub client: Client,
    /// How the client's address is told from forwarding headers.
    pub forwarded: Forwarded,
}

/// Limits and time-outs towards clients of one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Whole time for a request head, from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Between two reads of a request body.
    pub body_timeout: Duration,
    /// Between two writes of a response.
    pub write_timeout: Duration,
    /// Requests after which a connection is closed; 0 is no limit.
    pub max_requests: u64,
    /// Open connections per process on this listener; 0 is no limit.
    pub max_connections: u64,
    /// Bytes of a whole request head.
    pub max_head_bytes: usize,
    /// Number of request header fields.
    pub max_headers: usize,
    /// Bytes of the request target.
    pub max_target_bytes: usize,
    /// Bytes of a request body; `None` is no limit.
    pub max_body_bytes: Option<u64>,
}

/// What is believed of, and told through, forwarding headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What is done with `X-Forwarded-For` (and, unless `off`, `-Proto`, `-Host`).
    pub x_forwarded: ForwardPolicy,
    /// What is done with `Forwarded` (RFC 7239).
    pub forwarded: ForwardPolicy,
    /// Whether `X-Real-IP` is set.
    pub x_real_ip: bool,
}

/// What is done with a forwarding header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardPolicy {
    /// From trusted proxies: append to what came. From others: replace what came.
    Auto,
    /// Append to what came, whoever sent it.
    Append,
    /// Replace what came.
    Set,
    /// Remove what came and set nothing.
    Remove,
    /// Leave what came untouched.
    Off,
}

/// Which requests, and what becomes of them.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name used in metrics and logs; made from the place in the file when not given.
    pub name: String,
    /// Listeners by name; empty is every listener.
    pub listeners: Vec<String>,
    /// Hosts; empty is every host.
    pub hosts: Vec<HostMatch>,
    /// The path rule.
    pub path: PathMatch,
    /// Methods, upper case; empty is every method.
    pub methods: Vec<String>,
    /// Header rules; all must hold.
    pub headers: Vec<HeaderMatch>,
    /// What becomes of the request.
    pub action: Action,
    /// Changes to the request's header fields, in order.
    pub request_headers: Vec<HeaderEdit>,
    /// Changes to the response's header fields, in order.
    pub response_headers: Vec<HeaderEdit>,
    /// Replaces the upstream's time-outs where set.
    pub timeouts: TimeoutOverrides,
    /// Replaces the upstream's retry policy where set.
    pub retry: Option<Retry>,
    /// Replaces the listener's limit for request bodies where set; `Some(None)` lifts it.
    pub max_body_bytes: Option<Option<u64>>,
    /// Protocols a client may switch to by `Upgrade`, lower case; `websocket` unless told otherwise.
    pub upgrades: Vec<String>,
}

/// A host rule. Names are lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// The very name.
    Exact(String),
    /// Any name that ends in `.` and this suffix, at any depth (`*.example.com`).
    Suffix(String),
}

/// A path rule, matched on the decoded, normalised path.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// The very path.
    Exact(String),
    /// The path or anything below it, by whole segments; `/` is everything. No slash at the end.
    Prefix(String),
    /// A regular expression, unanchored unless it says so.
    Regex(Regex),
}

/// A header rule.
#[derive(Debug, Clone)]
pub struct HeaderMatch {
    /// The field's name, lower case.
    pub name: String,
    /// What its value must be.
    pub value: HeaderValueMatch,
}

/// What a header's value must be.
#[derive(Debug, Clone)]
pub enum HeaderValueMatch {
    /// The field is there.
    Present,
    /// The field is not there.
    Absent,
    /// A field line has the very value.
    Exact(String),
    /// A field line matches.
    Regex(Regex),
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// Goes to one of these upstreams, by share.
    Proxy(Proxy),
    /// Is answered with a redirect.
    Redirect(Redirect),
    /// Is answered as written.
    Respond(Respond),
}

/// Goes to an upstream.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// The upstreams with their shares; one entry for a plain route. Never empty.
    pub split: Vec<Share>,
    /// What is done with the path.
    pub rewrite: PathRewrite,
    /// The `Host` sent to the backend.
    pub host: HostPolicy,
}

/// One part of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The upstream's name; it exists.
    pub upstream: String,
    /// Its share.
    pub weight: Weight,
}

/// What is done with the path before it is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// Sent byte for byte as it came.
    Keep,
    /// The route's prefix is cut off (what is left begins with `/`).
    StripPrefix,
    /// The route's prefix is replaced by this one.
    ReplacePrefix(String),
}

/// The `Host` sent to the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPolicy {
    /// As the client sent it.
    Preserve,
    /// The backend's address as written in the file.
    Backend,
    /// This one.
    Set(String),
}

/// A redirect.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where to.
    pub to: Template,
}

/// A fixed response. `Debug` shows the length of the body only: it may come from a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// `Content-Type` of the body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// One change to header fields. Names keep the case in which they were written. `Debug` shows no
/// values: they may be secrets.
#[derive(Clone)]
pub enum HeaderEdit {
    /// Replaces all fields of that name with one.
    Set(String, Template),
    /// Adds a field beside those of that name.
    Add(String, Template),
    /// Removes all fields of that name.
    Remove(String),
}

impl fmt::Debug for Respond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl fmt::Debug for HeaderEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (change, name) = match self {
            Self::Set(name, _) => ("Set", name),
            Self::Add(name, _) => ("Add", name),
            Self::Remove(name) => ("Remove", name),
        };
        f.debug_tuple(change).field(name).finish()
    }
}

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

/// The variables of templates and hash keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `${client_ip}`: the client's address, after `trusted_proxies`.
    ClientIp,
    /// `${host}`: the request's host, lower case, without port.
    Host,
    /// `${method}`.
    Method,
    /// `${path}`: the path as the client sent it, without the query.
    Path,
    /// `${query}`: what follows the first `?`, without it.
    Query,
    /// `${uri}`: path and query as the client sent them.
    Uri,
    /// `${scheme}`: `http` or `https`.
    Scheme,
    /// `${request_id}`.
    RequestId,
    /// `${route}`: the route's name.
    Route,
    /// `${upstream}`: the upstream's name; empty where none is chosen.
    Upstream,
    /// `${backend}`: the backend's address as written; empty where none is chosen.
    Backend,
    /// `${header.NAME}`: the first request field of that name, lower case.
    Header(String),
    /// `${cookie.NAME}`: the cookie's value.
    Cookie(String),
    /// `${arg.NAME}`: the query argument's raw value.
    Arg(String),
}

/// A named group of backends.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The name.
    pub name: String,
    /// How a backend is picked.
    pub strategy: Strategy,
    /// Draws of `random`: 1 or 2.
    pub choices: u8,
    /// Hash input of `url_hash` and `consistent_hash`.
    pub key: Template,
    /// `consistent_hash` only: most load of a backend as a multiple of the mean, above 1.
    pub bounded_load: Option<f64>,
    /// Protocol towards the backends.
    pub protocol: Protocol,
    /// The backends, in the order of the file; at least one.
    pub backends: Vec<Backend>,
    /// Idle connections that are kept.
    pub pool: Pool,
    /// Time-outs towards the backends.
    pub timeouts: Timeouts,
    /// When a request is tried on another backend.
    pub retry: Retry,
    /// Judging by real requests.
    pub passive: Passive,
    /// Judging by probes; `None` when there is no `[upstream.NAME.health]` section.
    pub health: Option<Health>,
    /// What happens when no backend is eligible.
    pub when_none_eligible: WhenNoneEligible,
    /// How backend names are resolved again.
    pub dns: Dns,
}

/// Protocol towards backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge over plain TCP.
    H2c,
}

/// One backend as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Where it is.
    pub address: BackendAddress,
    /// Its share.
    pub weight: Weight,
    /// Serves only when no primary is eligible.
    pub backup: bool,
    /// The operator's word.
    pub state: AdminState,
    /// Requests in flight per process; 0 is no limit.
    pub max_connections: u32,
}

/// Where a backend is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendAddress {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A name to resolve, and a port.
    Name(String, u16),
    /// A Unix socket (`unix:/path`).
    Unix(PathBuf),
}

impl fmt::Display for BackendAddress {
    /// As written in the file, with its port: this text is the backend's identity, label and hash
    /// input.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Idle connections, per worker and backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Idle connections kept per worker and backend; 0 keeps none.
    pub max_idle: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How long a connection is used at all.
    pub max_lifetime: Duration,
    /// Requests after which a connection is closed; 0 is no limit.
    pub max_requests: u64,
}

/// Time-outs towards backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Between two reads.
    pub read: Duration,
    /// Between two writes.
    pub write: Duration,
    /// For the whole request with all attempts, until the response head; `None` is no limit.
    pub total: Option<Duration>,
}

/// A route's own time-outs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TimeoutOverrides {
    /// Instead of the upstream's.
    pub connect: Option<Duration>,
    /// Instead of the upstream's.
    pub read: Option<Duration>,
    /// Instead of the upstream's.
    pub write: Option<Duration>,
    /// Instead of the upstream's.
    pub total: Option<Duration>,
}

/// When a request is tried on another backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first one included; 1 is no retry.
    pub tries: u32,
    /// No further attempt is begun after this time since the first; `None` is no limit.
    pub timeout: Option<Duration>,
    /// Failures (other than to connect, which is always retried) after which another try is made.
    pub on: RetryOn,
    /// Statuses after which another try is made.
    pub statuses: Vec<u16>,
    /// Whether a non-idempotent request (RFC 9110 §9.2.2) that was sent may be sent again.
    pub non_idempotent: bool,
    /// Bytes of a request body kept for another try; a longer body is sent once only.
    pub replay_bytes: usize,
}

/// Failures after which another try is made, if the request allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryOn {
    /// The connection broke before a whole response head came.
    pub reset: bool,
    /// Nothing came in time.
    pub timeout: bool,
    /// What came was not valid.
    pub invalid_response: bool,
}

/// Judging by real requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passive {
    /// Failures within `fail_timeout` that park a backend; 0 never parks.
    pub max_fails: u32,
    /// The window in which failures count, and how long a backend is parked.
    pub fail_timeout: Duration,
    /// Statuses that count as failures.
    pub statuses: Vec<u16>,
}

/// Judging by probes.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// Between two probes of a backend.
    pub interval: Duration,
    /// Between two probes after a first failure, until a verdict.
    pub fast_interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Good results in a row that bring a backend up.
    pub rise: u32,
    /// Bad results in a row that take a backend down.
    pub fall: u32,
    /// Part of the interval by which each pause is varied, 0.0 to 1.0.
    pub jitter: f64,
    /// A port other than the backend's.
    pub port: Option<u16>,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection is enough.
    Tcp,
    /// An HTTP/1.1 request.
    Http(HttpProbe),
}

/// An HTTP probe. `Debug` shows no values of header fields: they may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// Path and query.
    pub path: String,
    /// The method.
    pub method: String,
    /// The `Host`; `None` is the backend's address.
    pub host: Option<String>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// Good statuses, as inclusive ranges.
    pub expect: Vec<(u16, u16)>,
    /// Text that the first 64 KiB of the body must contain.
    pub body: Option<String>,
}

impl fmt::Debug for HttpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpProbe")
            .field("path", &self.path)
            .field("method", &self.method)
            .field("host", &self.host)
            .field("headers", &headers)
            .field("expect", &self.expect)
            .field("body", &self.body)
            .finish()
    }
}

/// What happens when no backend is eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenNoneEligible {
    /// Every backend that the operator has not taken out is tried all the same.
    FailOpen,
    /// Requests are answered with 503.
    Reject,
}

/// How backend names are resolved again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// The shortest time an answer is used, whatever its TTL.
    pub min_ttl: Duration,
    /// The longest time an answer is used, whatever its TTL.
    pub max_ttl: Duration,
}
