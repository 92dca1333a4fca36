//! Listening sockets, one per worker on the same address.
//!
//! `SO_REUSEPORT` lets the kernel spread new connections over the workers by a hash of the
//! connection's addresses. All sockets of an address are bound before any worker starts, so that a
//! process that says it is ready has every worker listening.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::listener::Listener;
use super::unix::{self, SocketFile};

/// Connections that the kernel completes and keeps for us before they are accepted, per worker.
/// The kernel caps it at `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (socket {number} of {count}): {source}{}", remedy(.source))]
pub struct BindError {
    address: String,
    number: usize,
    count: usize,
    source: io::Error,
}

impl BindError {
    /// Of `count` sockets at `address`, the one of this number could not be had.
    pub fn new(address: &dyn fmt::Display, number: usize, count: usize, source: io::Error) -> Self {
        Self { address: address.to_string(), number, count, source }
    }
}

/// What can be done about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; `ss -lxtnp` shows who listens there",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE, files a folder to write to"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        _ => "",
    }
}

/// Binds `count` sockets to `address`, one per worker, ready to be accepted on.
///
/// With port 0 the kernel chooses a port for the first socket, and the others share it.
///
/// # Errors
/// When any of the sockets cannot be bound; none stays bound then.
pub fn bind(address: SocketAddr, count: usize) -> Result<Vec<Listener>, BindError> {
    // A second process of the same user could otherwise share the port silently and take half of
    // the connections.
    if address.port() != 0 {
        let probe = socket(address).and_then(|probe| probe.bind(&address.into()));
        probe.map_err(|source| BindError::new(&address, 1, count, source))?;
    }
    bind_beside(address, count)
}

/// Binds one socket that no worker accepts on.
///
/// # Errors
/// As for [`bind`].
pub fn bind_one(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    let probe = socket(address).and_then(|probe| probe.bind(&address.into()));
    let bound = if address.port() == 0 { Ok(()) } else { probe };
    bound.and_then(|()| one(address)).map_err(|source| BindError::new(&address, 1, 1, source))
}

/// As [`bind`], for an address that sockets of this process may be in the way of.
///
/// # Errors
/// As for [`bind`].
pub fn bind_beside(address: SocketAddr, count: usize) -> Result<Vec<Listener>, BindError> {
    let mut bound = address;
    let mut sockets = Vec::with_capacity(count);
    for number in 1..=count {
        let fault = |source| BindError::new(&address, number, count, source);
        let listener = one(bound).map_err(fault)?;
        if bound.port() == 0 {
            bound = listener.local_addr().map_err(fault)?;
        }
        sockets.push(Listener::Tcp(listener));
    }
    Ok(sockets)
}

/// Binds a Unix socket, which `count` workers share; its file is removed with the [`SocketFile`]. `mode`:
/// who may connect, as in `chmod`.
///
/// # Errors
/// When somebody listens there, or the file cannot be made.
pub fn bind_unix(
    path: &Path,
    mode: u32,
    count: usize,
) -> Result<(Vec<Listener>, SocketFile), BindError> {
    let fault = |source| BindError::new(&format_args!("unix:{}", path.display()), 1, 1, source);
    let (socket, file) = unix::bind(path, mode).map_err(fault)?;
    let socket = Listener::Unix(socket);
    let clones = (1..count).map(|_| socket.try_clone()).collect::<io::Result<Vec<_>>>();
    let mut sockets = clones.map_err(fault)?;
    sockets.push(socket);
    Ok((sockets, file))
}

/// Spreads sockets of one address, which another process has bound, over `count` workers: each gets one at
/// least, and all of them are accepted on, for connections may wait in any. Where there are fewer than
/// workers, more are bound beside them if they let it be, else workers share one.
///
/// # Errors
/// When descriptors are short.
pub fn take_over(sockets: Vec<Listener>, count: usize) -> io::Result<Vec<Vec<Listener>>> {
    let mut spread: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
    for (number, socket) in sockets.into_iter().enumerate() {
        spread[number % count].push(socket);
    }
    let (first, rest) = spread.split_at_mut(1);
    let Some(first) = first[0].first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    for worker in rest.iter_mut().filter(|worker| worker.is_empty()) {
        worker.push(beside(first)?);
    }
    Ok(spread)
}

/// One more socket at the address of this one, or the same once more.
fn beside(socket: &Listener) -> io::Result<Listener> {
    if let Listener::Tcp(tcp) = socket
        && SockRef::from(tcp).reuse_port()?
        && let Ok(bound) = tcp.local_addr().and_then(one)
    {
        return Ok(Listener::Tcp(bound));
    }
    socket.try_clone()
}

fn one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // A proxy writes whole messages: waiting to fill a segment only adds latency. On Linux accepted
    // sockets inherit it, which spares a system call per connection.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_that_the_kernel_chose() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|s| s.local_addr().unwrap().port()).collect();
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn sockets_that_are_taken_over_are_spread_over_fewer_or_more_workers() {
        let bound = || bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let counts = |count| {
            let spread = take_over(bound(), count).unwrap();
            spread.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(counts(2), [2, 1]);
        assert_eq!(counts(3), [1, 1, 1]);
        assert_eq!(counts(5), [1, 1, 1, 1, 1]);
        assert!(take_over(Vec::new(), 2).is_err());
        // A socket that lets none be bound beside it is shared.
        let alone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = alone.local_addr().unwrap();
        let spread = take_over(vec![Listener::Tcp(alone)], 2).unwrap();
        assert!(spread.iter().flatten().all(|socket| socket.local_addr() == Some(address)));
    }

    #[test]
    fn accepted_connections_send_at_once() {
        let socket = one("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(false).unwrap();
        let (accepted, _) = socket.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
        assert!(!client.nodelay().unwrap(), "it is no default of the system");
    }

    #[test]
    fn a_name_is_given_to_what_stands_in_the_way() {
        let mine = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let taken = mine[0].local_addr().unwrap();
        assert_eq!(bind_beside(taken, 2).unwrap().len(), 2);
        let error = bind(taken, 1).unwrap_err().to_string();
        assert!(error.contains("ss -lxtnp"), "{error}");
        let error = bind("192.0.2.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(error.to_string().contains("no interface"), "{error}");
    }

    #[test]
    fn an_address_that_somebody_else_listens_on_is_refused_with_the_reason() {
        let mine = bind("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let taken = mine[0].local_addr().unwrap();
        let error = bind(taken, 2).unwrap_err().to_string();
        assert!(error.contains(&taken.to_string()), "{error}");
        assert!(error.contains("in use"), "{error}");
    }
}
