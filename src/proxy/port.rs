//! A listener's socket as one worker has it: accepting, and what is counted of a connection.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::UNIX_CLIENT;
use crate::net::{Accepted, Acceptor, Stream, is_shortage};
use crate::proxy::admission::Counted;
use crate::proxy::downstream;
use crate::proxy::enrolled::Enrolment;
use crate::proxy::headers::is_trusted;
use crate::proxy::view::View;
use crate::proxy::worker::Worker;
use crate::snapshot::Listener;
use crate::telemetry::ListenerSeries;

/// Pause after an `accept` that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener's socket as one worker has it.
#[derive(Debug)]
pub(super) struct Port {
    name: RefCell<Arc<str>>,
    open: Arc<AtomicU64>,
    /// Whether no other process accepts on its sockets.
    alone: Cell<bool>,
    close: Notify,
    closed: Cell<Option<Instant>>,
    /// Where the listener was last, once the current view has it no longer: what is accepted or
    /// asked at its end is still served as it was.
    last: RefCell<Option<(Rc<View>, usize)>>,
}

impl Port {
    pub(super) fn new(name: Arc<str>, open: Arc<AtomicU64>, alone: bool) -> Self {
        Self {
            name: RefCell::new(name),
            open,
            alone: Cell::new(alone),
            close: Notify::new(),
            closed: Cell::default(),
            last: RefCell::default(),
        }
    }

    /// `handed_over`: another process accepts on its sockets from now on.
    pub(super) fn close(&self, handed_over: bool) {
        self.alone.set(self.alone.get() && !handed_over);
        self.closed.set(Some(Instant::now()));
        self.close.notify_waiters();
    }

    /// Ends when the port is told to close. Each socket of the port has a task that waits for it.
    async fn closing(&self) {
        while self.closed.get().is_none() {
            self.close.notified().await;
        }
    }

    /// The listener's place in this view; `None` when the view has it not.
    pub(super) fn place(&self, view: &View) -> Option<usize> {
        let name = self.name.borrow();
        let mut listeners = view.snapshot.listeners.iter();
        listeners.position(|listener| *listener.name == **name)
    }

    /// Where the listener was last, once the current view has it no longer.
    pub(super) fn last(&self) -> Option<(Rc<View>, usize)> {
        self.last.borrow().clone()
    }

    /// Gives the port another name. Until a view knows it by that, the present one serves it.
    pub(super) fn rename(&self, name: &Arc<str>, view: Rc<View>) {
        if let Some(place) = self.place(&view) {
            self.last.replace(Some((view, place)));
        }
        self.name.replace(Arc::clone(name));
    }

    /// Keeps the listener as it was `before`, if `now` has it no longer.
    pub(super) fn keep(&self, before: &Rc<View>, now: &View) {
        if self.place(now).is_some() {
            self.last.take();
        } else if let Some(place) = self.place(before) {
            self.last.replace(Some((Rc::clone(before), place)));
        }
    }
}

/// Accepts until told to close. Whose connection is complete by then or on its way is still taken in,
/// so that closing costs no client its connection.
pub(super) async fn accept(worker: Rc<Worker>, port: Rc<Port>, socket: Acceptor) {
    // Sockets are bound before the snapshot that knows them is published; the kernel keeps what
    // comes in between.
    let mut news = worker.news();
    while worker.view_of(&port).is_none() {
        tokio::select! {
            more = news.changed() => if !more { return },
            () = port.closing() => return,
        }
    }
    let mut closing = pin!(port.closing());
    while port.closed.get().is_none()
        && let Some(accepted) = next(&socket, closing.as_mut()).await
    {
        take(&worker, &port, accepted).await;
    }
    if port.alone.get() {
        let handshakes = Instant::now() + socket.refuse_newcomers();
        let mut finished = pin!(tokio::time::sleep_until(handshakes));
        while Instant::now() < handshakes
            && let Some(accepted) = next(&socket, finished.as_mut()).await
        {
            take(&worker, &port, accepted).await;
        }
    }
    // Past the runtime, which may not have heard of the latest ones yet.
    let Ok(socket) = socket.into_listener() else {
        return;
    };
    while let Ok(accepted) = socket.accept_at_once() {
        admit(&worker, &port, accepted);
    }
}

/// The next connection, or `None` if none comes before `end`.
async fn next(
    socket: &Acceptor,
    mut end: Pin<&mut impl Future<Output = ()>>,
) -> Option<io::Result<Accepted>> {
    poll_fn(|cx| match socket.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Serves what came, or waits a moment if nothing can be accepted now.
async fn take(worker: &Rc<Worker>, port: &Rc<Port>, accepted: io::Result<Accepted>) {
    match accepted {
        Ok(accepted) => admit(worker, port, accepted),
        Err(error) if is_shortage(&error) => {
            tracing::warn!(listener = &**port.name.borrow(), %error, "cannot accept, trying again");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        // The client went away before it was accepted: its business.
        Err(_) => {}
    }
}

/// Serves a connection that was accepted.
fn admit(worker: &Rc<Worker>, port: &Rc<Port>, (stream, peer): Accepted) {
    let peer = peer.map_or(UNIX_CLIENT, |peer| peer.to_canonical());
    if let Some(open) = Open::admit(worker, port, &stream, peer) {
        tokio::task::spawn_local(downstream::serve(open, stream, peer));
    }
}

/// An admitted connection: counted while it is open, known to its worker.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) worker: Rc<Worker>,
    pub(super) port: Rc<Port>,
    series: Arc<ListenerSeries>,
    /// Its place among the worker's connections.
    pub(super) enrolment: Enrolment,
    _counted: (Counted, OnPort),
}

/// A connection among those of its listener, until this is dropped.
#[derive(Debug)]
struct OnPort(Arc<AtomicU64>);

impl OnPort {
    /// `None`: there are `most` already; 0 is no limit.
    fn enter(open: &Arc<AtomicU64>, most: u64) -> Option<Self> {
        // Relaxed: a limit, not a lock; off by the connections of one instant at most.
        let before = open.fetch_add(1, Ordering::Relaxed);
        let entered = Self(Arc::clone(open));
        (most == 0 || before < most).then_some(entered)
    }
}

impl Drop for OnPort {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Open {
    /// Admits a connection unless there are too many.
    fn admit(worker: &Rc<Worker>, port: &Rc<Port>, stream: &Stream, peer: IpAddr) -> Option<Self> {
        let (view, place) = worker.view_of(port)?;
        let listener = &view.snapshot.listeners[place];
        let series = Arc::clone(&listener.series);
        let Some(counted) = Self::count(worker, port, (listener, &view), stream, peer) else {
            series.worker(worker.ix).connection_refused();
            return None;
        };
        series.worker(worker.ix).connection_opened();
        let enrolment = worker.connections.enroll();
        Some(Self {
            worker: Rc::clone(worker),
            port: Rc::clone(port),
            series,
            enrolment,
            _counted: counted,
        })
    }

    /// Counts a connection, if there is room for it in all limits.
    fn count(
        worker: &Worker,
        port: &Port,
        (listener, view): (&Listener, &View),
        stream: &Stream,
        peer: IpAddr,
    ) -> Option<(Counted, OnPort)> {
        let memory = &worker.memory;
        // What is passed through has no other answer.
        if memory.is_exhausted() || (listener.tcp.is_some() && memory.is_short()) {
            worker.registry.process().memory_refused_connection();
            return None;
        }
        let client = &listener.client;
        let on_port = OnPort::enter(&port.open, client.max_connections)?;
        if !worker.descriptors.has_for_client(stream) {
            worker.complaints.full(&listener.name, Instant::now());
            return None;
        }
        let of_one = client.max_connections_per_client;
        // On a Unix socket all have one address.
        let counts = of_one > 0 && peer != UNIX_CLIENT && !is_trusted(peer, &listener.forwarded);
        let one = (&*listener.name, peer, if counts { of_one } else { 0 });
        Some((worker.clients.admit(view.snapshot.max_connections, one)?, on_port))
    }

    /// When the connection was told to end after its next request, if it was: the worker drains, or
    /// the listener closes.
    #[inline]
    pub(super) fn ending(&self) -> Option<Instant> {
        self.worker.draining_since().or(self.port.closed.get())
    }

    /// Has the calling task woken when the connection is to end.
    pub(super) fn register(&self, waker: &Waker) {
        self.worker.connections.set_waker(self.enrolment, waker);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.series.worker(self.worker.ix).connection_closed();
        self.worker.connections.dismiss(self.enrolment);
    }
}
