//! gRPC's health service: one call of `grpc.health.v1.Health/Check`.
//!
//! Its two messages have one field each, so they are written and read here by hand.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use super::{Talk, wire};
use crate::model::{Finding, Found};
use crate::net::Stream;

/// The longest answer, in bytes: a good one has seven.
const LONGEST: usize = 1024;

/// Field 1, with its length before it.
const SERVICE: u8 = 1 << 3 | 2;

/// Field 1, a number.
const STATUS: u8 = 1 << 3;

pub(super) async fn ask(
    stream: Stream,
    authority: &str,
    secured: bool,
    service: &str,
    talk: &mut Talk,
) -> Result<Finding, String> {
    let scheme = if secured { "https" } else { "http" };
    let request = Request::post(format!("{scheme}://{authority}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(Bytes::from(question(service))))
        .map_err(|error| format!("the probe is not valid: {error}"))?;
    talk.sent(|| format!("grpc.health.v1.Health/Check of {service:?}"));
    let broken = |error: hyper::Error| format!("broken answer: {error}");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(broken)?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    judge(response, talk).await
}

async fn judge(response: Response<Incoming>, talk: &mut Talk) -> Result<Finding, String> {
    let (head, mut body) = response.into_parts();
    talk.came(|| format!("{}", head.status));
    if !head.status.is_success() {
        return Err(format!("status {} is no answer of gRPC", head.status.as_u16()));
    }
    refused(&head.headers)?;
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("broken answer: {error}"))?;
        if let Some(data) = frame.data_ref() {
            let room = LONGEST - seen.len();
            seen.extend_from_slice(&data[..data.len().min(room)]);
        }
        if let Some(trailers) = frame.trailers_ref() {
            refused(trailers)?;
        }
    }
    talk.came(|| wire::shown(&seen));
    match status(&seen).ok_or("broken answer: no message of the health service")? {
        1 => Ok(Finding::up("SERVING")),
        2 => Ok(Finding::new(Found::Down, "NOT_SERVING")),
        3 => Ok(Finding::new(Found::Down, "SERVICE_UNKNOWN")),
        _ => Ok(Finding::new(Found::Down, "UNKNOWN")),
    }
}

/// A call that failed, by `grpc-status`.
fn refused(fields: &HeaderMap) -> Result<(), String> {
    let text = |name| {
        let value = fields.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        value.unwrap_or_default().chars().take(80).collect::<String>()
    };
    match text("grpc-status").as_str() {
        "" | "0" => Ok(()),
        "5" => Err("the health service does not know this service".to_owned()),
        "12" => Err("the server has no health service".to_owned()),
        code => Err(format!("gRPC status {code}: {:?}", text("grpc-message"))),
    }
}

/// `HealthCheckRequest` in its frame.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(SERVICE);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(&message);
    framed
}

/// `HealthCheckResponse.status`; a message without it has the default, 0.
fn status(framed: &[u8]) -> Option<u8> {
    let (0, rest) = framed.split_first().map(|(flag, rest)| (*flag, rest))? else { return None };
    let (length, message) = rest.split_first_chunk::<4>()?;
    match message.get(..u32::from_be_bytes(*length) as usize)? {
        [] => Some(0),
        [STATUS, number @ 0..=0x7f] => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_protocol_buffers_write_them() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), *b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(question(&"x".repeat(200))[5..8], [0x0a, 0xc8, 0x01]);
        assert_eq!(status(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(status(b"\0\0\0\0\0"), Some(0));
        for broken in
            [&b""[..], b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x03\x08\x01", b"\0\0\0\0\x01\x10"]
        {
            assert_eq!(status(broken), None);
        }
    }
}
