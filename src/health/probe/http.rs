//! A request over HTTP/1.1, and what its answer says.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::task::JoinSet;

use super::Talk;
use crate::config::model::HttpProbe;
use crate::model::{Finding, Found};
use crate::net::Stream;

/// How much of a body is looked at, in bytes.
const BODY_SEARCHED: usize = 64 * 1024;

/// The field by which a backend says that it is degraded, and why.
const DEGRADED: &str = "plimsoll-degraded";

/// The field by which a backend asks for no new clients, and says why.
const DRAIN: &str = "plimsoll-drain";

pub(super) async fn ask(
    stream: Stream,
    authority: &str,
    probe: &HttpProbe,
    talk: &mut Talk,
) -> Result<Finding, String> {
    let request = request(authority, probe).map_err(|e| format!("the probe is not valid: {e}"))?;
    let line = || format!("{} {} HTTP/1.1", probe.method, probe.path);
    talk.sent(|| format!("{}\n{}", line(), fields(request.headers(), &probe.headers)));
    let broken = |error: hyper::Error| format!("broken answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with this function, whichever way it ends: a probe leaves no connection behind.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    talk.came(|| format!("{}\n{}", response.status(), fields(response.headers(), &[])));
    judge(response, probe, talk).await
}

async fn judge(
    response: Response<Incoming>,
    probe: &HttpProbe,
    talk: &mut Talk,
) -> Result<Finding, String> {
    let status = response.status().as_u16();
    let said = said(response.headers());
    let speaks_json = is_json(response.headers());
    let fits = probe.expect.iter().any(|(first, last)| (*first..=*last).contains(&status));
    if !fits {
        return Err(format!("status {status}, expected {}", ranges(&probe.expect)));
    }
    let looked_at = probe.body.is_some() || speaks_json;
    let body = if looked_at { read(response).await? } else { Vec::new() };
    if !body.is_empty() {
        talk.came(|| format!("\n{}", String::from_utf8_lossy(&body[..body.len().min(2_048)])));
    }
    if let Some(text) = &probe.body
        && memchr::memmem::find(&body, text.as_bytes()).is_none()
    {
        return Err(format!("{text:?} is not in the first {} bytes of the body", body.len()));
    }
    if let Some(said) = said {
        return Ok(said);
    }
    if speaks_json && let Some((found, word)) = told(&body) {
        return Ok(Finding::new(found, format!("status {status}, and the body says {word:?}")));
    }
    Ok(Finding::up(format!("status {status}")))
}

/// What the fields of an answer say of the backend.
fn said(headers: &HeaderMap) -> Option<Finding> {
    let one = |name, found, what| {
        let value = String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned();
        let no = ["0", "no", "false", "off"].iter().any(|no| value.eq_ignore_ascii_case(no));
        let note: String = value.chars().take(80).collect();
        (!no).then(|| Finding::new(found, format!("it {what}: {note:?}")))
    };
    one(DRAIN, Found::Draining, "asks for no new clients")
        .or_else(|| one(DEGRADED, Found::Degraded, "says that it is degraded"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = text.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// What the `status` of a JSON body says, in the usual words.
fn told(body: &[u8]) -> Option<(Found, String)> {
    let document: Value = serde_json::from_slice(body).ok()?;
    let word = document.get("status")?.as_str()?.to_owned();
    let found = match word.to_ascii_lowercase().as_str() {
        "healthy" | "ok" | "up" | "pass" => Found::Up,
        "degraded" | "warn" => Found::Degraded,
        "unhealthy" | "down" | "fail" => Found::Down,
        _ => return None,
    };
    Some((found, word))
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

/// The beginning of a body. One that is cut off here is no JSON any more.
async fn read(response: Response<Incoming>) -> Result<Vec<u8>, String> {
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
    Ok(seen)
}

/// Fields for people. Values that the configuration gives may be secrets, and are not shown.
fn fields(headers: &HeaderMap, given: &[(String, String)]) -> String {
    let lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let secret = given.iter().any(|(given, _)| given.eq_ignore_ascii_case(name.as_str()));
            let value = String::from_utf8_lossy(value.as_bytes());
            format!("{name}: {}", if secret { "(as configured)" } else { &*value })
        })
        .collect();
    lines.join("\n")
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
