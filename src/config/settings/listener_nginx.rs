//! Settings of `[listener.nginx]`: what is done just as nginx does it, where Plimsoll does otherwise.

use std::time::Duration;

use crate::config::table::{Kind, Section, Setting};

pub(super) const NGINX: Setting = Setting::with_default(
    "nginx",
    Kind::Table(&SECTION),
    "{}",
    "What is done just as nginx does it; for files that were imported.",
    "{ ignore_invalid_headers = true }",
);

static SECTION: Section = Section {
    title: "[listener.nginx]",
    doc: "What is done just as nginx does it, where Plimsoll's own way is another and, we think, the \
          better one. `plimsoll import-nginx` writes these keys.",
    settings: &[
        Setting::with_default(
            "ignore_invalid_headers",
            Kind::Bool,
            "false",
            "Whether request fields with anything but letters, digits and `-` in their names are left \
             out. Otherwise they are passed on if the name is a token, and the request is refused \
             with 400 if it is none.",
            "true",
        ),
        Setting::with_default(
            "underscores_in_headers",
            Kind::Bool,
            "false",
            "Whether `_` counts as a letter for `ignore_invalid_headers`.",
            "true",
        ),
        Setting::with_default(
            "refuse_repeated_fields",
            Kind::Bool,
            "false",
            "Whether a request is refused with 400 that repeats `Authorization`, `Content-Length`, \
             `Content-Range`, `Expect`, `If-Match`, `If-Modified-Since`, `If-None-Match`, `If-Range` \
             or `If-Unmodified-Since`. Otherwise they are passed on, but for `Content-Length`, of \
             which several that are the same are one.",
            "true",
        ),
        Setting::with_default(
            "oversized_head_is_400",
            Kind::Bool,
            "false",
            "Whether too large a head is answered with 400 in place of 431.",
            "true",
        ),
        Setting::optional(
            "max_field",
            Kind::Size { min: 64, max: 1 << 20, unlimited: false },
            "as long as the head may be",
            "Bytes of one field line (nginx: the size of one of `large_client_header_buffers`). More: \
             431, or 400.",
            r#""8KiB""#,
        ),
        Setting::optional(
            "host",
            Kind::Text,
            "it has none",
            "The `${host}` of a request that names none (HTTP/1.0): nginx has the first name of its server.",
            r#""example.com""#,
        ),
        Setting::optional(
            "keep_alive_field",
            Kind::Duration {
                min: Duration::from_secs(1),
                max: Duration::from_hours(24),
                off: false,
            },
            "none is sent",
            "The time that is told in `Keep-Alive: timeout=…` of responses after which the connection \
             goes on.",
            r#""60s""#,
        ),
        Setting::with_default(
            "keepalive_disable",
            Kind::List(&Kind::Word(&["msie6", "safari"])),
            "[]",
            "Browsers whose connections are closed: `msie6` is Internet Explorer up to 6, behind a POST, \
             `safari` that of macOS, behind every request. By `User-Agent`, and not over HTTP/2.",
            r#"["msie6"]"#,
        ),
        Setting::with_default(
            "merge_slashes",
            Kind::Bool,
            "true",
            "Whether empty segments of a path are left out before its route is found. Otherwise `//a` is \
             another path than `/a`, which a backend may see otherwise: no route that keeps somebody out \
             should rely on it.",
            "false",
        ),
        Setting::with_default(
            "proxy_protocol_from_all",
            Kind::Bool,
            "false",
            "Whether every client has to begin with a header of the PROXY protocol where \
             `proxy_protocol` is on, and its address is the client's only where `client_address` says \
             `\"proxy_protocol\"` and a trusted proxy sent it.",
            "true",
        ),
        Setting::with_default(
            "real_ip_recursive",
            Kind::Bool,
            "true",
            "Whether a list of addresses is read on through trusted ones to the first that is not. \
             Otherwise its last address is the client's, also if it is a trusted proxy's.",
            "false",
        ),
    ],
};
