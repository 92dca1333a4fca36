//! Settings of connections to backends: `[upstream.NAME.pool]` and `[upstream.NAME.timeouts]`.

use super::upstream::LIFETIME;
use crate::config::table::{COUNT, Kind, Section, Setting, TIMEOUT, TIMEOUT_OR_OFF};

pub(super) static POOL: Section = Section {
    title: "[upstream.NAME.pool]",
    doc: "Idle connections to backends. The numbers hold per worker, as in nginx. Of HTTP/2 a worker has one to a \
          backend, which requests share, and which is idle while none is under way; it opens another one while \
          as many are under way as the backend allows on one (`SETTINGS_MAX_CONCURRENT_STREAMS`).",
    settings: &[
        Setting::with_default(
            "max_idle",
            Kind::Integer { min: 0, max: 65_536 },
            "64",
            "Idle connections kept per worker and backend; 0 keeps none, and each request has a connection of \
             its own, of HTTP/2 too.",
            "16",
        ),
        Setting::optional(
            "max_idle_total",
            Kind::Integer { min: 1, max: 65_536 },
            "no limit",
            "Idle connections kept per worker for all backends together; of too many the one that \
             has been idle for longest is closed (nginx's `keepalive`).",
            "32",
        ),
        Setting::with_default(
            "idle_timeout",
            LIFETIME,
            r#""60s""#,
            "How long an idle connection is kept; less where the backend shows that it closes them earlier, \
             which is learned from connections that it closed.",
            r#""10s""#,
        ),
        Setting::with_default(
            "max_lifetime",
            LIFETIME,
            r#""1h""#,
            "How long a connection is used at all.",
            r#""10m""#,
        ),
        Setting::with_default(
            "max_requests",
            COUNT,
            "0",
            "Requests after which a connection is closed; 0 is no limit.",
            "1000",
        ),
    ],
};

pub(super) static TIMEOUTS: Section = Section {
    title: "[upstream.NAME.timeouts]",
    doc: "Time-outs towards backends. Afterwards: 504, unless another attempt is made.",
    settings: &[
        Setting::with_default(
            "connect",
            TIMEOUT,
            r#""3s""#,
            "Until the connection stands.",
            r#""1s""#,
        ),
        Setting::with_default(
            "read",
            TIMEOUT,
            r#""60s""#,
            "Between two reads from the backend.",
            r#""30s""#,
        ),
        Setting::with_default(
            "write",
            TIMEOUT,
            r#""60s""#,
            "Between two writes to the backend.",
            r#""30s""#,
        ),
        Setting::with_default(
            "total",
            TIMEOUT_OR_OFF,
            r#""off""#,
            "For the request with all attempts, until the response head.",
            r#""2m""#,
        ),
        Setting::optional(
            "client",
            Kind::Text,
            "the client is not asked",
            "What tells how many milliseconds the client waits, as a text with `${variables}`: everything has to \
             be over by then, the body of the response included, waiting and all attempts too. What is no \
             number sets no limit. gRPC tells it by itself (`grpc-timeout`). That this time is over says nothing \
             of the backend.",
            r#""${header.x-request-timeout-ms}""#,
        ),
    ],
};
