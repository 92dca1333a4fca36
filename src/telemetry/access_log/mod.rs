//! The access log: one line per request, written off the request path.
//!
//! Each worker formats into a buffer of its own ([`LocalLog`]) and hands it over when it is full or
//! a second old; one thread ([`AccessLog`]) writes what it is handed. What waits for a slow disk is
//! bounded: beyond that whole buffers are dropped, and counted, but no worker ever waits.

mod combined;
mod json;
mod writer;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use crate::model::{Outcome, UNIX_CLIENT};
pub use combined::basic_user;
pub use writer::{AccessLog, AccessLogHandle, LocalLog, can_append};

/// Form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// nginx's `combined`, byte for byte.
    Combined,
    /// One JSON object per request, with every attempt.
    Json,
}

/// Bytes of a field that are logged; what is longer is cut off. By default nginx takes no longer
/// line of a request head, so what it would log is logged whole.
const FIELD_MAX: usize = 8 * 1024;

fn capped(field: &[u8]) -> &[u8] {
    &field[..field.len().min(FIELD_MAX)]
}

/// What is logged of a request.
///
/// Text that came over the network is bytes here: `combined` escapes them as nginx does; JSON shows
/// what is UTF-8 as it is and U+FFFD for the rest.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// When the request ended.
    pub time: SystemTime,
    /// Who asked, after `trusted_proxies`.
    pub client: Client,
    /// The user of Basic authentication; see [`basic_user`].
    pub user: Option<&'a [u8]>,
    /// The method.
    pub method: &'a [u8],
    /// The target, as received. Of a request line that could not be parsed it is the whole line,
    /// and method and version are empty.
    pub target: &'a [u8],
    /// The version, such as `HTTP/1.1`.
    pub version: &'a [u8],
    /// The `Host`.
    pub host: Option<&'a [u8]>,
    /// The status sent, or the one logged in place of a response.
    pub status: u16,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body that were sent.
    pub body_bytes: u64,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// The first `Referer`.
    pub referer: Option<&'a [u8]>,
    /// The first `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// The request's id.
    pub request_id: &'a [u8],
    /// The trace's id, where requests are traced.
    pub trace_id: Option<&'a [u8]>,
    /// The listener's name.
    pub listener: &'a str,
    /// The route's name; `_none` when no route took the request.
    pub route: &'a str,
    /// The upstream's name, where one was chosen.
    pub upstream: Option<&'a str>,
    /// Why the balancer answered by itself with an error, in the word of the failure table.
    pub failure: Option<&'static str>,
    /// Every attempt, in order.
    pub attempts: &'a [Attempt<'a>],
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// A client at this address.
    Ip(IpAddr),
    /// A client on a Unix socket; nginx's word for it is `unix:`.
    Unix,
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        if address == UNIX_CLIENT { Self::Unix } else { Self::Ip(address) }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

/// What is logged of an attempt.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// The backend's name.
    pub backend: &'a str,
    /// How it ended.
    pub outcome: Outcome,
    /// The status of its response.
    pub status: Option<u16>,
    /// Whether it took an idle connection.
    pub reused: bool,
    /// Time to connect; `None` when no connection was made.
    pub connect: Option<Duration>,
    /// Time from the start of the attempt to its response head.
    pub first_byte: Option<Duration>,
    /// Time from the pick to the end.
    pub duration: Duration,
    /// Why another attempt followed; `None` on the last one.
    pub retried_because: Option<&'static str>,
}

#[cfg(test)]
mod tests;
