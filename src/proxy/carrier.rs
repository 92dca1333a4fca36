//! What carries a request to its backend: a connection from the pool, else a fresh one.

use std::io;
use std::net::SocketAddr;

use tokio::time::Instant;

use crate::http1::RequestHead;
use crate::model::Outcome;
use crate::net::{ProxyEnds, Stream, is_shortage};
use crate::proxy::attempt::Progress;
use crate::proxy::backend_h2::{self, Answer, Sender};
use crate::proxy::choice::Choice;
use crate::proxy::connect::{Introduction, Origin, connect};
use crate::proxy::downstream::Downstream;
use crate::proxy::failure::Failure;
use crate::proxy::own::Own;
use crate::proxy::passage::Passage;
use crate::proxy::pool::Connection;
use crate::proxy::request::State;
use crate::proxy::timer::Timer;
use crate::proxy::vars::render;
use crate::snapshot::settings::{Protocol, Source};
use crate::snapshot::{Backend, Upstream};

/// What carries the request to the backend.
pub(super) enum Carrier {
    /// A connection for this request alone.
    Http1(Box<Connection>),
    /// A stream of a connection that others share; a tunnel's is the only one. Boxed, for it is large.
    Http2(Box<Sender>),
    /// Such a stream on which the answer has begun; boxed, for it is rare and large.
    Answered(Box<(Sender, Answer)>),
}

impl Carrier {
    fn shared(sender: Sender) -> Self {
        Self::Http2(Box::new(sender))
    }
}

impl Passage<'_> {
    /// A connection from the pool. `head`: of a request that may ask for a tunnel.
    #[inline]
    pub(super) fn kept_carrier(
        &self,
        choice: Choice,
        (own, head): (Option<&Own>, Option<&RequestHead>),
        begun: Instant,
        progress: &mut Progress,
    ) -> Option<Carrier> {
        let upstream = &self.local.upstream;
        let pool = &self.local.pools[choice.ix.index()];
        let kept = match upstream.protocol {
            _ if choice.fresh => None,
            Protocol::Http1 => pool.take(&upstream.pool, begun, own).map(Carrier::Http1),
            Protocol::Http2 if head.is_some_and(|head| self.tunnels(head)) => None,
            Protocol::Http2 => pool.shared(&upstream.pool, begun).map(Carrier::shared),
        }?;
        Some(self.reused(kept, progress))
    }

    /// Takes note that this carrier is not a fresh one.
    #[inline]
    fn reused(&self, carrier: Carrier, progress: &mut Progress) -> Carrier {
        self.local.upstream.series.worker(self.at.worker.ix).pool_reuse();
        progress.reused = true;
        carrier
    }

    /// A fresh connection.
    pub(super) async fn fresh_carrier(
        &self,
        choice: Choice,
        (backend, origin): (&Backend, Origin),
        begun: Instant,
        (ends, timer): (Option<ProxyEnds>, &mut Timer),
        progress: &mut Progress,
    ) -> Result<Carrier, Failure> {
        let Upstream { protocol, pool, .. } = &*self.local.upstream;
        let own = origin.own.clone();
        let stream = self.connect(backend, origin, ends);
        match protocol {
            Protocol::Http1 => {
                let stream = self.connected(stream, backend, begun, timer, progress).await?;
                let connection = Connection::new(stream, own, pool, Instant::now());
                Ok(Carrier::Http1(Box::new(connection)))
            }
            Protocol::Http2 => {
                let kept = &self.local.pools[choice.ix.index()];
                let shares = pool.max_idle > 0;
                // Who comes while one is being opened need not open another one.
                while let Some(awaited) = kept.opening().filter(|_| shares) {
                    let (by, late) = self.connected_by(begun);
                    timer.within(by, awaited.ended()).await.map_err(|_| late)?;
                    if let Some(sender) = kept.shared_since(Some(begun), pool, Instant::now()) {
                        return Ok(self.reused(Carrier::shared(sender), progress));
                    }
                    if awaited.has_failed() {
                        break;
                    }
                }
                let opening = shares.then(|| kept.open());
                let sender = async { backend_h2::begin(stream.await?, kept.most()).await };
                let sender = self.connected(sender, backend, begun, timer, progress).await;
                if let (Err(Failure::Attempt(Outcome::ConnectFailed)), Some(opening)) =
                    (&sender, &opening)
                {
                    opening.fail();
                }
                let sender = sender?;
                kept.share(sender.clone(), pool, Instant::now());
                Ok(Carrier::shared(sender))
            }
        }
    }

    /// A fresh connection for a tunnel over HTTP/2.
    pub(super) async fn tunnel_carrier(
        &self,
        (backend, origin): (&Backend, Origin),
        begun: Instant,
        down: &mut Downstream,
        progress: &mut Progress,
    ) -> Result<Carrier, Failure> {
        let stream = self.connect(backend, origin, self.ends(down));
        let sender = async { backend_h2::begin_tunnel(stream.await?).await };
        let sender = self.connected(sender, backend, begun, &mut down.timer, progress).await?;
        sender.map(Carrier::shared).ok_or(Failure::NoTunnel)
    }

    /// The ends of the client's connection, if the backend is to be told of them.
    pub(super) fn ends(&self, down: &Downstream) -> Option<ProxyEnds> {
        self.local.upstream.send_proxy?;
        self.at.proxied.copied().or_else(|| down.stream.ends())
    }

    /// Who connects afresh, as far as the request has a say in it.
    pub(super) fn origin(&self, state: &State) -> Origin {
        let Upstream { source_address, transparent, tls_name, own_files, .. } =
            &*self.local.upstream;
        if source_address.is_none() && tls_name.is_none() && own_files.is_none() {
            return Origin::default();
        }
        let text = |template| {
            let mut text = Vec::new();
            render(template, &self.vars(state, ""), &mut text);
            String::from_utf8_lossy(&text).into_owned()
        };
        let source = match source_address {
            Some(Source::Address(address)) => Some(*address),
            Some(Source::Of(template)) => source_of(&text(template)),
            None => None,
        };
        let transparent = *transparent;
        let own = own_files.as_ref();
        let own =
            own.map(|files| Box::new(Own { chain: text(&files.chain), key: text(&files.key) }));
        let name = tls_name.as_ref().map(text);
        Origin { source, transparent, name, own, any_protocol: false }
    }

    /// A fresh connection, on which the backend knows who the client is if it is to be told.
    pub(super) async fn connect(
        &self,
        backend: &Backend,
        origin: Origin,
        ends: Option<ProxyEnds>,
    ) -> io::Result<Stream> {
        let upstream = &self.local.upstream;
        let descriptors = self.at.worker.descriptors;
        let introduction = upstream.send_proxy.map(|version| Introduction { version, ends });
        let identity = match (&origin.own, &upstream.own_files) {
            (Some(own), Some(files)) if !own.chain.is_empty() => {
                // Boxed: other connections shall not pay for the size of this.
                let read = Box::pin(self.at.worker.owned.read(own, files)).await?;
                Some(Box::new(read))
            }
            _ => None,
        };
        connect(backend, (origin, identity), introduction, descriptors).await
    }

    /// Waits for a fresh connection, within the times that are set for it.
    pub(super) async fn connected<T>(
        &self,
        connecting: impl Future<Output = io::Result<T>>,
        backend: &Backend,
        begun: Instant,
        timer: &mut Timer,
        progress: &mut Progress,
    ) -> Result<T, Failure> {
        let upstream = &self.local.upstream;
        let cell = upstream.series.worker(self.at.worker.ix);
        let (by, late) = self.connected_by(begun);
        let connected = timer.within(by, connecting).await;
        cell.pool_open(matches!(connected, Ok(Ok(_))));
        match connected {
            Ok(Ok(connection)) => {
                let took = begun.elapsed();
                progress.connect = Some(took);
                cell.connected(took);
                Ok(connection)
            }
            Ok(Err(error)) => {
                progress.own = is_shortage(&error);
                if progress.own {
                    let now = Instant::now();
                    self.at.worker.complaints.shortage(&upstream.name, &error, now);
                } else if backend.tls.is_some() {
                    let now = Instant::now();
                    self.at.worker.complaints.handshake(
                        (&upstream.name, &backend.label),
                        &error,
                        now,
                    );
                }
                Err(Failure::Attempt(Outcome::ConnectFailed))
            }
            Err(_) => Err(late),
        }
    }

    /// Until when a connection has to stand, and what it means if none does by then.
    fn connected_by(&self, begun: Instant) -> (Instant, Failure) {
        let limit = begun + self.destination.timeouts.connect;
        match self.total() {
            Some(total) if total < limit => (total, self.out_of_time()),
            _ => (limit, Failure::Attempt(Outcome::ConnectTimeout)),
        }
    }
}

/// An address with or without a port.
fn source_of(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, 0)))
}

#[cfg(test)]
mod tests {
    use super::source_of;

    #[test]
    fn a_source_is_an_address_perhaps_with_a_port() {
        for (text, source) in [
            ("10.0.0.1", Some("10.0.0.1:0")),
            ("10.0.0.1:99", Some("10.0.0.1:99")),
            ("::1", Some("[::1]:0")),
            ("[::1]:99", Some("[::1]:99")),
            ("", None),
            ("unix:", None),
            ("name", None),
        ] {
            let source = source.map(|text| text.parse().unwrap());
            assert_eq!(source_of(text), source, "{text}");
        }
    }
}
