//! Settings of `[[listener]]`.

use crate::config::table::{COUNT, Kind, Section, Setting, TEXTS, TIMEOUT};

/// What may be done with a forwarding header.
const FORWARD: Kind = Kind::Word(&["auto", "append", "set", "remove", "off"]);

pub(super) const LISTENER: Setting = Setting::with_default(
    "listener",
    Kind::List(&KIND),
    "[]",
    "Where clients connect. At least one, in any of the files.",
    r#"[{ address = "0.0.0.0:8080" }]"#,
);

static KIND: Kind = Kind::Table(&SECTION);

static SECTION: Section = Section {
    title: "[[listener]]",
    doc: "An address where clients connect, and what they may do there.",
    settings: &[
        Setting::optional(
            "name",
            Kind::Text,
            "the address",
            "The name used by routes, metrics and logs.",
            r#""main""#,
        ),
        Setting::required(
            "address",
            Kind::Text,
            "IP address and port. `0.0.0.0:8080` is every IPv4 address, `[::]:8080` every IPv6 \
             address (as with nginx, two listeners for both); port 0 lets the system choose.",
            r#""0.0.0.0:8080""#,
        ),
        Setting::with_default(
            "trusted_proxies",
            TEXTS,
            "[]",
            "Networks (CIDR) and addresses of proxies before this one. The client's address is \
             taken from what they forward; from all others, forwarding headers are not believed.",
            r#"["10.0.0.0/8", "fd00::/8"]"#,
        ),
        Setting::with_default(
            "x_forwarded",
            FORWARD,
            r#""auto""#,
            "What is done with `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`. \
             `auto`: append to what a trusted proxy sent, replace what others sent; `append`: \
             append whoever sent it; `set`: replace; `remove`: take away; `off`: leave alone.",
            r#""set""#,
        ),
        Setting::with_default(
            "forwarded",
            FORWARD,
            r#""remove""#,
            "The same for `Forwarded` (RFC 7239). Removed unless told otherwise, so that no client \
             can make a backend believe it.",
            r#""auto""#,
        ),
        Setting::with_default(
            "x_real_ip",
            Kind::Bool,
            "true",
            "Whether `X-Real-IP` is set to the client's address.",
            "false",
        ),
        Setting::with_default(
            "header_timeout",
            TIMEOUT,
            r#""30s""#,
            "Whole time for a request head, from its first byte. Afterwards: 408.",
            r#""10s""#,
        ),
        Setting::with_default(
            "idle_timeout",
            TIMEOUT,
            r#""75s""#,
            "How long a connection may stay open without a request.",
            r#""2m""#,
        ),
        Setting::with_default(
            "body_timeout",
            TIMEOUT,
            r#""60s""#,
            "Between two reads of a request body. Afterwards: 408.",
            r#""20s""#,
        ),
        Setting::with_default(
            "write_timeout",
            TIMEOUT,
            r#""60s""#,
            "Between two writes of a response to a client that does not read on.",
            r#""20s""#,
        ),
        Setting::with_default(
            "max_requests",
            COUNT,
            "0",
            "Requests after which a connection is closed; 0 is no limit.",
            "1000",
        ),
        Setting::with_default(
            "max_connections",
            COUNT,
            "0",
            "Open connections on this listener, over all workers; 0 is no limit.",
            "10000",
        ),
        Setting::with_default(
            "max_head",
            Kind::Size { min: 1_024, max: 1 << 20, unlimited: false },
            r#""32KiB""#,
            "Bytes of a whole request head. More: 431.",
            r#""64KiB""#,
        ),
        Setting::with_default(
            "max_headers",
            Kind::Integer { min: 1, max: 1_000 },
            "100",
            "Number of request header fields. More: 431.",
            "200",
        ),
        Setting::with_default(
            "max_target",
            Kind::Size { min: 64, max: 1 << 20, unlimited: false },
            r#""8KiB""#,
            "Bytes of the request target (path and query). More: 414. At most `max_head`.",
            r#""16KiB""#,
        ),
        Setting::with_default(
            "max_body",
            Kind::Size { min: 0, max: 1 << 40, unlimited: true },
            r#""unlimited""#,
            "Bytes of a request body. More: 413. Bodies are streamed, not collected, so that none \
             needs a limit for memory's sake (nginx: 1 MiB).",
            r#""10MiB""#,
        ),
    ],
};
