//! Spans, and the messages that carry them (OTLP 1, `opentelemetry/proto/trace/v1/trace.proto` and
//! `collector/trace/v1/trace_service.proto`).

use std::borrow::Cow;

use prost::{Enumeration, Message, Oneof};

use super::Context;

/// Something that took its time: a request, or an attempt.
#[expect(clippy::struct_field_names, reason = "the specification's own names")]
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    /// The caller's `tracestate`, where its trace is gone on with.
    #[prost(string, tag = "3")]
    pub trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    /// What it is, in few words of which there are few.
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(enumeration = "Kind", tag = "6")]
    kind: i32,
    /// When it began, in nanoseconds since 1970.
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    /// When it ended.
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<Attribute>,
    /// What it has to do with beside its parent.
    #[prost(message, repeated, tag = "13")]
    pub links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

/// From which side a span is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// Nothing is told: what a span has by itself.
    Unspecified = 0,
    /// A request that came.
    Server = 2,
    /// A request that we sent.
    Client = 3,
}

/// Another span that a span has to do with.
#[derive(Clone, PartialEq, Message)]
pub struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
}

impl Link {
    /// To that span.
    pub fn to(context: Context) -> Self {
        Self {
            trace_id: context.trace.to_be_bytes().into(),
            span_id: context.span.to_be_bytes().into(),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    value: Option<Value>,
}

/// A value of an attribute.
#[derive(Clone, PartialEq, Oneof)]
pub enum Value {
    /// A text.
    #[prost(string, tag = "1")]
    Text(String),
    /// Whether it is so.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A whole number.
    #[prost(int64, tag = "3")]
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Self {
        Self::Text(text.into_owned())
    }
}

impl From<bool> for Value {
    fn from(is_so: bool) -> Self {
        Self::Bool(is_so)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Attribute {
    fn new(key: &str, value: Value) -> Self {
        Self { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }
}

/// The flag that tells that [`REMOTE`] is told at all (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`).
const KNOWS_REMOTE: u32 = 0x100;
/// The parent is another program's (`SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`).
const REMOTE: u32 = 0x200;

impl Span {
    /// A span below `parent`, if it has one.
    pub fn new(kind: Kind, name: String, own: Context, parent: Option<u64>) -> Self {
        let remote = if kind == Kind::Server && parent.is_some() { REMOTE } else { 0 };
        Self {
            trace_id: own.trace.to_be_bytes().into(),
            span_id: own.span.to_be_bytes().into(),
            parent_span_id: parent.map(|parent| parent.to_be_bytes().into()).unwrap_or_default(),
            name,
            kind: kind.into(),
            flags: u32::from(own.flags()) | KNOWS_REMOTE | remote,
            ..Self::default()
        }
    }

    /// Tells something of it.
    pub fn tell(&mut self, key: &str, value: impl Into<Value>) {
        self.attributes.push(Attribute::new(key, value.into()));
    }

    /// It failed, and this is what the failure is called.
    pub fn fail(&mut self, what: impl Into<Value>) {
        self.tell("error.type", what);
        self.status = Some(Status { code: ERROR });
    }
}

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// What a collector gets (`ExportTraceServiceRequest`).
pub(super) fn encode(resource: &[(String, String)], spans: Vec<Span>) -> Vec<u8> {
    let told = resource.iter().map(|(name, value)| Attribute::new(name, value.as_str().into()));
    let scope = Scope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let request = Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: told.collect() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    };
    request.encode_to_vec()
}

/// What a collector says (`ExportTraceServiceResponse`).
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

/// How many spans a collector has not taken, by its answer; none where it cannot be read.
pub(super) fn rejected(answer: &[u8]) -> usize {
    let told = Response::decode(answer).ok().and_then(|told| told.partial_success);
    told.and_then(|told| usize::try_from(told.rejected_spans).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

    use super::*;

    /// Read by the messages that OpenTelemetry publishes.
    #[test]
    fn others_read_what_is_written() {
        let own = Context::new(0x1234, 0x56, true);
        let mut span = Span::new(Kind::Client, "GET api".to_owned(), own, Some(0x78));
        (span.start_time_unix_nano, span.end_time_unix_nano) = (1_000, 2_000);
        span.trace_state = "a=b".to_owned();
        span.tell("http.response.status_code", 502);
        span.tell("plimsoll.connection.reused", true);
        span.fail("reset");
        span.links.push(Link::to(Context::new(9, 8, false)));
        let resource = [("service.name".to_owned(), "edge".to_owned())];
        let bytes = encode(&resource, vec![span]);

        let mut read = ExportTraceServiceRequest::decode(&*bytes).unwrap();
        let mut of_resource = read.resource_spans.remove(0);
        let told = of_resource.resource.unwrap().attributes.remove(0);
        assert_eq!(told.key, "service.name");
        let mut of_scope = of_resource.scope_spans.remove(0);
        assert_eq!(of_scope.scope.unwrap().name, "plimsoll");
        let span = of_scope.spans.remove(0);
        assert_eq!(span.trace_id, 0x1234_u128.to_be_bytes());
        assert_eq!(span.span_id, 0x56_u64.to_be_bytes());
        assert_eq!(span.parent_span_id, 0x78_u64.to_be_bytes());
        assert_eq!((span.kind(), &*span.name), (SpanKind::Client, "GET api"));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1_000, 2_000));
        assert_eq!((&*span.trace_state, span.flags), ("a=b", 0x101));
        assert_eq!(span.links[0].trace_id, 9_u128.to_be_bytes());
        assert_eq!(span.status.as_ref().unwrap().code(), StatusCode::Error);
        let told = span.attributes.iter().map(|one| {
            let value = one.value.clone().unwrap().value.unwrap();
            (one.key.as_str(), value)
        });
        let expected = [
            ("http.response.status_code", any_value::Value::IntValue(502)),
            ("plimsoll.connection.reused", any_value::Value::BoolValue(true)),
            ("error.type", any_value::Value::StringValue("reset".to_owned())),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_not_taken_is_told_by_the_answer() {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, ..Default::default() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
        assert_eq!(rejected(&answer.encode_to_vec()), 3);
        assert_eq!(rejected(b""), 0);
        assert_eq!(rejected(b"<html>"), 0);
    }
}
