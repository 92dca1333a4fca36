//! A fresh connection to a backend.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpSocket, UnixStream};

use crate::model::Address;
use crate::net::{ProxyEnds, ProxyHeader, Stream, leave_from, shortage};
use crate::proxy::admission::Descriptors;
use crate::proxy::own::Own;
use crate::snapshot::Backend;
use crate::snapshot::settings::ProxyVersion;
use crate::tls::{Identity, ToBackend};

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
    /// That may be another machine's.
    pub(super) transparent: bool,
    /// The name by which the backend is known in TLS, if it is this request's own.
    pub(super) name: Option<String>,
    /// The certificate that the backend is shown, if it is this request's own.
    pub(super) own: Option<Box<Own>>,
    /// It speaks what it likes, and does not tell the backend in TLS.
    pub(super) any_protocol: bool,
}

/// Connects, from the origin's `source` if that is of the same family, and shakes hands where TLS is spoken. The
/// caller bounds the time.
///
/// # Errors
/// Also when the descriptors that are left are for others.
pub(super) async fn connect(
    backend: &Backend,
    (origin, identity): (Origin, Option<Box<Identity>>),
    introduction: Option<Introduction>,
    descriptors: Descriptors,
) -> io::Result<Stream> {
    let mut stream =
        open(&backend.address, (origin.source, origin.transparent), descriptors).await?;
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
        Some(tls) if origin.any_protocol => {
            Box::pin(secure(stream, &tls.of_any_protocol(), (origin.name, identity))).await
        }
        Some(tls) => Box::pin(secure(stream, tls, (origin.name, identity))).await,
    }
}

/// Shakes hands with the backend, by the name of its own that a request may have for it, and shows the
/// request's identity.
async fn secure(
    stream: Stream,
    tls: &ToBackend,
    (name, identity): (Option<String>, Option<Box<Identity>>),
) -> io::Result<Stream> {
    let named = match &name {
        None => None,
        Some(name) => Some(
            tls.by_name(name)
                .ok_or_else(|| io::Error::other(format!("no certificate can be for `{name}`")))?,
        ),
    };
    let tls = named.as_ref().unwrap_or(tls);
    match identity {
        None => stream.meet(tls).await,
        Some(identity) => stream.meet(&tls.showing(&identity)).await,
    }
}

async fn open(
    address: &Address,
    (source, transparent): (Option<SocketAddr>, bool),
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
                leave_from(&socket, source, transparent)?;
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
