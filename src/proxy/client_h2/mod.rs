//! HTTP/2 from clients, by the `h2` crate: many requests at once over one connection.
//!
//! Each stream has a task while it lasts ([`seats`]) and becomes what a connection over HTTP/1.1 would be for one
//! request: a head for our parser (`request`) and a wire for its body and its answer (`channel`). From
//! there on it goes the way of every request. This file is the connection: which streams begin, how
//! long it may do nothing, when it has to end.
//!
//! # What a client can claim
//!
//! All of it is bounded by the listener's settings: streams at once (`max_streams`), and as many
//! again that were given up and are still being cleared away; of each stream a head of `max_head`,
//! `http2_window` bytes of body that are not read yet, and 64 KiB of an answer that does not fit its
//! window; of all of it together, [`WINDOWS`] times `http2_window`, [`FRAME_WINDOWS`] times as much for
//! frames with hardly anything in them, and [`SEND_BUFFER`] per stream on its way to the socket. Settings and pings are answered one at a time, so that a flood of them
//! waits in the client's own socket. Whoever gives up more than [`MOST_RESETS`] requests a minute is
//! told to be calm, and has to connect again.

mod answer;
mod channel;
mod io;
mod request;
mod seats;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::time::Instant;

pub(super) use channel::Channel;
pub(super) use seats::Seats;

use crate::net::{ProxyEnds, Stream};
use crate::proxy::client_h2::io::{Blocked, Io};
use crate::proxy::client_h2::stream::{Job, UnderWay};
use crate::proxy::downstream::GRACE;
use crate::proxy::port::Open;
use crate::proxy::timer::Timer;
use crate::snapshot::settings::Client;
use crate::tls::Secured;

/// Windows of a stream that a connection's window is.
pub(super) const WINDOWS: u32 = 16;
/// Windows of a stream that frames may take of memory beyond what is in them, at some 250 bytes for one,
/// while they wait for their stream to read them: enough for a window full of the smallest messages of
/// gRPC (5 bytes), which come in a frame each.
const FRAME_WINDOWS: u32 = 64;
/// Bytes of one stream that wait for the socket.
const SEND_BUFFER: usize = 64 * 1024;
/// Requests that a client may give up within [`RESETS_PER`].
const MOST_RESETS: u32 = 200;
const RESETS_PER: Duration = Duration::from_mins(1);
/// Streams that a client may make us reset by faults of its own.
const MOST_FAULTS: usize = 100;

/// What a connection and its streams have in common.
#[derive(Debug)]
struct Shared {
    open: Open,
    peer: IpAddr,
    ends: Option<(SocketAddr, SocketAddr)>,
    proxied: Option<Box<ProxyEnds>>,
    secured: Option<Box<Secured>>,
    accepted: Instant,
    /// Requests so far.
    served: Cell<u64>,
    /// Requests under way.
    active: Cell<u32>,
    /// Since when there is none.
    idle_since: Cell<Instant>,
    /// Requests that the client gave up, and since when they are counted.
    resets: Cell<(Instant, u32)>,
    /// The connection's own task.
    waker: RefCell<Option<Waker>>,
    timers: RefCell<Vec<Timer>>,
}

/// A connection's own work.
struct Connection {
    h2: server::Connection<Io, Bytes>,
    shared: Rc<Shared>,
    blocked: Blocked,
    timer: Timer,
    /// Since when the client is told to send no more requests.
    ending: Option<Instant>,
}

/// What is known of a client whose connection is one of HTTP/2.
#[derive(Debug)]
pub(super) struct Arrived {
    /// The address of the other end.
    pub(super) peer: IpAddr,
    pub(super) accepted: Instant,
    /// Who is behind the proxy that connected, as the PROXY protocol tells.
    pub(super) proxied: Option<Box<ProxyEnds>>,
    /// What was agreed on in the TLS handshake.
    pub(super) secured: Option<Box<Secured>>,
    /// What was read of the first frames.
    pub(super) leftover: Vec<u8>,
}

/// Serves a connection until it ends.
pub(super) async fn serve(open: Open, stream: Stream, client: Arrived) {
    let Arrived { peer, accepted, proxied, secured, leftover } = client;
    let Some((view, place)) = open.worker.view_of(&open.port) else { return };
    let client = &view.snapshot.listeners[place].client;
    let blocked = Blocked::default();
    let ends = stream.ends();
    let io = Io::new(stream, leftover, Rc::clone(&blocked));
    let mut timer = Timer::default();
    let shake = builder(client).handshake::<_, Bytes>(io);
    let Ok(Ok(h2)) = timer.within(accepted + client.header_timeout, shake).await else { return };
    drop(view);
    let now = Instant::now();
    let shared = Rc::new(Shared {
        open,
        peer,
        ends,
        proxied,
        secured,
        accepted,
        served: Cell::default(),
        active: Cell::default(),
        idle_since: Cell::new(now),
        resets: Cell::new((now, 0)),
        waker: RefCell::default(),
        timers: RefCell::default(),
    });
    let mut connection = Connection { h2, shared, blocked, timer, ending: None };
    poll_fn(|cx| {
        connection.register(cx.waker());
        Poll::Ready(())
    })
    .await;
    poll_fn(|cx| connection.poll(cx)).await;
}

fn builder(client: &Client) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(client.http2.max_streams)
        .max_header_list_size(client.max_head_bytes as u32)
        .initial_window_size(client.http2.window)
        .initial_connection_window_size(client.http2.window.saturating_mul(WINDOWS))
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MOST_FAULTS))
        .data_frame_budget(client.http2.window.saturating_mul(FRAME_WINDOWS) as usize)
        .enable_connect_protocol();
    builder
}

impl Connection {
    /// Has the calling task woken by whoever has something to do for it.
    fn register(&self, waker: &Waker) {
        self.shared.open.register(waker);
        self.shared.waker.replace(Some(waker.clone()));
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.shared.open.worker.is_cutting() {
                // Which wakes the tasks of its streams.
                return Poll::Ready(());
            }
            match self.h2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.begin(request, respond);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "HTTP/2 connection of a client broke");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            let Some((view, place)) = self.shared.open.worker.view_of(&self.shared.open.port)
            else {
                return Poll::Ready(());
            };
            let client = &view.snapshot.listeners[place].client;
            match self.poll_due(client, cx) {
                Due::Nothing => return Poll::Pending,
                Due::End => return Poll::Ready(()),
                Due::Look => {}
            }
        }
    }

    /// Begins to serve a request, on a task that waits for one or on a new one.
    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let shared = &self.shared;
        let most = self.h2.max_concurrent_recv_streams() as u64 * 2;
        // Those that were given up do not count for the client any more; for us they do until they
        // are cleared away.
        if u64::from(shared.active.get()) >= most {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        shared.served.set(shared.served.get() + 1);
        let under_way = UnderWay::enter(shared);
        let served = shared.served.get();
        let job = Box::new(Job { under_way, served, request, respond });
        if let Some((seat, job)) = shared.open.worker.seats.take(job) {
            // Boxed: a task's work is moved about while the task is made.
            tokio::task::spawn_local(Box::pin(stream::serve(seat, job)));
        }
    }

    /// What is due by time or by order, and a timer for what will be.
    fn poll_due(&mut self, client: &Client, cx: &mut Context<'_>) -> Due {
        let shared = &self.shared;
        if shared.resets.get().1 > MOST_RESETS {
            shared.resets.set((Instant::now(), 0));
            self.ending.get_or_insert_with(Instant::now);
            self.h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            return Due::Look;
        }
        if self.ending.is_none() && self.is_to_end(client) {
            self.end();
            return Due::Look;
        }
        let shared = &self.shared;
        let idle = match self.ending {
            _ if shared.active.get() > 0 => None,
            None => Some(shared.idle_since.get() + client.idle_timeout),
            Some(since) => Some(since.max(shared.idle_since.get()) + GRACE),
        };
        let blocked = self.blocked.get().map(|since| since + client.write_timeout);
        let Some(deadline) = idle.into_iter().chain(blocked).min() else {
            return Due::Nothing;
        };
        if self.timer.poll(deadline, cx).is_pending() {
            return Due::Nothing;
        }
        if blocked == Some(deadline) || self.ending.is_some() {
            return Due::End;
        }
        self.end();
        Due::Look
    }

    /// Whether it shall take no more requests.
    fn is_to_end(&self, client: &Client) -> bool {
        let (shared, most) = (&self.shared, client.max_requests);
        shared.open.ending().is_some()
            || (shared.served.get() > 0 && shared.open.worker.memory.is_tight())
            || (most > 0 && shared.served.get() >= most)
            || client.max_lifetime.is_some_and(|oldest| {
                shared.served.get() > 0 && Instant::now() >= shared.accepted + oldest
            })
    }

    /// Tells the client to send no more requests.
    fn end(&mut self) {
        self.ending = Some(Instant::now());
        self.h2.graceful_shutdown();
    }
}

/// What is due on a connection.
enum Due {
    /// Nothing yet.
    Nothing,
    /// Frames that go out.
    Look,
    /// Its end.
    End,
}

impl Shared {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Counts a request that the client gave up.
    fn note_reset(&self) {
        let (since, count) = self.resets.get();
        let now = Instant::now();
        if now >= since + RESETS_PER {
            self.resets.set((now, 1));
        } else {
            self.resets.set((since, count + 1));
            if count + 1 > MOST_RESETS {
                self.wake();
            }
        }
    }
}
