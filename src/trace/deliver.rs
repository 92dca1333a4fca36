//! One delivery: a request to the collector, and what its answer means (OTLP specification,
//! *OTLP/HTTP Response*).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::span;
use crate::config::model::{Collector, Tracing};
use crate::net::Stream;

/// How much of an answer is read, in bytes.
const ANSWER: usize = 64 * 1024;

/// The longest pause that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What became of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The collector has it, but for so many spans.
    Taken {
        /// Spans that it has not taken.
        rejected: usize,
    },
    /// It can be tried again, after this time if the collector says so.
    Later(String, Option<Duration>),
    /// It cannot be delivered.
    Refused(String),
}

/// The way to a collector: a connection that is kept.
#[derive(Debug, Default)]
pub(super) struct Way {
    open: Option<(Arc<Tracing>, SendRequest<Full<Bytes>>)>,
    /// Drives the connection; ends with this value.
    driver: JoinSet<()>,
}

impl Way {
    /// Delivers `body` once.
    pub(super) async fn deliver(&mut self, to: &Arc<Tracing>, body: Bytes) -> Outcome {
        let limit = to.collector.timeout;
        match timeout(limit, self.post(to, body)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(why)) => {
                self.close();
                Outcome::Later(why, None)
            }
            Err(_) => {
                self.close();
                Outcome::Later(format!("no answer within {limit:?}"), None)
            }
        }
    }

    fn close(&mut self) {
        self.open = None;
        self.driver.abort_all();
    }

    async fn post(&mut self, to: &Arc<Tracing>, body: Bytes) -> Result<Outcome, String> {
        let request = match request(&to.collector, body) {
            Ok(request) => request,
            Err(error) => return Ok(Outcome::Refused(error.to_string())),
        };
        let broken = |error: hyper::Error| format!("the connection is broken: {error}");
        let response = self.sender(to).await?.send_request(request).await.map_err(broken)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER).collect().await;
        let body = body.map_err(|error| format!("the answer is broken: {error}"))?.to_bytes();
        Ok(judge(&Response::from_parts(head, body)))
    }

    /// The connection that is open if it is one to there, else a new one.
    async fn sender(&mut self, to: &Arc<Tracing>) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        let usable = match &mut self.open {
            Some((known, sender)) => Arc::ptr_eq(known, to) && sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.close();
            let cannot = |error| format!("cannot connect to {}: {error}", to.collector.authority);
            let stream = connect(&to.collector).await.map_err(cannot)?;
            let shaken = http1::handshake(TokioIo::new(stream)).await;
            let (sender, connection) = shaken.map_err(|error| error.to_string())?;
            self.driver.spawn(async move {
                // What breaks it shows where its answer is waited for.
                let _ = connection.await;
            });
            self.open = Some((Arc::clone(to), sender));
        }
        match &mut self.open {
            Some((_, sender)) => Ok(sender),
            None => unreachable!("it was opened right here"),
        }
    }
}

async fn connect(to: &Collector) -> io::Result<Stream> {
    let socket = TcpStream::connect((&*to.host, to.port)).await?;
    socket.set_nodelay(true)?;
    let stream = Stream::Tcp(socket);
    match &to.tls {
        Some((_, met)) => stream.meet(met).await,
        None => Ok(stream),
    }
}

fn request(to: &Collector, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::post(&to.path)
        .header(header::HOST, &to.authority)
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .header(header::USER_AGENT, concat!("plimsoll/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &to.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body))
}

/// What an answer means: these four statuses say that it may be tried again, and no other one does.
fn judge(answer: &Response<Bytes>) -> Outcome {
    let status = answer.status();
    let said = || format!("the collector answers {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Outcome::Later(said(), retry_after(answer.headers())),
        status if status.is_success() => Outcome::Taken { rejected: span::rejected(answer.body()) },
        _ => Outcome::Refused(said()),
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); a date counts as none.
fn retry_after(fields: &HeaderMap<HeaderValue>) -> Option<Duration> {
    let seconds = fields.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, retry_after: &str) -> Outcome {
        let answer = Response::builder().status(status).header("retry-after", retry_after);
        judge(&answer.body(Bytes::new()).unwrap())
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for status in [429, 502, 503, 504] {
            assert!(matches!(judged(status, ""), Outcome::Later(_, None)), "{status}");
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert!(matches!(judged(status, "1"), Outcome::Refused(_)), "{status}");
        }
        assert_eq!(judged(200, ""), Outcome::Taken { rejected: 0 });
    }

    #[test]
    fn the_collector_says_how_long_to_wait_within_reason() {
        let pause = |text| match judged(503, text) {
            Outcome::Later(_, pause) => pause,
            other => panic!("{other:?}"),
        };
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("86400"), Some(LONGEST_PAUSE));
        assert_eq!(pause("Sat, 21 Nov 2026 05:00:00 GMT"), None);
        assert_eq!(pause("-1"), None);
    }
}
