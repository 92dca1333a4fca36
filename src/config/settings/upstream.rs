//! Settings of `[upstream.NAME]`.

use std::time::Duration;

use super::check::{CHECK, CHECKS, FLAP};
use super::dns::OF_UPSTREAM as DNS;
use super::upstream_backend::BACKEND;
use super::upstream_balance as balance;
use super::upstream_connections::{POOL, TIMEOUTS};
use super::upstream_ejection::EJECTION;
use super::upstream_load::{ADAPTIVE, ADMISSION, HEDGE};
use super::upstream_nginx::NGINX;
use super::upstream_passive::PASSIVE;
use super::upstream_policy::{BREAKER, FAILOVER, PANIC};
use super::upstream_queue::QUEUE;
use super::upstream_retry::RETRY;
use super::upstream_sticky::STICKY;
use super::upstream_tls::TLS;
use crate::config::table::{COUNT, Kind, Section, Setting, TIMEOUT};

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
        balance::STRATEGY,
        balance::CHOICES,
        balance::KEY,
        balance::BOUNDED_LOAD,
        balance::TABLE_SIZE,
        balance::HOT_QUANTILE,
        balance::SUBSET,
        Setting::with_default(
            "compare",
            Kind::Word(&["load", "time"]),
            r#""load""#,
            "For `random` with `choices = 2` only: whether of the two the one with fewer requests in flight per \
             weight is taken, or the one that costs less as `least_response_time` reckons it.",
            r#""time""#,
        ),
        Setting::with_default(
            "measure",
            Kind::Word(&["first_byte", "last_byte"]),
            r#""first_byte""#,
            "For `least_response_time`, and `random` that compares times: whether the time until the response's head counts, or until its \
             last byte, for which a slow client may be waited for.",
            r#""last_byte""#,
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
        Setting::optional(
            "backends_file",
            Kind::Text,
            "all backends stand here",
            "A file with further backends, which another program may write. Its name ends with `.toml`: \
             `[[backend]]` sections as here; with `.json`: a list of addresses and of objects with these \
             settings; else an address a line, and what follows `#` is a comment. It is watched like the \
             configuration itself, and a bad one changes nothing and says what is wrong with it; who stays \
             keeps health, counts and connections. Write it beside and rename it.",
            r#""api.backends""#,
        ),
        Setting::with_default(
            "max_in_flight",
            COUNT,
            "0",
            "Requests in flight at all backends together, over all workers; 0 is no limit. What is more \
             waits in the `queue`, or is answered with 503. A request that is tried again keeps its place until \
             then, and one that is sent to a second backend too (`hedge`) needs two. Where nothing was limited \
             or waited before a reload, requests that began before it do not count.",
            "500",
        ),
        Setting::optional(
            "queue",
            Kind::Table(&QUEUE),
            "nobody waits: 503",
            "Requests that find every backend full wait for their turn.",
            r#"{ depth = 100, timeout = "5s" }"#,
        ),
        Setting::optional(
            "adaptive",
            Kind::Table(&ADAPTIVE),
            "no limit but `max_in_flight`",
            "A limit of the requests in flight that adapts itself.",
            "{ max = 500 }",
        ),
        Setting::optional(
            "admission",
            Kind::Table(&ADMISSION),
            "requests always pass",
            "Refusing a part of the requests when too many fail.",
            "{ success_percent = 90 }",
        ),
        Setting::optional(
            "hedge",
            Kind::Table(&HEDGE),
            "one backend at a time",
            "Asking a second backend when the first one takes long.",
            "{ percentile = 99.0 }",
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
        Setting::with_default(
            "flap",
            Kind::Table(&FLAP),
            "{}",
            "Keeping a backend down that its checks find down again and again.",
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
             of the same family. Or a text with `${variables}`: where no address comes of it the system \
             chooses, and a connection that is kept is used whatever would.",
            r#""10.0.0.100""#,
        ),
        Setting::with_default(
            "transparent",
            Kind::Bool,
            "false",
            "Whether `source` may be an address of another machine, above all the client's own: \
             `source = \"${client_ip}\"`. The process needs `CAP_NET_ADMIN` for it, and the machine routes \
             that bring the backends' answers back to it. A connection whose `source` comes of `${variables}` \
             then speaks for one client, and none is used for another request.",
            "true",
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
