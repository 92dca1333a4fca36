//! A fresh connection to a backend.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use crate::model::Address;
use crate::net::Stream;

/// Connects. The caller bounds the time.
pub(super) async fn connect(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Ip(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}
