//! The listening sockets of a worker, which outlive it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ahash::AHashMap;

use crate::net;

/// More handles of the sockets that a worker accepts on, by listener.
pub type LentSockets = Vec<(Arc<str>, net::Listener)>;

/// The sockets that a worker accepts on. They outlive a worker that panics, with the connections
/// that wait in them.
#[derive(Debug, Default)]
pub struct Sockets {
    pub(super) by_name: AHashMap<Arc<str>, Listening>,
    /// There is nothing left to do for a worker that starts anew: the one before was draining.
    pub(super) drained: bool,
}

/// Those of one listener, as [`Order::Listen`](super::Order::Listen) has them.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) sockets: Vec<net::Listener>,
    pub(super) open: Arc<AtomicU64>,
    pub(super) alone: bool,
}

impl Sockets {
    pub(super) fn lend(&self) -> io::Result<LentSockets> {
        let all = self.by_name.iter();
        let all = all.flat_map(|(name, of)| of.sockets.iter().map(move |one| (name, one)));
        all.map(|(name, socket)| Ok((Arc::clone(name), socket.try_clone()?))).collect()
    }
}
