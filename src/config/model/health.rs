//! How backends are judged.

use std::fmt;
use std::time::Duration;

use super::ProxyVersion;

/// Judging by real requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passive {
    /// Failures within `fail_timeout` that park a backend; 0 never parks.
    pub max_fails: u32,
    /// The window in which failures count, and how long a backend is parked the first time.
    pub fail_timeout: Duration,
    /// How long a backend is parked at most that is parked again and again.
    pub max_pause: Duration,
    /// Requests in a row that have to succeed before a backend is back; at least 1.
    pub trials: u32,
    /// Statuses that count as failures.
    pub statuses: Vec<u16>,
}

/// Judging by probes.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// What a probe's connection begins with.
    pub send_proxy: Option<ProxyVersion>,
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

/// What happens when too few backends are able to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// Part of the enabled backends below which it begins, in percent; 0 is never.
    pub threshold: u32,
    /// All enabled backends are used; else requests are answered with 503.
    pub use_all: bool,
    /// The field of responses that tells of it.
    pub header: Option<String>,
}

/// What happens when no backend is eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenNoneEligible {
    /// Every backend that the operator has not taken out is tried all the same.
    FailOpen,
    /// Requests are answered with 503.
    Reject,
}
