//! Settings of `[upstream.NAME]`.

use std::time::Duration;

use super::check::{CHECK, CHECKS, FLAP};
use super::dns::OF_UPSTREAM as DNS;
use super::upstream_ejection::EJECTION;
use super::upstream_nginx::NGINX;
use super::upstream_policy::{BREAKER, FAILOVER, PANIC};
use super::upstream_queue::QUEUE;
use super::upstream_sticky::STICKY;
use super::upstream_tls::TLS;
use crate::config::table::{COUNT, Kind, Section, Setting, TIMEOUT, TIMEOUT_OR_OFF};

/// A status that tells of a failure.
const FAILURE_STATUS: Kind = Kind::Integer { min: 400, max: 599 };

/// Failures that are too many.
const MAX_FAILS: Kind = Kind::Integer { min: 0, max: 1_000_000 };

/// Something kept for minutes or hours.
pub(super) const LIFETIME: Kind =
    Kind::Duration { min: Duration::from_secs(1), max: Duration::from_hours(30 * 24), off: false };

pub(super) const UPSTREAM: Setting = Setting::with_default(
    "upstream",
    Kind::Map(&KIND),
    "{}",
    "Named groups of backends.",
    r#"{ api = { backend = [{ address = "10.0.0.1:8080" }] } }"#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "[upstream.NAME]",
    doc: "A named group of backends that serve the same, and how one is picked.",
    settings: &[
        Setting::with_default(
            "strategy",
            Kind::Word(&[
                "round_robin",
                "weighted_round_robin",
                "least_connections",
                "least_response_time",
                "ip_hash",
                "url_hash",
                "random",
                "consistent_hash",
            ]),
            r#""weighted_round_robin""#,
            "How a backend is picked.",
            r#""least_connections""#,
        ),
        Setting::with_default(
            "choices",
            Kind::Integer { min: 1, max: 2 },
            "1",
            "For `random` only: 2 draws two backends and takes the less loaded.",
            "2",
        ),
        Setting::with_default(
            "key",
            Kind::Text,
            r#""${uri}""#,
            "For `url_hash` and `consistent_hash` only: what is hashed, a text with `${variables}`.",
            r#""${cookie.session}""#,
        ),
        Setting::optional(
            "bounded_load",
            Kind::Float { min: 1.01, max: 100.0 },
            "no bound",
            "For `consistent_hash` only: most requests in flight of a backend, as a multiple of the \
             mean. A backend above it passes its keys on.",
            "1.25",
        ),
        Setting::with_default(
            "protocol",
            Kind::Word(&["http1", "h2c", "h2"]),
            r#""http1""#,
            "Protocol towards the backends: HTTP/1.1, HTTP/2 over plain TCP (`h2c`), or HTTP/2 within \
             TLS (`h2`).",
            r#""h2c""#,
        ),
        Setting::with_default(
            "when_none_eligible",
            Kind::Word(&["fail_open", "reject"]),
            r#""fail_open""#,
            "When health leaves no backend: try all that the operator has not taken out, or answer \
             503.",
            r#""reject""#,
        ),
        Setting::optional(
            "panic",
            Kind::Table(&PANIC),
            "those that are able to serve do, however few",
            "What happens when too few backends are able to serve.",
            "{ threshold = 30 }",
        ),
        Setting::optional(
            "breaker",
            Kind::Table(&BREAKER),
            "requests always pass",
            "A circuit breaker for all backends together.",
            "{ failure_percent = 80 }",
        ),
        Setting::optional(
            "failover",
            Kind::Table(&FAILOVER),
            "a tier serves what those before it cannot",
            "How tiers of backends share the work.",
            r#"{ strategy = "multi_active" }"#,
        ),
        Setting::with_default(
            "backend",
            Kind::List(&Kind::Table(&BACKEND)),
            "[]",
            "The backends; at least one.",
            r#"[{ address = "10.0.0.1:8080" }]"#,
        ),
        Setting::with_default(
            "max_in_flight",
            COUNT,
            "0",
            "Requests in flight at all backends together, over all workers; 0 is no limit. What is more \
             waits in the `queue`, or is answered with 503.",
            "500",
        ),
        Setting::optional(
            "queue",
            Kind::Table(&QUEUE),
            "nobody waits: 503",
            "Requests that find every backend full wait for their turn.",
            r#"{ depth = 100, timeout = "5s" }"#,
        ),
        Setting::with_default(
            "pool",
            Kind::Table(&POOL),
            "{}",
            "Idle connections that are kept.",
            "{ max_idle = 16 }",
        ),
        Setting::with_default(
            "timeouts",
            Kind::Table(&TIMEOUTS),
            "{}",
            "Time-outs towards the backends.",
            r#"{ connect = "1s" }"#,
        ),
        Setting::with_default(
            "retry",
            Kind::Table(&RETRY),
            "{}",
            "When a request is tried on another backend.",
            "{ tries = 2 }",
        ),
        Setting::with_default(
            "passive",
            Kind::Table(&PASSIVE),
            "{}",
            "Judging backends by real requests.",
            "{ max_fails = 3 }",
        ),
        Setting::optional(
            "ejection",
            Kind::Table(&EJECTION),
            "only `passive` parks backends",
            "Parking backends that stand out by their failures.",
            "{ failure_percent = 30 }",
        ),
        Setting::optional(
            "health",
            Kind::Table(&CHECK),
            "no probes",
            "Judging backends by one kind of probes: short for the check `health`.",
            r#"{ path = "/healthz" }"#,
        ),
        Setting::with_default(
            "check",
            Kind::Map(&CHECKS),
            "{}",
            "Judging backends by probes of several kinds, under names.",
            r#"{ web = { path = "/healthz" }, cache = { type = "redis", port = 6379 } }"#,
        ),
        Setting::optional(
            "flap",
            Kind::Table(&FLAP),
            "nobody is kept down",
            "Keeping a backend down that goes down again and again.",
            r#"{ half_life = "2m" }"#,
        ),
        Setting::optional(
            "slow_start",
            TIMEOUT,
            "the whole weight at once",
            "How long a backend that joins, or is back, takes to get its whole weight: it begins with a tenth \
             and gains a tenth at a time. Those that the process starts with have all of it. For \
             `weighted_round_robin`, `least_connections` and `random`.",
            r#""30s""#,
        ),
        Setting::with_default(
            "dns",
            Kind::Table(&DNS),
            "{}",
            "How backend names are resolved again.",
            r#"{ max_ttl = "30s" }"#,
        ),
        Setting::optional(
            "sticky",
            Kind::Table(&STICKY),
            "clients are not bound to backends",
            "Binding a client to the backend that served it first.",
            r#"{ cookie = "backend" }"#,
        ),
        Setting::with_default(
            "send_proxy",
            Kind::Word(&["off", "v1", "v2"]),
            r#""off""#,
            "Whether each connection to a backend begins with a header of the PROXY protocol that tells \
             who the client is: a line (`v1`), or its binary form (`v2`). As a connection then speaks for \
             one client, none is used for another request.",
            r#""v2""#,
        ),
        Setting::optional(
            "source",
            Kind::Text,
            "the system chooses",
            "The address that connections to backends leave from, perhaps with a port; for backends \
             of the same family.",
            r#""10.0.0.100""#,
        ),
        Setting::optional(
            "tls",
            Kind::Table(&TLS),
            "connections are plain",
            "TLS to the backends.",
            r#"{ ca = "internal-ca.pem" }"#,
        ),
        Setting::with_default(
            "nginx",
            Kind::Table(&NGINX),
            "{}",
            "What is done as nginx does it, where Plimsoll would do otherwise.",
            "{ failures = true }",
        ),
    ],
};

static BACKEND: Section = Section {
    title: "[[upstream.NAME.backend]]",
    doc: "One backend. Its name, or else its address, is its identity: over a reload, a backend of the \
          same name keeps its counts, health and connections.",
    settings: &[
        Setting::required(
            "address",
            Kind::Text,
            "`10.0.0.1:8080`, `[::1]:8080`, `api.internal:8080` or `unix:/run/app.sock`. Without a \
             port it is 80. Names are resolved at start and again by TTL.",
            r#""10.0.0.1:8080""#,
        ),
        Setting::optional(
            "name",
            Kind::Text,
            "its address",
            "What it is called in metrics and logs, and its identity over a reload. With names, one \
             address may be several backends, each with limits of its own.",
            r#""api-1""#,
        ),
        Setting::with_default(
            "weight",
            Kind::Integer { min: 1, max: 65_535 },
            "1",
            "Its share of the requests, relative to the other backends.",
            "5",
        )
        .remedy("to keep a backend out of rotation use `state = \"disabled\"`"),
        Setting::with_default(
            "backup",
            Kind::Bool,
            "false",
            "Serves only when no other backend is eligible: the same as `tier = 1`.",
            "true",
        ),
        Setting::optional(
            "tier",
            Kind::Integer { min: 0, max: 9 },
            "0, or by `zone` and `region`",
            "Tiers serve in their order: the next when those before it have nobody eligible, or as \
             `failover` says.",
            "1",
        ),
        Setting::optional(
            "zone",
            Kind::Text,
            "not told",
            "The zone it is in. If that is this node's, its tier is 0.",
            r#""a""#,
        ),
        Setting::optional(
            "region",
            Kind::Text,
            "not told",
            "The region it is in. If that is this node's, its tier is 1, else 2.",
            r#""eu""#,
        ),
        Setting::with_default(
            "state",
            Kind::Word(&["enabled", "draining", "disabled"]),
            r#""enabled""#,
            "`draining`: no new requests, those under way finish; `disabled`: out of rotation.",
            r#""draining""#,
        ),
        Setting::with_default(
            "max_connections",
            COUNT,
            "0",
            "Requests in flight, over all workers; 0 is no limit.",
            "100",
        ),
        Setting::optional(
            "max_fails",
            MAX_FAILS,
            "that of `passive`",
            "Failures within `fail_timeout` that park this backend; 0 never parks.",
            "10",
        ),
        Setting::optional(
            "fail_timeout",
            TIMEOUT,
            "that of `passive`",
            "The time in which failures of this backend count, and how long it is parked.",
            r#""30s""#,
        ),
        Setting::optional(
            "route",
            Kind::Text,
            "the MD5 of its address",
            "Its name in `sticky`.",
            r#""a""#,
        ),
        Setting::optional(
            "service",
            Kind::Text,
            "the address stands for hosts",
            "The service of the name in `address`, whose servers are asked for (SRV, RFC 2782): `http` \
             for `_http._tcp.NAME`, with a dot what stands before the name. Ports and weights are those \
             of the answer; servers of the first priority are primaries, all others backups.",
            r#""http""#,
        ),
    ],
};

static POOL: Section = Section {
    title: "[upstream.NAME.pool]",
    doc: "Idle connections to backends. The numbers hold per worker, as in nginx.",
    settings: &[
        Setting::with_default(
            "max_idle",
            Kind::Integer { min: 0, max: 65_536 },
            "64",
            "Idle connections kept per worker and backend; 0 keeps none.",
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

static TIMEOUTS: Section = Section {
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
             number sets no limit. gRPC tells it by itself (`grpc-timeout`).",
            r#""${header.x-request-timeout-ms}""#,
        ),
    ],
};

static RETRY: Section = Section {
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
        "Attempts in all, the first one included; 1 is no retry, 0 is every backend once.",
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
         request that nobody has seen (the connection was refused) always goes elsewhere. Where \
         `nginx.failures` holds there is no budget.",
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

static PASSIVE: Section = Section {
    title: "[upstream.NAME.passive]",
    doc: "Judging backends by real requests. Failures to connect, time-outs and invalid responses \
          count. The last backend that is left is never parked.",
    settings: &[
        Setting::with_default(
            "max_fails",
            MAX_FAILS,
            "5",
            "Failures within `fail_timeout` that park a backend; 0 never parks.",
            "3",
        ),
        Setting::with_default(
            "fail_timeout",
            TIMEOUT,
            r#""10s""#,
            "The time in which failures count, and how long a backend is parked the first time.",
            r#""30s""#,
        ),
        Setting::with_default(
            "max_pause",
            TIMEOUT,
            r#""1m""#,
            "A backend that is parked again is out for twice, three times, … `fail_timeout`, but no \
             longer than this. Each `fail_timeout` in service takes one off. Not more than \
             `fail_timeout`: all pauses are alike.",
            r#""10s""#,
        ),
        Setting::with_default(
            "trials",
            Kind::Integer { min: 1, max: 1_000 },
            "1",
            "Requests, one after the other, that have to succeed after the pause before a backend is \
             back in service; the first that fails parks it again.",
            "3",
        ),
        Setting::with_default(
            "retry_after",
            TIMEOUT_OR_OFF,
            r#""off""#,
            "A backend that answers 503 with `Retry-After` is left alone for as long as it says, but not \
             longer than this; the last one that is left never is.",
            r#""1m""#,
        ),
        Setting::with_default(
            "statuses",
            Kind::List(&FAILURE_STATUS),
            "[]",
            "Statuses that count as failures.",
            "[502, 503, 504]",
        ),
        Setting::with_default(
            "hung_factor",
            Kind::Integer { min: 0, max: 1_000 },
            "10",
            "A backend that owes answers, and gives none for so many times what 99 of 100 answers of the \
             upstream took in the last minute, while other backends answer, is hung: it is parked before \
             the requests that it has time out, is back as soon as it answers them, and else by a trial. \
             At most half of the backends are out when one is taken out. 0 is never; it is so too with \
             `nginx.failures`, and as long as less than a hundred answers say what is usual.",
            "20",
        ),
        Setting::with_default(
            "hung_time",
            TIMEOUT,
            r#""1s""#,
            "A backend is not hung before it has given no answer for so long.",
            r#""3s""#,
        ),
        Setting::with_default(
            "hung_requests",
            Kind::Integer { min: 1, max: 1_000_000 },
            "3",
            "A backend is not hung as long as it owes fewer answers. A request whose body still comes is \
             among them, one whose answer has begun is not.",
            "10",
        ),
    ],
};
