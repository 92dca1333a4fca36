//! One worker: one thread, one runtime, its own sockets, pools, cursors, buffers and counters.
//!
//! First stop of a request. Nothing here is shared with another worker but the snapshot, the
//! per-backend `Live` atomics and the channel to the control loop.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ahash::AHashMap;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::balance::Rng;
use crate::model::{Clock, Event, WorkerIx};
use crate::net;
use crate::proxy::admission::{Clients, Descriptors};
use crate::proxy::buffers::Buffers;
use crate::proxy::client_h2::Seats;
use crate::proxy::complaints::Complaints;
use crate::proxy::date::Dates;
use crate::proxy::enrolled::Enrolled;
use crate::proxy::memory::Memory;
use crate::proxy::own::Owned;
use crate::proxy::places::Places;
use crate::proxy::port::{Port, accept};
use crate::proxy::request::States;
use crate::proxy::sockets::{LentSockets, Listening, Sockets};
use crate::proxy::traced::Traces;
use crate::proxy::view::View;
use crate::snapshot::Reader;
use crate::telemetry::{LocalLog, Registry, Zone};
use crate::trace::Outbox;

/// Between two looks at pools and logs.
const UPKEEP: Duration = Duration::from_secs(1);

/// For the access lines of requests that are cut.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a worker is told by the server.
#[derive(Debug)]
pub enum Order {
    /// Accept on these sockets, for the listener of that name, once a snapshot knows it.
    Listen {
        /// The listener's name.
        name: Arc<str>,
        /// This worker's sockets: one, or more where a process with more workers has left them.
        sockets: Vec<net::Listener>,
        /// Connections open on this listener in all workers.
        open: Arc<AtomicU64>,
        /// Whether no other process has these sockets.
        alone: bool,
    },
    /// These listeners have other names from now on: before, and now.
    Rename(Arc<[(Arc<str>, Arc<str>)]>),
    /// Stop accepting for this listener and let its connections end.
    Close {
        /// The listener's name.
        name: Arc<str>,
    },
    /// Tell which sockets you accept on; that you answer shows that you are alive.
    Lend {
        /// Where the answer goes.
        to: mpsc::UnboundedSender<io::Result<LentSockets>>,
    },
    /// Stop accepting, finish what is under way and end, at the latest at the given time.
    Drain {
        /// When what is left is cut.
        until: std::time::Instant,
        /// Whether another process accepts on the same sockets by now.
        handed_over: bool,
    },
    /// End at once.
    Stop,
    /// Panic, outside of any request.
    #[cfg(test)]
    Panic,
}

/// What a worker is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its number.
    pub ix: WorkerIx,
    /// Its way to the current snapshot.
    pub reader: Reader,
    /// Its buffer for access lines.
    pub log: LocalLog,
    /// Where it reports failures that crossed a threshold.
    pub events: mpsc::Sender<Event>,
    /// Where it puts the spans of traced requests.
    pub spans: Outbox,
    /// Process-wide counters.
    pub registry: Arc<Registry>,
    /// The clients' connections of all workers.
    pub clients: Arc<Clients>,
    /// How the process uses its descriptors.
    pub descriptors: Descriptors,
    /// How short of memory the process is.
    pub memory: Arc<Memory>,
    /// Seed of its random numbers.
    pub seed: u64,
}

/// A worker's own world.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) ix: WorkerIx,
    pub(super) rng: RefCell<Rng>,
    pub(super) buffers: Buffers,
    pub(super) states: States,
    pub(super) traces: Traces,
    pub(super) spans: Outbox,
    pub(super) seats: Seats,
    pub(super) log: RefCell<LocalLog>,
    /// Places that requests name.
    pub(super) places: Places,
    pub(super) registry: Arc<Registry>,
    pub(super) clients: Arc<Clients>,
    pub(super) descriptors: Descriptors,
    pub(super) memory: Arc<Memory>,
    events: mpsc::Sender<Event>,
    reader: RefCell<Reader>,
    view: RefCell<Rc<View>>,
    pub(super) dates: Dates,
    /// In which people are told the time.
    pub(super) zone: Zone,
    /// Since when it has finished what it has and taken nothing new.
    draining: Cell<Option<Instant>>,
    /// What is still open is to end at once.
    cutting: Cell<bool>,
    /// What it accepts on, and what still has connections.
    ports: RefCell<Vec<Weak<Port>>>,
    /// Its open connections.
    pub(super) connections: Enrolled,
    pub(super) complaints: Complaints,
    /// Certificates that requests have shown to backends.
    pub(super) owned: Owned,
    /// Copies of requests that are under way.
    pub(super) copies: Cell<u32>,
}

/// Runs a worker until it is told to stop, or to drain and has drained. `sockets` are what a worker
/// before it has left.
///
/// # Panics
/// When something panics outside of a request (which costs that request's connection only); another
/// worker is to go on with the same `orders` and `sockets` then.
pub async fn run(parts: Parts, orders: &mut mpsc::UnboundedReceiver<Order>, sockets: &mut Sockets) {
    if sockets.drained {
        return;
    }
    let worker = Rc::new(Worker::new(parts));
    let mut upkeep = pin!(all_upkeep(Rc::clone(&worker)));
    let mut accepting = JoinSet::new();
    let mut ports = AHashMap::new();
    for (name, listening) in &sockets.by_name {
        worker.listen(&mut accepting, &mut ports, name, listening);
    }
    let drain = loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            Some(ended) = accepting.join_next() => {
                went_well(ended);
                continue;
            }
            never = &mut upkeep => match never {},
        };
        match order {
            Some(Order::Listen { name, sockets: fresh, open, alone }) => {
                let listening = Listening { sockets: fresh, open, alone };
                worker.listen(&mut accepting, &mut ports, &name, &listening);
                sockets.by_name.insert(name, listening);
            }
            Some(Order::Lend { to }) => {
                // Who asked may have given up.
                let _ = to.send(sockets.lend());
            }
            Some(Order::Rename(names)) => {
                rename(&mut sockets.by_name, &names);
                rename(&mut ports, &names);
                ports.iter().for_each(|(name, port)| port.rename(name, worker.view()));
            }
            Some(Order::Close { name }) => {
                sockets.by_name.remove(&name);
                ports.remove(&name).iter().for_each(|port| port.close(false));
                worker.connections.wake();
            }
            Some(Order::Drain { until, handed_over }) => break Some((until, handed_over)),
            #[cfg(test)]
            Some(Order::Panic) => panic!("ordered to"),
            Some(Order::Stop) | None => break None,
        }
    };
    sockets.by_name.clear();
    sockets.drained = true;
    if let Some((until, handed_over)) = drain {
        worker.draining.set(Some(Instant::now()));
        ports.drain().for_each(|(_, port)| port.close(handed_over));
        worker.connections.wake();
        let drained = async {
            while let Some(ended) = accepting.join_next().await {
                went_well(ended);
            }
            worker.connections.until_all_closed().await;
        };
        tokio::select! {
            () = drained => {}
            never = &mut upkeep => match never {},
            () = tokio::time::sleep_until(until.into()) => {}
            () = stopped(orders) => {}
        }
    }
    cut(&worker).await;
    worker.log.borrow_mut().flush();
}

/// Ends what is still open.
async fn cut(worker: &Worker) {
    let cut = worker.connections.len();
    if cut > 0 {
        tracing::warn!(worker = worker.ix.0, connections = cut, "cut connections still open");
        worker.cutting.set(true);
        worker.connections.wake();
        // They end at once, with a line in the log; this is for one that would not.
        let _ = tokio::time::timeout(LAST_WORDS, worker.connections.until_all_closed()).await;
    }
}

/// Two listeners may swap their names.
fn rename<T>(map: &mut AHashMap<Arc<str>, T>, names: &[(Arc<str>, Arc<str>)]) {
    let taken: Vec<_> = names.iter().map(|(from, _)| map.remove(from)).collect();
    for ((_, to), value) in names.iter().zip(taken) {
        map.extend(value.map(|value| (Arc::clone(to), value)));
    }
}

/// Waits for the order to stop. Reloads go on meanwhile, and what they order comes too late.
async fn stopped(orders: &mut mpsc::UnboundedReceiver<Order>) {
    loop {
        match orders.recv().await {
            Some(Order::Stop) | None => return,
            #[cfg(test)]
            Some(Order::Panic) => panic!("ordered to"),
            Some(_) => {}
        }
    }
}

/// A listener that nobody accepts on any more is worse than a worker that starts anew.
fn went_well(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

impl Worker {
    fn new(parts: Parts) -> Self {
        let Parts { ix, mut reader, log, events, spans, registry, .. } = parts;
        let Parts { clients, descriptors, memory, seed, .. } = parts;
        let mut rng = Rng::new(seed);
        let view = View::new(Arc::clone(reader.current()), ix, &mut rng);
        Self {
            ix,
            rng: RefCell::new(rng),
            buffers: Buffers::default(),
            states: States::default(),
            traces: Traces::default(),
            spans,
            seats: Seats::default(),
            places: Places::default(),
            log: RefCell::new(log),
            registry,
            clients,
            descriptors,
            memory,
            events,
            reader: RefCell::new(reader),
            view: RefCell::new(Rc::new(view)),
            dates: Dates::new(Instant::now()),
            zone: Zone::system(),
            draining: Cell::default(),
            cutting: Cell::default(),
            ports: RefCell::default(),
            connections: Enrolled::default(),
            complaints: Complaints::default(),
            owned: Owned::default(),
            copies: Cell::default(),
        }
    }

    /// The current view. One relaxed load when nothing is new.
    #[inline]
    pub(super) fn view(&self) -> Rc<View> {
        let mut reader = self.reader.borrow_mut();
        let current = reader.current();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(current, &view.snapshot) {
            let next = view.next(Arc::clone(current), self.ix, &mut self.rng.borrow_mut());
            let before = std::mem::replace(&mut *view, Rc::new(next));
            self.ports.borrow_mut().retain(|port| match port.upgrade() {
                Some(port) => {
                    port.keep(&before, &view);
                    true
                }
                None => false,
            });
        }
        Rc::clone(&view)
    }

    /// The current view, and the place of the port's listener in it; when the listener has left it,
    /// the last view that had it. `None`: no view has had it yet.
    #[inline]
    pub(super) fn view_of(&self, port: &Port) -> Option<(Rc<View>, usize)> {
        let view = self.view();
        match port.place(&view) {
            Some(place) => Some((view, place)),
            None => port.last(),
        }
    }

    fn listen(
        self: &Rc<Self>,
        accepting: &mut JoinSet<()>,
        ports: &mut AHashMap<Arc<str>, Rc<Port>>,
        name: &Arc<str>,
        listening: &Listening,
    ) {
        let Listening { sockets, open, alone } = listening;
        let port = Rc::new(Port::new(Arc::clone(name), Arc::clone(open), *alone));
        self.ports.borrow_mut().push(Rc::downgrade(&port));
        for socket in sockets {
            match socket.try_clone().and_then(net::Listener::register) {
                Ok(socket) => {
                    accepting.spawn_local(accept(Rc::clone(self), Rc::clone(&port), socket));
                }
                Err(error) => tracing::error!(listener = &**name, %error, "cannot accept"),
            }
        }
        ports.insert(Arc::clone(name), port);
    }

    /// Reports to the control loop. A full channel loses the event, which shows in a metric; the
    /// next failures will report again.
    pub(super) fn report(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.registry.process().event_dropped();
        }
    }

    /// Two random numbers, for a request's id.
    pub(super) fn two_random(&self) -> [u64; 2] {
        let mut rng = self.rng.borrow_mut();
        [rng.next_u64(), rng.next_u64()]
    }

    /// A random number, for the id of a span.
    pub(super) fn random(&self) -> u64 {
        self.rng.borrow_mut().next_u64()
    }

    /// A reader of its own, for a task that waits for news.
    pub(super) fn news(&self) -> Reader {
        self.reader.borrow().clone()
    }

    /// Since when the worker drains, if it does.
    #[inline]
    pub(super) fn draining_since(&self) -> Option<Instant> {
        self.draining.get()
    }

    /// Whether what is open is to end at once.
    #[inline]
    pub(super) fn is_cutting(&self) -> bool {
        self.cutting.get()
    }
}

/// What a worker does beside its connections.
async fn all_upkeep(worker: Rc<Worker>) -> Infallible {
    tokio::select! {
        never = upkeep(Rc::clone(&worker)) => never,
        never = worker.connections.wake_young() => never,
    }
}

/// Once a second, and whenever a snapshot is published: takes the new view, so that an idle worker
/// too drops what left, closes idle connections that are too old and hands the log on.
///
/// Never ends: when the control loop has broken off there is no news any more, but connections go on.
async fn upkeep(worker: Rc<Worker>) -> Infallible {
    let mut news = worker.news();
    let mut more = true;
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let now = Clock::now();
                for local in &worker.view().upstreams {
                    let counted = local.counted(worker.ix);
                    let mut budget = local.budget.borrow_mut();
                    let cell = local.upstream.series.worker(worker.ix);
                    cell.set_lately(budget.lately(counted));
                    budget.mark(counted);
                    if let Some(hedges) = &local.hedges {
                        hedges.tick(&local.upstream, counted.attempts, now);
                    }
                }
            }
            changed = news.changed(), if more => more = changed,
        }
        let view = worker.view();
        let now = Instant::now();
        for local in &view.upstreams {
            for pool in &local.pools {
                pool.prune(&local.upstream.pool, now);
                pool.cell(worker.ix).set_idle(pool.len());
            }
            if let Some(line) = &local.upstream.line {
                // There may be a backend more than before.
                line.call();
            }
        }
        worker.places.prune(now);
        worker.log.borrow_mut().flush();
    }
}
