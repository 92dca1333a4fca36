//! Which connections are taken: as many as there are descriptors for, and as the limits allow.
//!
//! What is refused is refused before a task, a buffer or a byte is spent on it: it is closed.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;

use crate::limit::{Counts, HeldShared};

/// Clients whose connections are counted, at most; 32 bytes each.
const CLIENTS: usize = 65_536;
/// Descriptors that no connection takes, at most: what the admin listener, the logs, probes and name
/// resolution want.
const RESERVE: u64 = 128;
/// The part of the others that is left for connections to backends.
const FOR_BACKENDS: u64 = 8;

/// Up to which descriptors may be used for what.
///
/// The kernel gives the lowest number that is free. One that is `n` tells so that at least `n` are in
/// use, without counting and whoever uses them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// The first that no client gets.
    clients: RawFd,
    /// The first that no backend gets.
    backends: RawFd,
}

impl Descriptors {
    /// How a process uses its descriptors that may have so many; `None` is no limit.
    pub fn of(limit: Option<u64>) -> Self {
        let limit = limit.unwrap_or(u64::MAX);
        let backends = limit - RESERVE.min(limit / 4);
        let clients = backends - backends / FOR_BACKENDS;
        let number = |number| RawFd::try_from(number).unwrap_or(RawFd::MAX);
        Self { clients: number(clients), backends: number(backends) }
    }

    /// Whether a client may have this one.
    pub(super) fn has_for_client(self, socket: &impl AsRawFd) -> bool {
        socket.as_raw_fd() < self.clients
    }

    /// Whether a connection to a backend may have this one.
    pub(super) fn has_for_backend(self, socket: &impl AsRawFd) -> bool {
        socket.as_raw_fd() < self.backends
    }
}

/// What is counted of clients' connections in all workers.
pub struct Clients {
    open: AtomicU64,
    /// By listener and address; made when a listener asks for it.
    by_address: OnceLock<Arc<Counts>>,
    hasher: RandomState,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The seed stays secret.
        f.debug_struct("Clients").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self { open: AtomicU64::new(0), by_address: OnceLock::new(), hasher: RandomState::new() }
    }
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    all: Arc<Clients>,
    _of_one: Option<HeldShared>,
}

impl Clients {
    /// Counts a connection of `address` unless there are `most` already, or on the listener of that
    /// name `most_of_one` of the same client. 0 is no limit.
    pub(super) fn admit(
        self: &Arc<Self>,
        most: u64,
        (listener, address, most_of_one): (&str, IpAddr, u32),
    ) -> Option<Counted> {
        let of_one = if most_of_one == 0 {
            None
        } else {
            let counts = self.by_address.get_or_init(|| Arc::new(Counts::new(CLIENTS)));
            let hash = self.hasher.hash_one((listener, network(address)));
            Some(counts.enter_shared(hash, most_of_one)?)
        };
        // Relaxed: a limit, not a lock; off by the connections of one instant at most.
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        let counted = Counted { all: Arc::clone(self), _of_one: of_one };
        (most == 0 || open < most).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one client: an address, of IPv6 the network of 64 bits that one customer gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_left_for_backends_and_for_all_else() {
        for limit in [64, 256, 512, 1024, 65_536, 1 << 20] {
            let Descriptors { clients, backends } = Descriptors::of(Some(limit));
            let limit = limit as RawFd;
            assert!(limit - backends >= 16.min(limit / 4), "{limit}");
            assert!(backends - clients >= backends / 9, "{limit}");
            assert!(clients > limit / 2, "{limit}");
        }
        let all = Descriptors::of(None);
        assert_eq!(all.backends, RawFd::MAX);
    }

    #[test]
    fn connections_are_counted_in_all_and_by_client() {
        let clients = Arc::new(Clients::default());
        let admit = |listener, address: &str, of_one| {
            clients.admit(4, (listener, address.parse().unwrap(), of_one))
        };
        let first = admit("a", "192.0.2.1", 2);
        let second = admit("a", "::ffff:192.0.2.1", 2);
        assert!(first.is_some() && second.is_some());
        assert!(admit("a", "192.0.2.1", 2).is_none(), "two of one client");
        let third = admit("a", "2001:db8::1", 1);
        assert!(third.is_some());
        assert!(admit("a", "2001:db8::ffff", 1).is_none(), "the same network");
        let fourth = admit("b", "192.0.2.1", 2);
        assert!(fourth.is_some(), "another listener");
        assert!(admit("b", "192.0.2.9", 0).is_none(), "four in all");
        drop(first);
        assert!(admit("b", "192.0.2.9", 0).is_some());
        drop((second, third, fourth));
        assert_eq!(clients.open.load(Ordering::Relaxed), 0);
    }
}
