//! The PROXY protocol on a client's connection: who is behind the proxy that connected.

use std::future::poll_fn;
use std::net::IpAddr;
use std::task::{Poll, ready};

use tokio::time::Instant;

use crate::net::{ProxyEnds, ProxyHeader};
use crate::proxy::buffers::Buffers;
use crate::proxy::downstream::Downstream;
use crate::proxy::headers::is_trusted;
use crate::proxy::port::Open;
use crate::proxy::wire::Carries;
use crate::snapshot::settings::ProxyProtocol;

/// Bytes that are read at once.
const READ: usize = 4096;

/// By which rule a connection from `peer` begins with a header, if it does.
pub(super) fn mode(open: &Open, peer: IpAddr) -> Option<ProxyProtocol> {
    let (view, place) = open.worker.view_of(&open.port)?;
    let listener = &view.snapshot.listeners[place];
    let mode = listener.client.proxy_protocol;
    let expected = match mode {
        ProxyProtocol::Off => false,
        ProxyProtocol::FromTrusted => is_trusted(peer, &listener.forwarded),
        ProxyProtocol::FromAll => true,
    };
    expected.then_some(mode)
}

impl Downstream {
    /// Reads the header before the first request. `Err`: it is none, or does not come in time; there
    /// is nobody who could be answered.
    pub(super) async fn proxy_header(
        &mut self,
        buffers: &Buffers,
        deadline: Instant,
    ) -> Result<Option<ProxyEnds>, ()> {
        poll_fn(|cx| {
            loop {
                match ProxyHeader::read(&self.leftover) {
                    ProxyHeader::Complete { len, ends } => {
                        self.leftover.drain(..len);
                        return Poll::Ready(Ok(ends));
                    }
                    ProxyHeader::Bad => return Poll::Ready(Err(())),
                    ProxyHeader::Partial => {}
                }
                let Poll::Ready(is_ready) = self.stream.poll_read_ready(cx) else {
                    return self.timer.poll(deadline, cx).map(Err);
                };
                is_ready.map_err(drop)?;
                let mut buffer = buffers.take();
                let read = self.stream.poll_read(cx, &mut buffer[..READ]);
                if let Poll::Ready(Ok(n)) = read {
                    self.leftover.extend_from_slice(&buffer[..n]);
                }
                buffers.give(buffer);
                match read {
                    Poll::Ready(Ok(n)) if n > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(())),
                    Poll::Pending => {
                        ready!(self.timer.poll(deadline, cx));
                        return Poll::Ready(Err(()));
                    }
                }
            }
        })
        .await
    }
}
