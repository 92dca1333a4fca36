//! Which listeners are bound, and the orders that tell workers of it.
//!
//! Sockets are bound before a configuration is published, so that a listener that cannot be bound
//! refuses the configuration instead of half-applying it. Untouched listeners keep their sockets,
//! and so do those that only change their names. What was bound before this process was there is taken up
//! by the first configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::config::model::Listener;
use crate::model::Address;
use crate::net::{self, BindError, SocketFile};
use crate::proxy::Order;

use super::inherited::Left;

/// The bound listeners.
#[derive(Debug)]
pub(super) struct Ports {
    workers: Vec<mpsc::UnboundedSender<Order>>,
    /// Told to whoever passes the sockets on.
    bound: watch::Sender<Table>,
    /// What was bound before this process was there, until the first configuration has taken its part.
    left: Vec<Left>,
    /// What was given up, and when: the workers take a moment to close it.
    closing: Vec<(Address, Instant)>,
}

/// How long workers may take to close a listener, their last handshakes included.
const CLOSING: Duration = Duration::from_secs(1);

/// What is bound, by the listener's name.
pub(super) type Table = BTreeMap<String, Bound>;

/// A listener that is bound.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// As the configuration has it: its port may be 0.
    pub(super) configured: Address,
    pub(super) actual: Address,
    /// Of a Unix socket: its file, which goes with the last one who has it, and its mode.
    pub(super) file: Option<(Arc<SocketFile>, u32)>,
    /// Whether no other process keeps its sockets, as systemd does with those that it has bound.
    pub(super) alone: bool,
}

/// What a configuration needs beyond what is bound. Dropped, it has changed nothing.
#[derive(Debug)]
pub(super) struct Change {
    /// Every listener of the configuration.
    bound: Table,
    renamed: Vec<(Arc<str>, Arc<str>)>,
    closed: Vec<Arc<str>>,
    /// Of each worker its sockets.
    fresh: Vec<(Arc<str>, Vec<Vec<net::Listener>>)>,
}

/// A listener that was not bound before, with the sockets of each worker.
type Fresh = Result<(Vec<Vec<net::Listener>>, Bound), BindError>;

impl Ports {
    /// No listeners yet, for these workers; `left` is what they may take up.
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Order>>, left: Vec<Left>) -> Self {
        Self { workers, bound: watch::Sender::default(), left, closing: Vec::new() }
    }

    /// Where it is told what is bound.
    pub(super) fn bound(&self) -> watch::Receiver<Table> {
        self.bound.subscribe()
    }

    /// Binds what is new in `listeners`.
    ///
    /// # Errors
    /// The listener that could not be bound.
    pub(super) fn bind(&mut self, listeners: &[Listener]) -> Result<Change, (String, BindError)> {
        let mut change = Change {
            bound: BTreeMap::new(),
            renamed: Vec::new(),
            closed: Vec::new(),
            fresh: Vec::new(),
        };
        self.closing.retain(|(_, since)| since.elapsed() < CLOSING);
        let mut unused = self.bound.borrow().clone();
        for Listener { name, address, socket_mode: mode, .. } in listeners {
            let bound = if let Some((before, bound)) = self.standing(name, address) {
                unused.remove(&before);
                if before != *name {
                    change.renamed.push((before.into(), name.as_str().into()));
                }
                let file = bound.file.map(|(file, _)| (file, *mode));
                Bound { file, ..bound }
            } else {
                let fault = |error| (name.clone(), error);
                let bound = match (self.take_up(name, address, *mode), address) {
                    (Some(bound), _) => bound,
                    (None, Address::Ip(address)) => self.bind_ip(*address, &change),
                    (None, Address::Unix(path)) => self.bind_unix(path, *mode),
                };
                let (sockets, bound) = bound.map_err(fault)?;
                change.fresh.push((name.as_str().into(), sockets));
                bound
            };
            change.bound.insert(name.clone(), bound);
        }
        change.closed = unused.into_keys().map(Arc::from).collect();
        Ok(change)
    }

    /// The sockets of a listener that were bound before this process was there.
    fn take_up(&mut self, name: &str, address: &Address, mode: u32) -> Option<Fresh> {
        let place = self.left.iter().position(|left| left.is_for(name, address))?;
        let Left { configured, actual, sockets, alone, .. } = self.left.swap_remove(place);
        let fault = |source| BindError::new(&actual, 1, self.workers.len(), source);
        let file = match &actual {
            Address::Unix(path) if alone => match SocketFile::adopt(path) {
                Ok(file) => Some((Arc::new(file), mode)),
                Err(source) => return Some(Err(fault(source))),
            },
            _ => None,
        };
        let sockets = net::take_over(sockets, self.workers.len()).map_err(fault);
        Some(sockets.map(|sockets| (sockets, Bound { configured, actual, file, alone })))
    }

    fn bind_ip(&self, address: SocketAddr, change: &Change) -> Fresh {
        let bound = self.bound.borrow();
        let ours = bound.values().chain(change.bound.values()).map(|bound| &bound.actual);
        let left = self.left.iter().map(|left| &left.actual);
        let closing = self.closing.iter().map(|(closed, _)| closed);
        let ours = ours.chain(left).chain(closing).any(|at| is_in_the_way(at, address));
        drop(bound);
        let bind = if ours { net::bind_beside } else { net::bind };
        let sockets = bind(address, self.workers.len())?;
        let actual = sockets[0].local_addr().unwrap_or(address);
        let (configured, actual) = (Address::Ip(address), Address::Ip(actual));
        Ok((one_each(sockets), Bound { configured, actual, file: None, alone: true }))
    }

    fn bind_unix(&self, path: &Path, mode: u32) -> Fresh {
        let (sockets, file) = net::bind_unix(path, mode, self.workers.len())?;
        let address = Address::Unix(path.to_owned());
        let file = Some((Arc::new(file), mode));
        let (configured, actual) = (address.clone(), address);
        Ok((one_each(sockets), Bound { configured, actual, file, alone: true }))
    }

    /// The bound listener that goes on as this one: of the same address, and of the same name where
    /// the address leaves the port to the system.
    fn standing(&self, name: &str, address: &Address) -> Option<(String, Bound)> {
        let chosen = matches!(address, Address::Ip(address) if address.port() == 0);
        let bound = self.bound.borrow();
        bound
            .iter()
            .find(|(before, bound)| bound.configured == *address && (!chosen || *before == name))
            .map(|(before, bound)| (before.clone(), bound.clone()))
    }

    /// Hands the sockets to the workers, who accept once a snapshot knows the listeners, and has
    /// them close what is not needed any more. A worker that has ended needs no order.
    pub(super) fn apply(&mut self, change: Change) {
        let workers = self.workers.len();
        for name in change.closed {
            tracing::info!(listener = &*name, "closing");
            let closed = self.bound.borrow().get(&*name).filter(|closed| closed.alone).cloned();
            self.closing.extend(closed.map(|closed| (closed.actual, Instant::now())));
            for worker in &self.workers {
                let name = Arc::clone(&name);
                let _ = worker.send(Order::Close { name });
            }
        }
        if !change.renamed.is_empty() {
            let names: Arc<[_]> = change.renamed.into();
            for worker in &self.workers {
                let _ = worker.send(Order::Rename(Arc::clone(&names)));
            }
            for (_, name) in &*names {
                let address = &change.bound[&**name].actual;
                tracing::info!(listener = &**name, %address, workers, "listening");
            }
        }
        for (name, sockets) in change.fresh {
            let Bound { actual: address, alone, .. } = &change.bound[&*name];
            let open = Arc::new(AtomicU64::new(0));
            for (worker, sockets) in self.workers.iter().zip(sockets) {
                let (name, open) = (Arc::clone(&name), Arc::clone(&open));
                let _ = worker.send(Order::Listen { name, sockets, open, alone: *alone });
            }
            tracing::info!(listener = &*name, %address, workers, "listening");
        }
        for (name, bound) in &change.bound {
            if let Some((file, mode)) = &bound.file
                && let Err(error) = file.set_mode(*mode)
            {
                tracing::warn!(listener = name, %error, "cannot set the mode of the socket's file");
            }
        }
        // What this configuration has no listener for is somebody else's.
        self.left.clear();
        // Files that nobody needs any more go with what was bound.
        self.bound.send_replace(change.bound);
    }

    /// Where each listener accepts that has an IP address.
    pub(super) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let of_ip = |(name, bound): (&String, &Bound)| match bound.actual {
            Address::Ip(address) => Some((name.clone(), address)),
            Address::Unix(_) => None,
        };
        self.bound.borrow().iter().filter_map(of_ip).collect()
    }
}

/// Whether our own socket stands in the way of `address`, as with `0.0.0.0:80` and `127.0.0.1:80`. Ours for
/// IPv6 are for nothing else.
fn is_in_the_way(ours: &Address, address: SocketAddr) -> bool {
    let Address::Ip(ours) = ours else { return false };
    let any = ours.ip().is_unspecified() || address.ip().is_unspecified();
    let alike = ours.is_ipv4() == address.is_ipv4() && ours.port() == address.port();
    alike && (any || ours.ip() == address.ip())
}

/// Each worker's sockets where each has one.
fn one_each(sockets: Vec<net::Listener>) -> Vec<Vec<net::Listener>> {
    sockets.into_iter().map(|socket| vec![socket]).collect()
}
