//! Settings of `[upstream.NAME.sticky]`.

use std::time::Duration;

use super::SECRET;
use crate::config::table::{Kind, Section, Setting, TEXTS};

/// How long a client may be bound: up to ten years.
const BOUND: Kind = Kind::Duration {
    min: Duration::from_secs(1),
    max: Duration::from_hours(3650 * 24),
    off: false,
};

pub(super) static STICKY: Section = Section {
    title: "[upstream.NAME.sticky]",
    doc: "Binds clients to backends: by a cookie that is set here (`cookie`), by something that the \
          request says (`route`), or by the sessions that backends open (`learn`). A backend is named by its `route`; without one, in the cookie, by the \
          MD5 of its address (as in nginx). A backend that cannot serve is replaced by another one, \
          picked as the strategy says; one that is `draining` serves whoever is bound to it, and \
          nobody else.",
    settings: &[
        Setting::optional(
            "cookie",
            Kind::Text,
            "no cookie is set",
            "The cookie's name. It is set on every response of a backend.",
            r#""backend""#,
        ),
        Setting::optional(
            "expires",
            BOUND,
            "the end of the browser's session",
            "How long the browser keeps the cookie.",
            r#""1h""#,
        ),
        Setting::optional(
            "domain",
            Kind::Text,
            "none is sent",
            "The cookie's domain.",
            r#"".example.com""#,
        ),
        Setting::optional("path", Kind::Text, "none is sent", "The cookie's path.", r#""/""#),
        Setting::with_default(
            "secure",
            Kind::Bool,
            "false",
            "The cookie is sent over TLS only.",
            "true",
        ),
        Setting::with_default(
            "http_only",
            Kind::Bool,
            "false",
            "Scripts of the page do not see the cookie.",
            "true",
        ),
        Setting::optional(
            "same_site",
            Kind::Text,
            "none is sent",
            "Whether the cookie comes along from other sites: `strict`, `lax`, `none`, or a text with \
             `${variables}` that gives one of these (empty: none is sent; anything else: `strict`).",
            r#""lax""#,
        ),
        Setting::optional(
            "secret",
            Kind::Or(&Kind::Text, &SECRET),
            "the cookie is not signed",
            "Signs the cookie, at least 16 bytes: in place of a backend's `route` or the MD5 of its address it \
             has the HMAC-SHA256 of its `route` or name. Nobody else can make one, or read from it which \
             backends there are; nodes with the same secret understand each other's, over reloads and \
             restarts.",
            r#""of-at-least-16-bytes""#,
        ),
        Setting::optional(
            "route",
            TEXTS,
            "the cookie decides",
            "In place of `cookie`: texts with `${variables}`, of which the first that is not empty \
             names the backend.",
            r#"["${cookie.route}", "${arg.route}"]"#,
        ),
        Setting::optional(
            "learn",
            TEXTS,
            "sessions are not learnt",
            "In place of `cookie`: texts with `${variables}`, of which the first that is not empty names \
             the session that a response opens. It is known on all workers, and over reloads; when another backend has to serve it, it moves there.",
            r#"["${upstream.cookie.sid}"]"#,
        ),
        Setting::optional(
            "lookup",
            TEXTS,
            "it must be written beside `learn`",
            "Beside `learn`: texts with `${variables}`, of which the first that is not empty names the \
             session that a request belongs to.",
            r#"["${cookie.sid}"]"#,
        ),
        Setting::with_default(
            "timeout",
            BOUND,
            r#""10m""#,
            "Beside `learn`: how long a session is known that no request belongs to.",
            r#""1h""#,
        ),
        Setting::with_default(
            "known",
            Kind::Word(&["head", "end"]),
            r#""head""#,
            "Beside `learn`: whether a session is known as soon as the head of the response that opens it \
             is there, or when all of the response is passed on.",
            r#""end""#,
        ),
        Setting::with_default(
            "max_sessions",
            Kind::Integer { min: 1, max: 100_000_000 },
            "100000",
            "Beside `learn`: how many sessions are known at once, at 32 to 64 bytes each; when more are \
             learnt, those go first that were not used for longest. When this changes, all are \
             forgotten.",
            "1000000",
        ),
    ],
};
