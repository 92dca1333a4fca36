//! Where clients connect, and what they may do there.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

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
