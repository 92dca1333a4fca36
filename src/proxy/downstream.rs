//! A client's connection: from accept to close, request after request.
//!
//! While it waits it holds nothing but its socket, its timer and this task: buffers and request
//! state are lent by the worker once bytes have come.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::http1::HeadError;
use crate::net::{ProxyEnds, Stream};
use crate::proxy::buffers::{Buffers, Lent};
use crate::proxy::client_h2::{self, Arrived};
use crate::proxy::done::End;
use crate::proxy::enrolled::LOOK;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::lines::Lines;
use crate::proxy::port::Open;
use crate::proxy::proxied;
use crate::proxy::read_head::{Came, HEAD_READ, Next};
use crate::proxy::secured::{self, Begun};
use crate::proxy::service;
use crate::proxy::tcp;
use crate::proxy::timer::Timer;
use crate::proxy::view::View;
use crate::proxy::wire::{Carries, Wire};
use crate::proxy::worker::Worker;
use crate::snapshot::Listener;
use crate::snapshot::settings::{Client, ProxyProtocol};
use crate::tls::Secured;

/// What a client may send ahead while it waits for a response; beyond that it is not read.
const MAX_AHEAD: usize = 64 * 1024;
/// How long a closing connection is read from, so that the client sees the answer before the end.
const LINGER: Duration = Duration::from_secs(5);
/// A request that comes within this time of the last one finds that one's memory still there.
const CLOSELY: Duration = Duration::from_millis(50);
/// How long a connection that is to end may still begin a request. Closing it at once would meet
/// requests that are on their way.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// HTTP/2 as it is agreed on in a TLS handshake (RFC 9113 §3.2).
const HTTP2: &[u8] = b"h2";

/// The client's side of a request.
#[derive(Debug)]
pub(super) struct Downstream {
    pub(super) stream: Wire,
    /// The address of the other end.
    pub(super) peer: IpAddr,
    /// The first piece of a body, in the buffer in which it came with the head. It stands before
    /// `leftover`.
    pub(super) first_piece: Option<Lent>,
    /// Bytes that were read and belong to what comes next.
    pub(super) leftover: Vec<u8>,
    pub(super) timer: Timer,
}

/// Serves a connection until it ends.
pub(super) async fn serve(open: Open, stream: Stream, peer: IpAddr) {
    let mut down = Downstream::new(Wire::Socket(stream), peer);
    poll_fn(|cx| {
        open.register(cx.waker());
        Poll::Ready(())
    })
    .await;
    let Some(mut wait) = Wait::for_first(&open, &down) else { return };
    if let Some(mode) = proxied::mode(&open, down.peer) {
        // Boxed: connections that do not begin so shall not pay for the size of this.
        match Box::pin(down.proxy_header(&open.worker.buffers, wait.until)).await {
            Ok(ends) => wait.proxied = ends.map(Box::new),
            Err(()) => return,
        }
        if let (ProxyProtocol::FromTrusted, Some(ends)) = (mode, &wait.proxied)
            && !ends.0.ip().is_unspecified()
        {
            down.peer = ends.0.ip().to_canonical();
        }
    }
    if tcp::passes_through(&open) {
        // Boxed: as above.
        return Box::pin(tcp::serve(&open, down, wait.accepted, wait.proxied.as_deref())).await;
    }
    if let Some(tls) = secured::terms(&open) {
        // Boxed: plain connections shall not pay for the size of this.
        match Box::pin(down.secure(&open.worker, &tls, wait.accepted)).await {
            Begun::Secured(begun, secured) => (down, wait.secured) = (begun, Some(secured)),
            Begun::Plain(begun) => (down, wait.is_plain) = (begun, true),
            Begun::Failed => return,
        }
    }
    while wait_for_bytes(&open, &mut down, wait.accepted, wait.until).await {
        if open.worker.is_cutting() {
            return;
        }
        let end = match wait.agreed() {
            Some(HTTP2) => End::Http2,
            // Boxed: while it waits for long the connection's task holds none of a request's state.
            _ => Box::pin(requests(&open, &mut down, &mut wait)).await,
        };
        match end {
            End::KeepAlive => {}
            // What the client has sent ahead would turn a plain close into a reset.
            End::Close if down.has_read_all() && down.stream.is_silent() => break,
            End::Close | End::Linger => return down.linger().await,
            End::Cut => return down.stream.cut(),
            End::Http2 => return go_on_in_http2(open, down, wait).await,
        }
    }
    down.stream.say_goodbye();
}

/// HTTP/2 was agreed on, or its preface came first; that is still to be read.
async fn go_on_in_http2(open: Open, down: Downstream, wait: Wait) {
    let Downstream { stream: Wire::Socket(stream), peer, leftover, .. } = down else { return };
    let Wait { accepted, proxied, secured, .. } = wait;
    let client = Arrived { peer, accepted, proxied, secured, leftover };
    Box::pin(client_h2::serve(open, stream, client)).await;
}

/// A connection's wait for its next request.
struct Wait {
    accepted: Instant,
    /// Requests so far.
    served: u64,
    /// Until when the next one follows the last one closely.
    closely: Instant,
    /// Until when it has to begin.
    until: Instant,
    /// Who is behind the proxy that connected, as the PROXY protocol tells.
    proxied: Option<Box<ProxyEnds>>,
    /// What was agreed on in the TLS handshake.
    secured: Option<Box<Secured>>,
    /// There should have been one, and there was none.
    is_plain: bool,
}

impl Wait {
    /// `None`: nobody knows the listener any more.
    fn for_first(open: &Open, down: &Downstream) -> Option<Self> {
        let (view, place) = open.worker.view_of(&open.port)?;
        let accepted = down.stream.fresh_since().unwrap_or_else(Instant::now);
        let until = accepted + view.snapshot.listeners[place].client.header_timeout;
        Some(Self {
            accepted,
            served: 0,
            closely: until,
            until,
            proxied: None,
            secured: None,
            is_plain: false,
        })
    }

    /// Where and when a request came in.
    fn entrance<'a>(
        &'a self,
        open: &'a Open,
        view: &'a View,
        listener: &'a Listener,
        came: Came,
    ) -> Entrance<'a> {
        Entrance {
            worker: &open.worker,
            view,
            open: Some(open),
            listener,
            served: self.served + 1,
            accepted: self.accepted,
            proxied: self.proxied.as_deref(),
            secured: self.secured.as_deref(),
            started: came.started,
            whole: came.whole,
        }
    }

    /// The protocol that was agreed on in the TLS handshake.
    fn agreed(&self) -> Option<&[u8]> {
        self.secured.as_ref()?.protocol.as_deref()
    }

    /// A request has ended.
    fn for_next(&mut self, ended: Instant, client: &Client) {
        self.served += 1;
        self.until = ended + client.idle_timeout;
        self.closely = self.until.min(ended + CLOSELY);
    }
}

/// Waits for the first bytes of a request; `false` when none come until `deadline`.
async fn wait_for_bytes(
    open: &Open,
    down: &mut Downstream,
    accepted: Instant,
    deadline: Instant,
) -> bool {
    if !down.leftover.is_empty() {
        return true;
    }
    // What a burst of pipelined requests needed is not kept while nothing comes.
    down.leftover = Vec::new();
    poll_fn(|cx| {
        if down.stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(true);
        }
        let deadline = match open.ending() {
            Some(since) => deadline.min(since.max(accepted) + GRACE),
            None => deadline,
        };
        down.timer.poll(deadline, cx).map(|()| false)
    })
    .await
}

/// Serves requests, one after the other, as long as they follow each other closely.
/// [`End::KeepAlive`]: the connection waits for more.
async fn requests(open: &Open, down: &mut Downstream, wait: &mut Wait) -> End {
    loop {
        match one_request(open, down, wait).await {
            Some(End::KeepAlive) => {}
            Some(end) => return end,
            None => return End::KeepAlive,
        }
        if !wait_for_bytes(open, down, wait.accepted, wait.closely).await {
            return End::KeepAlive;
        }
    }
}

/// Reads a head and has it served. `None`: there was none to be read.
async fn one_request(open: &Open, down: &mut Downstream, wait: &mut Wait) -> Option<End> {
    let worker = &*open.worker;
    let Some((view, place)) = worker.view_of(&open.port) else {
        return Some(End::Close);
    };
    let listener = &*view.snapshot.listeners[place];
    let mut state = worker.states.take();
    let end = match down.next_head(worker, &listener.client, &mut state.head).await {
        Next::Nothing => None,
        Next::Closed => Some(End::Close),
        Next::Request(came) if wait.is_plain => {
            let at = &wait.entrance(open, &view, listener, came);
            Some(service::refuse(at, down, &mut state, Failure::PlainHttp).await)
        }
        Next::Request(came) => {
            let at = &wait.entrance(open, &view, listener, came);
            let handled = {
                let kept = Lines::of(&*state);
                let handling = pin!(service::handle(at, down, &mut state));
                until_cut(worker, handling, Some(kept)).await
            };
            if let Some((end, ended)) = handled {
                wait.for_next(ended, &listener.client);
                Some(end)
            } else {
                service::note_cut(at, down, &mut state);
                Some(End::Cut)
            }
        }
        Next::Bad(_, Failure::BadRequest(HeadError::Http2Preface))
            if wait.served == 0
                && !wait.is_plain
                && wait.agreed().is_none()
                && listener.client.http2.on =>
        {
            Some(End::Http2)
        }
        Next::Bad(started, failure) => {
            let came = Came { started, whole: started };
            let at = &wait.entrance(open, &view, listener, came);
            Some(service::refuse(at, down, &mut state, failure).await)
        }
    };
    worker.states.give(state);
    end
}

/// `None`: the time is up for all that is under way. `kept`: what the work needs beside its own memory, if
/// both are worth to be fetched each time that it goes on.
pub(super) async fn until_cut<T>(
    worker: &Worker,
    // Pinned where it was made: it is large, and moving it costs what a small request costs to parse.
    mut work: Pin<&mut impl Future<Output = T>>,
    kept: Option<Lines>,
) -> Option<T> {
    poll_fn(|cx| {
        if worker.is_cutting() {
            return Poll::Ready(None);
        }
        if let Some(kept) = kept {
            Lines::of(&*work).fetch();
            kept.fetch();
        }
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

impl Downstream {
    pub(super) fn new(stream: Wire, peer: IpAddr) -> Self {
        Self { stream, peer, first_piece: None, leftover: Vec::new(), timer: Timer::default() }
    }

    /// Whether nothing that came is still to be looked at.
    fn has_read_all(&self) -> bool {
        self.first_piece.is_none() && self.leftover.is_empty()
    }

    /// A client that closes while it is owed a response is gone (as nginx sees it). What it sends
    /// ahead is kept for its next request. At a fresh socket nobody looks until [`LOOK`] has passed: most
    /// answers have been given by then.
    pub(super) fn poll_gone(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if let Wire::Http2(channel) = &mut self.stream {
            return channel.poll_gone(cx);
        }
        if self.stream.fresh_since().is_some_and(|since| since.elapsed() < LOOK) {
            // The task is woken then.
            return Ok(());
        }
        while self.leftover.len() < MAX_AHEAD {
            let Poll::Ready(ready) = self.stream.poll_read_ready(cx) else {
                break;
            };
            ready.map_err(|_| Failure::ClientGone)?;
            let mut buffer = buffers.take();
            let read = self.stream.poll_read(cx, &mut buffer[..HEAD_READ]);
            if let Poll::Ready(Ok(n)) = read {
                self.leftover.extend_from_slice(&buffer[..n]);
            }
            buffers.give(buffer);
            match read {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Err(Failure::ClientGone),
            }
        }
        Ok(())
    }

    /// Ends our half, and reads what the client still sends for a while: closing at once would
    /// reset the connection and could take the answer with it (RFC 9112 §9.6).
    async fn linger(mut self) {
        if self.stream.finish_writing().is_err() {
            return;
        }
        let deadline = Instant::now() + LINGER;
        let Self { stream, timer, .. } = &mut self;
        let until_end = poll_fn(|cx| {
            let mut bytes = [0; 4096];
            while let Ok(1..) = ready!(stream.poll_read(cx, &mut bytes)) {}
            Poll::Ready(())
        });
        let _ = timer.within(deadline, until_end).await;
    }
}
