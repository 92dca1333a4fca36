//! A fresh connection to a backend.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpSocket, UnixStream};

use crate::model::Address;
use crate::net::{ProxyEnds, ProxyHeader, Stream, shortage};
use crate::proxy::admission::Descriptors;
use crate::snapshot::Backend;
use crate::snapshot::settings::ProxyVersion;
use crate::tls::ToBackend;

/// Whom a connection is for, as the backend is told before anything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Introduction {
    pub(super) version: ProxyVersion,
    pub(super) ends: Option<ProxyEnds>,
}

/// Who connects, as far as the backend is concerned.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// The address that the connection leaves from, if the system shall not choose.
    pub(super) source: Option<SocketAddr>,
    /// The name by which the backend is known in TLS, if it is this request's own.
    pub(super) name: Option<String>,
}

/// Connects, from the origin's `source` if that is of the same family, and shakes hands where TLS is spoken. The
/// caller bounds the time.
///
/// # Errors
/// Also when the descriptors that are left are for others.
pub(super) async fn connect(
    backend: &Backend,
    origin: Origin,
    introduction: Option<Introduction>,
    descriptors: Descriptors,
) -> io::Result<Stream> {
    let mut stream = open(&backend.address, origin.source, descriptors).await?;
    if let Some(Introduction { version, ends }) = introduction {
        let mut header = Vec::with_capacity(128);
        match version {
            ProxyVersion::V1 => ProxyHeader::write_line(ends, &mut header),
            ProxyVersion::V2 => ProxyHeader::write_binary(ends, &mut header),
        }
        stream.send(&header).await?;
    }
    match &backend.tls {
        None => Ok(stream),
        // Boxed: plain connections shall not pay for the size of this.
        Some(tls) => Box::pin(secure(stream, tls, origin.name)).await,
    }
}

/// Shakes hands with the backend, by the name of its own that a request may have for it.
async fn secure(stream: Stream, tls: &ToBackend, name: Option<String>) -> io::Result<Stream> {
    let Some(name) = name else { return stream.meet(tls).await };
    match tls.by_name(&name) {
        Some(tls) => stream.meet(&tls).await,
        None => Err(io::Error::other(format!("no certificate can be for `{name}`"))),
    }
}

async fn open(
    address: &Address,
    source: Option<SocketAddr>,
    descriptors: Descriptors,
) -> io::Result<Stream> {
    match address {
        Address::Ip(address) => {
            let socket =
                if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if !descriptors.has_for_backend(&socket) {
                return Err(shortage());
            }
            if let Some(source) = source.filter(|source| source.is_ipv4() == address.is_ipv4()) {
                // One port may serve towards many backends.
                socket.set_reuseaddr(source.port() != 0)?;
                socket.bind(source)?;
            }
            let stream = socket.connect(*address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            if !descriptors.has_for_backend(&stream) {
                return Err(shortage());
            }
            Ok(Stream::Unix(stream))
        }
    }
}
