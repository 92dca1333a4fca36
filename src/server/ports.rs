//! Which listeners are bound, and the orders that tell workers of it.
//!
//! Sockets are bound before a configuration is published, so that a listener that cannot be bound
//! refuses the configuration instead of half-applying it. Untouched listeners keep their sockets,
//! and so do those that only change their names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::mpsc;

use crate::config::model::Listener;
use crate::model::Address;
use crate::net::{self, BindError, SocketFile};
use crate::proxy::Order;

/// The bound listeners.
#[derive(Debug)]
pub(super) struct Ports {
    workers: Vec<mpsc::UnboundedSender<Order>>,
    bound: BTreeMap<String, Bound>,
}

#[derive(Debug, Clone)]
struct Bound {
    configured: Address,
    actual: Address,
    /// Of a Unix socket: its file, which goes with the last one who has it, and its mode.
    file: Option<(Arc<SocketFile>, u32)>,
}

/// What a configuration needs beyond what is bound. Dropped, it has changed nothing.
#[derive(Debug)]
pub(super) struct Change {
    /// Every listener of the configuration.
    bound: BTreeMap<String, Bound>,
    renamed: Vec<(Arc<str>, Arc<str>)>,
    closed: Vec<Arc<str>>,
    fresh: Vec<(Arc<str>, Vec<net::Listener>)>,
}

impl Ports {
    /// No listeners yet, for these workers.
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Order>>) -> Self {
        Self { workers, bound: BTreeMap::new() }
    }

    /// Binds what is new in `listeners`.
    ///
    /// # Errors
    /// The listener that could not be bound.
    pub(super) fn bind(&self, listeners: &[Listener]) -> Result<Change, (String, BindError)> {
        let mut change = Change {
            bound: BTreeMap::new(),
            renamed: Vec::new(),
            closed: Vec::new(),
            fresh: Vec::new(),
        };
        let mut unused = self.bound.clone();
        for Listener { name, address, socket_mode: mode, .. } in listeners {
            let bound = if let Some((before, bound)) = self.standing(name, address) {
                unused.remove(before);
                if before != name {
                    change.renamed.push((before.into(), name.as_str().into()));
                }
                let file = bound.file.map(|(file, _)| (file, *mode));
                Bound { file, ..bound }
            } else {
                let fault = |error| (name.clone(), error);
                let (sockets, bound) = match address {
                    Address::Ip(address) => self.bind_ip(*address, &change).map_err(fault)?,
                    Address::Unix(path) => self.bind_unix(path, *mode).map_err(fault)?,
                };
                change.fresh.push((name.as_str().into(), sockets));
                bound
            };
            change.bound.insert(name.clone(), bound);
        }
        change.closed = unused.into_keys().map(Arc::from).collect();
        Ok(change)
    }

    fn bind_ip(
        &self,
        address: SocketAddr,
        change: &Change,
    ) -> Result<(Vec<net::Listener>, Bound), BindError> {
        let ours = is_of(&self.bound, address) || is_of(&change.bound, address);
        let bind = if ours { net::bind_beside } else { net::bind };
        let sockets = bind(address, self.workers.len())?;
        let actual = sockets[0].local_addr().unwrap_or(address);
        let (configured, actual) = (Address::Ip(address), Address::Ip(actual));
        Ok((sockets, Bound { configured, actual, file: None }))
    }

    fn bind_unix(&self, path: &Path, mode: u32) -> Result<(Vec<net::Listener>, Bound), BindError> {
        let (sockets, file) = net::bind_unix(path, mode, self.workers.len())?;
        let address = Address::Unix(path.to_owned());
        let file = Some((Arc::new(file), mode));
        Ok((sockets, Bound { configured: address.clone(), actual: address, file }))
    }

    /// The bound listener that goes on as this one: of the same address, and of the same name where
    /// the address leaves the port to the system.
    fn standing(&self, name: &str, address: &Address) -> Option<(&str, Bound)> {
        let chosen = matches!(address, Address::Ip(address) if address.port() == 0);
        self.bound
            .iter()
            .find(|(before, bound)| bound.configured == *address && (!chosen || *before == name))
            .map(|(before, bound)| (before.as_str(), bound.clone()))
    }

    /// Hands the sockets to the workers, who accept once a snapshot knows the listeners, and has
    /// them close what is not needed any more. A worker that has ended needs no order.
    pub(super) fn apply(&mut self, change: Change) {
        let workers = self.workers.len();
        for name in change.closed {
            tracing::info!(listener = &*name, "closing");
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
            let address = &change.bound[&*name].actual;
            let open = Arc::new(AtomicU64::new(0));
            for (worker, socket) in self.workers.iter().zip(sockets) {
                let (name, open) = (Arc::clone(&name), Arc::clone(&open));
                let _ = worker.send(Order::Listen { name, socket, open });
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
        // Files that nobody needs any more go with what was bound.
        self.bound = change.bound;
    }

    /// Where each listener accepts that has an IP address.
    pub(super) fn addresses(&self) -> BTreeMap<String, SocketAddr> {
        let of_ip = |(name, bound): (&String, &Bound)| match bound.actual {
            Address::Ip(address) => Some((name.clone(), address)),
            Address::Unix(_) => None,
        };
        self.bound.iter().filter_map(of_ip).collect()
    }
}

/// Whether one of these, which are our own, stands in the way of `address`: the port is the same, as
/// with `0.0.0.0:80` and `127.0.0.1:80`.
fn is_of(bound: &BTreeMap<String, Bound>, address: SocketAddr) -> bool {
    let is_in_the_way = |bound: &Bound| match bound.actual {
        Address::Ip(ours) => ours.port() == address.port(),
        Address::Unix(_) => false,
    };
    bound.values().any(is_in_the_way)
}
