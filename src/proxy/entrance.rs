//! Where and when a request came in.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::http1::RequestHead;
use crate::net::ProxyEnds;
use crate::proxy::browsers;
use crate::proxy::port::Open;
use crate::proxy::vars::{Clock, Link};
use crate::proxy::view::View;
use crate::proxy::worker::Worker;
use crate::snapshot::Listener;
use crate::tls::Secured;

/// Where and when a request came in.
/// Handed on by reference: each step that a request waits in would keep a copy.
#[derive(Debug)]
pub(super) struct Entrance<'a> {
    pub(super) worker: &'a Worker,
    /// The client's connection; `None` of a request of our own.
    pub(super) open: Option<&'a Open>,
    pub(super) view: &'a View,
    pub(super) listener: &'a Listener,
    /// Requests on this connection, this one included.
    pub(super) served: u64,
    /// When the connection was accepted.
    pub(super) accepted: Instant,
    /// Who is behind the proxy that connected, as the PROXY protocol tells.
    pub(super) proxied: Option<&'a ProxyEnds>,
    /// What was agreed on in the TLS handshake; `None` of a plain connection.
    pub(super) secured: Option<&'a Secured>,
    /// When its first bytes were there.
    pub(super) started: Instant,
    /// When its head was whole.
    pub(super) whole: Instant,
}

impl Entrance<'_> {
    /// Whether the connection goes on after this request, as far as it is for its head and us to say.
    pub(super) fn goes_on(&self, head: &RequestHead) -> bool {
        head.keep_alive()
            && self.may_go_on()
            && !browsers::is_closed_for(self.listener.client.nginx.closes_for, head)
    }

    /// Whether the connection may go on after this request, as far as our side is concerned.
    fn may_go_on(&self) -> bool {
        let most = self.listener.client.max_requests;
        let oldest = self.listener.client.max_lifetime;
        self.open.is_some_and(|open| open.ending().is_none())
            && !self.worker.memory.is_tight()
            && (most == 0 || self.served < most)
            && oldest.is_none_or(|oldest| self.whole < self.accepted + oldest)
    }
}

impl Entrance<'_> {
    /// Whether the request is for a name whose certificate is another than the one that the client was
    /// shown, and by which it may have been let in: it belongs on another connection (RFC 9110
    /// §15.5.20).
    #[inline]
    pub(super) fn is_misdirected(&self, host: &[u8]) -> bool {
        let asked = self.secured.and_then(|secured| secured.server_name.as_deref());
        asked.is_some_and(|asked| asked.as_bytes() != host && self.is_of_another(asked, host))
    }

    #[cold]
    fn is_of_another(&self, asked: &str, host: &[u8]) -> bool {
        let (Some(tls), Ok(host)) = (&self.listener.tls, str::from_utf8(host)) else {
            return false;
        };
        tls.server.is_another(asked, host)
    }
}

impl<'a> Entrance<'a> {
    /// What variables speak of the client's connection.
    pub(super) fn link(&self, ends: Option<(SocketAddr, SocketAddr)>) -> Link<'a> {
        let number = self.open.map_or(0, |open| open.enrolment.number);
        Link {
            listener: &self.listener.name,
            number,
            served: self.served,
            ends,
            proxied: self.proxied,
            secured: self.secured,
        }
    }

    /// The scheme by which the client asks.
    pub(super) fn scheme(&self) -> &'static str {
        if self.secured.is_some() { "https" } else { "http" }
    }

    /// What variables speak of the time.
    pub(super) fn clock(&self, now: Instant) -> Clock<'a> {
        Clock {
            now: now.into_std(),
            started: self.started.into_std(),
            anchor: self.worker.dates.anchor(),
            zone: &self.worker.zone,
        }
    }
}
