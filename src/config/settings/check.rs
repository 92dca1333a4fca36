//! Settings of `[upstream.NAME.check.CHECK]`, which are those of `[upstream.NAME.health]` too.

use std::time::Duration;

use super::upstream::LIFETIME;
use super::{SECRET, SECRET_TEXT};
use crate::config::table::{Kind, Section, Setting, TEXTS, TIMEOUT, TIMEOUT_OR_OFF};

/// One check.
pub(super) static CHECK: Section = Section {
    title: "[upstream.NAME.health] or [upstream.NAME.check.CHECK]",
    doc: "Judging backends by probes, one prober per backend and check whatever the number of workers. The \
          first is short for the check `health`, which is all that most upstreams need. A backend is as \
          well as the worst of its checks, but for those that another check names in `checks` or \
          `depends_on`: they speak through that one alone. A setting that the `type` does not look at is \
          refused.",
    settings: SETTINGS,
};

/// Checks under names.
pub(super) static CHECKS: Kind = Kind::Table(&CHECK);

const PART: Kind = Kind::Float { min: 0.01, max: 1_000.0 };

const SETTINGS: &[Setting] = &[
    Setting::with_default(
        "type",
        Kind::Word(&[
            "http",
            "tcp",
            "grpc",
            "postgres",
            "mysql",
            "redis",
            "agent",
            "exec",
            "system",
            "memory",
            "disk",
            "composite",
        ]),
        r#""http""#,
        "What is asked: `http` a request; `tcp` a connection, and an exchange of bytes if `send` or \
         `receive` is set; `grpc` gRPC's health service (grpc.health.v1); `postgres`, `mysql` and `redis` \
         their own protocols, in plain text; `agent` a line of the words of `HAProxy`'s agents from `port` \
         (`up`, `75%`, `drain`, `maint`, `down # why`); each line says everything, and an agent that is \
         away says nothing; `exec` a program; `system` the load per core, `memory` and `disk` the part in use \
         of this machine, for backends on it; `composite` other checks.",
        r#""tcp""#,
    ),
    Setting::with_default(
        "path",
        Kind::Text,
        r#""/""#,
        "`http`: path and query. `disk`: a path on the file system. An answer of JSON with a good status of HTTP and a `status` of \
         `healthy`, `ok`, `up` or `pass` is good, `degraded` or `warn` degraded, and `unhealthy`, `down` or \
         `fail` bad. Answers with a field `Plimsoll-Degraded` are degraded, \
         and those with `Plimsoll-Drain` ask for no new clients.",
        r#""/healthz""#,
    ),
    Setting::with_default("method", Kind::Text, r#""GET""#, "`http`: the method.", r#""HEAD""#),
    Setting::optional(
        "host",
        Kind::Text,
        "the backend's address",
        "`http`: the `Host`.",
        r#""api.internal""#,
    ),
    Setting::optional(
        "headers",
        Kind::Map(&SECRET_TEXT),
        "none",
        "`http`: further header fields; each a text, `{ file = … }` or `{ env = … }`.",
        r#"{ X-Probe = "plimsoll" }"#,
    ),
    Setting::with_default(
        "expect",
        Kind::List(&Kind::Statuses),
        r#"["200-399"]"#,
        "`http`: good statuses, single or as ranges.",
        r#"[204, "300-399"]"#,
    ),
    Setting::optional(
        "body",
        Kind::Text,
        "any body",
        "`http`: text that the first 64 KiB of the body must contain.",
        r#""ready""#,
    ),
    Setting::optional(
        "send",
        Kind::Text,
        "nothing is sent",
        "`tcp`, `agent`: what is sent once the connection stands.",
        r#""PING\r\n""#,
    ),
    Setting::optional(
        "receive",
        Kind::Text,
        "nothing is waited for",
        "`tcp`: text that the first 4 KiB of the answer must contain.",
        r#""+PONG""#,
    ),
    Setting::optional(
        "service",
        Kind::Text,
        "the server as a whole",
        "`grpc`: the service that is asked for.",
        r#""shop.Cart""#,
    ),
    Setting::optional(
        "user",
        Kind::Text,
        "nobody logs in",
        "`postgres`, `mysql`, `redis`: who logs in. Without one it is enough that a database asks who we \
         are; `role` and `max_lag` need one.",
        r#""probe""#,
    ),
    Setting::optional(
        "password",
        Kind::Or(&Kind::Text, &SECRET),
        "none",
        "`postgres`, `mysql`, `redis`: the password; a text, `{ file = … }` or `{ env = … }`. Of Redis \
         without `user` that of the default user.",
        r#"{ file = "secrets/token" }"#,
    ),
    Setting::optional(
        "database",
        Kind::Text,
        "the user's own",
        "`postgres`, `mysql`: the database.",
        r#""shop""#,
    ),
    Setting::optional(
        "role",
        Kind::Word(&["primary", "standby"]),
        "any",
        "`postgres`, `mysql`, `redis`: the role that is wanted. A backend in the other one is `standby`: it \
         is well, and gets no requests, not even when nobody else is left. The change is believed at once.",
        r#""primary""#,
    ),
    Setting::optional(
        "max_lag",
        TIMEOUT,
        "any",
        "`postgres`, `mysql`: how far a standby may lag behind; `MySQL` wants the privilege `REPLICATION \
         CLIENT` for that, `MariaDB` `REPLICA MONITOR`.",
        r#""10s""#,
    ),
    Setting::optional(
        "command",
        TEXTS,
        "for other types",
        "`exec`: a program and its arguments, without a shell. Its status 0 is good, 1 degraded, any other \
         bad; the first line of its output is the reason. Its environment is `PATH`, `PLIMSOLL_UPSTREAM`, \
         `PLIMSOLL_BACKEND`, `PLIMSOLL_HOST` and `PLIMSOLL_PORT`. After `timeout` it is killed with all \
         that it started in its process group. Four run at once at most.",
        r#"["/usr/local/bin/check", "--fast"]"#,
    ),
    Setting::with_default(
        "warn",
        PART,
        "0.8",
        "`system`, `memory`, `disk`: the part in use above which backends are degraded.",
        "0.7",
    ),
    Setting::with_default(
        "limit",
        PART,
        "0.9",
        "`system`, `memory`, `disk`: the part in use above which backends are down.",
        "0.95",
    ),
    Setting::optional(
        "checks",
        TEXTS,
        "for other types",
        "`composite`: the names of the checks that it is made of.",
        r#"["web", "database"]"#,
    ),
    Setting::optional(
        "at_least",
        Kind::Integer { min: 1, max: 1_000 },
        "all of them",
        "`composite`: how many of `checks` must be good; 1 is any of them.",
        "2",
    ),
    Setting::optional(
        "depends_on",
        TEXTS,
        "none",
        "Names of checks whose failure makes this one degraded, and no worse: what all backends depend on \
         shall not take all of them down.",
        r#"["database"]"#,
    ),
    Setting::with_default(
        "interval",
        TIMEOUT,
        r#""10s""#,
        "Between two probes of a backend.",
        r#""5s""#,
    ),
    Setting::with_default(
        "fast_interval",
        TIMEOUT,
        r#""2s""#,
        "Between two probes from a first result on that speaks against the verdict, until there is a \
         new one. Never more than `interval`.",
        r#""500ms""#,
    ),
    Setting::optional(
        "down_interval",
        TIMEOUT,
        "three times `interval`",
        "Between two probes of a backend that is down.",
        r#""30s""#,
    ),
    Setting::with_default("timeout", TIMEOUT, r#""5s""#, "How long an answer may take.", r#""2s""#),
    Setting::optional(
        "max_latency",
        TIMEOUT,
        "no limit but `timeout`",
        "How long a good answer may take; after more the backend is degraded.",
        r#""500ms""#,
    ),
    Setting::with_default(
        "rise",
        Kind::Integer { min: 1, max: 1_000 },
        "2",
        "Good results in a row that bring a backend up.",
        "1",
    ),
    Setting::with_default(
        "fall",
        Kind::Integer { min: 1, max: 1_000 },
        "3",
        "Bad results in a row that take a backend down.",
        "2",
    ),
    Setting::with_default(
        "jitter",
        Kind::Float { min: 0.0, max: 1.0 },
        "0.1",
        "Part of the interval by which each pause is varied.",
        "0.2",
    ),
    Setting::optional(
        "start_period",
        TIMEOUT_OR_OFF,
        "six times `interval`",
        "How long a new backend may take to start: until its first good result, bad ones do not count \
         in this time, and it is `checking`.",
        r#""2m""#,
    ),
    Setting::optional(
        "port",
        Kind::Integer { min: 1, max: 65_535 },
        "the backend's port",
        "Another port to probe; `agent` needs it.",
        "9000",
    ),
];

pub(super) static FLAP: Section = Section {
    title: "[upstream.NAME.flap]",
    doc: "Keeping a backend down that its checks find down again and again: each fall adds 1000 to a penalty \
          that halves with time (RFC 2439). As it is, three falls within half a minute keep it down for a \
          minute and a half, and one fall a minute never does. Where no other backend is left nobody is \
          kept down.",
    settings: &[
        Setting::with_default(
            "half_life",
            LIFETIME,
            r#""60s""#,
            "The time in which the penalty halves.",
            r#""2m""#,
        ),
        Setting::with_default(
            "suppress",
            Kind::Integer { min: 1_001, max: 1_000_000 },
            "2500",
            "A penalty above this keeps the backend down.",
            "4000",
        ),
        Setting::with_default(
            "reuse",
            Kind::Integer { min: 1, max: 1_000_000 },
            "1000",
            "A penalty below this lets it up again.",
            "500",
        ),
        Setting::with_default(
            "max",
            Kind::Duration {
                min: Duration::from_millis(1),
                max: Duration::from_hours(24),
                off: true,
            },
            r#""10m""#,
            "The longest time that it is kept down after its last fall. `\"off\"`: nobody is kept down.",
            r#""5m""#,
        ),
    ],
};
