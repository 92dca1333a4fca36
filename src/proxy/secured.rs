//! TLS on a client's connection: the handshake, before the first request.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::time::Instant;

use crate::proxy::buffers::Buffers;
use crate::proxy::downstream::Downstream;
use crate::proxy::port::Open;
use crate::proxy::wire::{Carries, Wire};
use crate::proxy::worker::Worker;
use crate::snapshot::ListenerTls;
use crate::telemetry::Handshake;
use crate::tls::{CHALLENGE_PROTOCOL, Secured};

/// Bytes that are read at once of what a client begins with.
const READ: usize = 16 * 1024;
/// What a TLS record with a handshake begins with (RFC 8446 §5.1). No request does.
const HANDSHAKE: u8 = 22;

/// What a client began with.
pub(super) enum Begun {
    /// A handshake, which is done.
    Secured(Downstream, Box<Secured>),
    /// Something else: perhaps a request without TLS.
    Plain(Downstream),
    /// Nothing, or a handshake that failed.
    Failed,
}

/// By what terms connections are secured, if they are.
pub(super) fn terms(open: &Open) -> Option<Arc<ListenerTls>> {
    let (view, place) = open.worker.view_of(&open.port)?;
    view.snapshot.listeners[place].tls.clone()
}

impl Downstream {
    /// Shakes hands with the client, within the time for it since `accepted`.
    pub(super) async fn secure(
        self,
        worker: &Worker,
        tls: &ListenerTls,
        accepted: Instant,
    ) -> Begun {
        let cell = tls.series.worker(worker.ix);
        let Self { stream, peer, mut leftover, mut timer, .. } = self;
        let deadline = accepted + tls.server.terms().handshake_timeout;
        let mut down = Self::new(stream, peer);
        let first = down.first_bytes(&worker.buffers, &mut leftover);
        match timer.within(deadline, first).await {
            Ok(true) => {}
            // It left without a word, as those do who only look whether somebody is there.
            Ok(false) => return Begun::Failed,
            Err(_) => {
                cell.handshake(Handshake::TimedOut);
                return Begun::Failed;
            }
        }
        if leftover.first() != Some(&HANDSHAKE) {
            cell.handshake(Handshake::Failed);
            return Begun::Plain(Self { leftover, timer, ..down });
        }
        let Wire::Socket(socket) = down.stream else { return Begun::Failed };
        let handshake = socket.accept(&tls.server, &leftover);
        let (outcome, begun) = match timer.within(deadline, handshake).await {
            Ok(Ok(stream)) => match stream.secured().map(Box::new) {
                // An authority has seen what it asked for (RFC 8737 §3); nothing else is said here.
                Some(secured) if secured.protocol.as_deref() == Some(CHALLENGE_PROTOCOL) => {
                    (Handshake::Full, Begun::Failed)
                }
                Some(secured) => {
                    let outcome =
                        if secured.resumed { Handshake::Resumed } else { Handshake::Full };
                    let down = Self { timer, ..Self::new(Wire::Socket(stream), peer) };
                    (outcome, Begun::Secured(down, secured))
                }
                None => (Handshake::Failed, Begun::Failed),
            },
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "TLS handshake failed");
                (Handshake::Failed, Begun::Failed)
            }
            Err(_) => (Handshake::TimedOut, Begun::Failed),
        };
        cell.handshake(outcome);
        begun
    }

    /// Waits for the first bytes of the client, unless there are some; `false` if none come.
    async fn first_bytes(&mut self, buffers: &Buffers, bytes: &mut Vec<u8>) -> bool {
        poll_fn(|cx| {
            while bytes.is_empty() {
                if ready!(self.stream.poll_read_ready(cx)).is_err() {
                    return Poll::Ready(false);
                }
                let mut buffer = buffers.take();
                let read = self.stream.poll_read(cx, &mut buffer[..READ]);
                if let Poll::Ready(Ok(n)) = read {
                    bytes.extend_from_slice(&buffer[..n]);
                }
                buffers.give(buffer);
                if !matches!(ready!(read), Ok(1..)) {
                    return Poll::Ready(false);
                }
            }
            Poll::Ready(true)
        })
        .await
    }
}
