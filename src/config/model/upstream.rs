//! Groups of backends, and how they are spoken to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    Adaptive, Admission, Breaker, Check, Dns, Ejection, Failover, FlapDamping, Hedge, Panic,
    Passive, Queue, Sticky, Template, UpstreamNginx, WhenNoneEligible,
};
use crate::balance::Strategy;
use crate::model::{AdminState, Weight};
use crate::tls::BackendTerms;

/// A named group of backends.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The name.
    pub name: String,
    /// How a backend is picked.
    pub strategy: Strategy,
    /// Draws of `random`: 1 or 2.
    pub choices: u8,
    /// `random` with two choices compares what requests are expected to cost, not how many there are.
    pub by_time: bool,
    /// `least_response_time` only: the time until a response's last byte counts, not until its head.
    pub measures_whole: bool,
    /// Hash input of `url_hash`, `consistent_hash` and `maglev`.
    pub key: Template,
    /// `consistent_hash` only: most load of a backend as a multiple of the mean, above 1.
    pub bounded_load: Option<f64>,
    /// `maglev` only: slots of its table, a prime number.
    pub table_size: u32,
    /// `prequal` only: the part of all backends that has to have fewer requests in flight than one that
    /// is hot.
    pub hot_quantile: f64,
    /// Which of many backends this node uses; `None`: all.
    pub subset: Option<Subset>,
    /// Protocol towards the backends.
    pub protocol: Protocol,
    /// The backends, in the order of the file; at least one.
    pub backends: Vec<Backend>,
    /// Requests in flight at all backends together; 0 is no limit.
    pub max_in_flight: u32,
    /// The same as a limit that adapts itself.
    pub adaptive: Option<Adaptive>,
    /// A part of the requests is refused when too many fail.
    pub admission: Option<Admission>,
    /// A second backend is asked when the first one takes long.
    pub hedge: Option<Hedge>,
    /// Requests that find every backend full wait.
    pub queue: Option<Queue>,
    /// Idle connections that are kept.
    pub pool: Pool,
    /// Time-outs towards the backends.
    pub timeouts: Timeouts,
    /// When a request is tried on another backend.
    pub retry: Retry,
    /// Judging by real requests.
    pub passive: Passive,
    /// What makes a backend an outlier; `None`: nobody looks for outliers.
    pub ejection: Option<Ejection>,
    /// Judging by probes: a check stands behind those that it names.
    pub checks: Vec<Check>,
    /// Keeping down who goes down again and again by its checks; `None`: nobody.
    pub flap: Option<FlapDamping>,
    /// How long a backend that joins, or is back, takes to get its whole weight.
    pub slow_start: Option<Duration>,
    /// What happens when no backend is eligible.
    pub when_none_eligible: WhenNoneEligible,
    /// What happens when too few are able to serve.
    pub panic: Option<Panic>,
    /// The circuit breaker of all backends together.
    pub breaker: Option<Breaker>,
    /// How tiers share the work; `None`: each serves what those before it cannot.
    pub failover: Option<Failover>,
    /// Requests in a second that come at the busiest hour.
    pub load: Option<u32>,
    /// How backend names are resolved again.
    pub dns: Dns,
    /// What binds clients to backends.
    pub sticky: Option<Sticky>,
    /// The address that connections leave from; port 0 is any.
    pub source: Option<Source>,
    /// That address may be another machine's.
    pub transparent: bool,
    /// How connections are secured; `None`: they are plain.
    pub tls: Option<Arc<BackendTerms>>,
    /// The text that gives the name by which each request's backend is known.
    pub tls_name: Option<Template>,
    /// The files of our own certificate, where each request says which.
    pub own_files: Option<Arc<OwnFiles>>,
    /// The header of the PROXY protocol that connections begin with.
    pub send_proxy: Option<ProxyVersion>,
    /// What is done as nginx does it.
    pub nginx: UpstreamNginx,
}

/// A few of many backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// Most eligible backends per tier.
    pub size: usize,
    /// The node whose subset it is.
    pub node: String,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Protocol towards backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: with prior knowledge over plain TCP, or agreed on within TLS.
    Http2,
}

/// One backend as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// What it is called; `None`: by its address.
    pub name: Option<String>,
    /// Where it is.
    pub address: BackendAddress,
    /// Its share.
    pub weight: Weight,
    /// Its tier, where it is said or follows from its place; else 0.
    pub tier: Option<u8>,
    /// The zone it is in.
    pub zone: Option<String>,
    /// The region it is in.
    pub region: Option<String>,
    /// The operator's word.
    pub state: AdminState,
    /// Requests in flight per process; 0 is no limit.
    pub max_connections: u32,
    /// Requests in a second that it is good for.
    pub capacity: Option<u32>,
    /// Failures within `fail_timeout` that park it; 0 never parks.
    pub max_fails: u32,
    /// The window in which failures count, and how long it is parked.
    pub fail_timeout: Duration,
    /// Its name in `sticky`.
    pub route: Option<String>,
    /// The service of the name in `address`, whose servers (SRV) are asked for.
    pub service: Option<String>,
}

impl Backend {
    /// What it is called in metrics, in the admin API and by operators.
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.address.to_string())
    }
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
    /// Idle connections kept per worker for all backends together; `None` is no limit.
    pub max_idle_total: Option<usize>,
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
    /// What tells how many milliseconds the client waits.
    pub client: Option<Template>,
}

/// When a request is tried on another backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first one included; 1 is no retry, 0 is every backend once.
    pub tries: u32,
    /// No further attempt is begun after this time since the first; `None` is no limit.
    pub timeout: Option<Duration>,
    /// Most retries of requests that a backend may have seen, in percent of the other attempts.
    pub budget: u32,
    /// As many such retries are allowed in any case.
    pub budget_min: u32,
    /// The first pause before such a request is sent again is at most so long; `None`: at once.
    pub backoff: Option<Duration>,
    /// Failures after which another try is made.
    pub on: RetryOn,
    /// Whether a request that no backend has seen is always tried on another one; else `on` says.
    pub unsent_always: bool,
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

/// The address that connections to backends leave from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This one; port 0 lets the system choose.
    Address(SocketAddr),
    /// What comes of the text; the system chooses where that is no address.
    Of(Template),
}

/// The files of a certificate of our own, as each request has them; where no text comes of `chain`, none is
/// shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate, and those that vouch for it.
    pub chain: Template,
    /// Its key.
    pub key: Template,
    /// What an encrypted key is decrypted with, one a line.
    pub passwords: Option<Passwords>,
    /// What relative paths are relative to.
    pub folder: PathBuf,
}

/// Passwords of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Passwords(pub Vec<u8>);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(…)")
    }
}
