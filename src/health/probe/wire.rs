//! Connections of probes, and reading within bounds.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::Target;
use crate::config::model::{Check, ProxyVersion};
use crate::model::Address;
use crate::net::{ProxyHeader, Stream};

/// The system's words without its error number: `connection refused`.
pub(super) fn describe(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "it closed the connection".to_owned();
    }
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The `Host` of a backend for checks that name none.
pub(super) fn host<'a>(target: &Target<'a>) -> &'a str {
    match target.address {
        Address::Ip(_) => target.authority,
        Address::Unix(_) => "localhost",
    }
}

/// Connects, and says who sends the probe where backends want to hear of that.
///
/// # Errors
/// In words for the log.
pub(super) async fn plain(target: &Target<'_>, check: &Check) -> Result<Stream, String> {
    let connected = match target.address {
        Address::Ip(at) => {
            let at = SocketAddr::new(at.ip(), check.port.unwrap_or(at.port()));
            TcpStream::connect(at).await.map(Stream::Tcp)
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    };
    let mut stream = connected.map_err(|error| describe(&error))?;
    if let Some(version) = check.send_proxy {
        let mut header = Vec::new();
        // A probe is nobody's request but ours.
        match version {
            ProxyVersion::V1 => ProxyHeader::write_line(None, &mut header),
            ProxyVersion::V2 => ProxyHeader::write_binary(None, &mut header),
        }
        stream.send(&header).await.map_err(|error| describe(&error))?;
    }
    Ok(stream)
}

/// The same within TLS, if the backend is met so.
///
/// # Errors
/// In words for the log.
pub(super) async fn secured(target: &Target<'_>, check: &Check) -> Result<Stream, String> {
    let stream = plain(target, check).await?;
    match target.tls {
        Some(tls) => stream.meet(tls).await.map_err(|error| format!("TLS: {}", describe(&error))),
        None => Ok(stream),
    }
}

/// Sends all of it.
///
/// # Errors
/// In words for the log.
pub(super) async fn send(stream: &mut Stream, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).await.map_err(|error| describe(&error))?;
    stream.flush().await.map_err(|error| describe(&error))
}

/// Reads once into the end of `buffer`, which is never longer than `most`. False: the end of the stream,
/// or no room.
///
/// # Errors
/// In words for the log.
pub(super) async fn read_more(
    stream: &mut Stream,
    buffer: &mut Vec<u8>,
    most: usize,
) -> Result<bool, String> {
    let room = most.saturating_sub(buffer.len()).min(4_096);
    if room == 0 {
        return Ok(false);
    }
    let mut read = vec![0; room];
    let count = stream.read(&mut read).await.map_err(|error| describe(&error))?;
    buffer.extend_from_slice(&read[..count]);
    Ok(count > 0)
}

/// Reads exactly so many bytes.
///
/// # Errors
/// In words for the log.
pub(super) async fn read_exactly(stream: &mut Stream, count: usize) -> Result<Vec<u8>, String> {
    let mut read = vec![0; count];
    stream.read_exact(&mut read).await.map_err(|error| describe(&error))?;
    Ok(read)
}

/// Bytes as a text of one line, for people.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let more = if bytes.len() > MOST { " …" } else { "" };
    format!("{}{more}", bytes[..bytes.len().min(MOST)].escape_ascii())
}
