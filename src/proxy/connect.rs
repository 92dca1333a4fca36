//! A fresh connection to a backend.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream, UnixStream};

use crate::model::Address;
use crate::net::Stream;

/// Connects, from `source` if that is of the same family. The caller bounds the time.
pub(super) async fn connect(address: &Address, source: Option<SocketAddr>) -> io::Result<Stream> {
    match address {
        Address::Ip(address) => {
            let source = source.filter(|source| source.is_ipv4() == address.is_ipv4());
            let stream = match source {
                None => TcpStream::connect(address).await?,
                Some(source) => connect_from(source, *address).await?,
            };
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

async fn connect_from(source: SocketAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // One port may serve towards many backends.
    socket.set_reuseaddr(source.port() != 0)?;
    socket.bind(source)?;
    socket.connect(address).await
}
