//! The address that a connection to a backend leaves from.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpSocket;

use super::lack;

/// Has a connection leave from this address, which with `transparent` may be another machine's
/// (`IP_TRANSPARENT` of ip(7)).
///
/// # Errors
/// It is no address of this machine, its port is in use, or the process may not do it.
pub fn leave_from(socket: &TcpSocket, source: SocketAddr, transparent: bool) -> io::Result<()> {
    // One port may serve towards many backends.
    socket.set_reuseaddr(source.port() != 0)?;
    if transparent {
        let options = SockRef::from(socket);
        let set = match source {
            SocketAddr::V4(_) => options.set_ip_transparent_v4(true),
            SocketAddr::V6(_) => options.set_ip_transparent_v6(true),
        };
        set.map_err(|error| {
            lack(format!(
                "an address of another machine takes the capability CAP_NET_ADMIN or CAP_NET_RAW: {error}"
            ))
        })?;
    }
    socket.bind(source)
}
