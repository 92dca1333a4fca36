//! What one worker has of a backend: its idle connections, and the cell in which it counts.
//!
//! Balancing answers *where*, this answers *with which connection*; neither knows the other. The
//! newest connection is used first, so that the rest grows old and is closed. A connection comes
//! here only when both messages ended exactly where they should (`exchange` sees to it).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::WorkerIx;
use crate::net::Stream;
use crate::proxy::backend_h2::{Sender, UNTOLD};
use crate::proxy::idle::Learned;
use crate::proxy::lines;
use crate::proxy::own::Own;
use crate::snapshot::Backend;
use crate::snapshot::settings::Pool as Settings;
use crate::telemetry::{BackendCell, PerWorker};

/// A connection to a backend, handed on as a box: each step of a request that it comes through would
/// hold room for it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// From when on it serves no further request.
    retires: Instant,
    /// Requests sent on it, the present one included.
    requests: u64,
    /// It came from the pool for the present request.
    pub(super) reused: bool,
    /// The first bytes of the answer to a request that went out already.
    pub(super) ahead: Option<Box<[u8]>>,
    /// The certificate that it was opened with, if each request has its own.
    own: Option<Box<Own>>,
}

impl Connection {
    /// A fresh connection for its first request.
    pub(super) fn new(
        stream: Stream,
        own: Option<Box<Own>>,
        settings: &Settings,
        now: Instant,
    ) -> Self {
        Self {
            stream,
            retires: now + settings.max_lifetime,
            requests: 1,
            reused: false,
            ahead: None,
            own,
        }
    }

    fn may_serve_again(&self, settings: &Settings, now: Instant) -> bool {
        may_serve_again((self.requests, self.retires), settings, now)
    }
}

/// An HTTP/2 connection that requests share.
#[derive(Debug)]
struct Shared {
    sender: Sender,
    opened: Instant,
    retires: Instant,
    requests: u64,
    /// When a request last began or ended on it.
    since: Instant,
    /// A request has begun on it, and no end was noted since that found it idle.
    busy: bool,
}

impl Shared {
    fn may_serve_again(&mut self, settings: &Settings, now: Instant) -> bool {
        may_serve_again((self.requests, self.retires), settings, now)
            && (!self.is_idle() || fresh(self.since, settings.idle_timeout, now))
            && !self.sender.is_closed()
    }

    /// Whether no request is under way on it.
    fn is_idle(&self) -> bool {
        self.sender.is_alone()
    }
}

fn may_serve_again((requests, retires): (u64, Instant), settings: &Settings, now: Instant) -> bool {
    (settings.max_requests == 0 || requests < settings.max_requests) && now < retires
}

/// What one worker has of a backend: its idle connections, and the cell in which it counts.
#[derive(Debug, Default)]
pub(super) struct Pool {
    front: Front,
    /// The HTTP/2 connections that requests of this worker share, the oldest first: another one is opened
    /// only when the backend allows no more requests at once on these.
    shared: RefCell<Vec<Shared>>,
    /// One to be shared is being opened; what comes of it is told by this.
    opening: RefCell<Option<Rc<Awaited>>>,
    /// How long the backend keeps idle connections.
    learned: Learned,
}

/// What each request needs, on one cache line: of hundreds of backends each one's memory has left the
/// processor's caches when it is its turn again, and every line of it is waited for.
#[derive(Debug)]
#[repr(align(64))]
struct Front {
    /// The idle connections, the oldest first.
    idle: RefCell<Vec<(Instant, Box<Connection>)>>,
    /// How long a connection may be idle, as far as the backend's own limit is known. `None`: the backend
    /// has left, and nothing is kept any more.
    limit: Cell<Option<Duration>>,
    cells: PerWorker<BackendCell>,
}

impl Default for Front {
    fn default() -> Self {
        let limit = Cell::new(Some(Duration::MAX));
        Self { idle: RefCell::default(), limit, cells: PerWorker::default() }
    }
}

impl Pool {
    /// A pool for this backend, empty.
    pub(super) fn of(backend: &Backend) -> Rc<Self> {
        let front = Front { cells: backend.series.cells(), ..Front::default() };
        Rc::new(Self { front, ..Self::default() })
    }

    /// Where this worker counts what becomes of requests to the backend.
    #[inline]
    pub(super) fn cell(&self, worker: WorkerIx) -> &BackendCell {
        self.front.cells.of(worker)
    }

    /// The newest connection that is still good, and was opened with the same certificate of our own. Dead
    /// ones met on the way are closed.
    pub(super) fn take(
        &self,
        settings: &Settings,
        now: Instant,
        own: Option<&Own>,
    ) -> Option<Box<Connection>> {
        let limit = settings.idle_timeout.min(self.front.limit.get()?);
        let mut idle = self.front.idle.borrow_mut();
        while let Some((since, mut connection)) = newest(&mut idle, own) {
            if !fresh(since, limit, now) || !connection.may_serve_again(settings, now) {
                continue;
            }
            if connection.stream.is_quiet() {
                connection.requests += 1;
                connection.reused = true;
                return Some(connection);
            }
            self.learn(since, now);
        }
        None
    }

    /// Keeps a connection for another request; the oldest one goes when there are too many.
    pub(super) fn put(&self, connection: Box<Connection>, settings: &Settings, now: Instant) {
        if self.has_left() || settings.max_idle == 0 || !connection.may_serve_again(settings, now) {
            return;
        }
        let mut idle = self.front.idle.borrow_mut();
        if idle.len() >= settings.max_idle {
            idle.remove(0);
        }
        idle.push((now, connection));
    }

    /// Asks for the line that each request needs.
    #[inline]
    pub(super) fn fetch(&self) {
        lines::fetch(&self.front);
    }

    /// Asks for the connection that the next request gets.
    #[inline]
    pub(super) fn fetch_newest(&self) {
        if let Some((_, newest)) = self.front.idle.borrow().last() {
            lines::fetch(&**newest);
        }
    }

    /// Whether the backend has left.
    fn has_left(&self) -> bool {
        self.front.limit.get().is_none()
    }

    /// Takes note that the backend closed a connection that was idle since then.
    #[cold]
    fn learn(&self, since: Instant, now: Instant) {
        let learned = self.learned.closed(now.saturating_duration_since(since), now);
        if learned.is_some() && !self.has_left() {
            self.front.limit.set(learned);
        }
    }

    /// A shared HTTP/2 connection for one request more, if there is a good one with room for it.
    pub(super) fn shared(&self, settings: &Settings, now: Instant) -> Option<Sender> {
        self.shared_since(None, settings, now)
    }

    /// The same, if it has been opened since.
    pub(super) fn shared_since(
        &self,
        begun: Option<Instant>,
        settings: &Settings,
        now: Instant,
    ) -> Option<Sender> {
        let mut shared = self.shared.borrow_mut();
        shared.retain_mut(|one| one.may_serve_again(settings, now));
        let mut suit =
            shared.iter_mut().filter(|one| begun.is_none_or(|begun| one.opened >= begun));
        let one = suit.find(|one| one.sender.has_room())?;
        (one.requests, one.since, one.busy) = (one.requests + 1, now, true);
        Some(one.sender.clone())
    }

    /// Requests that the backend allows at once on a connection, as far as one that stands has told.
    pub(super) fn most(&self) -> usize {
        self.shared.borrow().last().map_or(UNTOLD, |one| one.sender.most())
    }

    /// What tells the end of the opening of one to be shared, if there is one under way.
    pub(super) fn opening(&self) -> Option<Rc<Awaited>> {
        self.opening.borrow().clone()
    }

    /// One to be shared is being opened, until this is dropped.
    pub(super) fn open(&self) -> Opening<'_> {
        let awaited = Rc::<Awaited>::default();
        self.opening.replace(Some(Rc::clone(&awaited)));
        Opening { pool: self, awaited }
    }

    /// Whether there is a shared HTTP/2 connection that stands.
    pub(super) fn has_shared(&self) -> bool {
        self.shared.borrow_mut().iter_mut().any(|one| !one.sender.is_closed())
    }

    /// Has further requests share this HTTP/2 connection, which is fresh, unless none is to be kept.
    pub(super) fn share(&self, sender: Sender, settings: &Settings, now: Instant) {
        if !self.has_left() && settings.max_idle > 0 {
            let retires = now + settings.max_lifetime;
            let one = Shared { sender, opened: now, retires, requests: 1, since: now, busy: true };
            self.shared.borrow_mut().push(one);
        }
    }

    /// A request has ended on one of the shared HTTP/2 connections.
    pub(super) fn used(&self, settings: &Settings, now: Instant) {
        let mut shared = self.shared.borrow_mut();
        for one in shared.iter_mut().filter(|one| one.busy) {
            (one.since, one.busy) = (now, !one.is_idle());
        }
        while shared.iter().filter(|one| one.is_idle()).count() > settings.max_idle {
            take_oldest(&mut shared);
        }
    }

    /// Has no further request share the HTTP/2 connections: one has waited in vain, and nothing else
    /// would tell that their other end is gone. Requests under way keep them.
    pub(super) fn unshare(&self) {
        self.shared.borrow_mut().clear();
    }

    /// Closes what is too old or dead; what others share, once the requests on it have ended.
    pub(super) fn prune(&self, settings: &Settings, now: Instant) {
        self.shared.borrow_mut().retain_mut(|one| one.may_serve_again(settings, now));
        let Some(mut limit) = self.front.limit.get() else { return };
        if self.learned.forgets(now) {
            limit = Duration::MAX;
            self.front.limit.set(Some(limit));
        }
        let limit = limit.min(settings.idle_timeout);
        self.front.idle.borrow_mut().retain_mut(|(since, connection)| {
            if !fresh(*since, limit, now) {
                return false;
            }
            let quiet = connection.stream.is_quiet();
            if !quiet {
                self.learn(*since, now);
            }
            quiet
        });
    }

    /// Closes everything for good: requests that are still under way on an older view keep nothing.
    pub(super) fn close(&self) {
        self.front.limit.set(None);
        self.front.idle.borrow_mut().clear();
        // Requests under way on them keep them open.
        self.shared.borrow_mut().clear();
    }

    /// Since when the connection is idle that is so for longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let oldest = self.front.idle.borrow().first().map(|(since, _)| *since);
        oldest.or_else(|| {
            let shared = self.shared.borrow();
            shared.iter().filter(|one| one.is_idle()).map(|one| one.since).min()
        })
    }

    /// Closes the one that is idle for longest.
    pub(super) fn close_oldest(&self) {
        let mut idle = self.front.idle.borrow_mut();
        if idle.is_empty() {
            take_oldest(&mut self.shared.borrow_mut());
        } else {
            idle.remove(0);
        }
    }

    /// Number of idle connections. A backend has those of HTTP/1.1 or those of HTTP/2.
    pub(super) fn len(&self) -> usize {
        let shared = self.shared.borrow().iter().filter(|one| one.is_idle()).count();
        self.front.idle.borrow().len() + shared
    }
}

/// Takes out the one of these that is idle for longest.
fn take_oldest(shared: &mut Vec<Shared>) -> Option<Shared> {
    let idle = shared.iter().enumerate().filter(|(_, one)| one.is_idle());
    let (place, _) = idle.min_by_key(|(_, one)| one.since)?;
    Some(shared.remove(place))
}

/// The opening of a connection to be shared, for those who wait for its end.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    end: Notify,
    failed: Cell<bool>,
}

impl Awaited {
    /// Waits for the end.
    pub(super) async fn ended(&self) {
        self.end.notified().await;
    }

    /// Whether the backend let no connection be opened; else whoever opened it gave it up, if there is none.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }
}

/// The opening of a connection to be shared.
#[derive(Debug)]
pub(super) struct Opening<'p> {
    pool: &'p Pool,
    awaited: Rc<Awaited>,
}

impl Opening<'_> {
    /// The backend let none be opened.
    pub(super) fn fail(&self) {
        self.awaited.failed.set(true);
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let mut opening = self.pool.opening.borrow_mut();
        opening.take_if(|awaited| Rc::ptr_eq(awaited, &self.awaited));
        self.awaited.end.notify_waiters();
    }
}

/// Takes out the newest that may serve who shows this certificate.
#[inline]
fn newest(
    idle: &mut Vec<(Instant, Box<Connection>)>,
    own: Option<&Own>,
) -> Option<(Instant, Box<Connection>)> {
    if own.is_none() {
        return idle.pop();
    }
    let place = idle.iter().rposition(|(_, one)| one.own.as_deref() == own)?;
    Some(idle.remove(place))
}

fn fresh(since: Instant, limit: Duration, now: Instant) -> bool {
    now.saturating_duration_since(since) < limit
}

#[cfg(test)]
mod tests;
