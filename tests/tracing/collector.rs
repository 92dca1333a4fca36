//! A collector of OTLP over HTTP: reads what comes by the messages that OpenTelemetry publishes, and
//! answers as the test says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1;
use prost::Message;
use tokio::net::TcpListener;

use crate::support::until;

/// How a collector answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// It takes everything.
    Take,
    /// It takes everything but so many spans.
    Reject(i64),
    /// This status; what came is not kept.
    Say(u16),
    /// Never.
    Never,
}

/// A span as it came.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: it has none.
    pub(crate) parent: String,
    pub(crate) is_server: bool,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) raw: v1::Span,
}

impl Span {
    /// An attribute; empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Holds that it has all of these attributes; an empty one is not there.
    pub(crate) fn assert(&self, attributes: &[(&str, &str)]) {
        for (name, value) in attributes {
            assert_eq!(self.get(name), *value, "{name} of {self:#?}");
        }
    }
}

/// A running collector.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    reply: Mutex<Reply>,
    spans: Mutex<Vec<Span>>,
    /// The fields of each delivery, whatever was answered.
    deliveries: Mutex<Vec<HeaderMap>>,
}

impl Collector {
    pub(crate) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            reply: Mutex::new(reply),
            spans: Mutex::default(),
            deliveries: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shared }
    }

    /// The section of a configuration that has spans sent here.
    pub(crate) fn section(&self, more: &str) -> String {
        format!("[tracing]\nendpoint = \"http://{}\"\n{more}\n", self.address)
    }

    /// Answers so from now on.
    pub(crate) fn reply(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    /// The spans that it has taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.shared.spans.lock().unwrap().clone()
    }

    /// The fields of each delivery.
    pub(crate) fn deliveries(&self) -> Vec<HeaderMap> {
        self.shared.deliveries.lock().unwrap().clone()
    }

    /// Waits until it has so many spans, and gives them.
    pub(crate) async fn until_spans(&self, count: usize) -> Vec<Span> {
        until("the collector has the spans", async || self.spans().len() >= count).await;
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let fields = request.headers().clone();
    let body = request.into_body().collect().await?.to_bytes();
    let reply = *shared.reply.lock().unwrap();
    shared.deliveries.lock().unwrap().push(fields);
    let rejected_spans = match reply {
        Reply::Take => 0,
        Reply::Reject(spans) => spans,
        Reply::Say(status) => {
            let answer = Response::builder().status(status).header("retry-after", "0");
            return Ok(answer.body(Full::default()).unwrap());
        }
        Reply::Never => std::future::pending().await,
    };
    keep(&shared, ExportTraceServiceRequest::decode(body).unwrap());
    let partial = ExportTracePartialSuccess { rejected_spans, ..Default::default() };
    let partial_success = (rejected_spans > 0).then_some(partial);
    let told = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    Ok(Response::new(Full::new(told.into())))
}

fn keep(shared: &Shared, request: ExportTraceServiceRequest) {
    for of_resource in request.resource_spans {
        let resource = map(&of_resource.resource.unwrap().attributes);
        for raw in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            let span = Span {
                trace: hex(&raw.trace_id),
                id: hex(&raw.span_id),
                parent: hex(&raw.parent_span_id),
                is_server: raw.kind() == v1::span::SpanKind::Server,
                is_error: raw
                    .status
                    .as_ref()
                    .is_some_and(|s| s.code == v1::status::StatusCode::Error as i32),
                attributes: map(&raw.attributes),
                resource: resource.clone(),
                raw,
            };
            shared.spans.lock().unwrap().push(span);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn map(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let shown = |one: &KeyValue| match one.value.clone().unwrap().value.unwrap() {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is_so) => is_so.to_string(),
        other => panic!("{other:?}"),
    };
    let map: BTreeMap<_, _> = attributes.iter().map(|one| (one.key.clone(), shown(one))).collect();
    assert_eq!(map.len(), attributes.len(), "no attribute is there twice: {attributes:?}");
    map
}
