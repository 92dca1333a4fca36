//! Settings of `[[upstream.NAME.backend]]`.

use super::upstream_passive::MAX_FAILS;
use crate::config::table::{COUNT, Kind, Section, Setting, TIMEOUT};

/// A file of its own with backends.
pub(in crate::config) static BACKENDS_FILE: Section = Section {
    title: "a file of `backends_file`",
    doc: "Backends of one upstream.",
    settings: &[Setting::with_default(
        "backend",
        Kind::List(&Kind::Table(&BACKEND)),
        "[]",
        "The backends.",
        r#"[{ address = "10.0.0.1:8080" }]"#,
    )],
};

pub(super) static BACKEND: Section = Section {
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
            "Requests in flight, over all workers; 0 is no limit. Workers that pick at the same instant may \
             exceed it by one each but the first; `max_in_flight` of the upstream never is.",
            "100",
        ),
        Setting::optional(
            "capacity",
            Kind::Integer { min: 1, max: 10_000_000 },
            "not known",
            "Requests in a second that it is good for, in an upstream with `failover`. When those that serve \
             are good for less than is asked, the rest is answered with 503 and `Retry-After`, which is told; \
             no tier is left for one that is good for less as long as it has anybody. Of one that warms up \
             (`slow_start`) a part counts.",
            "500",
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
