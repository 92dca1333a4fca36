//! Where clients connect, and what they may do there.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::{ErrorPages, Tcp};
use crate::model::Address;
use crate::tls::ServerTerms;

/// A place where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The name used by routes, metrics and logs.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Of a Unix socket: who may connect, as in `chmod`.
    pub socket_mode: u32,
    /// How connections are secured; `None`: they are plain.
    pub tls: Option<Arc<ServerTerms>>,
    /// Where connections go that are passed through; `None`: requests are read.
    pub tcp: Option<Tcp>,
    /// Whether an authority of certificates is answered that asks over HTTP.
    pub answers_challenges: bool,
    /// Limits and time-outs towards the client.
    pub client: Client,
    /// How the client's address is told from forwarding headers.
    pub forwarded: Forwarded,
    /// Pages in place of errors where the route has none; `None`: a line of text.
    pub error_pages: Option<ErrorPages>,
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
    /// The same from one address; 0 is no limit.
    pub max_connections_per_client: u32,
    /// Bytes that a client who is waited for has to move in `min_rate_over`; 0 is no minimum.
    pub min_bytes: u64,
    /// The time over which `min_bytes` is taken.
    pub min_rate_over: Duration,
    /// Bytes of a whole request head.
    pub max_head_bytes: usize,
    /// Number of request header fields.
    pub max_headers: usize,
    /// Bytes of the request target.
    pub max_target_bytes: usize,
    /// Bytes of a request body; `None` is no limit.
    pub max_body_bytes: Option<u64>,
    /// Age from which a connection is closed after a request; `None` is no limit.
    pub max_lifetime: Option<Duration>,
    /// Who begins connections with a header of the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// HTTP/2.
    pub http2: Http2,
    /// Where heads are judged as nginx does.
    pub nginx: NginxHeads,
}

/// HTTP/2 with clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Whether it is spoken with those who begin with its preface, and offered within TLS.
    pub on: bool,
    /// Requests that a client may have under way on one connection.
    pub max_streams: u32,
    /// Bytes of a request's body that may come ahead of the backend.
    pub window: u32,
}

/// Who begins connections with a header of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Nobody.
    Off,
    /// Trusted proxies. The address that they tell counts as the other end of the connection.
    FromTrusted,
    /// Everybody. The address counts only where `client_address` says so.
    FromAll,
}

/// How nginx judges request heads, where Plimsoll does otherwise. All off by default.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NginxHeads {
    /// Fields whose names hold anything but letters, digits and `-` are left out.
    pub ignore_invalid_headers: bool,
    /// `_` is no such character.
    pub underscores_in_headers: bool,
    /// Repeated fields that have one value only are refused.
    pub refuse_repeated_fields: bool,
    /// Too large a head is answered with 400 in place of 431.
    pub oversized_is_400: bool,
    /// The host of a request that names none.
    pub host: Option<String>,
    /// What clients are told in `Keep-Alive`, in seconds.
    pub keep_alive_field: Option<u32>,
    /// Bytes of one field line; `None` is no limit of its own.
    pub max_field_bytes: Option<usize>,
    /// Old browsers whose connections are closed after some answers.
    pub closes_for: OldBrowsers,
    /// Empty segments of paths count.
    pub keeps_slashes: bool,
}

/// Old browsers that do not take kept connections well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OldBrowsers {
    /// Internet Explorer up to 6, behind a POST.
    pub msie6: bool,
    /// Safari of macOS.
    pub safari: bool,
}

/// What is believed of, and told through, forwarding headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where they tell the client's address.
    pub client_address: AddressSource,
    /// Whether a list of addresses is read on through trusted ones; else its last one counts.
    pub recursive: bool,
    /// What is done with `X-Forwarded-For`, `-Proto` and `-Host`.
    pub x_forwarded: XForwarded,
    /// What is done with `Forwarded` (RFC 7239).
    pub forwarded: ForwardPolicy,
    /// Whether `X-Real-IP` is set.
    pub x_real_ip: bool,
    /// The field of a request's id; `None`: ids are made anew, and none is sent.
    pub request_id: Option<RequestIdField>,
}

/// Where a trusted proxy tells the client's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressSource {
    /// In `X-Forwarded-For`.
    XForwardedFor,
    /// In `for=` of `Forwarded` (RFC 7239).
    Forwarded,
    /// In a field of this name, in the form of `X-Forwarded-For`.
    Field(String),
    /// By the PROXY protocol.
    ProxyProtocol,
    /// In no field.
    None,
}

/// What is done with each of the `X-Forwarded` fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XForwarded {
    /// With `X-Forwarded-For`.
    pub address: ForwardPolicy,
    /// With `X-Forwarded-Proto`.
    pub proto: ForwardPolicy,
    /// With `X-Forwarded-Host`.
    pub host: ForwardPolicy,
}

impl XForwarded {
    /// The same with all three.
    pub fn all(policy: ForwardPolicy) -> Self {
        Self { address: policy, proto: policy, host: policy }
    }
}

/// The field in which a request's id comes and goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestIdField {
    /// `X-Request-Id`.
    Usual,
    /// Another one.
    Named(String),
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
