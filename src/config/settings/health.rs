//! Settings of `[upstream.NAME.health]`.

use super::SECRET_TEXT;
use crate::config::table::{Kind, Section, Setting, TIMEOUT};

pub(super) static HEALTH: Section = Section {
    title: "[upstream.NAME.health]",
    doc: "Judging backends by probes: one prober per backend, whatever the number of workers.",
    settings: &[
        Setting::with_default(
            "type",
            Kind::Word(&["http", "tcp"]),
            r#""http""#,
            "An HTTP request, or a connection only.",
            r#""tcp""#,
        ),
        Setting::with_default(
            "path",
            Kind::Text,
            r#""/""#,
            "HTTP: path and query.",
            r#""/healthz""#,
        ),
        Setting::with_default("method", Kind::Text, r#""GET""#, "HTTP: the method.", r#""HEAD""#),
        Setting::optional(
            "host",
            Kind::Text,
            "the backend's address",
            "HTTP: the `Host`.",
            r#""api.internal""#,
        ),
        Setting::optional(
            "headers",
            Kind::Map(&SECRET_TEXT),
            "none",
            "HTTP: further header fields; each a text, `{ file = … }` or `{ env = … }`.",
            r#"{ X-Probe = "plimsoll" }"#,
        ),
        Setting::with_default(
            "expect",
            Kind::List(&Kind::Statuses),
            r#"["200-399"]"#,
            "HTTP: good statuses, single or as ranges.",
            r#"[204, "300-399"]"#,
        ),
        Setting::optional(
            "body",
            Kind::Text,
            "any body",
            "HTTP: text that the first 64 KiB of the body must contain.",
            r#""ready""#,
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
            r#""1s""#,
            "Between two probes from a first failure on, until there is a verdict. Never more than \
             `interval`.",
            r#""500ms""#,
        ),
        Setting::with_default(
            "timeout",
            TIMEOUT,
            r#""5s""#,
            "How long an answer may take.",
            r#""2s""#,
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
            "port",
            Kind::Integer { min: 1, max: 65_535 },
            "the backend's port",
            "Another port to probe.",
            "9000",
        ),
    ],
};
