//! Settings of `[limit.NAME]`, and of a route's `limits`.

use crate::config::table::{Kind, Section, Setting};

/// Thousandths of requests per second fit beside the burst.
const BURST: Kind = Kind::Integer { min: 0, max: 60_000 };
const CONCURRENCY: Kind = Kind::Integer { min: 1, max: 65_535 };
const STATUS: Kind = Kind::Integer { min: 400, max: 599 };
const LEVEL: Kind = Kind::Word(&["off", "debug", "info", "warn", "error"]);

pub(super) const LIMIT: Setting = Setting::with_default(
    "limit",
    Kind::Map(&KIND),
    "{}",
    "Named limits of how often, and how often at once, a client may ask.",
    r#"{ clients = { key = "${client_ip}", rate = "10/s", burst = 20 } }"#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "[limit.NAME]",
    doc: "How often clients may ask, by a key of the request. Routes name it in `limits`; all that do \
          share its counts, over all workers of the process. A reload keeps the counts unless `key` or \
          `max_keys` changes.",
    settings: &[
        Setting::with_default(
            "key",
            Kind::Text,
            r#""${client_ip}""#,
            "What is counted by: a text with `${variables}`. A request with an empty key is not \
             limited.",
            r#""${header.x-api-key}""#,
        ),
        Setting::optional(
            "rate",
            Kind::Text,
            "any number",
            "Requests per second or minute of one key, spread evenly: at `\"10/s\"` one is due every \
             100 ms (a leaky bucket, as in nginx).",
            r#""10/s""#,
        ),
        Setting::with_default(
            "burst",
            BURST,
            "0",
            "Requests of one key that may be ahead of the rate. What goes beyond is refused.",
            "20",
        ),
        Setting::optional(
            "undelayed",
            BURST,
            "all of the burst",
            "Requests of the burst that are served at once; those beyond wait until they are due.",
            "5",
        ),
        Setting::optional(
            "concurrency",
            CONCURRENCY,
            "any number",
            "Requests of one key that may be under way at once.",
            "10",
        ),
        Setting::with_default(
            "status",
            STATUS,
            "429",
            "What a request is answered with that is refused; with 444 the connection is closed without an \
             answer.",
            "503",
        ),
        Setting::with_default(
            "dry_run",
            Kind::Bool,
            "false",
            "Whether requests are only counted, neither refused nor delayed; metrics and log tell what \
             would have been done.",
            "true",
        ),
        Setting::with_default(
            "log_level",
            LEVEL,
            r#""off""#,
            "At which level of the program log a refused request is told; a delayed one is told one \
             level below.",
            r#""warn""#,
        ),
        Setting::with_default(
            "max_keys",
            Kind::Integer { min: 16, max: 16_777_216 },
            "65536",
            "Keys that are remembered, at 32 bytes each for `rate` and for `concurrency`. When more \
             come, those that were not seen for longest are forgotten; of `concurrency`, further keys \
             are refused.",
            "1_000_000",
        ),
    ],
};

pub(super) const LIMITS: Setting = Setting::optional(
    "limits",
    Kind::List(&NAME_OR_USE),
    "none",
    "Limits, by name, that a request has to be within; `rate`s are looked at first, in this order.",
    r#"["clients", { name = "logins", burst = 5 }]"#,
);

const OF_THE_LIMIT: &str = "that of the limit";

static NAME_OR_USE: Kind = Kind::Or(&Kind::Text, &USE);

static USE: Section = Section {
    title: "limits = [{ … }]",
    doc: "A limit with settings in place of its own. Counts are shared all the same.",
    settings: &[
        Setting::required("name", Kind::Text, "The limit's name.", r#""clients""#),
        Setting::optional("burst", BURST, OF_THE_LIMIT, "As in `[limit.NAME]`.", "5"),
        Setting::optional("undelayed", BURST, OF_THE_LIMIT, "As in `[limit.NAME]`.", "0"),
        Setting::optional("concurrency", CONCURRENCY, OF_THE_LIMIT, "As in `[limit.NAME]`.", "2"),
        Setting::optional("status", STATUS, OF_THE_LIMIT, "As in `[limit.NAME]`.", "503"),
        Setting::optional("dry_run", Kind::Bool, OF_THE_LIMIT, "As in `[limit.NAME]`.", "true"),
        Setting::optional("log_level", LEVEL, OF_THE_LIMIT, "As in `[limit.NAME]`.", r#""info""#),
    ],
};
