//! Settings of `[tracing]`.

use std::time::Duration;

use super::SECRET_TEXT;
use crate::config::table::{Kind, Section, Setting};

pub(super) const TRACING: Setting = Setting::optional(
    "tracing",
    Kind::Table(&SECTION),
    "no request is traced, and trace context is passed on as it came",
    "Traces of requests, as OpenTelemetry has them.",
    r#"{ endpoint = "http://127.0.0.1:4318" }"#,
);

/// How many requests are traced, of those for which nobody has decided before.
pub(super) const RATIO: Kind = Kind::Float { min: 0.0, max: 1.0 };

static SECTION: Section = Section {
    title: "[tracing]",
    doc: "Traces: a span for each request and one for each attempt at a backend, sent to a collector by \
          OTLP over HTTP (protobuf). Backends get the trace's context in `traceparent`, and the client's \
          `tracestate` where its trace is gone on with (W3C Trace Context). Whatever becomes of the \
          collector, no request waits for it. All of it can change on a reload.",
    settings: &[
        Setting::required(
            "endpoint",
            Kind::Text,
            "The collector's URL, `http://` or `https://`. Without a path it is `/v1/traces`.",
            r#""http://127.0.0.1:4318""#,
        ),
        Setting::with_default(
            "sample",
            RATIO,
            "1.0",
            "Which part of the requests is traced, of those that begin a trace. It is decided by the \
             trace's id, so that others with the same ratio decide alike.",
            "0.05",
        ),
        Setting::with_default(
            "parent",
            Kind::Word(&["trusted", "any", "none"]),
            r#""trusted""#,
            "Whose trace is gone on with, and whose word holds on whether it is sampled: that of callers \
             among the listener's `trusted_proxies`, that of any caller, or nobody's. Others' requests \
             begin a trace of their own, which links to the one that they named; anybody who can send \
             requests could have all of them traced otherwise.",
            r#""any""#,
        ),
        Setting::with_default(
            "service",
            Kind::Text,
            r#""plimsoll""#,
            "The name under which the spans are shown (`service.name`).",
            r#""edge""#,
        ),
        Setting::with_default(
            "resource",
            Kind::Map(&Kind::Text),
            "{}",
            "What else is told of this process, by the names of OpenTelemetry's resource attributes. \
             `service.version`, `service.instance.id` (the `node`) and `host.name` are there unless \
             they stand here.",
            r#"{ "deployment.environment.name" = "production" }"#,
        ),
        Setting::with_default(
            "headers",
            Kind::Map(&SECRET_TEXT),
            "{}",
            "Header fields for the collector, such as a token.",
            r#"{ authorization = { env = "OTLP_AUTHORIZATION" } }"#,
        ),
        Setting::optional(
            "ca",
            Kind::Text,
            "those that the system trusts",
            "The file with the certificates, in PEM, that vouch for the collector; for `https://`.",
            r#""internal-ca.pem""#,
        ),
        Setting::with_default(
            "timeout",
            Kind::Duration {
                min: Duration::from_millis(10),
                max: Duration::from_mins(5),
                off: false,
            },
            r#""10s""#,
            "How long the collector may take for one delivery, connecting included. What fails for \
             reasons that pass (429, 502, 503, 504, no connection) is tried again for a minute, with \
             pauses that grow or that `Retry-After` names.",
            r#""5s""#,
        ),
        Setting::with_default(
            "queue",
            Kind::Integer { min: 1, max: 1_000_000 },
            "8192",
            "Spans that wait for the collector at most, those under way included (some 1 KiB each). \
             More are dropped, which `plimsoll_spans_dropped_total` counts.",
            "65536",
        ),
    ],
};
