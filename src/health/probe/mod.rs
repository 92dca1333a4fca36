//! Asks one backend once whether it is well: by a connection, or by an HTTP/1.1 request.
//!
//! `control` decides when and runs each probe as a task of its own, so that one that hangs holds up
//! none of the others. A probe opens a new connection each time: it also shows that the backend
//! still accepts one. The reason of a bad result is worded for the log.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::config::model::{Health, HttpProbe, Probe, ProxyVersion};
use crate::model::Address;
use crate::net::{ProxyHeader, Stream};
use crate::tls::ToBackend;

/// How much of a body is searched for the expected text, in bytes.
const BODY_SEARCHED: usize = 64 * 1024;

/// Probes the backend at `address` as `health` says, over TLS if it is met so. `authority` is the
/// `Host` when the probe names none.
///
/// # Errors
/// Why the backend is not well, in words for the log. Never takes longer than `health.timeout`.
pub async fn probe(
    address: &Address,
    authority: &str,
    tls: Option<&ToBackend>,
    health: &Health,
) -> Result<(), String> {
    let asked = async {
        let io_error = |error: std::io::Error| describe(&error);
        match address {
            Address::Ip(at) => {
                let at = SocketAddr::new(at.ip(), health.port.unwrap_or(at.port()));
                let stream = TcpStream::connect(at).await.map_err(io_error)?;
                ask(Stream::Tcp(stream), authority, tls, health).await
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(io_error)?;
                ask(Stream::Unix(stream), "localhost", tls, health).await
            }
        }
    };
    match tokio::time::timeout(health.timeout, asked).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {:?}", health.timeout)),
    }
}

/// The system's words without its error number: `connection refused`.
fn describe(error: &std::io::Error) -> String {
    let text = error.to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

async fn ask(
    mut stream: Stream,
    authority: &str,
    tls: Option<&ToBackend>,
    health: &Health,
) -> Result<(), String> {
    if let Some(version) = health.send_proxy {
        let mut header = Vec::new();
        // A probe is nobody's request but ours.
        match version {
            ProxyVersion::V1 => ProxyHeader::write_line(None, &mut header),
            ProxyVersion::V2 => ProxyHeader::write_binary(None, &mut header),
        }
        stream.send(&header).await.map_err(|error| describe(&error))?;
    }
    let Probe::Http(probe) = &health.probe else { return Ok(()) };
    let stream = match tls {
        Some(tls) => stream.meet(tls).await.map_err(|e| format!("TLS: {}", describe(&e)))?,
        None => stream,
    };
    ask_http(stream, authority, probe).await
}

async fn ask_http(stream: Stream, authority: &str, probe: &HttpProbe) -> Result<(), String> {
    let request = request(authority, probe).map_err(|e| format!("the probe is not valid: {e}"))?;
    let broken = |error: hyper::Error| format!("broken answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with this function, whichever way it ends: a probe leaves no connection behind.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status().as_u16();
    if !probe.expect.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(format!("status {status}, expected {}", ranges(&probe.expect)));
    }
    match &probe.body {
        Some(text) => find(response, text).await,
        None => Ok(()),
    }
}

fn request(authority: &str, probe: &HttpProbe) -> Result<Request<Empty<Bytes>>, http::Error> {
    let host = HeaderValue::try_from(probe.host.as_deref().unwrap_or(authority))?;
    let agent = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::builder().method(probe.method.as_str()).uri(&probe.path);
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    let mut request = request.body(Empty::new())?;
    let headers = request.headers_mut();
    headers.entry(header::HOST).or_insert(host);
    headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(agent));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

/// Looks for `text` in the first [`BODY_SEARCHED`] bytes.
async fn find(response: Response<Incoming>, text: &str) -> Result<(), String> {
    let mut body = response.into_body();
    let mut seen = Vec::new();
    while seen.len() < BODY_SEARCHED
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|error| format!("broken answer: {error}"))?;
        if let Some(data) = frame.data_ref() {
            let room = BODY_SEARCHED - seen.len();
            seen.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    if memchr::memmem::find(&seen, text.as_bytes()).is_some() {
        return Ok(());
    }
    Err(format!("{text:?} is not in the first {} bytes of the body", seen.len()))
}

/// `200-299, 404`.
fn ranges(expect: &[(u16, u16)]) -> String {
    let words: Vec<String> = expect
        .iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests;
