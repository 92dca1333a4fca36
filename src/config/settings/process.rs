//! Settings of the process as a whole.

use std::time::Duration;

use crate::config::table::{COUNT, Kind, Section, Setting, TEXTS};

pub(super) const WORKERS: Setting = Setting::optional(
    "workers",
    Kind::Integer { min: 1, max: 1024 },
    "one per core",
    "Number of worker threads. Each accepts and serves connections on its own.",
    "2",
)
.remedy("leave `workers` out to have one per core");

pub(super) const DRAIN_TIMEOUT: Setting = Setting::with_default(
    "drain_timeout",
    Kind::Duration { min: Duration::ZERO, max: Duration::from_hours(24), off: false },
    r#""30s""#,
    "How long a graceful stop waits for requests under way.",
    r#""1m30s""#,
);

pub(super) const UPGRADE_TIMEOUT: Setting = Setting::with_default(
    "upgrade_timeout",
    Kind::Duration { min: Duration::from_millis(100), max: Duration::from_hours(1), off: false },
    r#""30s""#,
    "How long a new program may take until it is ready to take the place of this one (`plimsoll \
     upgrade`). Then it is given up, and this one goes on.",
    r#""1m""#,
);

pub(super) const PID_FILE: Setting = Setting::optional(
    "pid_file",
    Kind::Text,
    "none is written",
    "The file that the process writes its id to once it serves, and removes at its end.",
    r#""/run/plimsoll/plimsoll.pid""#,
);

pub(super) const WATCH_INTERVAL: Setting = Setting::with_default(
    "watch_interval",
    Kind::Duration { min: Duration::from_millis(100), max: Duration::from_hours(1), off: true },
    r#""1s""#,
    "How often the files are looked at for a change, which is taken up when the next look finds no \
     further one. `\"off\"`: reload by signal only.",
    r#""off""#,
);

pub(super) const MAX_CONNECTIONS: Setting = Setting::with_default(
    "max_connections",
    COUNT,
    "0",
    "Open connections of clients, over all listeners and workers; 0 is as many as there are descriptors \
     for.",
    "20000",
);

pub(super) const NODE: Setting = Setting::optional(
    "node",
    Kind::Text,
    "the name of this machine",
    "This node's name, its own among those that share backends: `subset` goes by it.",
    r#""lb-1""#,
);

pub(super) const MEMORY_LIMIT: Setting = Setting::optional(
    "memory_limit",
    Kind::Size { min: 1 << 20, max: 1 << 50, unlimited: false },
    "no limit",
    "How much memory the process may have in RAM. From 90 % on, clients' connections end with their \
     request; from 95 % on, requests get 503 (calls of gRPC `UNAVAILABLE`) with `Retry-After`, before \
     anything else is done for them; beyond it, new connections are closed. What is under way goes on, \
     and the admin listener answers. Set it well below what kills the process, say to 80 % of the \
     container's memory.",
    r#""1GiB""#,
);

pub(super) const ZONE: Setting = Setting::optional(
    "zone",
    Kind::Text,
    "not told",
    "The zone that this node is in: backends of the same zone serve before others.",
    r#""a""#,
);

pub(super) const REGION: Setting = Setting::optional(
    "region",
    Kind::Text,
    "not told",
    "The region that this node is in: backends of the same region serve before those of others.",
    r#""eu""#,
);

pub(super) const INCLUDE: Setting = Setting::with_default(
    "include",
    TEXTS,
    "[]",
    "Further files with listeners, routes and upstreams, read in the order given and, for a \
     pattern, by name. `*` and `?` may stand in the file's name, not in a directory's, and do not \
     match names that begin with a dot. A pattern may match nothing, a plain name must exist.",
    r#"["conf.d/*.toml"]"#,
);

pub(super) const LOG: Setting = Setting::with_default(
    "log",
    Kind::Table(&Section {
        title: "[log]",
        doc: "The program log, on standard error.",
        settings: &[
            Setting::with_default(
                "level",
                Kind::Word(&["error", "warn", "info", "debug", "trace"]),
                r#""info""#,
                "Least level that is written.",
                r#""debug""#,
            ),
            Setting::with_default(
                "format",
                Kind::Word(&["text", "json"]),
                r#""text""#,
                "For people, or one JSON object per line.",
                r#""json""#,
            ),
        ],
    }),
    "{}",
    "The program log.",
    r#"{ level = "info" }"#,
);

/// What is said of each access log.
const OF_ACCESS_LOG: &[Setting] = &[
    Setting::with_default(
        "format",
        Kind::Word(&["combined", "json", "template", "off"]),
        r#""combined""#,
        "nginx's `combined`, one JSON object with every attempt, a text of your own \
             (`template`), or nothing.",
        r#""json""#,
    ),
    Setting::optional(
        "template",
        Kind::Text,
        "another `format` is given",
        "The line for `format = \"template\"`: a text with `${variables}`.",
        r#""${client_ip} ${status} ${upstream.addr}""#,
    ),
    Setting::with_default(
        "escape",
        Kind::Word(&["default", "json", "none"]),
        r#""default""#,
        "How values stand in the template's line. `default`: `\"`, `\\` and what is not \
             printable ASCII as `\\xHH`, and `-` for what has no value; `json`: as within a text \
             of JSON; `none`: as they are.",
        r#""json""#,
    ),
    Setting::optional(
        "when",
        Kind::Text,
        "every request is logged",
        "A text with `${variables}`: only requests for which it is neither empty nor `0` are \
             logged, in whatever format.",
        r#""${arg.debug}""#,
    ),
    Setting::optional(
        "path",
        Kind::Text,
        "standard output",
        "The file to append to. Opened again on USR1.",
        r#""/var/log/plimsoll/access.log""#,
    ),
];

pub(super) const ACCESS_LOGS: Setting = Setting::with_default(
    "access_logs",
    Kind::Map(&NAMED_LOG),
    "{}",
    "Named access logs beside the usual one, for the routes that name them.",
    r#"{ shop = { path = "/var/log/plimsoll/shop.log", format = "json" } }"#,
);

static NAMED_LOG: Kind = Kind::Table(&Section {
    title: "[access_logs.NAME]",
    doc: "One more access log, with a `path` of its own. Routes name it in `access_logs`; their \
          requests are logged here as well as in `[access_log]`.",
    settings: OF_ACCESS_LOG,
});

pub(super) const ACCESS_LOG: Setting = Setting::with_default(
    "access_log",
    Kind::Table(&Section {
        title: "[access_log]",
        doc: "One line per request.",
        settings: OF_ACCESS_LOG,
    }),
    "{}",
    "The access log.",
    r#"{ format = "json" }"#,
);
