//! Settings of `[[listener]]` with `mode = "tcp"`.

use std::time::Duration;

use crate::config::table::{Kind, Section, Setting, TEXTS};

pub(super) const MODE: Setting = Setting::with_default(
    "mode",
    Kind::Word(&["http", "tcp"]),
    r#""http""#,
    "`tcp`: connections are passed through to a backend of `upstream`, byte for byte, and no route holds \
     here.",
    r#""tcp""#,
);

pub(super) const UPSTREAM: Setting = Setting::optional(
    "upstream",
    Kind::Text,
    "routes say",
    "For `mode = \"tcp\"` only: where connections go. With `sni`: those that fit nothing of it; without \
     it they are closed.",
    r#""api""#,
);

pub(super) const SNI: Setting = Setting::with_default(
    "sni",
    Kind::List(&KIND),
    "[]",
    "For `mode = \"tcp\"` only: where TLS connections go, by the name that the client asks for and by the \
     protocols that it offers. The TLS itself is passed through.",
    r#"[{ names = ["*.example.com"], upstream = "api" }]"#,
);

pub(super) const TUNNEL_TIMEOUT: Setting = Setting::with_default(
    "tunnel_timeout",
    Kind::Duration {
        min: Duration::from_millis(1),
        max: Duration::from_hours(30 * 24),
        off: false,
    },
    r#""10m""#,
    "For `mode = \"tcp\"` only: how long a connection stays on which nothing moves in either direction.",
    r#""1h""#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "[[listener.sni]]",
    doc: "What clients ask for, and where their connections go: by `names`, by `protocols` or by both. A \
          name goes before the longest that it ends with, and that before sections without `names`; of \
          those with the same name, the first whose `protocols` fit counts, and then one without them.",
    settings: &[
        Setting::with_default(
            "names",
            TEXTS,
            "[]",
            "Host names; `*.example.com` is every name that ends so, of which the longest counts. None: \
             whatever name is asked for.",
            r#"["example.com", "*.example.com"]"#,
        ),
        Setting::with_default(
            "protocols",
            TEXTS,
            "[]",
            "Protocols (ALPN) of which the client has to offer one. None: whatever it offers.",
            r#"["acme-tls/1"]"#,
        ),
        Setting::required("upstream", Kind::Text, "Where they go.", r#""api""#),
    ],
};
