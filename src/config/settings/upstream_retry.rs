//! Settings of `[upstream.NAME.retry]` and of a route's.

use super::upstream_passive::FAILURE_STATUS;
use crate::config::table::{COUNT, Kind, Section, Setting, TIMEOUT_OR_OFF};

pub(super) static RETRY: Section = Section {
    title: "[upstream.NAME.retry]",
    doc: "When a request is tried on another backend. Never is a request once a byte of its response has gone to the client.",
    settings: RETRY_SETTINGS,
};

/// Shared by upstreams and routes.
pub(super) const RETRY_SETTINGS: &[Setting] = &[
    Setting::with_default(
        "tries",
        Kind::Integer { min: 0, max: 1_000 },
        "3",
        "Attempts in all, the first one included; 1 is no retry, 0 is every backend once. Where backends have \
         a `zone` or `region`, those of the same one are asked first. A request leaves it once, when nobody is \
         left there, or for one more attempt than these when they are used up.",
        "2",
    ),
    Setting::with_default(
        "timeout",
        TIMEOUT_OR_OFF,
        r#""off""#,
        "No further attempt is begun after this time since the first.",
        r#""10s""#,
    ),
    Setting::with_default(
        "budget",
        Kind::Integer { min: 0, max: 10_000 },
        "20",
        "Most retries of requests that a backend may have seen, in percent of the upstream's other attempts \
         within the last 10 s, per worker: when all backends fail, retries shall not make it worse. A \
         request that nobody has seen (the connection was refused) always goes elsewhere, but to another \
         zone or region within the budget only. Where `nginx.failures` holds there is no budget.",
        "50",
    ),
    Setting::with_default(
        "budget_min",
        COUNT,
        "3",
        "As many retries are allowed within 10 s, per worker, however few requests there are.",
        "10",
    ),
    Setting::with_default(
        "backoff",
        TIMEOUT_OR_OFF,
        r#""25ms""#,
        "Before a request that a backend may have seen is sent again, it waits for a time that is drawn \
         between 0 and this, doubled with each try, up to ten times this. Not where `nginx.failures` holds.",
        r#""100ms""#,
    ),
    Setting::with_default(
        "on",
        Kind::List(&Kind::Word(&["reset", "timeout", "invalid_response"])),
        r#"["reset", "timeout", "invalid_response"]"#,
        "Failures after which another attempt is made: the connection broke before a whole response \
         head, nothing came in time, what came was not HTTP.",
        r#"["reset"]"#,
    ),
    Setting::with_default(
        "unsent",
        Kind::Word(&["always", "as_listed"]),
        r#""always""#,
        "Whether a request that no backend has seen is always tried on another one; `as_listed`: a \
         connection that is refused counts as `reset`, one that is not made in time as `timeout`.",
        r#""as_listed""#,
    ),
    Setting::with_default(
        "statuses",
        Kind::List(&FAILURE_STATUS),
        "[]",
        "Statuses after which another attempt is made. An answer of a gRPC server that is over with its \
         head counts by the status that its `grpc-status` stands for: `UNAVAILABLE` is 503, \
         `RESOURCE_EXHAUSTED` 429 (calls are POST: see `non_idempotent`).",
        "[502, 503]",
    ),
    Setting::with_default(
        "non_idempotent",
        Kind::Bool,
        "false",
        "Whether requests that may not safely be repeated (POST, PATCH; RFC 9110 §9.2.2) are sent \
         again after they were sent.",
        "true",
    ),
    Setting::with_default(
        "replay_body",
        Kind::Size { min: 0, max: 16 << 20, unlimited: false },
        r#""64KiB""#,
        "Bytes of a request body kept for another attempt; a longer body is sent once only.",
        r#""1MiB""#,
    ),
];
